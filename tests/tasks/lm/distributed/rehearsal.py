"""A rank that torchrun starts for the tests: the real group, the real sums."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from storage.errors import TrainingDiverged
from tasks.lm.distributed import world as world_module
from tasks.lm.distributed.world import World
from tasks.lm.loop import take_step
from tasks.lm.models import Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.pretrain.train import batch_of
from tasks.progress import note, track

BATCHES = [  # rows of different lengths, so that ranks have different numbers of targets
    [[5, 6, 7, 8, 9], [7, 8], [1, 2, 3, 4]],
    [[3, 4, 5], [9, 8, 7, 6, 5], [2, 3], [4, 4, 4]],
]


def small_model() -> Decoder:
    """Random weights everywhere."""
    shape = {"num_layers": 1, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2}
    model = Decoder(Qwen3.model_validate({**shape, "num_kv_heads": 1, "head_dim": 8}), 20, 8)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(float(parameter.ndim == 1), 0.3, generator=generator)
    return model


def take_steps(model: Decoder, world: World) -> list[float]:
    """A step on each batch, by plain gradient descent: it shows a gradient's size."""
    losses = []
    for batch in BATCHES:
        ids, targets = torch.zeros(len(batch), 4, dtype=int), torch.full((len(batch), 4), -100)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
            targets[row, : len(tokens) - 1] = torch.tensor(tokens[1:])
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.5)]
        made = batch_of(model, ids, targets, torch.float32)
        losses.append(take_step(made, model, optimizers, world)[0])
    return losses


def _steps(folder: Path, world: World) -> dict[str, Any]:
    world_module._BUCKET_ELEMENTS = 500  # several buckets
    model = small_model()
    note("begun")
    with track("steps", len(BATCHES), "batches") as bar:
        losses = take_steps(model, world)
        bar.advance(len(BATCHES), loss=losses[-1])
    save_file(model.state_dict(), folder / f"rank-{world.rank}.safetensors")
    layer = nn.Linear(3, 1, bias=False)
    if world.rank == 1:  # the other had no rows
        layer(torch.ones(2, 3)).sum().backward()
    world.sum_gradients(layer.parameters())
    assert layer.weight.grad is not None
    return {
        "losses": losses,
        "gradient": layer.weight.grad.tolist(),
        "threads": torch.get_num_threads(),
        "shares": world.sum(world.share(5).stop - world.share(5).start),
    }


@dataclass(frozen=True)
class Rehearsal:
    """A job: what is played, and where its files go."""

    part: str
    folder: Path

    def do_part(self, world: World) -> dict[str, Any]:
        if self.part == "steps":
            return _steps(self.folder, world)
        if world.rank == 1:
            raise TrainingDiverged("seen by rank 1 alone")
        while True:  # and rank 0 waits in a sum that never comes
            world.sum(1.0)
