"""What the log of a pipeline's run says: its tab is the one that the UI opens."""

from __future__ import annotations

import logging

from flows.ending import drops
from flows.parameters import StageResult
from flows.prefect_progress import log
from flows.run_page.page import at_no_risk, rows_in
from flows.stages import type_of
from storage.errors import GateFailed
from storage.store import Store


def log_made(store: Store, result: StageResult) -> None:
    """Log what a stage ended with: why, what went in and out, how long, and how to see more."""
    with at_no_risk(f"{result.instance}'s line of the log"):
        manifest = store.manifest(result.name, result.version)
        dropped = drops(manifest)
        reasons = ", ".join(f"{why} {count:,}" for why, count in dropped.items())
        counts = f"{rows_in(manifest)} in, {type_of(manifest).amount(manifest)} out"
        counts += f", {sum(dropped.values()):,} dropped ({reasons})" if dropped else ""
        built = f"built in {result.seconds:.1f} s"
        action = f"reused, {built} on {manifest.created:%Y-%m-%d}" if result.reused else built
        more = f"  why: {result.reason}\n  phusa show {result.label}"
        log(f"{result.instance}: {action}: {counts}\n{more}")


def log_failed(instance: str, error: Exception) -> None:
    """Log what kept an instance from being made."""
    how = "blocked by its gates" if isinstance(error, GateFailed) else "failed"
    log(f"{instance}: {how}\n  {type(error).__name__}: {error}", logging.ERROR)
