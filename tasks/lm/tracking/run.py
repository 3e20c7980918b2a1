"""What a tracker is told, and what it has to offer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue

Values = Mapping[str, float]


@dataclass(frozen=True)
class TrackedRun:
    """One training, which may go on several times after it was stopped.

    `recipe` and `name` are what a person finds it by; `folder` is where files may be left, `state`
    a folder that lives as long as the training's snapshots; `first_step` is the number of steps
    that were done before; `config` are its knobs.
    """

    recipe: str
    name: str
    folder: Path | None
    state: Path
    first_step: int = 0
    config: Mapping[str, JsonValue] = field(default_factory=dict)

    @classmethod
    def of(
        cls, stage: str, work: Path, folder: Path | None, config: Mapping[str, Any]
    ) -> TrackedRun:
        """The training of a stage in its work folder, which is named by its fingerprint.

        `folder` is `…/RECIPE/NAME`, or None where no files may be left.
        """
        recipe = "phusa" if folder is None else folder.parent.name
        name = f"{stage}-{work.name[:8]}" if folder is None else folder.name
        return cls(recipe, name, folder, work / "scratch", config=flat(config))

    @property
    def id(self) -> str:
        """The same for all attempts of one training, another if it is begun anew."""
        file = self.state / "tracking-id"
        if not file.exists():
            self.state.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{self.name}-{secrets.token_hex(4)}")
        return file.read_text()


@dataclass(frozen=True)
class Entry:
    """Figures after `step` steps; `final` ones are the scores of the whole training."""

    step: int
    values: Values
    final: bool = False
    time: float = field(default_factory=time.time)


class Sink(Protocol):
    """An open tracker. It is used by one thread, which may wait for it."""

    def log(self, entries: Sequence[Entry]) -> None:
        """Show figures, in order. What it has from an earlier attempt is not shown twice."""

    def close(self, *, finished: bool) -> None:
        """End, with everything shown; `finished` is false where training only stopped."""


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, JsonValue]:
    """Knobs by dotted names, as `--set` takes them."""
    found: dict[str, JsonValue] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
