"""The funnel and the histograms of a sealed cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from storage.errors import Fault, RequestError, UnknownArtifact
from storage.manifest import Manifest
from storage.sealing import quarantined
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.clean.funnel import Funnel, funnel
from tasks.clean.histograms import Histogram, histograms
from tasks.clean.judging import Verdicts

_AGAIN = "Run the clean stage again: phusa run RECIPE --only clean --force clean."


@dataclass(frozen=True)
class Cleaning:
    """A cleaning that has kept what its funnel is counted from."""

    label: str
    config: CleanConfig
    signals: Sequence[Path]
    rejects: Sequence[Path]

    def funnel(self, language: str | None = None, num_examples: int = 3) -> Funnel:
        """Raises RequestError if there is no text in the language."""
        found = funnel(
            self.signals, self.rejects, self.config, language=language, num_examples=num_examples
        )
        if not found.pages:
            known = [part.name for part in self.funnel(num_examples=0).languages]
            shown = ", ".join(known[:20])
            remedy = "`phusa clean funnel --by language` counts them."
            raise RequestError(Fault("--language", f"no text in {language!r}", shown, remedy))
        return found

    def histograms(self, language: str | None = None) -> list[Histogram]:
        """Those of all signals that have a bound."""
        return list(histograms(self.signals, self.config, language=language))


def has_signals(manifest: Manifest) -> bool:
    """Whether the cleaning kept what it had measured: before the stage's version 3 none did."""
    return any(entry.path.startswith("signals/") for entry in manifest.files)


def find_cleaning(store: Store, target: str) -> Cleaning:
    """The cleaning that `target` (`clean`, `clean@VERSION`) names, also one in quarantine.

    Raises RequestError for what is no cleaning, and as `open_cleaning`.
    """
    try:
        manifest = store.resolve(target)
    except UnknownArtifact:
        _, _, version = target.partition("@")
        held = [one for one in quarantined(store, "clean") if one.version.startswith(version)]
        if not version or len(held) != 1:
            raise
        (manifest,) = held
    if manifest.name != "clean":
        remedy = "`phusa artifacts` lists the cleanings."
        raise RequestError(Fault(target, manifest.label, "clean, or clean@VERSION", remedy))
    return open_cleaning(store, manifest)


def open_cleaning(store: Store, manifest: Manifest) -> Cleaning:
    """A cleaning, its tables fetched. Raises RequestError if no funnel can be counted from it."""
    label = manifest.label
    if not has_signals(manifest):
        expected = "the signals that a cleaning keeps since version 3 of the stage"
        raise RequestError(Fault(label, "no table of signals", expected, _AGAIN))
    try:
        config = CleanConfig.model_validate(_with_paths(manifest.config))
    except ValidationError as error:
        found = f"a configuration that this phusa cannot read ({error.error_count()} faults)"
        raise RequestError(Fault(label, found, "one of its own", _AGAIN)) from error
    signals = store.files(manifest, "signals/")
    measured = set(pq.read_schema(signals[0]).names)
    wanted = {b.signal for bounds in Verdicts(config).bounds.values() for b in bounds}
    if missing := sorted(wanted - measured):
        found = f"signals without {', '.join(missing)}"
        raise RequestError(Fault(label, found, "all that its filters bound", _AGAIN))
    return Cleaning(label, config, signals, store.files(manifest, "rejects/"))


def _with_paths(kept: Any) -> Any:
    """A manifest's configuration in which lists have a path again: of them it keeps the digest."""
    if isinstance(kept, dict):
        if set(kept) == {"digest"}:
            return {**kept, "path": "a list that was read then"}
        return {name: _with_paths(of) for name, of in kept.items()}
    return [_with_paths(of) for of in kept] if isinstance(kept, list) else kept
