"""Pictures of a cleaning as files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from flows.funnel.cleaning import Cleaning
from flows.funnel.pictures import draw_funnel, draw_histograms
from storage.errors import Fault, RequestError
from tasks.clean.funnel import Funnel


def write_pictures(folder: Path, cleaning: Cleaning, found: Funnel) -> list[Path]:
    """`funnel.png`, and `signals-FILTER.png` for each filter that has a bound; older ones give way.

    Raises RequestError for a folder that cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, png in _pictures(cleaning, found).items():
            (folder / name).write_bytes(png)
            paths.append(folder / name)
    except OSError as error:
        expected = "a folder that can be made and written"
        raise RequestError(Fault("--png", str(error), expected, "Name another.")) from error
    return paths


def _pictures(cleaning: Cleaning, found: Funnel) -> Mapping[str, bytes]:
    of = f"{cleaning.label}, {found.language}" if found.language else cleaning.label
    drops = [drop for step in found.steps for drop in step.drops]
    pictures = {"funnel.png": draw_funnel(found, of)}
    signals = cleaning.histograms(found.language)
    for kind, group in groupby(signals, key=lambda one: one.filter):
        pictures[f"signals-{kind}.png"] = draw_histograms(list(group), drops, f"{of}: {kind}")
    return pictures
