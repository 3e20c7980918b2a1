"""What `phusa artifacts` and `phusa show` say, in every state that an artifact can be in."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.listing import describe, list_artifacts
from storage import takedown
from storage.errors import DamagedArtifact, RequestError, UnknownArtifact
from storage.manifest import CheckResult, CodeRef, Manifest, RunRef
from storage.records import HOST
from storage.sealing import Draft, bury, quarantine, withdraw
from storage.store import Store
from storage.takedown import Takedown
from tests.flows.conftest import Cli
from tests.flows.sealed import HOST as HOST_NAME
from tests.flows.sealed import seal

FAILED = CheckResult(
    measure="drop_rate",
    value=0.97,
    last=0.08,
    bounds={"max": 0.95},
    severity="block",
    passed=False,
    says="drop_rate 0.97 is above max 0.95 (last: 0.08). See the reasons in rejects/.",
)
WARNED = FAILED.model_copy(update={"severity": "warn", "measure": "growth", "says": "it grew [x]"})
HELD = FAILED.model_copy(update={"passed": True, "measure": "no_text_rate", "says": "it holds"})


@pytest.fixture
def place(tmp_path: Path) -> Store:
    return Store(tmp_path / f"a [red] store {120 * 'x'}")  # wider than a table, and no markup


def _hold(store: Store, name: str = "clean", key: str = "held") -> Manifest:
    """A build that failed a blocking check."""
    with store.building(name, key) as workspace:
        workspace.write_json("a.json", "held")
        return quarantine(
            store,
            workspace,
            Draft(
                name=name,
                stage=name,
                type="documents",
                fingerprint=key,
                config={},
                inputs={},
                rows_in=100,
                rows_out=3,
                stats={},
                code=CodeRef(stage_version=1, source_sha256="0"),
                run=RunRef(recipe="tiny", host="h"),
                checks=(FAILED, WARNED, HELD),
            ),
        )


@pytest.fixture
def all_states(place: Store) -> SimpleNamespace:
    """A store with an artifact in every state. `held` is the newest clean."""
    root = Path(place.address)
    crawl = seal(root, "crawl", "20200101-000000-000-aaaa", {"a": b"1"})
    gone = seal(root, "clean", "20200101-000000-000-bbbb", {"a": b"2"}, inputs=(crawl,))
    sealed = seal(root, "clean", "20200101-000000-000-cccc", {"a": b"3"}, inputs=(crawl,))
    short = seal(root, "clean", "20200101-000000-000-dddd", {"a": b"4"}, inputs=(crawl,))
    torn = seal(root, "dedup", "20200101-000000-000-eeee", {"a": b"5"})
    newer = seal(root, "dedup", "20200101-000000-000-ffff", {"a": b"6"}, schema_version=99)
    bury(place, "clean", gone.version, "gc: older than the last 3")
    (place.folder(short) / "a").unlink()
    (root / "versions/dedup" / torn.version / "manifest.json").write_bytes(b"{")
    withdrawn = "20200101-000000-000-0000"
    withdraw(place, "clean", withdrawn, "gc: never sealed")
    place.aliases.promote("clean", sealed.version, "prod", "", set)
    place.aliases.promote("clean", sealed.version, "best", "", set)
    return SimpleNamespace(
        crawl=crawl, gone=gone, sealed=sealed, short=short, torn=torn, newer=newer,
        held=_hold(place),
    )  # fmt: skip


# --- the list -----------------------------------------------------------------------------------


def test_every_state_is_listed(place: Store, all_states: SimpleNamespace) -> None:
    found = {f"{one.name}@{one.version}": one for one in list_artifacts(place)}
    of = all_states
    assert {label: one.state for label, one in found.items()} == {
        of.sealed.label: "sealed",
        of.short.label: "sealed",  # files are not looked at
        of.held.label: "quarantined",
        of.crawl.label: "sealed",
        of.torn.label: "damaged",
        of.newer.label: "damaged",
    }
    assert list(found) == sorted(found)
    assert found[of.sealed.label].aliases == ("best", "prod")
    assert found[of.sealed.label].manifest == of.sealed
    assert found[of.held.label].problem == FAILED.says  # warnings do not hold it
    assert "cannot be read" in found[of.torn.label].problem
    assert "newer phusa" in found[of.newer.label].problem
    assert found[of.torn.label].manifest is None


def test_what_is_gone_is_listed_on_demand(place: Store, all_states: SimpleNamespace) -> None:
    listed = list_artifacts(place, gone=True)
    (gone,) = [one for one in listed if one.state == "gone"]
    assert (gone.name, gone.version) == ("clean", all_states.gone.version)
    assert gone.manifest == all_states.gone
    why, _, when = gone.problem.partition(" (")
    assert why == "gc: older than the last 3" and when.startswith(f"{datetime.now(UTC):%Y-%m-%dT}")
    assert len(listed) == len(list_artifacts(place)) + 1


def test_one_name(place: Store, all_states: SimpleNamespace) -> None:
    versions = [one.version for one in list_artifacts(place, "clean", gone=True)]
    of = all_states
    assert versions == [m.version for m in (of.gone, of.sealed, of.short, of.held)]
    assert [one.name for one in list_artifacts(place, "dedup", gone=True)] == ["dedup"] * 2
    with pytest.raises(UnknownArtifact) as unknown:
        list_artifacts(place, "deddup", gone=True)
    (fault,) = unknown.value.faults
    assert (fault.code, fault.remedy) == ("unknown_artifact", "Did you mean `dedup`?")


def test_an_epitaph_that_cannot_be_read(place: Store, all_states: SimpleNamespace) -> None:
    stone = Path(place.address) / "tombstones/clean" / f"{all_states.gone.version}.json"
    stone.write_bytes(b"[]")
    (gone,) = [one for one in list_artifacts(place, gone=True) if one.state == "gone"]
    assert gone.problem == "for a reason that cannot be read"


def test_a_release_that_was_killed_is_listed_once(place: Store) -> None:
    """Sealed, and its note in quarantine is still there."""
    held = _hold(place)
    manifest = Path(place.address) / "versions/clean" / held.version / "manifest.json"
    manifest.write_bytes(held.to_json())
    (one,) = list_artifacts(place)
    assert one.state == "sealed"
    assert describe(place, "clean").state == describe(place, held.label).state == "sealed"


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    assert list_artifacts(Store(tmp_path / "none"), gone=True) == []
    assert not (tmp_path / "none").exists()


def test_the_cycle_collector_is_left_as_it_was(place: Store) -> None:
    assert gc.isenabled()
    list_artifacts(place)
    assert gc.isenabled()
    gc.disable()
    try:
        list_artifacts(place)
        assert not gc.isenabled()
    finally:
        gc.enable()


# --- one artifact -------------------------------------------------------------------------------


def test_what_is_sealed_is_described(place: Store, all_states: SimpleNamespace) -> None:
    one = describe(place, "clean@prod")
    assert (one.manifest, one.state, one.problem) == (all_states.sealed, "sealed", "")
    assert one.aliases == ("best", "prod") and one.marks == ()
    assert one.folder == str(place.folder(all_states.sealed))
    assert describe(place, "clean@latest") == one  # damaged and held ones are passed over


def test_a_bare_name_means_the_newest_be_it_in_quarantine(
    place: Store, all_states: SimpleNamespace
) -> None:
    one = describe(place, "clean")
    assert (one.manifest, one.state, one.problem) == (all_states.held, "quarantined", FAILED.says)
    assert Path(one.folder, "a.json").read_text() == '"held"\n'
    assert describe(place, all_states.held.label[:-2]) == one
    newer = seal(Path(place.address), "clean", "99990101-000000-000-aaaa", {"a": b"7"})
    assert describe(place, "clean").manifest == newer
    assert describe(place, all_states.held.label) == one


def test_only_what_is_in_quarantine(place: Store) -> None:
    held = _hold(place)
    assert describe(place, "clean").manifest == held
    again = _hold(place)
    assert describe(place, "clean").manifest.version == max(held.version, again.version)
    with pytest.raises(UnknownArtifact):
        describe(place, "clean@latest")


def test_damage_is_named(place: Store, all_states: SimpleNamespace) -> None:
    one = describe(place, all_states.short.label)
    assert (one.state, one.problem) == ("damaged", "a: missing")
    with pytest.raises(DamagedArtifact, match=all_states.torn.label):
        describe(place, all_states.torn.label)
    with pytest.raises(RequestError, match="newer phusa"):
        describe(place, all_states.newer.label)


@pytest.mark.parametrize("length", [None, 24, 22])
def test_what_is_gone_is_described(
    place: Store, all_states: SimpleNamespace, length: int | None
) -> None:
    one = describe(place, f"clean@{all_states.gone.version[:length]}")
    assert (one.manifest, one.state) == (all_states.gone, "gone")
    assert one.problem.startswith("gc: older than the last 3 (")


@pytest.mark.parametrize("reference", ["clean@1999", "clean@dev", "nothing", "", "clean@2020"])
def test_what_is_not_there(place: Store, all_states: SimpleNamespace, reference: str) -> None:
    with pytest.raises(UnknownArtifact):
        describe(place, reference)


def test_marks_are_described(place: Store, all_states: SimpleNamespace, cli: Cli) -> None:
    one = Takedown(id="t", kind="domain", value="a.example", why="", by="me", at=datetime.now(UTC))
    takedown.mark(place.backend, all_states.sealed, one, tokens=1234)
    (mark,) = describe(place, "clean@prod").marks
    assert (mark.rule, mark.tokens) == ("domain a.example", 1234)
    said = cli("show", "clean@prod", "--store", place.address).out
    assert "it has seen domain a.example (1,234 tokens)" in said
    shown = json.loads(cli("show", "clean@prod", "--store", place.address, "--json").out)
    assert shown["marks"][0]["rule"] == "domain a.example"


def test_a_remote_folder_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path))
    store = Store(f"memory://{tmp_path}")
    held = _hold(store)
    one = describe(store, "clean")
    assert one.folder == f"{store.address}/versions/clean/{held.version}/data"


# --- on the command line ------------------------------------------------------------------------


def _words(said: str) -> dict[str, list[str]]:
    """The words of each line, by the first."""
    return {words[0]: words[1:] for words in map(str.split, said.splitlines())}


def _rows(said: str) -> dict[str, str]:
    """The lines of a table, by their first cell."""
    cells = (line.strip("│┃ \n").split("│") for line in said.splitlines())
    return {row[0].strip(): " ".join(cell.strip() for cell in row[1:]) for row in cells}


def test_artifacts_for_people(place: Store, all_states: SimpleNamespace, cli: Cli) -> None:
    done = cli("artifacts", "--store", place.address)
    assert done.code == 0
    rows, of = _words(done.out), all_states
    assert rows[of.sealed.label][-2:] == ["best,", "prod"]
    assert rows[of.crawl.label][-1] == of.crawl.digest[:12]
    assert rows[of.held.label][-1] == "quarantined"
    assert rows[of.torn.label] == rows[of.newer.label] == ["damaged"]
    assert of.gone.label not in rows
    rows = _words(cli("artifacts", "clean", "--gone", "--store", place.address).out)
    assert rows[of.gone.label][-1] == "gone" and of.crawl.label not in rows


def test_artifacts_in_json(place: Store, all_states: SimpleNamespace, cli: Cli) -> None:
    of = all_states
    listed = json.loads(cli("artifacts", "--gone", "--json", "--store", place.address).out)
    rows = {f"{row['name']}@{row['version']}": row for row in listed}
    assert {row["state"] for row in listed} == {"sealed", "quarantined", "damaged", "gone"}
    assert rows[of.sealed.label] == {
        "name": "clean",
        "version": of.sealed.version,
        "stage": "clean",
        "type": "documents",
        "state": "sealed",
        "aliases": ["best", "prod"],
        "created": of.sealed.created.isoformat(),
        "recipe": "tiny",
        "rows_in": 0,
        "rows_out": 0,
        "bytes": 1,
        "seconds": 1.5,
        "digest": of.sealed.digest,
        "fingerprint": of.sealed.fingerprint,
        "inputs": {"crawl": of.crawl.version},
        "problem": "",
    }
    assert rows[of.held.label]["problem"] == FAILED.says
    assert rows[of.torn.label].keys() == {"name", "version", "state", "problem"}
    assert rows[of.gone.label]["problem"].startswith("gc: older")
    plain = json.loads(cli("artifacts", "--json", "--store", place.address).out)
    assert [row for row in listed if row["state"] != "gone"] == plain


def test_show_for_people(place: Store, all_states: SimpleNamespace, cli: Cli) -> None:
    of = all_states
    said = cli("show", "clean", "--store", place.address).out
    assert said.startswith(f"{of.held.label} quarantined")
    checks = _rows(said)
    assert checks["drop_rate"].split()[0] == "blocks" and FAILED.says in checks["drop_rate"]
    assert checks["growth"].split() == ["warns", "it", "grew", "[x]"]  # said as it is
    assert checks["no_text_rate"].split() == ["holds", "it", "holds"]
    assert f"folder: {place.address}/versions/clean/{of.held.version}/data" in said.splitlines()
    said = cli("show", of.gone.label, "--store", place.address).out
    assert f"{of.gone.label} gone" in said and "gc: older than the last 3" in said
    assert of.crawl.label in said  # what it was made from
    said = cli("show", of.short.label, "--store", place.address).out
    assert f"{of.short.label} damaged" in said and "a: missing" in said
    used_by = cli("show", "crawl", "--store", place.address).out.partition("used by")[2]
    assert of.sealed.label in used_by


def test_show_in_json(place: Store, all_states: SimpleNamespace, cli: Cli) -> None:
    of = all_states
    shown = json.loads(cli("show", "clean", "--json", "--store", place.address).out)
    assert (shown["state"], shown["version"]) == ("quarantined", of.held.version)
    assert [check["passed"] for check in shown["checks"]] == [False, False, True]
    assert shown["folder"] == str(place.folder(of.held))
    assert (shown["stage"], shown["type"]) == ("clean", "documents")
    shown = json.loads(cli("show", "clean@prod", "--json", "--store", place.address).out)
    assert (shown["state"], shown["aliases"]) == ("sealed", ["best", "prod"])
    assert shown["made_from"] == [{"artifact": of.crawl.label, "lineage": []}]


def test_stages_and_types_that_are_not_known_here(place: Store, cli: Cli) -> None:
    root = Path(place.address)
    seal(root, "mine", "1", {"a": b""}, stage="match", type="matches", stats={"hosts": 3})
    seal(root, "old", "1", {"a": b""})
    row = dict.fromkeys(HOST.names, 1) | {"host": "h.example"}
    seal(root, "theirs", "1", {"a": b""}, stats={"hosts": [row, {"host": "i.example"}]})
    listed = json.loads(cli("artifacts", "--json", "--store", place.address).out)
    found = {row["name"]: (row["stage"], row["type"]) for row in listed}
    assert found == {
        "mine": ("match", "matches"),
        "old": ("old", "artifact"),
        "theirs": ("theirs", "artifact"),
    }
    facts = _words(cli("show", "mine", "--store", place.address).out)
    assert facts["stage"] == ["match,", "which", "makes:", "matches"] and facts["hosts"] == ["3"]
    said = cli("show", "theirs", "--store", place.address).out
    assert "h.example" in _rows(said) and "i.example" in _rows(said)


@pytest.fixture
def said_of(place: Store, cli: Cli) -> Callable[..., tuple[int, str]]:
    def call(*words: str) -> tuple[int, str]:
        done = cli(*words, "--store", place.address)
        return done.code, " ".join(done.err.split())

    return call


def test_what_cannot_be_shown(
    all_states: SimpleNamespace, said_of: Callable[..., tuple[int, str]]
) -> None:
    code, said = said_of("show", "clean@dev")
    assert code == 2 and "aliases: best, prod" in said
    code, said = said_of("show", all_states.torn.label)
    assert code == 1 and " failed" in said and "Restore it from a copy" in said
    code, said = said_of("show", all_states.newer.label)
    assert code == 2 and "Install that phusa" in said


# --- several recipes in one store -----------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Store:
    """`clean` of the recipes demo and vi, each the way of a diamond."""
    for recipe, day in (("demo", "20261121"), ("vi", "20261122")):
        says: dict[str, Any] = {"run": RunRef(recipe=recipe, host=HOST_NAME)}
        crawl = seal(tmp_path, "crawl", f"{day}-01", {"a": recipe.encode()}, **says)
        clean = seal(
            tmp_path, "clean", f"{day}-02", {"a": recipe.encode()}, inputs=(crawl,),
            config={"languages": ["vi"], "deep": {"a": None}}, stats={"dropped": {"x": 1}}, **says
        )  # fmt: skip
        dedup = seal(tmp_path, "dedup", f"{day}-03", {"a": b""}, inputs=(clean, crawl), **says)
        seal(tmp_path, "shard", f"{day}-04", {"a": b""}, inputs=(dedup, clean), **says)
    return Store(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "clean"),
        ("head", "clean"),
        ("diff", "clean@20261121", "clean"),
        ("sample", "clean", "What"),
        ("export", "clean", "somewhere"),
        ("promote", "clean@latest", "prod"),
        ("trace", "--model", "clean"),
        ("clean", "funnel"),
        ("dedup", "top"),
    ],
)
def test_a_bare_name_of_two_recipes_is_asked_back(
    two: Store, cli: Cli, words: tuple[str, ...]
) -> None:
    said = cli(
        *words, "--store", two.address, *(["--json"] * (words[0] not in ("sample", "export")))
    )
    name = "dedup" if words[0] == "dedup" else "clean"
    assert said.code == 2 and f"demo/{name}" in said.err and f"vi/{name}" in said.err
    if said.err.startswith("{"):
        (fault,) = json.loads(said.err)["error"]["faults"]
        assert fault["code"] == "ambiguous_recipe"


def test_a_recipe_before_the_name_chooses(two: Store, cli: Cli) -> None:
    def shown(reference: str) -> str:
        return str(
            json.loads(cli("show", reference, "--store", two.address, "--json").out)["version"]
        )

    assert shown("demo/clean") == shown("demo/clean@2026") == "20261121-02"
    assert shown("vi/clean@latest") == "20261122-02"
    listed = json.loads(cli("artifacts", "vi/clean", "--store", two.address, "--json").out)
    assert [one["version"] for one in listed] == ["20261122-02"]
    checked = cli("verify", "vi/clean", "--store", two.address).out
    assert checked.startswith("1 artifacts")
    assert cli("show", "vi/clean@20261121", "--store", two.address).code == 2


def test_quarantine_counts_as_a_recipes_artifact(two: Store) -> None:
    run = _hold(two, "mine").run
    vi = seal(Path(two.address), "mine", "1", {"a": b""}, run=RunRef(recipe="vi", host=HOST_NAME))
    with pytest.raises(RequestError) as caught:
        describe(two, "mine")
    assert caught.value.faults[0].code == "ambiguous_recipe"
    assert describe(two, "vi/mine").manifest == vi
    assert describe(two, f"{run.recipe}/mine").state == "quarantined"


def test_lineage_and_configuration_are_printed_once_and_as_written(two: Store, cli: Cli) -> None:
    out = cli("show", "demo/shard", "--store", two.address).out
    assert out.count("── crawl@20261121-01") == 2 and out.count("(see above)") == 2
    out = cli("show", "demo/clean", "--store", two.address).out
    assert "configuration:\n  languages:\n  - vi\n  deep:\n    a: null\n" in out and "{x: 1}" in out


def test_a_diff_of_two_recipes_says_so(two: Store, cli: Cli) -> None:
    found = cli("diff", "demo/clean", "vi/clean", "--store", two.address).out
    assert "two recipes: demo → vi" in found
