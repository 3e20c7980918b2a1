"""Where content that was taken down is: in artifacts written by hand, small and at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from flows.stages import STAGES
from flows.takedown import check_forgotten, note_late_takedowns
from flows.takedown.purge import Purge, drop_leftovers
from flows.takedown.record import forget, list_takedowns, parse_target
from flows.takedown.search import Search
from storage import takedown
from storage.errors import NothingLeft, RequestError
from storage.layout import tombstone_key
from storage.manifest import Manifest
from storage.records import PAIR, REJECT
from storage.store import Store
from storage.takedown import Forgotten, Kind, Takedown, identify
from storage.workspace import Workspace
from tests.flows.river import PART, A, B, C, River, doc, documents, page, table

AT = datetime(2026, 11, 21, tzinfo=UTC)


def taken(kind: Kind, value: str, page_url: str = "") -> Takedown:
    return Takedown(
        id=identify(kind, value), kind=kind, value=value, why="asked", by="me", at=AT,
        page_url=page_url,
    )  # fmt: skip


@pytest.fixture
def river(tmp_path: Path) -> River:
    return River(tmp_path / "store")


@pytest.fixture
def whole(river: River) -> dict[str, Manifest]:
    return river.whole()


def search(river: River, *rules: Takedown) -> Search:
    return Search(river.store, river.store.manifests(), Forgotten(rules))


# --- what is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "kind", "value"),
    [
        ("HTTP://A.org:80/x/../1#part", "url", "http://a.org/1"),
        (" https://b.net ", "url", "https://b.net/"),
        ("file:///notes/silt.md", "url", "file:///notes/silt.md"),
        ("A.Org", "domain", "a.org"),
        ("a.org.", "domain", "a.org"),
        ("127.0.0.1", "domain", "127.0.0.1"),
        ("localhost", "domain", "localhost"),
        ("xn--mller-kva.de", "domain", "müller.de"),
        ("Müller.de", "domain", "müller.de"),
        ("CD4D080B65E4A98B47B6F0829DA1362F", "document", "cd4d080b65e4a98b47b6f0829da1362f"),
    ],
)
def test_targets_are_told_apart(asked: str, kind: Kind, value: str) -> None:
    assert parse_target(asked) == (kind, value)


@pytest.mark.parametrize(
    "asked",
    ["", "org", "a.org/page", "a.org:80", "ftp://a.org/x", "http://", "a b.org", ".a.org", "a..org",
     "me@a.org", "cd4d080b65e4a98b47b6f0829da1362", "//a.org/x", "-a.org", "*.a.org", "[::1]"],
)  # fmt: skip
def test_other_targets_are_refused_with_examples(asked: str) -> None:
    with pytest.raises(RequestError, match="what to forget: found") as refused:
        parse_target(asked)
    assert "Examples: https://example.org/page.html, example.org, cd4d" in str(refused.value)


def test_a_domain_is_spelled_as_in_the_urls_of_a_crawl() -> None:
    from tasks.crawl.urls import canonical_url

    for host in ("xn--mller-kva.de", "MÜLLER.de"):
        kind, value = parse_target(host)
        forgotten = Forgotten((taken(kind, value),))
        assert forgotten.covers(canonical_url(f"http://www.{host}/x"))


# --- what is found ------------------------------------------------------------------------------


def test_all_that_holds_a_url(river: River, whole: dict[str, Manifest]) -> None:
    found = search(river, taken("url", B))
    amounts = {name: found.of(m).amount for name, m in whole.items() if found.of(m).ids}
    assert amounts == {"crawl": 1, "clean": 1, "dedup": 1, "shard": 1, "finetune": 1}
    assert found.of(whole["crawl"]).ids == {page(B)}
    assert {*found.of(whole["shard"]).ids, *found.of(whole["finetune"]).ids} == {doc(B)}
    assert found.documents == {doc(B)} and not found.unreadable


def test_a_domain_is_found_with_all_below_it(river: River, whole: dict[str, Manifest]) -> None:
    found = search(river, taken("domain", "a.org"))
    assert found.documents == {doc(A), doc(B)}
    assert found.of(whole["crawl"]).amount == found.of(whole["shard"]).amount == 2
    assert not search(river, taken("domain", "org.a")).documents


def test_a_document_is_found_through_the_page_that_gave_it(river: River) -> None:
    old, new, unread = (river.crawl(A, B, edition=e) for e in ("", "new", "unread"))
    river.clean(old, A, B)
    river.clean(new, A, B, edition="new")
    other = river.crawl(B)
    found = search(river, taken("document", doc(A), A))
    assert found.of(old).found == {page(A): f"document {doc(A)}"}
    assert found.of(new).found == {}  # another text at the same URL
    assert found.of(unread).found == {page(A, "unread"): f"document {doc(A)}"}  # no one knows
    assert found.of(other).found == {}


def test_a_dropped_document_is_found_through_its_page(river: River) -> None:
    crawl = river.crawl(A, B)
    river.clean(crawl, B, dropped=(A,))
    assert search(river, taken("document", doc(A), A)).of(crawl).ids == {page(A)}
    assert search(river, taken("document", doc(A, "new"), A)).of(crawl).ids == set()


def test_a_page_without_a_text_may_be_any_document(river: River) -> None:
    """Its extraction failed: what another extractor makes of it is not known."""
    crawl = river.crawl(A)
    reject = table(REJECT, {"id": A, "url": A, "reason": "extractor_failed"})
    river.put("clean", {f"rejects/{PART}": reject}, crawl)
    assert search(river, taken("document", doc(A), A)).of(crawl).ids == {page(A)}


def test_equal_contents_are_read_once(river: River, whole: dict[str, Manifest]) -> None:
    again = river.dedup(whole["clean"], A, B, C)
    for path in river.store.files(whole["dedup"], "documents/"):
        path.write_bytes(b"torn")
    copy = whole["dedup"].model_copy(update={"digest": again.digest})
    found = search(river, taken("url", B))
    assert found.of(again).ids == found.of(copy).ids == {doc(B)}
    assert list(found.unreadable) == []


def test_what_cannot_be_read_is_said(river: River, whole: dict[str, Manifest]) -> None:
    for path in river.store.files(whole["clean"], "documents/"):
        path.unlink()
    (shard,) = river.store.files(whole["shard"], "train/")
    shard.write_bytes(b"PAR1 torn")
    said = forget(river.store, B, "asked").unreadable
    assert said[whole["clean"].label] == "data no longer in the store"
    assert said[whole["shard"].label].startswith("data cannot be read")


def test_documents_whose_urls_nobody_knows_are_doubted(
    river: River, whole: dict[str, Manifest]
) -> None:
    for name in ("clean", "dedup"):
        key = tombstone_key(name, whole[name].version)
        river.store.backend.create(key, b'{"why": "gone", "at": "2026-11-21"}')
    said = forget(river.store, B, "asked").unreadable
    assert said[whole["shard"].label].startswith("3 of its documents are in no table")
    assert said[whole["finetune"].label].startswith("1 of its documents")
    assert not forget(river.store, doc(B), "asked").unreadable  # an id needs no URL
    river.clean(whole["crawl"], A, B, C)  # another recipe that knows them
    assert not forget(river.store, B, None).unreadable


# --- what is recorded ---------------------------------------------------------------------------


def test_forget_records_finds_and_marks(river: River, whole: dict[str, Manifest]) -> None:
    found = forget(river.store, B, "asked")
    assert found.is_new and (found.takedown.why, found.takedown.value) == ("asked", B)
    assert {h.artifact: (h.amount, h.unit) for h in found.holders} == {
        whole["crawl"].label: (1, "pages"),
        whole["clean"].label: (1, "documents"),
        whole["dedup"].label: (1, "documents"),
        whole["shard"].label: (1, "sequences"),
        whole["finetune"].label: (1, "pairs"),
    }
    assert found.alike == ("http://b.net/copy",) and found.moved == ()
    known = takedown.read(river.store.backend)
    digests = {m.digest for name, m in whole.items() if name != "pretrain"}
    assert known.holders == {found.takedown.id: digests}

    saw = {model.artifact.partition("@")[0]: model for model in found.models}
    assert saw["tokenizer"].documents == 1
    assert saw["pretrain"].tokens == 8  # of two rows in two steps one is its
    assert (saw["finetune"].pairs, saw["finetune"].tokens) == (1, 8)
    assert saw["finetune"].base == whole["pretrain"].label
    (mark,) = takedown.marks(river.store.backend, whole["pretrain"])
    assert (mark.rule, mark.tokens) == (f"url {B}", 8)


def test_a_model_that_only_measured_it_is_not_marked(
    river: River, whole: dict[str, Manifest]
) -> None:
    found = forget(river.store, C, "asked")
    assert [model.artifact.partition("@")[0] for model in found.models] == ["tokenizer"]
    assert "pretrain" not in {h.artifact.partition("@")[0] for h in found.holders}


def test_a_model_whose_budget_ended_before_it_is_not_marked(
    river: River, whole: dict[str, Manifest]
) -> None:
    config = {"seed": 0, "batch_sequences": 1, "tokens": 7}
    base = river.put("pretrain", {"model.safetensors": b"w"}, whole["shard"], config=config)
    row = {"name": B, "document_id": doc(B)}
    held_out = {"pairs/validation.parquet": table(PAIR, row)}
    tuned = river.put("finetune", held_out, base, whole["dedup"])
    found = forget(river.store, B, "asked")
    assert tuned.label in {h.artifact for h in found.holders}
    assert not {base.label, tuned.label} & {m.artifact for m in found.models}


def test_the_whole_cluster_is_alike(river: River) -> None:
    """What was dropped for the same document as this one resembles it, too."""
    clean = river.clean(river.crawl(A, B, C), A, B, C)
    dropped = [{"document_id": doc(u), "url": u, "kept_id": doc(A), "kept_url": A} for u in (B, C)]
    river.dedup(clean, A, duplicates=tuple(dropped))
    assert forget(river.store, B, "asked").alike == (A, C)
    assert forget(river.store, "a.org", "asked").alike == (C,)


def test_the_same_again_is_recorded_once(river: River, whole: dict[str, Manifest]) -> None:
    first = forget(river.store, B, "asked")
    again = forget(river.store, f"{B}#part", None)
    assert not again.is_new and again.takedown == first.takedown
    assert (again.holders, again.models) == (first.holders, first.models)
    with pytest.raises(RequestError, match="--why: found no reason"):
        forget(river.store, "b.net", " ")
    (listed,) = list_takedowns(river.store)
    assert listed.takedown == first.takedown
    assert set(listed.holders) == {h.artifact for h in first.holders}
    assert set(listed.models) == {m.artifact for m in first.models}


def test_what_a_kill_left_undone_is_done_by_the_same_command(
    river: River, whole: dict[str, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("add_holders", "mark"):
        with monkeypatch.context() as patch:
            patch.setattr(takedown, step, _killed)
            with pytest.raises(KeyboardInterrupt):
                forget(river.store, B, "asked")
        known = takedown.read(river.store.backend)
        assert len(known.all) == 1  # it was written down first
        assert bool(known.holders) == (step == "mark")  # and marks come last
    found = forget(river.store, B, None)
    assert len(found.holders) == 5 and takedown.marks(river.store.backend, whole["finetune"])


def _killed(*args: object) -> None:
    raise KeyboardInterrupt


def test_nothing_holds_it_and_it_is_recorded(river: River, whole: dict[str, Manifest]) -> None:
    found = forget(river.store, "http://nobody.org/", "asked")
    assert (found.holders, found.models, found.alike) == ((), (), ())
    assert takedown.read(river.store.backend).forgotten.covers("http://nobody.org/")


def test_where_a_url_redirects_to_is_said(river: River, whole: dict[str, Manifest]) -> None:
    assert forget(river.store, "http://a.org/moved", "asked").moved == (A,)


def test_what_else_was_found_at_the_url_of_a_document(river: River) -> None:
    river.clean(river.crawl(A), A)
    river.clean(river.crawl(A, edition="new"), A, edition="new")
    found = forget(river.store, doc(A), "asked")
    assert found.takedown.page_url == A
    assert found.alike == (f"{A} as document {doc(A, 'new')}",)


# --- what a run makes of it ---------------------------------------------------------------------


def test_a_document_stays_away_from_crawls_to_come(river: River) -> None:
    """The crawl fetches its URL again; cleaning has to know that it may be there."""
    river.clean(river.crawl(A, B), A, B)
    forget(river.store, doc(A), "asked")
    known = takedown.read(river.store.backend)
    later, without = river.crawl(A, B, edition="later"), river.crawl(B)
    for made in (later, without):
        note_late_takedowns(river.store, made, known)
    known = takedown.read(river.store.backend)
    assert check_forgotten(STAGES["clean"], {"crawl": later}, known).documents == {doc(A)}
    assert not check_forgotten(STAGES["clean"], {"crawl": without}, known)


def test_a_document_that_nobody_knew_stays_away_too(river: River) -> None:
    crawl = river.crawl(A, B)
    assert not forget(river.store, doc(A), "asked").holders
    known = takedown.read(river.store.backend)
    assert check_forgotten(STAGES["clean"], {"crawl": crawl}, known).documents == {doc(A)}
    assert not check_forgotten(STAGES["dedup"], {"crawl": crawl}, known)


def test_what_was_taken_down_during_a_build_is_noted(river: River) -> None:
    before = takedown.read(river.store.backend)
    takedown.record(river.store.backend, taken("url", A))
    made = river.clean(river.crawl(A, B), A, B)
    note_late_takedowns(river.store, made, before)
    assert takedown.read(river.store.backend).held_by([made]).rules == (f"url {A}",)


# --- what is no artifact ------------------------------------------------------------------------


def test_leftovers_that_hold_it_are_dropped(river: River, whole: dict[str, Manifest]) -> None:
    store, forgotten = river.store, Forgotten((taken("url", A),))
    half = store.work.parent / "versions" / "clean" / "20261121-000000-000-dead" / "data" / PART
    buried = store.folder(whole["crawl"])
    store.backend.create(tombstone_key("crawl", whole["crawl"].version), b"{}")
    works = {name: Workspace(store.work / "clean" / name) for name in ("with", "without", "torn")}
    held = Workspace(store.work / "shard" / "held")
    for path, rows in (
        (half, documents(A)),
        (works["with"].data / PART, documents(A)),
        (works["without"].data / PART, documents(C)),
        (held.data / PART, pa.table({"document_id": [doc(A)]})),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        pa.parquet.write_table(rows, path)
    (works["torn"].data / f".tmp-1-{PART}").write_bytes(b"PAR1")
    from filelock import FileLock

    with FileLock(store.work / "shard" / "held.lock"):
        said = drop_leftovers(store, forgotten, frozenset({doc(A)}), [], "takedown x")
    assert not half.exists() and not buried.exists()
    assert works["without"].root.exists() and held.root.exists()
    assert not works["with"].root.exists() and not works["torn"].root.exists()
    assert len(said) == 4
    said = drop_leftovers(store, forgotten, frozenset({doc(A)}), [], "takedown x")
    assert said == [f"abandoned work: {held.root}"]


def test_copies_of_what_is_gone_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, river: River, whole: dict[str, Manifest]
) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    remote = Store(f"memory://{tmp_path}")
    for path in sorted((tmp_path / "store" / "versions").rglob("*")):
        if path.is_file():
            remote.backend.put_file(str(path.relative_to(tmp_path / "store")), path)
    found = forget(remote, A, "asked")
    assert len(found.holders) == 4
    copies = [p for p in (tmp_path / "cache").rglob("*.parquet") if p.is_file()]
    assert copies
    gone = [m for name, m in whole.items() if name != "crawl"]
    drop_leftovers(remote, Forgotten((found.takedown,)), frozenset(), gone, "takedown x")
    left = {e.sha256 for e in whole["crawl"].files}
    kept = {p.name for p in (tmp_path / "cache" / "files").rglob("*") if p.is_file()}
    assert kept and kept <= left
    assert not list((tmp_path / "cache" / "views").glob("*/clean/*"))


# --- what this phusa does not know --------------------------------------------------------------


def test_what_an_unknown_stage_made_is_searched_and_stays(
    river: River, whole: dict[str, Manifest]
) -> None:
    """Its documents are looked into; only the phusa that made them can make them anew."""
    files = {f"documents/{PART}": documents(A, B)}
    foreign = river.put("noted", files, whole["clean"], stage="translate", type="documents")
    plain = river.put("rated", {"x.bin": b"x"}, foreign, stage="rate", type="ratings")
    named = river.put("named", files, foreign, stage="rate", type="ratings")
    found = forget(river.store, B, "asked")
    assert foreign.label in {holder.artifact for holder in found.holders}
    assert named.label in {holder.artifact for holder in found.holders}
    assert plain.label not in {holder.artifact for holder in found.holders} | set(found.unreadable)
    holders = tuple(one for one in found.holders if one.artifact == foreign.label)
    purge = Purge(river.store, replace(found, holders=holders))
    assert foreign.label not in purge.plan().buries

    def built(old: Manifest, *_: object) -> Manifest:
        raise NothingLeft(f"{old.label} is not built here")

    done = purge.carry_out(built)
    assert "stage translate is not known here" in done.left[foreign.label]
    assert river.store.is_whole(foreign) and river.store.is_whole(plain)


def test_instances_of_one_stage_are_each_searched_and_marked(
    river: River, whole: dict[str, Manifest]
) -> None:
    pairs = {"pairs/train.parquet": table(PAIR, {"name": B, "document_id": doc(B)})}
    tuned = river.put("dora", pairs, whole["finetune"], whole["dedup"], stage="finetune")
    found = forget(river.store, B, "asked")
    held = {holder.artifact: holder for holder in found.holders}
    assert (held[tuned.label].amount, held[tuned.label].unit) == (1, "pairs")
    (marked,) = [model for model in found.models if model.artifact == tuned.label]
    assert (marked.base, marked.tokens) == (whole["finetune"].label, 8)
