"""Kills one process after another with SIGKILL, each before another of its writes to the store, and
looks after every one at what is left and whether a second attempt ends well.

    python -m tests.storage.killing ADDRESS FOLDER OPERATION

Between two writes nothing in the store changes, so these are all the states that a kill can leave.
One process imports once and forks for each moment: a process of its own for each would take a
second. It prints how many moments there were.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from storage.gc import collect
from storage.layout import manifest_key
from storage.lineage import ancestors
from storage.manifest import CodeRef, Manifest, RunRef
from storage.sealing import Draft, commit, find_quarantined, quarantine, release
from storage.store import Store
from storage.verify import verify
from storage.workspace import Workspace

WRITES = ("create", "swap", "put_file", "delete")
KEY = "f" * 64


def draft() -> Draft:
    code, run = CodeRef(stage_version=1, source_sha256="0"), RunRef(recipe="r", host="h")
    return Draft("clean", "clean", "documents", KEY, {}, {}, 1, 1, {}, code, run)


def workspace(folder: Path, text: str) -> Workspace:
    """What a build left, or what is left of it after a kill."""
    made = Workspace(folder / text)
    for name in ("a.txt", "b/c.txt"):
        if made.entry(name) is None:
            with made.writing(name) as stream:
                stream.write(text.encode() * 100)
    return made


def seal(store: Store, folder: Path, text: str, *, replace: bool = False) -> Manifest:
    return commit(store, workspace(folder, text), draft(), replace=replace)


def released(store: Store, folder: Path) -> Manifest:
    held = find_quarantined(store, KEY)
    if held is None:
        found = store.find("clean", KEY)
        assert found is not None, "neither in quarantine nor sealed"
        return found
    return release(store, held, ())


def promoted(store: Store, folder: Path) -> None:
    made = store.resolve("clean")

    def whole() -> set[str]:
        assert store.is_whole(made)
        return {node.label for _, node in ancestors(store, made).walk()}

    store.aliases.promote("clean", made.version, "prod", "", whole)


# What is there before, what is done, and the text that the recipe's reference leads to afterwards.
Operation = tuple[Callable[[Store, Path], Any], Callable[[Store, Path], Any], str | None]
OPERATIONS: dict[str, Operation] = {
    "commit": (lambda s, f: None, lambda s, f: seal(s, f, "new"), "new"),
    "force": (lambda s, f: seal(s, f, "old"), lambda s, f: seal(s, f, "new", replace=True), "new"),
    "quarantine": (
        lambda s, f: None,
        lambda s, f: quarantine(s, workspace(f, "new"), draft()),
        None,
    ),
    "release": (lambda s, f: quarantine(s, workspace(f, "new"), draft()), released, "new"),
    "collect": (
        lambda s, f: (seal(s, f, "old"), seal(s, f, "new", replace=True)),
        lambda s, f: collect(s, 1, timedelta(0)),
        "new",
    ),
    "promote": (lambda s, f: seal(s, f, "new"), promoted, "new"),
}


def die_at(backend: Any, moment: int) -> None:
    """Let this process end before its write number `moment`."""
    writes = itertools.count()

    def dying(write: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*arguments: Any) -> Any:
            if next(writes) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments)

        return answer

    for name in WRITES:
        setattr(backend, name, dying(getattr(backend, name)))


def look(store: Store) -> None:
    """What must hold at every moment."""
    assert verify(store, deep=True) == [], "a sealed artifact is not what was sealed"
    for path in store.backend.sizes("refs/recipes"):
        version = (store.backend.read(f"refs/recipes/{path}") or b"").decode()
        if version:
            assert store.backend.read(manifest_key("clean", version)), "a reference to nothing"
    held = store.aliases.read().holder("clean", "prod")
    assert held is None or store.is_whole(store.manifest("clean", held)), "an alias of nothing"


def text_of(store: Store, found: Manifest) -> str:
    return (store.folder(found) / "b/c.txt").read_text()[:3]


def look_and_finish(store: Store, folder: Path, operation: str) -> None:
    """What is left after the kill; then the same once more, and what must have come of it."""
    _, act, expected = OPERATIONS[operation]
    look(store)
    act(store, folder)
    look(store)
    found = store.find("clean", KEY)
    assert (found and text_of(store, found)) == expected, f"{found} after the second attempt"
    if operation == "promote":
        assert store.aliases.read().stack("clean", "prod") == [store.resolve("clean").version]
    collect(store, 1, timedelta(0))
    collect(store, 1, timedelta(0))
    look(store)
    kept = store.find("clean", KEY)
    assert (kept and text_of(store, kept)) == expected, "gc took the last version"
    held = find_quarantined(store, KEY)
    left = [v for v in store.unsealed("clean") if held is None or v != held.version]
    assert left == [], f"data of dead attempts stays: {left}"


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a child; its exit status, or the negative of the signal that ended it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(address: str, root: Path, operation: str) -> None:
    prepare, act, _ = OPERATIONS[operation]
    for moment in itertools.count():
        place = f"{address}/{operation}-{moment}"
        folder = root / f"{operation}-{moment}"

        def attempt(place: str = place, folder: Path = folder, moment: int = moment) -> None:
            store = Store(place)
            prepare(store, folder)
            die_at(store.backend, moment)
            act(store, folder)

        ended = forked(attempt)
        finished = forked(lambda p=place, f=folder: look_and_finish(Store(p), f, operation))
        assert finished == 0, f"{operation}, killed before write {moment}"
        if ended != -signal.SIGKILL:
            assert ended == 0, f"{operation} failed without being killed"
            print(moment)
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
