"""Trials in a process that can be killed: what hangs or crashes in C is a finding, too."""

from __future__ import annotations

import subprocess
import sys
import traceback
import warnings
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType

from tests.conftest import ROOT
from tests.tasks.clean.fuzz.judge import LIMIT_S, LIMIT_S_PER_MB, Trial, faults

_WORDS = "from tests.tasks.clean.fuzz.child import serve; import sys; serve(int(sys.argv[1]))"


class TrialProcess:
    """One child, started anew after each death. Use as a context manager, from one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> TrialProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def run(self, trial: Trial) -> list[str]:
        """What is wrong; also that it hung, or what it died of."""
        pipe = self._pipe or self._start()
        limit = 30 + 10 * sum(
            LIMIT_S / 20 + LIMIT_S_PER_MB * len(p.body) / 1e6 for p in trial.pages
        )
        try:
            pipe.send(trial)
            if pipe.poll(limit):
                found: list[str] = pipe.recv()
                return found
            self._end()
            return [f"no answer in {limit:.0f} s"]
        except (EOFError, OSError):
            return [f"the process died: {self._end()}"]

    def _start(self) -> Connection:
        self._pipe, theirs = Pipe()
        with theirs:
            words = [sys.executable, "-c", _WORDS, str(theirs.fileno())]
            self._process = subprocess.Popen(words, pass_fds=[theirs.fileno()], cwd=ROOT)
        return self._pipe

    def _end(self) -> int | None:
        pipe, process = self._pipe, self._process
        self._pipe = self._process = None
        if pipe is None or process is None:
            return None
        pipe.close()
        process.kill()
        return process.wait()


def serve(descriptor: int) -> None:
    """Runs in the child: trial after trial, until the parent closes its end."""
    warnings.simplefilter("error")
    # trafilatura tries urllib3's SOCKS support when it is imported.
    warnings.filterwarnings("ignore", message="SOCKS support in urllib3")
    with Connection(descriptor) as pipe:
        while True:
            try:
                trial = pipe.recv()
            except EOFError:
                return
            pipe.send(_tried(trial))


def _tried(trial: Trial) -> list[str]:
    try:
        return faults(trial)
    except BaseException:
        return [traceback.format_exc(limit=-6)]
