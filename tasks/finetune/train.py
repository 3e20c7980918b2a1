"""Train an adapter on the answers alone, measure it on held-out names, merge it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from storage.errors import Fault, NothingLeft, RequestError, TrainingDiverged
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import (
    Example,
    Pair,
    collate,
    encode_pairs,
    plan_batches,
    tabulate_steps,
)
from tasks.lm.checkpoint import load_model
from tasks.lm.config import rate_factor
from tasks.lm.device import Compute, set_up
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.models.decoder import Decoder
from tasks.lm.sequences import IGNORED
from tasks.lm.snapshot import Snapshots
from tasks.lm.tensors import os_errors_unwrapped
from tasks.lm.tokens import PAD, load_tokenizer, special_id
from tasks.lm.tracking.logbook import Logbook, check_packages
from tasks.lm.tracking.run import TrackedRun
from tasks.progress import note, track

_EVALUATION_BATCH = 32


@dataclass(frozen=True)
class FinetuneData:
    """What the earlier stages left, and the pairs."""

    train: Path
    validation: Path
    base: Path


@dataclass(frozen=True)
class Tuned:
    """What a training took, which of its steps learnt from which pair (records.STEP), the (step,
    loss, rate factor) of each, and the base with the adapter in its weights (of the process that
    leads; the others keep theirs beside it)."""

    stats: dict[str, Any]
    steps: pa.Table
    history: list[dict[str, float]]
    merged: Decoder


def finetune(
    config: FinetuneConfig,
    data: FinetuneData,
    scratch: Path,
    adapter: Path,
    world: World = ALONE,
    tracked: TrackedRun | None = None,
) -> Tuned:
    """Train and write the PEFT adapter into the given folder.

    Every process of `world` calls it; the one that leads writes. Goes on from the newest snapshot
    in `scratch`, also with another number of processes. Raises RequestError if the adapter's
    targets are not in the model or a tracker is not installed, NothingLeft if no pair fits its
    context, TrainingDiverged if the loss is no longer finite, and what the progress bars raise,
    after a snapshot of the last finished step.
    """
    check_packages(config.tracking)
    compute = set_up(config.compute, world)
    run = _Run(config, compute, data, world)
    before = run.held_out_bits_per_byte()
    first = run.restore(Snapshots(scratch))
    mine = None if tracked is None or not world.leads else replace(tracked, first_step=first)
    with Logbook(config.tracking, mine) as log:
        if not first:
            log.add(0, held_out_bits_per_byte=before)
        run.train(log)
        after = run.held_out_bits_per_byte()
        _check_finite(f"after the last step the held-out bits per byte are {after}", after)
        log.conclude(len(run.plan), held_out_bits_per_byte=after)
    if world.leads:
        run.save(adapter)
    stats = {
        "pairs": len(run.train_examples),
        "held_out_pairs": len(run.held_out),
        "trainable_parameters": sum(p.numel() for p in run.trainable),
        "held_out_bits_per_byte_before": before,
        "held_out_bits_per_byte": after,
        "compute": str(compute),
    }
    steps = tabulate_steps(run.train_examples, run.plan)
    return Tuned(stats, steps, run.history(), run.merge() if world.leads else run.decoder)


class _Run:
    """A base model with an adapter in it, and its data."""

    def __init__(
        self, config: FinetuneConfig, compute: Compute, data: FinetuneData, world: World
    ) -> None:
        from peft import get_peft_model  # 2 s to import, and only wanted where it trains

        self._config, self._compute, self._world = config, compute, world
        self._tokenizer = load_tokenizer(data.base)
        self.decoder = load_model(data.base)
        _check_targets(self.decoder, config)
        self.train_examples = self._examples(data.train)
        self.held_out = self._examples(data.validation)
        self._held_out_bytes = sum(len(self._answer(e).encode()) for e in self.held_out)
        torch.manual_seed(config.seed)  # PEFT draws the initial A from the global generator
        # Our own decoder goes through PEFT as it is: its module names are those of transformers,
        # and it trains in bfloat16 on a CPU at several times the speed.
        self._peft: Any = get_peft_model(self.decoder, config.adapter.peft_config())
        self._peft.to(compute.device)
        self.trainable = [p for p in self._peft.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self.trainable, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self.plan = plan_batches(self.train_examples, config)
        self._losses: list[float] = []

    def _examples(self, path: Path) -> list[Example]:
        pairs: list[Pair] = pq.read_table(path).to_pylist()
        examples = encode_pairs(pairs, self._tokenizer, self.decoder.context)
        if not examples:
            raise NothingLeft(
                f"none of the {len(pairs)} pairs of {path.name} fits the model's context of "
                f"{self.decoder.context} tokens; expected at least one. Raise "
                "shard.sequence_length or lower finetune.pairs.max_answer_characters."
            )
        return examples

    def _answer(self, example: Example) -> str:
        return str(self._tokenizer.decode(example.ids[example.answer_start :]))

    def restore(self, snapshots: Snapshots) -> int:
        """Go back to the newest snapshot; returns the steps that are done."""
        self._snapshots = snapshots
        first, self._losses = snapshots.load(self._peft, [self._optimizer])
        return first

    def train(self, log: Logbook) -> None:
        """All steps of all epochs that are not done yet."""
        first, num_steps = len(self._losses), len(self.plan)
        if first:
            note(f"finetune: goes on from step {first:,} of {num_steps:,}")
            self._log(log)
        with track("finetune", num_steps, "steps", done=first) as bar:
            for step in range(first, num_steps):
                began = monotonic()
                loss = self._take(step)
                self._losses.append(loss)
                num_tokens = sum(len(self.train_examples[i].ids) for i in self.plan[step])
                self._log(log, tokens_per_second=num_tokens / (monotonic() - began))
                try:
                    bar.advance(1, loss=loss)
                except BaseException:
                    self._save_snapshot()
                    raise
                # After the last one too: the evaluation may be stopped.
                if (step + 1) % self._config.checkpoint_steps == 0 or step + 1 == num_steps:
                    self._save_snapshot()

    def history(self) -> list[dict[str, float]]:
        """(step, loss, rate factor) of each step."""
        return [
            {"step": step + 1, "loss": loss, "rate_factor": self._factor(step)}
            for step, loss in enumerate(self._losses)
        ]

    def _factor(self, step: int) -> float:
        config = self._config
        return rate_factor(step + 1, len(self.plan), config.warmup, config.cooldown)

    def _save_snapshot(self) -> None:
        if self._world.leads:
            done = len(self._losses)
            self._snapshots.save(done, self._peft, [self._optimizer], self._losses)

    def _log(self, log: Logbook, **more: float) -> None:
        done = len(self._losses)
        factor = self._factor(done - 1)
        rate = self._config.learning_rate * factor
        log.add(done, loss=self._losses[-1], learning_rate=rate, rate_factor=factor, **more)

    def _take(self, step: int) -> float:
        """One update; the loss is the mean over the answers' tokens, in nats."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * self._factor(step)
        loss = self._step([self.train_examples[i] for i in self.plan[step]])
        _check_finite(f"the loss is {loss} at step {step + 1} of {len(self.plan)}", loss)
        return loss

    def _step(self, examples: Sequence[Example]) -> float:
        num_targets = sum(len(example.ids) - example.answer_start for example in examples)
        mine = examples[self._world.share(len(examples))]
        self._optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        if mine:
            mean = self._summed_loss(mine) / num_targets
            mean.backward()  # type: ignore[no-untyped-call]
            loss = mean.item()
        self._world.sum_gradients(self.trainable)
        self._optimizer.step()
        return self._world.sum(loss)

    def _summed_loss(self, examples: Sequence[Example]) -> Tensor:
        """Sum in nats over the answers' tokens; the head sees only these."""
        ids, targets = collate(examples, special_id(self._tokenizer, PAD))
        ids, targets = ids.to(self._compute.device), targets.to(self._compute.device)
        hidden = self.decoder.model(ids, self._compute.dtype)
        learnt = targets != IGNORED
        logits = self.decoder.logits(hidden[learnt]).float()
        return F.cross_entropy(logits, targets[learnt], reduction="sum")

    @torch.no_grad()
    def held_out_bits_per_byte(self) -> float:
        """Bits per byte of the answers for held-out names, the end of the turn included."""
        nats = 0.0
        count = _EVALUATION_BATCH * self._world.size
        with track("evaluate", len(self.held_out), "pairs") as bar:
            for start in range(0, len(self.held_out), count):
                batch = self.held_out[start : start + count]
                mine = batch[self._world.share(len(batch))]
                nats += self._world.sum(self._summed_loss(mine).item() if mine else 0.0)
                bar.advance(len(batch))
        return nats / math.log(2) / self._held_out_bytes

    def save(self, adapter: Path) -> None:
        """Write the adapter for `PeftModel`."""
        with os_errors_unwrapped():
            self._peft.save_pretrained(adapter, save_embedding_layers=False)
        (adapter / "README.md").unlink(missing_ok=True)  # an empty form; the lineage is the card
        _settle_adapter_config(adapter / "adapter_config.json")

    def merge(self) -> Decoder:
        """The decoder with the adapter in its weights, in float32 on the CPU; ends the run.

        An adapter on a tied embedding leaves the head as it was, so that merging unties the two.
        """
        self._peft.to("cpu")
        head = self.decoder.head.detach().clone()
        model: Decoder = self._peft.merge_and_unload()
        if not model.shape.tie_embeddings or "embed_tokens" not in self._config.adapter.targets:
            return model
        shape = model.shape.model_copy(update={"tie_embeddings": False})
        untied = Decoder(shape, model.vocab_size, model.context)
        untied.load_state_dict({**model.state_dict(), "lm_head.weight": head})
        return untied


def _check_finite(finding: str, value: float) -> None:
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"{finding}; expected a finite number. Lower finetune.learning_rate and run again."
        )


def _check_targets(model: Decoder, config: FinetuneConfig) -> None:
    kinds = (nn.Linear, nn.Embedding)
    known = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, kinds)}
    missing = sorted(set(config.adapter.targets).difference(known))
    if missing:
        raise RequestError(
            Fault(
                "finetune.adapter.targets",
                ", ".join(missing),
                f"some of {', '.join(sorted(known))} (a tied model has no lm_head)",
                "Leave them out.",
            )
        )


def _settle_adapter_config(path: Path) -> None:
    """Make the file say how to open the adapter, in equal bytes from every process.

    PEFT writes sets in the order of the process's hash seed, and names the class it trained: ours,
    where whoever opens the adapter has transformers'.
    """
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["task_type"] = "CAUSAL_LM"
    config["base_model_name_or_path"] = None
    config["auto_mapping"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
