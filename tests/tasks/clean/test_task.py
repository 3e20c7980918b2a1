"""A cleaning copies what did not change from one before: from which one, and how a run shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.recipe import Recipe
from flows.stages import STAGES
from storage import layout
from storage.manifest import CodeRef, InputRef, Manifest, RunRef
from storage.parquet import shard_name, write_rows
from storage.records import DOCUMENT, PAGE, REJECT, signals_schema
from storage.sealing import Draft, bury, commit, quarantine
from storage.store import Store
from storage.workspace import Workspace
from tasks.clean.earlier import Known, recall
from tasks.clean.task import DRIFT, Lender, find_lender
from tasks.config import identity
from tasks.progress import SilentReporter, reporting_to
from tasks.stage import Job
from tests.flows.by_hand import recipe

Row = dict[str, Any]
Tables = Mapping[str, tuple[Any, Sequence[Row]]]


def page(number: int) -> Row:
    url = f"http://a.example/{number}"
    facts = {"content_type": "text/html", "charset": "utf-8", "num_bytes": 100}
    facts |= {"policy": "", "licence": ""}
    return {"page_id": f"page {number}", "url": url, "body_digest": f"{number}", **facts}


def document(number: int) -> Row:
    facts = {"title": "", "extractor": "resiliparse", "language": "en", "language_score": 0.5}
    facts |= {"date": "", "author": "", "licence": "", "canonical": ""}
    counts = {"num_words": 3, "repeated_share": 0.0, "pii": [], "quality": 0.5}
    url = f"http://a.example/{number}"
    return {"document_id": f"{number}", "url": url, "text": "three small words", **facts, **counts}


def reject(number: int, reason: str = "too_few_words") -> Row:
    url = f"http://a.example/{number}"
    why = {"stage": "clean", "reason": reason, "value": "1", "threshold": ">= 20"}
    return {"id": f"{number}", "url": url, **why}


SIGNALS = signals_schema(["num_words"])


def signals(number: int) -> Row:
    facts = {"reason": "", "language": "en", "language_score": 0.5, "num_words": 3.0}
    return {"id": f"{number}", "url": f"http://a.example/{number}", **facts}


class Nights:
    """A store and the crawls and cleanings in it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._count = 0

    def __call__(self, of: Recipe | None = None, name: str = "r", **says: Any) -> Manifest:
        """Seal a crawl of six pages in three files, the second of them empty, and its cleaning."""
        parts = [[page(0), page(1), page(2)], [], [page(3), page(4), page(5)]]
        crawl = self.seal("crawl", {}, name, of, {
            shard_name("pages", index, 3): (PAGE, rows) for index, rows in enumerate(parts)
        })  # fmt: skip
        return self.seal("clean", {"crawl": crawl}, name, of, {
            shard_name("documents", 0, 2): (DOCUMENT, [document(0), document(1)]),
            shard_name("rejects", 0, 2): (REJECT, [reject(2)]),
            shard_name("signals", 0, 2): (SIGNALS, [signals(0), signals(1), signals(2)]),
            shard_name("documents", 1, 2): (DOCUMENT, []),
            shard_name("rejects", 1, 2): (REJECT, [reject(3), reject(4, "extractor_timeout")]),
            shard_name("signals", 1, 2): (SIGNALS, [signals(3)]),
        }, **says)  # fmt: skip

    def seal(
        self, stage: str, inputs: Mapping[str, Manifest], name: str, of: Recipe | None,
        tables: Tables, held: bool = False, instance: str = "", **says: Any,
    ) -> Manifest:  # fmt: skip
        self._count += 1
        with self.store.building(stage, f"{self._count:064x}") as workspace:
            for path, (schema, rows) in tables.items():
                write_rows(workspace, path, rows, schema)
            kind = STAGES[stage]
            code = {"stage_version": kind.version, "source_sha256": kind.source_sha256}
            facts = {
                "stats": {},
                "code": CodeRef.model_validate(code | says.pop("code", {})),
                **says,
            }
            draft = Draft(
                name=instance or stage,
                stage=stage,
                type=kind.output.name,
                fingerprint=f"{self._count:064x}",
                config=identity((of or recipe()).config(kind)),
                inputs={
                    key: InputRef(name=m.name, version=m.version, digest=m.digest)
                    for key, m in inputs.items()
                },
                rows_in=6,
                rows_out=2,
                run=RunRef(recipe=name, host="test"),
                **facts,
            )
            return (quarantine if held else commit)(self.store, workspace, draft)


@pytest.fixture(params=["local", "remote"])
def nights(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Nights:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    remote = request.param == "remote"
    return Nights(Store(f"memory://{tmp_path}" if remote else tmp_path / "store"))


def lender(
    nights: Nights, of: Recipe | None = None, name: str = "r", instance: str = "clean"
) -> Lender | None:
    """The cleaning that a run is lent."""
    stage = STAGES["clean"]
    job = Job(
        stage=stage,
        config=(of or recipe()).config(stage),
        inputs={},
        workspace=Workspace(nights.store.work / "a-run"),
        store=nights.store,
        recipe=name,
        instance=instance,
    )
    return find_lender(job)


def alike(nights: Nights, of: Recipe | None = None, **asked: str) -> str | None:
    found = lender(nights, of, **asked)
    return None if found is None else found.label


# --- which one ----------------------------------------------------------------------------------


def test_the_newest_of_the_recipe_comes_first(nights: Nights) -> None:
    assert alike(nights) is None
    first = nights()
    assert alike(nights) == first.label
    last = nights()
    other = nights(name="other")
    assert alike(nights) == last.label
    assert alike(nights, name="other") == alike(nights, name="third") == other.label


def test_an_instance_is_lent_its_own_then_that_of_the_main_line(nights: Nights) -> None:
    main = nights()
    assert alike(nights, instance="clean-2") == main.label
    own = nights(instance="clean-2")
    newest = nights()
    assert alike(nights, instance="clean-2") == own.label
    assert alike(nights) == newest.label
    assert alike(nights, name="other", instance="clean-3") == newest.label


def test_another_configuration_or_version_of_the_stage_is_not_alike(nights: Nights) -> None:
    nights(recipe(clean={"languages": ["en"]}))
    nights(code={"stage_version": STAGES["clean"].version - 1})
    assert alike(nights) is None
    assert alike(nights, recipe(clean={"languages": ["en"]})) is not None
    gates = recipe(clean={"checks": [{"measure": "drop_rate", "max": 0.2}]})
    made = nights()
    assert alike(nights, gates) == made.label  # bounds do not change what is made


def test_what_is_in_quarantine_lends_nothing(nights: Nights) -> None:
    nights(held=True)
    assert alike(nights) is None


@pytest.mark.parametrize("stage", ["clean", "crawl"])
@pytest.mark.parametrize("how", ["collected", "torn", "manifest"])
def test_one_that_is_not_whole_is_passed_over(nights: Nights, stage: str, how: str) -> None:
    whole, last = nights(), nights()
    manifest = (
        last if stage == "clean" else nights.store.manifest("crawl", last.inputs["crawl"].version)
    )
    if how == "collected":
        bury(nights.store, stage, manifest.version, "gc")
    elif how == "torn":
        key = layout.data_key(stage, manifest.version)
        nights.store.backend.delete(f"{key}/{manifest.files[0].path}")
    else:
        key = layout.manifest_key(stage, manifest.version)
        present = nights.store.backend.read(key)
        nights.store.backend.swap(key, b"{", present)
    assert alike(nights) == whole.label


# --- its files ----------------------------------------------------------------------------------


def test_a_page_file_of_the_same_name_is_lent_its_own_shard(nights: Nights) -> None:
    nights()
    lent = lender(nights)
    assert lent is not None
    pages = [page(number) for number in range(6)]
    first, last = (lent.lending(f"part-{i:05d}-of-00003.parquet") for i in (0, 2))
    rows = (document(0), document(1), reject(2))
    assert recall(first, pages, ["num_words"]) == {
        row["url"]: Known(row, signals(number)) for number, row in enumerate(rows)
    }
    only = {reject(3)["url"]: Known(reject(3), signals(3))}
    assert recall(last, pages, ["num_words"]) == only
    every = lent.lending("part-00000-of-00007.parquet")
    assert recall(every, pages, ["num_words"]) == recall([*first, *last], pages, ["num_words"])
    assert recall(every, pages, ["num_words", "another"]) == {}  # measured by other filters


def test_files_that_cannot_be_fetched_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk nothing is fetched: there, a shard's task finds out."""
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    nights = Nights(Store(f"memory://{tmp_path}"))
    made = nights()
    nights.store.cache.drop("clean", made.version, made.files)
    (entry,) = (e for e in made.files if e.path.startswith("documents/"))
    backend: Any = nights.store.backend
    key = f"{layout.data_key('clean', made.version)}/{entry.path}"
    damaged = bytes(len(b"".join(backend.chunks(key))))
    backend.delete(key)
    assert backend.create(key, damaged)
    notes = Notes()
    with reporting_to(notes):
        assert lender(nights) is None
    (said,) = notes.said
    assert said.startswith(f"clean: passed over {made.label}, whose files cannot be read: ")


# --- what is said -------------------------------------------------------------------------------


class Notes(SilentReporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def account(nights: Nights, reused: int) -> tuple[dict[str, Any], list[str]]:
    notes = Notes()
    with reporting_to(notes):
        found = lender(nights)
        assert found is not None
        return found.account(reused, 6), notes.said


def test_how_much_was_copied_is_told(nights: Nights) -> None:
    made = nights()
    stats, said = account(nights, 4)
    assert stats == {"reused_pages": 4, "reused_from": made.label}
    assert said == [f"clean: 4 of 6 pages are as {made.label} found them: copied from there"]
    assert account(nights, 0)[0] == {"reused_pages": 0}


def test_drift_of_the_code_is_told_for_good(nights: Nights) -> None:
    nights(code={"source_sha256": "0" * 64})
    stats, said = account(nights, 4)
    assert stats[DRIFT] is True and "--force clean" in said[1]
    assert DRIFT not in account(nights, 0)[0]
    nights(stats=stats)  # the next night: the same code, and copied from a mixture
    assert account(nights, 4)[0][DRIFT] is True
