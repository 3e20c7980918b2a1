"""Snapshots of a training run: exact, validated, and the last good one wins.

One safetensors file holds weights, optimizer state and the step; it is written under another name
and renamed. A damaged one is told, and passed over in favour of the one before. The figures of all
steps lie in one file beside them, of which a snapshot knows how much it had: only those of new
steps are written.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from xxhash import xxh3_128

from storage.errors import Fault, RunError, os_errors_named
from tasks.lm.checkpoint import os_errors_unwrapped
from tasks.progress import note

_KEPT = 2
_HISTORY = "history"
_BEST = "best.safetensors"
State = Mapping[str, Any]
"""What else a training goes on with, as JSON."""


class History:  # noqa: PLW1641 (it grows)
    """Figures of each step, from the first on: eight bytes each. Steps count from 1."""

    def __init__(self, columns: Sequence[str] = ("loss", "rate_factor")) -> None:
        self.columns = tuple(columns)
        self.values = array("d")

    def add(self, **figures: float) -> None:
        """Take the figures of the next step; what is not given is missing."""
        self.values.extend(figures.get(name, float("nan")) for name in self.columns)

    def __len__(self) -> int:
        return len(self.values) // len(self.columns)

    def __getitem__(self, index: int) -> dict[str, float]:
        index = range(len(self))[index]
        first = index * len(self.columns)
        row = self.values[first : first + len(self.columns)]
        return {"step": index + 1, **dict(zip(self.columns, row, strict=True))}

    def column(self, name: str) -> Sequence[float]:
        """Give one figure of all steps; it is no number where it is missing."""
        return self.values[self.columns.index(name) :: len(self.columns)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return self.columns == other.columns and self.values.tobytes() == other.values.tobytes()

    def table(self) -> pa.Table:
        """Give a row for each step; missing figures are null."""
        values = np.array(self.values).reshape(-1, len(self.columns))
        steps = pa.array(np.arange(1, len(values) + 1))
        columns = [pa.array(column, from_pandas=True) for column in values.T]
        return pa.table([steps, *columns], names=["step", *self.columns])


@dataclass(frozen=True)
class Snapshot:
    """What a run had after `step` steps."""

    step: int
    state: State
    tensors: dict[str, Tensor]

    def restore(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        """Put the weights into the model, and what else was kept into the optimizers."""
        for name, parameter in _trained(model).items():
            parameter.data.copy_(self.tensors[f"model.{name}"])
        for index, optimizer in enumerate(optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in self.tensors.items():
                owner, _, rest = key.partition(".")
                if owner == "optimizer" and rest.startswith(f"{index}."):
                    _, parameter_index, name = rest.split(".", 2)
                    state.setdefault(int(parameter_index), {})[name] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class Snapshots:
    """The snapshots in one scratch folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._history = folder, folder / _HISTORY
        self._written, self._digest = 0, xxh3_128()  # bytes of history, and theirs
        folder.mkdir(parents=True, exist_ok=True)

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        history: History,
        state: State | None = None,
    ) -> None:
        """Write what a run goes on with after `step` steps."""
        with os_errors_named(self._folder), os_errors_unwrapped():
            self._append(history)
            meta = {
                "step": step,
                "columns": history.columns,
                "history": [self._written, self._digest.hexdigest()],
                "state": dict(state or {}),
            }
            _write(self._folder / _named(step), meta, _tensors(model, optimizers))
        for old in self._files()[_KEPT:]:
            old.unlink()

    def _append(self, history: History) -> None:
        new = history.values[self._written // history.values.itemsize :].tobytes()
        with self._history.open("r+b" if self._history.exists() else "w+b") as stream:
            stream.truncate(self._written)  # of steps that a killed run took beyond its snapshot
            stream.seek(self._written)
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
        self._digest.update(new)
        self._written += len(new)

    def load(self, model: nn.Module, history: History) -> Snapshot | None:
        """Read the newest whole snapshot, if there is one, and fill `history`.

        One that is passed over is told. Raises RunError if there are some and none can be
        read: whoever wants to begin anew deletes them.
        """
        wrong: dict[str, str] = {}
        for file in self._files():
            try:
                meta, tensors = _read(file)
                _check_fits(model, tensors)
                if tuple(meta["columns"]) != history.columns:
                    raise ValueError(f"it has figures of {meta['columns']}")
                self._take_history(history, *meta["history"])
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                wrong[file.name] = str(error) or type(error).__name__
                continue
            if wrong:
                note(f"{_told(wrong)}; training goes on from {file.name}, the one before")
            return Snapshot(meta["step"], meta["state"], tensors)
        if wrong:
            found = f"{len(wrong)} snapshots that cannot be read: {_told(wrong)}"
            expected = "one at least to go on from"
            where = str(self._folder)
            remedy = f"Restore one, or delete {where} to begin anew."
            raise RunError(Fault(where, found, expected, remedy, "snapshots_unreadable"))
        return None

    def _take_history(self, history: History, size: int, digest: str) -> None:
        with self._history.open("rb") as stream:
            data = stream.read(size)
        found = xxh3_128(data)
        if len(data) != size or found.hexdigest() != digest:
            raise ValueError(f"{self._history.name} beside it is damaged")
        history.values = array("d", data)
        self._written, self._digest = size, found

    def keep_best(self, model: nn.Module, step: int, score: float) -> None:
        """Keep these weights as the best so far."""
        with os_errors_named(self._folder), os_errors_unwrapped():
            meta = {"step": step, "score": score}
            _write(self._folder / _BEST, meta, _tensors(model, ()))

    def take_best(self, model: nn.Module) -> tuple[int, float]:
        """Put the best weights into the model; returns their step and score.

        Raises RunError if they cannot be read.
        """
        try:
            meta, tensors = _read(self._folder / _BEST)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            remedy = "Set keep: last, or delete the folder to begin anew."
            where = str(self._folder / _BEST)
            fault = Fault(where, str(error), "the best weights", remedy, "snapshots_unreadable")
            raise RunError(fault) from error
        Snapshot(meta["step"], meta, tensors).restore(model, ())
        return meta["step"], meta["score"]

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("step-*.safetensors"), reverse=True)


def _named(step: int) -> str:
    return f"step-{step:09d}.safetensors"


def _told(wrong: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in wrong.items())


def _write(target: Path, meta: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    text = json.dumps(meta)
    temporary = target.with_suffix(".tmp")
    save_file(dict(tensors), temporary, {"meta": text, "digest": _digest(text, tensors)})
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(target)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(file, framework="pt") as snapshot:
        said = snapshot.metadata() or {}
        tensors = {key: snapshot.get_tensor(key) for key in snapshot.keys()}  # noqa: SIM118
    if _digest(said["meta"], tensors) != said["digest"]:
        raise ValueError("its digest is another")
    return json.loads(said["meta"]), tensors


def _digest(meta: str, tensors: Mapping[str, Tensor]) -> str:
    """Of all that a snapshot says: 128 bits of xxh3, many GB a second."""
    digest = xxh3_128(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(model: nn.Module, optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    tensors = {f"model.{name}": p.detach() for name, p in _trained(model).items()}
    for index, optimizer in enumerate(optimizers):
        for key, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer.{index}.{key}.{name}"] = value.detach()
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _check_fits(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    wanted = {f"model.{name}": p.shape for name, p in _trained(model).items()}
    if wanted != {k: t.shape for k, t in tensors.items() if k.startswith("model.")}:
        raise ValueError("it is of another model")
