"""TensorBoard: event files in a folder, for `tensorboard --logdir`.

The files are written record by record with TensorBoard's own writer and protocol buffers.
torch.utils.tensorboard was tried: it goes through `tensorboard.compat.tf`, which imports TensorFlow
wherever that happens to be installed (seconds, and a GPU's memory), and it cannot be told not to.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from tasks.config import knob
from tasks.lm.tracking.logbook import Entry, Installable, Sink, TrackedRun


class TensorBoard(Installable):
    """Event files that TensorBoard reads."""

    kind: Literal["tensorboard"] = "tensorboard"
    folder: str | None = knob(
        None,
        "event files go to RECIPE/STAGE-FINGERPRINT below it; null: the folder `tensorboard` "
        "beside the artifacts of a store on disk",
    )

    def open(self, run: TrackedRun) -> Sink | None:
        """None where there is no place for files."""
        folder = run.folder if self.folder is None else Path(self.folder, run.recipe, run.name)
        return None if folder is None else _EventFile(folder, run.first_step)


class _EventFile:
    """One event file of one attempt; a later one takes back the steps that it takes again."""

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._event: Any = Event
        self._file: BinaryIO = _create(folder)
        self._writer = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        started = SessionLog(status=SessionLog.START)
        self._write(step=first_step, session_log=started)  # purges it and what follows it
        self._file.flush()

    def log(self, entries: Sequence[Entry]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        for entry in entries:
            values = [Summary.Value(tag=k, simple_value=v) for k, v in entry.values.items()]
            summary = Summary(value=values)
            self._write(step=entry.step, wall_time=entry.time, summary=summary)
        self._file.flush()

    def close(self, *, finished: bool) -> None:
        self._file.close()

    def _write(self, **fields: Any) -> None:
        event = self._event(**{"wall_time": time.time(), **fields})
        self._writer.write(event.SerializeToString())


def _create(folder: Path) -> BinaryIO:
    """A new file; TensorBoard reads them in the order of their names."""
    earlier = len(list(folder.glob("events.out.tfevents.*")))
    seconds = f"{int(time.time()):010d}"
    name = f"events.out.tfevents.{seconds}.{socket.gethostname()}.{os.getpid()}.{earlier}"
    return (folder / name).open("xb")
