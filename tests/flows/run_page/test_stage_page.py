"""The page of a stage's run, without a server and with artifacts laid out by hand."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from markdown_it import MarkdownIt
from prefect.artifacts import Artifact

from flows.run_page import publish_page
from flows.run_page.page import ancestry, commands, count_rows, drops, run_link
from storage.manifest import CheckResult, Manifest
from storage.records import DOCUMENT
from storage.store import Store
from tests.flows.run_page.conftest import RUN, Shown
from tests.flows.sealed import seal

EVIL = "http://evil.example"
DOCUMENTS = "documents/part-00000-of-00002.parquet"


def document(number: int, **says: str) -> dict[str, Any]:
    plain = {"url": f"http://a.example/{number}", "title": "a title", "text": f"text {number} "}
    rest = {
        "date": "",
        "author": "",
        "licence": "",
        "canonical": "",
        "extractor": "x",
        "language": "en",
        "language_score": 0.9,
        "repeated_share": 0.0,
        "pii": [],
        "quality": 0.5,
    }
    return {"document_id": f"{number:032x}", "num_words": 3, **rest, **plain, **says}


def gate(says: str, *, passed: bool, severity: Any = "block") -> CheckResult:
    return CheckResult(
        measure="m", value=1.0, last=None, bounds={}, severity=severity, passed=passed, says=says
    )


def seal_clean(root: Path, *rows: dict[str, Any], version: str = "02", **says: Any) -> Manifest:
    crawl = seal(root, "crawl", f"20261121-0101{version}-000-aaaa", {"warc.gz": b"x"}, run=RUN)
    files = {
        DOCUMENTS: pa.Table.from_pylist([], schema=DOCUMENT),
        "documents/part-00001-of-00002.parquet": pa.Table.from_pylist(list(rows), schema=DOCUMENT),
    }
    facts = {"rows_in": 10, "rows_out": 6, "stats": {"dropped": {"no_text": 1, "too_short": 2}}}
    name = f"20261121-0201{version}-000-bbbb"
    return seal(root, "clean", name, dict(files), inputs=(crawl,), run=RUN, **{**facts, **says})


def publish(root: Path, manifest: Manifest, action: str = "built", **more: Any) -> None:
    publish_page(Store(root), manifest, action=action, reason="because", **more)


def test_what_was_made_and_why(tmp_path: Path, shown: Shown) -> None:
    made = seal_clean(tmp_path, *(document(n) for n in range(5)))
    publish_page(Store(tmp_path), made, action="built", reason="threshold: 1 → <b>2</b>")
    assert list(shown.artifacts) == ["clean", "clean-rows"] and shown.notes == []
    assert shown.artifacts["clean"].description == "built: 6 documents of 10 pages"
    page = shown["clean"]
    assert page.startswith("## clean: built\n\n**6 documents of 10 pages**\n\nWhy: threshold: 1 →")
    assert "\\<b\\>2\\</b\\>" in page and f"`{made.version}`" in page
    for number in range(3):
        assert f"http://a.example/{number}\na title\n3 words, en\n\ntext {number}" in page
    assert "http://a.example/3" not in page  # three are enough
    assert f"export PHUSA_STORE={tmp_path}\nphusa show {made.label}\nphusa trace" in page
    assert "phusa diff" not in page


def test_a_long_text_is_cut(tmp_path: Path, shown: Shown) -> None:
    publish(tmp_path, seal_clean(tmp_path, document(1, text="x" * 300 + "y")))
    assert shown["clean"].count("x" * 60) >= 4 and "y\n" not in shown["clean"]
    assert " …" in shown["clean"]


def test_the_version_before_can_be_compared(tmp_path: Path, shown: Shown) -> None:
    before = seal_clean(tmp_path, document(1), version="02")
    made = seal_clean(tmp_path, document(1), version="03")
    publish(tmp_path, made)
    assert f"phusa diff {before.label} {made.label}\n" in shown["clean"]


def test_rows_add_up(tmp_path: Path) -> None:
    assert count_rows(seal_clean(tmp_path)) == [
        {"what": "in: pages", "rows": "10", "share": ""},
        {"what": "out: documents", "rows": "6", "share": "60.0%"},
        {"what": "dropped: too_short", "rows": "2", "share": "20.0%"},
        {"what": "dropped: no reason was kept", "rows": "1", "share": "10.0%"},
        {"what": "dropped: no_text", "rows": "1", "share": "10.0%"},
    ]


@pytest.mark.parametrize(
    ("name", "rows", "stats", "dropped"),
    [
        ("crawl", (59, 57), {"rejected": {"http_404": 2}}, {"http_404": 2}),
        ("dedup", (55, 48), {"duplicates": 7}, {"duplicate": 7}),
        ("dedup", (55, 55), {"duplicates": 0}, {"duplicate": 0}),
        ("tokenizer", (48, 384), {}, {}),
    ],
)
def test_drops_of_each_stage(
    tmp_path: Path, name: str, rows: tuple[int, int], stats: dict[str, Any], dropped: Any
) -> None:
    made = seal(tmp_path, name, "20261121-010101-000-aaaa", {"a": b""}, stats=stats)
    made = made.model_copy(update={"rows_in": rows[0], "rows_out": rows[1]})
    assert drops(made) == dropped


def test_the_split_of_the_tokens_is_shown(tmp_path: Path) -> None:
    stats = {"train_tokens": 75, "validation_tokens": 25}
    made = seal(tmp_path, "shard", "20261121-010101-000-aaaa", {"a": b""}, stats=stats)
    assert [(row["what"], row["share"]) for row in count_rows(made)[2:]] == [
        ("tokens to train on", "75.0%"),
        ("tokens held out", "25.0%"),
    ]


def test_failed_gates_come_first_and_bold(tmp_path: Path, shown: Shown) -> None:
    checks = (
        gate("a keeps max 1", passed=True),
        gate("b 2 is above max_b 1", passed=False),
        gate("c is odd", passed=False, severity="warn"),
    )
    publish(tmp_path, seal_clean(tmp_path, checks=checks), "in quarantine")
    page = shown["clean"]
    assert page.startswith("## clean: in quarantine\n\n**✗ b 2 is above max\\_b 1**\n\n")
    lines = ["- ✗ **b 2 is above max\\_b 1**", "- ⚠ **c is odd**", "- ✓ a keeps max 1"]
    assert "## Gates\n\n" + "\n".join(lines) in page
    assert shown.artifacts["clean"].description.startswith("in quarantine: ")


def test_what_is_reused_reads_no_file(
    tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = seal_clean(tmp_path, document(1))
    monkeypatch.delattr(Store, "files")
    monkeypatch.delattr(Store, "folder")
    publish(tmp_path, made, "reused")
    link = f"[the run that built it](../../runs/flow-run/{RUN.flow_run_id})"
    assert f"are on the page of {link}." in shown["clean"]
    assert "http://a.example" not in shown["clean"] and "could not" not in shown["clean"]
    assert shown.notes == []


def test_lineage_is_a_picture_and_a_table(tmp_path: Path, shown: Shown) -> None:
    made = seal_clean(tmp_path, document(1))
    publish(tmp_path, made)
    page = shown["clean"]
    drawn = page.partition("(data:image/svg+xml;base64,")[2].partition(")")[0]
    svg = ElementTree.fromstring(base64.b64decode(drawn))
    assert "".join(svg.itertext()) == f"{made.inputs['crawl'].label}{made.label}"
    assert [path.get("d") for path in svg.iterfind("{*}path")] == ["M10 14v28"]  # one to the other
    assert "| `crawl@20261121-010102-000-aaaa` | 1 pages |".replace("1 p", "0 p") in page
    assert page.count(f"[its run](../../runs/flow-run/{RUN.flow_run_id})") == 2


def test_an_ancestor_is_read_once_and_may_be_gone(
    tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = seal_clean(tmp_path, document(1))
    dedup = seal(tmp_path, "dedup", "20261121-030101-000-cccc", {"a": b""}, inputs=(clean,))
    tokenizer = seal(tmp_path, "tokenizer", "20261121-040101-000-d", {"a": b""}, inputs=(dedup,))
    both = (dedup, tokenizer)
    shard = seal(tmp_path, "shard", "20261121-050101-000-eeee", {"a": b""}, inputs=both)
    (tmp_path / "versions" / "crawl" / clean.inputs["crawl"].version / "manifest.json").unlink()
    read: list[str] = []
    whole = Store.manifest

    def counted(self: Store, name: str, version: str) -> Manifest:
        read.append(name)
        return whole(self, name, version)

    monkeypatch.setattr(Store, "manifest", counted)
    found = ancestry(Store(tmp_path), shard)
    assert sorted(read) == ["clean", "crawl", "dedup", "tokenizer"]
    assert [label.partition("@")[0] for label in found] == [
        "crawl", "clean", "dedup", "tokenizer", "shard",
    ]  # fmt: skip
    assert next(iter(found.values())) is None
    publish(tmp_path, clean, "reused")
    assert "not in the store any more" in shown["clean"]


def test_hostile_text_stays_text(tmp_path: Path, shown: Shown) -> None:
    made = seal_clean(
        tmp_path,
        document(
            1,
            url=f"{EVIL}/`a`]({EVIL}/u.png)",
            title=f"<img src={EVIL}/t.png onerror=alert(1)>",
            text=f"```\n</code></pre><img src={EVIL}/a.png><script>a()</script>\n````\n![]({EVIL})",
        ),
        document(2, title="x\n```mermaid\nflowchart TB", text=f"~~~\n![]({EVIL}/c.png)\x00\u202e"),
    )
    publish(tmp_path, made)
    tokens = MarkdownIt("commonmark").enable("table").parse(shown["clean"])
    outside = [t for t in tokens if t.type != "fence"]
    assert not [t for t in outside if EVIL in t.content or t.type in ("html_block", "code_block")]
    kinds = {child.type for token in outside for child in token.children or ()}
    assert "html_inline" not in kinds
    images = [child for token in outside for child in token.children or () if child.type == "image"]
    assert all(str(one.attrs["src"]).startswith("data:image/") for one in images)
    fences = [token for token in tokens if token.type == "fence"]
    assert [token.info for token in fences] == ["text", "text", "sh"]
    assert EVIL in fences[0].content and EVIL in fences[1].content
    assert "\x00" not in shown["clean"] and "\u202e" not in shown["clean"]
    for artifact in shown.artifacts.values():
        assert EVIL not in artifact.description
    assert EVIL not in str(shown.artifacts["clean-rows"].table)


def test_a_missing_file_costs_only_the_samples(tmp_path: Path, shown: Shown) -> None:
    made = seal_clean(tmp_path, document(1))
    for file in (tmp_path / "versions" / "clean").rglob("*.parquet"):
        file.unlink()
    publish(tmp_path, made)
    assert "This part could not be made" in shown["clean"]
    assert "FileNotFoundError" in shown["clean"] and "## Made from" in shown["clean"]
    assert shown.notes == []


def test_a_server_that_is_away_costs_a_note(
    tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def away(self: Artifact) -> None:
        asked.append(self.key)
        raise ConnectionError("nobody there")

    made = seal_clean(tmp_path, document(1))
    monkeypatch.setattr(Artifact, "create", away)
    publish(tmp_path, made)
    assert shown.notes == [
        "clean's page: not shown in the Prefect UI (ConnectionError: nobody there)"
    ]
    assert asked == ["clean"]  # each attempt can take a minute


def test_curves_that_cannot_be_drawn_cost_nothing_else(tmp_path: Path, shown: Shown) -> None:
    files: dict[str, Any] = {"training.parquet": pa.table({"step": [1, 2], "loss": [2.0, 1.0]})}
    stats = {"validation_bits_per_byte": 0.5, "parameters": 3}
    made = seal(tmp_path, "pretrain", "20261121-010101-000-aaaa", files, stats=stats)
    publish(tmp_path, made)
    assert list(shown.artifacts) == ["pretrain", "pretrain-rows"] and shown.notes == []
    assert "This part could not be made:\n\n```text\nKeyError" in shown["pretrain"]
    assert shown.artifacts["pretrain"].description == "built: 0.5 bits per byte held out"
    assert (
        f'phusa trace --model {made.label}\nphusa sample {made.label} "PROMPT"' in shown["pretrain"]
    )


# --- what nothing is known of ---------------------------------------------------------------------


def test_an_unknown_stage_has_a_plain_page(tmp_path: Path, shown: Shown) -> None:
    clean = seal_clean(tmp_path, document(1))
    files: dict[str, Any] = {"report.json": b"{}", "rows/a.parquet": pa.table({"n": [1, 2]})}
    says: dict[str, Any] = {"stage": "evaluate", "type": "report", "rows_in": 7, "run": RUN}
    version = "20261121-090101-000-aaaa"
    made = seal(
        tmp_path, "report-a", version, files, inputs=(clean,), stats={"f1": 0.5},
        checks=(gate("f1 is 0.5", passed=True),), **says,
    )  # fmt: skip
    publish(tmp_path, made, prompts=("Why?",))
    assert list(shown.artifacts) == ["report-a", "report-a-rows"] and shown.notes == []
    assert shown.artifacts["report-a"].description == "built: 2 rows from 7 rows"
    page = shown["report-a"]
    assert "could not be made" not in page
    titles = [line[3:] for line in page.split("\n") if line.startswith("## ")]
    own = ["report-a: built", "Gates", "Files", "Made from", "Facts", "Look closer"]
    assert titles == own
    assert "| rows/a.parquet | 2 | " in page and "| f1 | 0.5 |" in page
    assert f"| `{clean.label}` | 6 documents |" in page and "| `report-a@" in page
    assert f"phusa show {made.label}" in page


def test_an_instance_is_shown_as_its_stage(tmp_path: Path, shown: Shown) -> None:
    stats = {"held_out_bits_per_byte": 0.5, "trainable_parameters": 12, "pairs": 3}
    version = "20261121-010101-000-aaaa"
    lora = seal(tmp_path, "lora", version, {"a": b""}, stage="finetune", stats=stats)
    publish(tmp_path, lora)
    assert shown.artifacts["lora"].description == "built: 0.5 bits per byte held out"
    assert "| rows out | 12 trained parameters |" in shown["lora"]
    assert f"phusa trace --model {lora.label}" in shown["lora"]
    rows = {row["what"]: row["rows"] for row in shown.artifacts["lora-rows"].table}
    assert rows["out: trained parameters"] == "12" and rows["pairs to train on"] == "3"


def test_links_and_commands() -> None:
    assert run_link("a*", "id") == "[a\\*](../../runs/flow-run/id)"
    assert run_link("a*", None) == "a\\*"
    assert commands("/my store", ["phusa show clean"]) == (
        "```sh\nexport PHUSA_STORE='/my store'\nphusa show clean\n```"
    )
