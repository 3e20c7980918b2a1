"""Snapshots of a training run: exact, validated, and the last good one wins.

One safetensors file holds weights, optimizer state and the step; it is written under another name
and renamed, and a torn or foreign file is passed over in favour of the one before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from storage.errors import os_errors_named
from tasks.lm.checkpoint import os_errors_unwrapped

History = list[dict[str, float]]
"""Figures of each step."""

_KEPT = 2


class Snapshots:
    """The snapshots in one scratch folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(
        self, step: int, model: nn.Module, optimizers: Sequence[Optimizer], history: History
    ) -> None:
        """Write the state after `step` steps, with the `history` of the run."""
        tensors = {f"model.{name}": p.detach().cpu() for name, p in _trained(model).items()}
        for index, optimizer in enumerate(optimizers):
            for key, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"optimizer.{index}.{key}.{name}"] = value.detach().cpu()
        target = self._folder / f"step-{step:09d}.safetensors"
        temporary = target.with_suffix(".tmp")
        with os_errors_named(target), os_errors_unwrapped():
            metadata = {"step": str(step), "history": json.dumps(history)}
            save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(target)
        for old in self._files()[_KEPT:]:
            old.unlink()

    def load(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> tuple[int, History]:
        """Restore the newest whole snapshot and return its step and history; (0, []) if none."""
        wanted = {f"model.{name}": p.shape for name, p in _trained(model).items()}
        for file in self._files():
            try:
                step, history, tensors = _read(file)
            except (SafetensorError, OSError, KeyError, TypeError, ValueError):
                continue  # torn, or not a snapshot of ours
            if wanted == {k: t.shape for k, t in tensors.items() if k.startswith("model.")}:
                _restore(model, optimizers, tensors)
                return step, history
        return 0, []

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("step-*.safetensors"), reverse=True)


def _read(file: Path) -> tuple[int, History, dict[str, Tensor]]:
    with safe_open(file, framework="pt") as snapshot:
        metadata = snapshot.metadata() or {}
        step = int(metadata["step"])
        history = [dict(row) for row in json.loads(metadata["history"])]
        return step, history, {key: snapshot.get_tensor(key) for key in snapshot.keys()}  # noqa: SIM118


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _restore(model: nn.Module, optimizers: Sequence[Optimizer], tensors: dict[str, Tensor]) -> None:
    for name, parameter in _trained(model).items():
        parameter.data.copy_(tensors[f"model.{name}"])
    for index, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            owner, _, rest = key.partition(".")
            if owner == "optimizer" and rest.startswith(f"{index}."):
                _, parameter_index, name = rest.split(".", 2)
                state.setdefault(int(parameter_index), {})[name] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
