"""Hostile pages through all of cleaning: no crash, no hang, and only sound rows.

    make test                     a few hundred pages, the same ones each time
    make fuzz                     100 000 pages, new ones each time
    PHUSA_FUZZ=5000 make fuzz
    PHUSA_FUZZ_SEED=7 make fuzz   those of a seed that was printed

Each page goes from bytes to rows as the stage has it; one batch in fifty through the real sandbox,
the others extract in the child of this test, which can be killed as well. A batch in which
something is wrong is tried page by page, and the page is cut down while it still fails. What is
left is saved where the message says; `Trial([Page(...)], variant)` of the message, handed to
`judge.faults`, shows it again.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tasks.clean.conftest import Page
from tests.tasks.clean.fuzz.child import TrialProcess
from tests.tasks.clean.fuzz.judge import Trial
from tests.tasks.clean.fuzz.mutate import page

LONG = int(os.environ.get("PHUSA_FUZZ", "0"))
COUNT = LONG or 200
SEED = int(os.environ.get("PHUSA_FUZZ_SEED", random.randrange(1 << 30) if LONG else 0))
JOBS = int(os.environ.get("PHUSA_FUZZ_JOBS", (os.cpu_count() or 1) if LONG else 1))
BATCH = 50
SANDBOXED_EVERY = 50
_MOST_FINDINGS = 20


def _batches(job: int) -> Iterator[Trial]:
    for number, start in enumerate(range(0, COUNT, BATCH)):
        if number % JOBS == job:
            pages = [page(SEED, n) for n in range(start, min(start + BATCH, COUNT))]
            yield Trial(pages, number, is_sandboxed=number % SANDBOXED_EVERY == 1)


def _findings(job: int) -> list[str]:
    found: list[str] = []
    with TrialProcess() as process:
        for number, trial in enumerate(_batches(job)):
            if LONG and number % 100 == 0:
                print(f"job {job}: batch {number}, {len(found)} findings", flush=True)
            if process.run(trial):
                found += _culprits(process, trial)
            if len(found) > _MOST_FINDINGS:
                break
    return found


def _culprits(process: TrialProcess, trial: Trial) -> Iterator[str]:
    """The findings in a batch that failed, page by page; else the batch, as a whole."""
    alone = [one for one in trial.pages if process.run(replace(trial, pages=[one]))]
    for one in alone:
        yield _told(process, replace(trial, pages=[one]))
    if not alone and (faults := process.run(trial)):
        yield f"only together: {faults} {_saved(b''.join(p.body for p in trial.pages))}"


def _told(process: TrialProcess, trial: Trial) -> str:
    (one,) = trial.pages
    faults = process.run(trial)

    def fails(body: bytes) -> bool:
        again = process.run(replace(trial, pages=[replace(one, body=body)]))
        return bool(again) and _kind(again) == _kind(faults)

    body = minimised(one.body, fails)
    kept = replace(one, body=body[:80] if len(body) > 400 else body)
    return f"{faults}\n  Trial([{kept!r}], {trial.variant}), whole body: {_saved(body)}"


def _kind(faults: list[str]) -> str:
    """What is wrong, without the figures of the moment."""
    last = faults[0].strip().splitlines()[-1] if faults else ""
    return "".join(c for c in last if not c.isdigit())[:120] if "CPU" not in last else "slow"


def _saved(body: bytes) -> Path:
    with tempfile.NamedTemporaryFile(prefix="phusa-fuzz-", delete=False) as file:
        file.write(body)
    return Path(file.name)


def minimised(body: bytes, fails: Callable[[bytes], bool], seconds: float = 60) -> bytes:
    """Cut pieces out, the large ones first, as long as it `fails`, for so long at most.

    Source: Zeller, "Simplifying and Isolating Failure-Inducing Input" (ddmin), IEEE TSE 28:2, 2002.
    """
    end = time.monotonic() + seconds
    size = len(body) // 2
    while size:
        start = 0
        while start < len(body):
            if time.monotonic() > end:
                return body
            shorter = body[:start] + body[start + size :]
            if fails(shorter):
                body = shorter
            else:
                start += size
        size //= 2
    return body


@pytest.mark.timeout(0 if LONG else 300)
def test_hostile_pages_become_sound_rows() -> None:
    print(f"PHUSA_FUZZ_SEED={SEED}, {COUNT} pages, {JOBS} jobs")
    with ThreadPoolExecutor(JOBS) as pool:
        found = [finding for some in pool.map(_findings, range(JOBS)) for finding in some]
    assert not found, f"PHUSA_FUZZ_SEED={SEED}:\n" + "\n".join(found)


def test_pages_of_a_seed_are_always_the_same() -> None:
    assert [page(3, n) for n in range(50)] == [page(3, n) for n in range(50)]
    assert page(3, 1) != page(4, 1)


def test_a_finding_is_cut_down() -> None:
    assert minimised(b"a" * 300 + b"\x00" + b"b" * 500, lambda body: b"\x00" in body) == b"\x00"


def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that finds nothing in anything would pass as well."""
    from tasks.clean import judging
    from tests.tasks.clean.fuzz import judge

    monkeypatch.setattr(judging, "tidy", lambda text, *rules: text)
    body = b"<title>a b</title><p>one\xcc\x81 e\xcc\x81 of <br><br><br><br> two\xc2\xa0&#x7f; .</p>"
    found = judge.faults(Trial([Page("http://a/", body * 3, "utf-8")], 5))
    assert any("NFC" in fault for fault in found), found
