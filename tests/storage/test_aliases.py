from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.aliases import Aliases, Register, check_alias
from storage.backends import LocalBackend, MemoryBackend
from storage.errors import DamagedArtifact, RequestError, UnknownArtifact
from storage.layout import ALIASES
from storage.manifest import Manifest
from storage.store import Store

Seal = Callable[..., Manifest]
ALIAS = "prod"
DAY = timedelta(days=1)


@pytest.fixture
def aliases(tmp_path: Path) -> Aliases:
    return Aliases(MemoryBackend(str(tmp_path)))


def _promote(aliases: Aliases, version: str, alias: str = ALIAS, why: str = "") -> None:
    aliases.promote("clean", version, alias, why, lambda: {f"clean@{version}"})


def _rollback(aliases: Aliases, *gone: str) -> str:
    return aliases.rollback("clean", ALIAS, lambda version: version not in gone)


def _stack(aliases: Aliases) -> list[str]:
    return aliases.read().stack("clean", ALIAS)


def _actions(aliases: Aliases) -> list[tuple[str, str]]:
    moves = aliases.read().moves.get("clean", {}).get(ALIAS, [])
    return [(move.action, move.version) for move in moves]


# --- moves --------------------------------------------------------------------------------------


def test_a_promotion_is_kept_with_who_when_and_why(aliases: Aliases) -> None:
    assert aliases.read().holder("clean", ALIAS) is None
    before = datetime.now(UTC)
    _promote(aliases, "1", why="it is good enough")
    (move,) = aliases.read().moves["clean"][ALIAS]
    assert (move.action, move.version, move.why) == ("promote", "1", "it is good enough")
    assert before <= move.at <= datetime.now(UTC) and move.by
    assert aliases.read().holder("clean", ALIAS) == "1"
    assert aliases.read().holder("clean", "dev") is None
    assert aliases.read().holder("dedup", ALIAS) is None


def test_who_needs_no_entry_among_the_users(
    aliases: Aliases, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    _promote(aliases, "1")
    assert aliases.read().moves["clean"][ALIAS][0].by == "unknown"


def test_what_aliases_mean(aliases: Aliases) -> None:
    _promote(aliases, "1")
    _promote(aliases, "1", "best")
    _promote(aliases, "2", "dev")
    aliases.promote("dedup", "7", ALIAS, "", set)
    register = aliases.read()
    assert register.of("clean", "1") == ["best", "prod"]
    assert register.of("clean", "2") == ["dev"]
    assert register.of("clean", "7") == []
    assert register.held() == {"clean@1", "clean@2", "dedup@7"}


def test_promoting_the_present_holder_is_no_move(aliases: Aliases) -> None:
    _promote(aliases, "1")
    _promote(aliases, "2")
    before = aliases.read()
    _promote(aliases, "2", why="again")
    assert aliases.read() == before
    assert _rollback(aliases) == "1"  # not 2 once more
    _promote(aliases, "2")  # an earlier holder may come back
    assert _stack(aliases) == ["1", "2"]


def test_rollbacks_go_further_back_each_time(aliases: Aliases) -> None:
    for version in "123":
        _promote(aliases, version)
    assert _rollback(aliases) == "2"
    assert _rollback(aliases) == "1"
    with pytest.raises(UnknownArtifact, match="nothing else left in its history"):
        _rollback(aliases)
    assert aliases.read().holder("clean", ALIAS) == "1"
    _promote(aliases, "4")
    assert _rollback(aliases) == "1"
    assert _actions(aliases) == [
        ("promote", "1"),
        ("promote", "2"),
        ("promote", "3"),
        ("rollback", "2"),
        ("rollback", "1"),
        ("promote", "4"),
        ("rollback", "1"),
    ]


def test_a_rollback_passes_over_what_is_gone(aliases: Aliases) -> None:
    for version in "1234":
        _promote(aliases, version)
    assert _rollback(aliases, "3", "2") == "1"
    assert _stack(aliases) == ["1"]
    skipped = [move.why for move in aliases.read().moves["clean"][ALIAS][-3:]]
    assert skipped == ["gone", "gone", ""]


def test_a_rollback_to_nothing_that_is_whole_changes_nothing(aliases: Aliases) -> None:
    for version in "12":
        _promote(aliases, version)
    before = aliases.read()
    with pytest.raises(UnknownArtifact) as caught:
        _rollback(aliases, "1")
    assert "`phusa promote clean@VERSION prod`" in str(caught.value)
    assert aliases.read() == before


def test_a_rollback_of_no_alias_says_so(aliases: Aliases) -> None:
    with pytest.raises(UnknownArtifact, match="clean@prod: found no such alias"):
        _rollback(aliases)


def test_replace_moves_all_aliases_of_a_version_and_keeps_their_histories(aliases: Aliases) -> None:
    _promote(aliases, "1")
    _promote(aliases, "2")
    _promote(aliases, "2", "best")
    _promote(aliases, "3", "dev")
    assert aliases.replace("clean", "2", "2b", "forgot a page") == ["best", "prod"]
    assert _stack(aliases) == ["1", "2b"]
    assert aliases.read().moves["clean"]["best"][-1].why == "forgot a page"
    assert aliases.read().holder("clean", "dev") == "3"
    assert _rollback(aliases) == "1"
    assert aliases.replace("clean", "2", "4", "") == []
    assert aliases.replace("dedup", "1", "4", "") == []


Moves = st.lists(
    st.one_of(
        st.tuples(st.just("promote"), st.sampled_from("1234")),
        st.tuples(st.just("replace"), st.sampled_from("1234"), st.sampled_from("1234")),
        st.tuples(st.just("rollback"), st.sets(st.sampled_from("1234"))),
    ),
    max_size=14,
)


@given(Moves)
def test_an_alias_is_a_stack(moves: list[Any]) -> None:
    """Every sequence of moves leaves what a plain list does, whatever way it is read back."""
    backend = MemoryBackend("")
    backend.delete("refs")
    aliases, model = Aliases(backend), list[str]()
    for move in moves:
        if move[0] == "promote":
            _promote(aliases, move[1])
            model += [move[1]] if model[-1:] != [move[1]] else []
        elif move[0] == "replace":
            was_held = model[-1:] == [move[1]]
            assert aliases.replace("clean", move[1], move[2], "") == [ALIAS] * was_held
            if was_held:
                model[-1] = move[2]
        else:
            left = next((i for i in reversed(range(len(model) - 1)) if model[i] not in move[1]), -1)
            if left < 0:
                with pytest.raises(UnknownArtifact):
                    _rollback(aliases, *move[1])
            else:
                model = model[: left + 1]
                assert _rollback(aliases, *move[1]) == model[-1]
        assert _stack(aliases) == model
    register = Register.model_validate_json(aliases.read().model_dump_json())
    assert register.holder("clean", ALIAS) == (model[-1] if model else None)
    assert register.held() == ({f"clean@{model[-1]}"} if model else set())


# --- names --------------------------------------------------------------------------------------

BAD = [
    "",
    "latest",
    "7",
    "20261121",
    "Prod",
    "a b",
    "a/b",
    "a@b",
    "../x",
    "-a",
    "_a",
    "é",
    "a" * 64,
]


@pytest.mark.parametrize("name", BAD)
def test_bad_names_are_refused(aliases: Aliases, name: str) -> None:
    with pytest.raises(RequestError, match="lower-case letters") as caught:
        _promote(aliases, "1", name)
    assert repr(name) in str(caught.value) and caught.value.exit_code == 2
    assert aliases.read() == Register()


@pytest.mark.parametrize("name", ["p", "prod", "prod-eu_2", "a" * 63])
def test_good_names(name: str) -> None:
    check_alias(name)


# --- gc's marks ---------------------------------------------------------------------------------


def test_what_gc_is_taking_cannot_be_promoted(aliases: Aliases) -> None:
    """Nor can what was made from it."""
    assert aliases.condemn("run", lambda register: ["crawl@1"], DAY) == {"crawl@1"}
    with pytest.raises(RequestError, match="crawl@1 being collected"):
        aliases.promote("clean", "1", ALIAS, "", lambda: {"clean@1", "crawl@1"})
    assert aliases.read().holder("clean", ALIAS) is None
    aliases.absolve("run", {"crawl@1"})
    aliases.promote("clean", "1", ALIAS, "", lambda: {"clean@1", "crawl@1"})


def test_a_rollback_passes_over_what_gc_is_taking(aliases: Aliases) -> None:
    for version in "123":
        _promote(aliases, version)
    aliases.condemn("run", lambda register: ["clean@2"], DAY)
    assert _rollback(aliases) == "1"


def test_what_is_not_whole_is_not_promoted(aliases: Aliases) -> None:
    def torn() -> set[str]:
        raise DamagedArtifact("torn")

    _promote(aliases, "1")
    for version in "12":  # not even what holds it
        with pytest.raises(DamagedArtifact, match="torn"):
            aliases.promote("clean", version, ALIAS, "", torn)
    assert _stack(aliases) == ["1"]


def test_runs_of_gc_take_off_their_own_marks_only(aliases: Aliases) -> None:
    for run in ("one", "two"):
        aliases.condemn(run, lambda register: ["clean@1", "clean@2"], DAY)
    aliases.absolve("one", {"clean@1", "clean@2"})
    assert {k: set(v) for k, v in aliases.read().condemned.items()} == {
        "clean@1": {"two"},
        "clean@2": {"two"},
    }
    aliases.absolve("two", {"clean@2", "clean@3"})
    assert list(aliases.read().condemned) == ["clean@1"]


def test_marks_of_a_killed_gc_go_when_they_are_stale(aliases: Aliases) -> None:
    aliases.condemn("killed", lambda register: ["clean@1"], DAY)
    aliases.condemn("next", lambda register: ["clean@2"], timedelta(hours=1))
    assert sorted(aliases.read().condemned) == ["clean@1", "clean@2"]
    aliases.condemn("after", lambda register: [], timedelta(0))
    assert aliases.read().condemned == {}


# --- at the same moment -------------------------------------------------------------------------


class _Interrupted(MemoryBackend):
    """Between the read and the swap of a change, `meanwhile` happens once."""

    meanwhile: Callable[[], None] | None = None

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().swap(key, data, expected)


def test_a_promotion_sees_a_collection_that_came_between(tmp_path: Path) -> None:
    backend = _Interrupted(str(tmp_path))
    other = Aliases(MemoryBackend(str(tmp_path)))
    backend.meanwhile = lambda: other.condemn("run", lambda register: ["clean@1"], DAY) and None
    with pytest.raises(RequestError, match="clean@1 being collected"):
        _promote(Aliases(backend), "1")


def test_a_collection_sees_a_promotion_that_came_between(tmp_path: Path) -> None:
    backend = _Interrupted(str(tmp_path))
    backend.meanwhile = lambda: _promote(Aliases(MemoryBackend(str(tmp_path))), "1")
    all_but_held = lambda register: {"clean@1", "clean@2"} - register.held()  # noqa: E731
    assert Aliases(backend).condemn("run", all_but_held, DAY) == {"clean@2"}


def test_a_state_that_comes_back_is_another(tmp_path: Path) -> None:
    """What was decided on the state before is decided again, though nothing seems to differ."""
    backend = _Interrupted(str(tmp_path))
    other = Aliases(MemoryBackend(str(tmp_path)))

    def there_and_back() -> None:
        other.condemn("run", lambda register: ["clean@1"], DAY)
        other.absolve("run", ["clean@1"])

    _promote(other, "1")
    asked: list[int] = []

    def choose(register: Register) -> list[str]:
        asked.append(register.revision)
        return ["clean@2"]

    backend.meanwhile = there_and_back
    Aliases(backend).condemn("mine", choose, DAY)
    assert asked == [1, 3]
    assert other.read().revision == 4


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    aliases = Aliases(LocalBackend(tmp_path / "store"))
    assert aliases.condemn("run", lambda register: [], DAY) == set()
    aliases.absolve("run", [])
    assert aliases.replace("clean", "1", "2", "") == []
    assert not (tmp_path / "store").exists()


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"\0\0", b"{", b"[]", b'{"moves": {"clean": {"prod": [{"action": "jump"}]}}}']
)
def test_a_damaged_file_says_what_to_do(aliases: Aliases, tmp_path: Path, data: bytes) -> None:
    MemoryBackend(str(tmp_path)).create(ALIASES, data)
    for use in (aliases.read, lambda: _promote(aliases, "1"), lambda: _rollback(aliases)):
        with pytest.raises(DamagedArtifact, match="Restore it from a copy") as caught:
            use()
        assert ALIASES in str(caught.value) and "promote again" in str(caught.value)
        assert caught.value.exit_code == 1
    assert MemoryBackend(str(tmp_path)).read(ALIASES) == data


def test_the_file_is_json_that_people_can_read(store: Store, seal: Seal) -> None:
    made = seal(store)
    store.aliases.promote("clean", made.version, ALIAS, "", set)
    written = json.loads((Path(store.address) / ALIASES).read_text())
    assert written["moves"]["clean"][ALIAS][0]["version"] == made.version
    assert store.resolve("clean@prod") == made
