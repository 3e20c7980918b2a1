"""Names for versions that people rely on, such as `prod`, with the history of each.

All aliases are one file, changed by compare-and-swap. The same file names the versions that gc is
about to take: a promotion and a collection cannot both go ahead without one seeing the other.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from storage.backends import Backend
from storage.errors import Fault, RequestError, UnknownArtifact
from storage.layout import ALIASES
from storage.manifest import parsed, utc_now

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
Action = Literal["promote", "rollback", "replace"]
T = TypeVar("T")


class Move(BaseModel):
    """One change of an alias. A rollback names the version it went back to."""

    model_config = ConfigDict(frozen=True)

    action: Action
    version: str
    at: datetime
    by: str
    why: str = ""


class Register(BaseModel):
    """What the file holds: moves by artifact name and alias, oldest first."""

    moves: dict[str, dict[str, list[Move]]] = Field(default_factory=dict)
    condemned: dict[str, dict[str, datetime]] = Field(
        default_factory=dict, description="labels that gc is taking: which of its runs, since when"
    )
    doomed: tuple[str, ...] = Field(
        (), description="labels that go for certain: if their gc was killed, the next takes them"
    )
    revision: int = Field(0, description="counts changes: a state that comes back is another")

    def holder(self, name: str, alias: str) -> str | None:
        """The version that the alias means now."""
        stack = self.stack(name, alias)
        return stack[-1] if stack else None

    def stack(self, name: str, alias: str) -> list[str]:
        """The versions that rollbacks walk down, the present one last."""
        stack: list[str] = []
        for move in self.moves.get(name, {}).get(alias, ()):
            if move.action == "promote":
                stack.append(move.version)
            elif move.action == "rollback":
                del stack[-1:]
            elif stack:
                stack[-1] = move.version
        return stack

    def held(self) -> set[str]:
        """Labels of all versions that an alias means now."""
        return {
            f"{name}@{version}"
            for name, aliases in self.moves.items()
            for alias in aliases
            if (version := self.holder(name, alias)) is not None
        }

    def going(self) -> set[str]:
        """Labels of what is being taken, or may be: nothing new may lean on these."""
        return {*self.condemned, *self.doomed}

    def of(self, name: str, version: str) -> list[str]:
        """The aliases that mean this version, sorted."""
        return sorted(a for a in self.moves.get(name, {}) if self.holder(name, a) == version)


class Aliases:
    """The register of one store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def read(self) -> Register:
        """Raises DamagedArtifact if the file cannot be read."""
        return _parse(self._backend.read(ALIASES))

    def promote(
        self, name: str, version: str, alias: str, why: str, whole: Callable[[], set[str]]
    ) -> None:
        """Let `alias` mean `version`.

        `whole` gives the labels that it needs, itself and its ancestors, and raises if it is not
        whole; it is asked at the very state of the register that is changed. Raises RequestError
        if gc is taking one of them. What holds the alias already is no move of it.
        """
        check_alias(alias)

        def change(register: Register) -> None:
            taken = whole() & register.going()
            if taken:
                raise _being_collected(name, version, taken)
            if register.holder(name, alias) != version:
                _append(register, name, alias, "promote", version, why)

        self._change(change)

    def rollback(self, name: str, alias: str, whole: Callable[[str], bool]) -> str:
        """Go back to the version before for which `whole` holds; returns it."""

        def change(register: Register) -> str:
            stack = register.stack(name, alias)
            for version in reversed(stack[:-1]):
                gone = f"{name}@{version}" in register.going() or not whole(version)
                _append(register, name, alias, "rollback", version, "gone" if gone else "")
                if not gone:
                    return version
            raise UnknownArtifact(
                Fault(
                    f"{name}@{alias}",
                    "nothing else left in its history" if stack else "no such alias",
                    "an earlier version that is still whole",
                    f"`phusa promote {name}@VERSION {alias}` names one.",
                )
            )

        return self._change(change)

    def replace(self, name: str, old: str, new: str, why: str) -> list[str]:
        """Let every alias that means `old` mean `new`; returns these aliases.

        Raises RequestError if gc is taking `new`.
        """

        def change(register: Register) -> list[str]:
            aliases = register.of(name, old)
            if aliases and f"{name}@{new}" in register.going():
                raise _being_collected(name, new, {f"{name}@{new}"})
            for alias in aliases:
                _append(register, name, alias, "replace", new, why)
            return aliases

        return self._change(change)

    def condemn(
        self,
        run: str,
        choose: Callable[[Register], Iterable[str]],
        stale: timedelta = timedelta(days=1),
    ) -> set[str]:
        """Mark what `choose` picks, given the register as it is at that very moment.

        `run` names this run of gc, which takes off only its own marks; those that a killed one left
        longer ago than `stale` go with them.
        """

        def change(register: Register) -> set[str]:
            now = utc_now()
            register.condemned = {
                label: fresh
                for label, runs in register.condemned.items()
                if (fresh := {r: at for r, at in runs.items() if at > now - stale})
            }
            chosen = set(choose(register))
            for label in sorted(chosen):
                register.condemned.setdefault(label, {})[run] = now
            return chosen

        return self._change(change)

    def doom(self, run: str, choose: Callable[[Register], Iterable[str]]) -> set[str]:
        """Of what this run marked, doom what `choose` still picks and take its marks off.

        A mark that another run took off as a dead one's dooms nothing, so that a gc that slept is
        no danger. Returns all that is doomed, by whomever: it is to be buried, then `dropped`.
        """

        def change(register: Register) -> set[str]:
            marked = {label for label, runs in register.condemned.items() if run in runs}
            doomed = marked.intersection(choose(register))
            _take_off(register, run, marked)
            register.doomed = tuple(sorted({*register.doomed, *doomed}))
            return set(register.doomed)

        return self._change(change)

    def dropped(self, labels: Collection[str]) -> None:
        """These are buried, and need not be doomed any longer."""

        def change(register: Register) -> None:
            register.doomed = tuple(label for label in register.doomed if label not in labels)

        if labels:
            self._change(change)

    def absolve(self, run: str, labels: Collection[str]) -> None:
        """Take the marks of this run off: the versions are gone, or stay after all."""

        self._change(lambda register: _take_off(register, run, labels))

    def _change(self, change: Callable[[Register], T]) -> T:
        while True:
            present = self._backend.read(ALIASES)
            register = _parse(present)
            before = register.model_copy(deep=True)
            answer = change(register)
            if register == before:
                return answer
            register.revision += 1
            if self._backend.swap(ALIASES, register.model_dump_json(indent=1).encode(), present):
                return answer


def check_alias(alias: str) -> None:
    """Raise RequestError unless `alias` is one that cannot be taken for a version."""
    if alias == "latest" or not NAME.fullmatch(alias):
        expected = "lower-case letters, digits, - and _, a letter first; not `latest`"
        raise RequestError(Fault("alias", repr(alias), expected, "Choose one such as `prod`."))


def _take_off(register: Register, run: str, labels: Iterable[str]) -> None:
    for label in labels:
        runs = register.condemned.get(label, {})
        runs.pop(run, None)
        if not runs:
            register.condemned.pop(label, None)


def _being_collected(name: str, version: str, taken: Collection[str]) -> RequestError:
    remedy = "Choose another version, or run the stage again."
    found = f"{', '.join(sorted(taken))} being collected"
    return RequestError(Fault(f"{name}@{version}", found, "a version that stays", remedy))


def _append(
    register: Register, name: str, alias: str, action: Action, version: str, why: str
) -> None:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        user = "unknown"
    move = Move(action=action, version=version, at=utc_now(), by=user, why=why)
    register.moves.setdefault(name, {}).setdefault(alias, []).append(move)


def _parse(data: bytes | None) -> Register:
    if data is None:
        return Register()
    expected = (
        "the aliases of the store. Restore it from a copy, or remove it and promote again: "
        "no artifact is lost."
    )
    return parsed(Register, data, ALIASES, expected)
