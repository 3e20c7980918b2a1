"""README.md cards for the Hugging Face Hub, written from the lineage: nothing in them is invented.

Source: https://huggingface.co/docs/hub/model-cards, https://huggingface.co/docs/hub/datasets-cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from flows.export.card_facts import evaluation, model_index
from flows.export.card_loading import loading
from flows.export.layouts import TABLES, Kind, Table, data_files, kind_of, pattern
from flows.export.provenance import Provenance, provenance, public
from flows.export.stage_prose import counted, listed, sentence
from flows.stages import STAGES
from storage import takedown
from storage.manifest import Manifest
from storage.store import Store

_MOST_HOSTS = 10
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip
_TITLES = {
    "crawl": "crawled pages",
    "clean": "cleaned documents",
    "quality": "quality scores",
    "dedup": "deduplicated documents",
    "shard": "token sequences",
    "tokenizer": "tokenizer",
    "pretrain": "base model",
    "finetune": "fine-tuned model",
}


def card(store: Store, manifest: Manifest, folder: str) -> str:
    """The README.md of an artifact that is exported to a folder of that name."""
    facts = provenance(store, manifest)
    kind = kind_of(manifest)
    front = yaml.safe_dump(
        front_matter(facts, kind), sort_keys=False, allow_unicode=True, width=1000
    )
    sections = [_opening(facts), loading(facts, kind, folder)]
    if kind == "dataset":
        sections.append(_contents(store, manifest))
    sections += [_making(facts), _data(facts), _evaluation(facts)]
    sections.append(_limits(facts, kind, len(takedown.marks(store.backend, manifest))))
    sections += [_licence(), _tracing(facts), _configuration(facts)]
    return f"---\n{front}---\n\n" + "\n\n".join(text for text in sections if text) + "\n"


def front_matter(facts: Provenance, kind: Kind) -> dict[str, Any]:
    """What the Hub reads: no licence, because nobody told phusa one."""
    manifest = facts.manifest
    front: dict[str, Any] = {}
    if languages := facts.main_languages():
        front["language"] = languages
    front["tags"] = ["phusa"]
    if kind == "dataset":
        main = TABLES[manifest.name][0]
        front["pretty_name"] = _title(manifest)
        front["task_categories"] = ["text-generation"]
        front["size_categories"] = [_size(sum(main.rows(manifest).values()))]
        front["configs"] = list(_configs(manifest))
        return front
    front["library_name"] = "transformers"
    if kind == "model":
        front["pipeline_tag"] = "text-generation"
        front["model-index"] = model_index(facts, _title(manifest))
    return front


def _configs(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for number, table in enumerate(TABLES[manifest.name]):
        if files := data_files(table, manifest):
            default = {"default": True} if number == 0 else {}
            yield {"config_name": table.name, "data_files": files, **default}


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "n>1B")


def _title(manifest: Manifest) -> str:
    return f"{manifest.run.recipe}: {_TITLES[manifest.name]}"


# --- sections ---------------------------------------------------------------------------------


def _opening(facts: Provenance) -> str:
    manifest = facts.manifest
    text = f"web pages in {_languages(facts)}" if facts.languages else "web pages"
    amount = f"{manifest.rows_out:,} {STAGES[manifest.name].unit}"
    what = {
        "crawl": f"{amount}, as their servers sent them",
        "clean": f"{amount}, taken from {text}",
        "quality": f"Scores by which {amount} were kept, taken from {text}",
        "dedup": f"{amount}, taken from {text}, without their duplicates",
        "shard": f"{amount} of tokens, made of {text}",
        "tokenizer": f"A byte-level BPE of {amount}, trained on {text}",
        "pretrain": f"A language model of {amount}, trained from scratch on {text}",
        "finetune": f"A language model with an adapter of {amount} merged in, trained to answer "
        f"questions about {text}",
    }[manifest.name]
    return (
        f"# {_title(manifest)}\n\n{what}. Made by the recipe `{manifest.run.recipe}` with phusa, "
        "which turns a crawl of the web into a language model and keeps every step: this is its "
        f"artifact `{manifest.label}` of {manifest.created:%d %B %Y}, content digest "
        f"`{manifest.digest[:16]}`."
    )


def _languages(facts: Provenance) -> str:
    names = facts.main_languages()
    shown = [f"`{name}`" for name in names[:8]]
    return listed(shown if len(names) <= 8 else [*shown, f"{len(names) - 8} more languages"])


def _contents(store: Store, manifest: Manifest) -> str:
    parts, empty = ["## What is in it"], []
    for table in TABLES[manifest.name]:
        rows = table.rows(manifest)
        if rows:
            parts.append(_columns(store, manifest, table, rows))
        else:
            empty.append(f"`{table.name}`")
    if empty:
        parts.append(
            f"{listed(empty)} {'has' if len(empty) == 1 else 'have'} no row here and so no "
            "configuration: `datasets` does not read empty tables."
        )
    if manifest.name == "crawl":
        parts.append("`warc/` holds the responses as they came, for FastWARC or warcio.")
    return "\n\n".join(parts)


def _columns(store: Store, manifest: Manifest, table: Table, rows: dict[str, int]) -> str:
    first = table.splits[next(iter(rows))]
    path: Path = next(p for p in store.files(manifest, first) if pq.read_metadata(p).num_rows)
    counts = listed(f"{count:,} in the split `{split}`" for split, count in rows.items())
    places = ", ".join(f"`{pattern(table.splits[split])}`" for split in rows)
    lines = [
        (f"`{field.name}`", f"`{field.type}`", (field.metadata or {}).get(b"description", b""))
        for field in pq.read_schema(path)
    ]
    described = [(name, kind, says.decode()) for name, kind, says in lines]
    head = f"**`{table.name}`** ({places}): {table.says}. Rows: {counts}."
    return f"{head}\n\n{_table(('column', 'type', 'what it is'), described)}"


def _making(facts: Provenance) -> str:
    steps: list[str] = []
    rows: list[tuple[str, ...]] = []
    for node in facts.lineage:
        of = node.manifest
        if of is None:
            rows.append((f"`{node.label}`", "no longer in the store", "", "", ""))
            continue
        steps.append(f"{len(steps) + 1}. **{of.name}**. {sentence(of)}{_left_out(of)}")
        unit = STAGES[of.name].unit if of.name in STAGES else ""
        digest = f"`{of.digest[:12]}`"
        made = f"{of.rows_out:,} {unit}".strip()
        rows.append((f"`{of.label}`", digest, f"{of.rows_in:,}", made, f"{of.seconds:,.1f}"))
    head = ("artifact", "content", "rows in", "rows out", "seconds")
    steps_text = "\n".join(steps)
    return f"## How it was made\n\n{steps_text}\n\n{_table(head, rows)}"


def _left_out(manifest: Manifest) -> str:
    """What a stage dropped, by reason, and what takedowns made it leave out."""
    said = ""
    for value in (manifest.stats.get("rejected"), manifest.stats.get("dropped")):
        if isinstance(value, dict) and value:
            reasons = listed(f"{count:,} `{reason}`" for reason, count in value.items())
            said += f" Left out: {reasons}."
    if duplicates := manifest.stats.get("duplicates"):
        said += f" Left out: {counted(duplicates, 'duplicate')}."
    if manifest.forgotten:
        said += f" What takedowns name was left out too ({len(manifest.forgotten):,} of them)."
    return said


def _data(facts: Provenance) -> str:
    if not facts.hosts and not facts.languages:
        return ""
    unit = "pages" if facts.manifest.name == "crawl" else "documents"
    parts = ["## Where the text is from"]
    if facts.hosts:
        shown = list(facts.hosts.items())
        rows = [(f"`{host}`", f"{count:,}") for host, count in shown[:_MOST_HOSTS]]
        if rest := shown[_MOST_HOSTS:]:
            rows.append((f"{len(rest):,} other hosts", f"{sum(c for _, c in rest):,}"))
        parts.append(_table(("host", unit), rows))
    if sum(facts.languages.values()) > len(facts.languages):
        rows = [(f"`{code}`", f"{count:,}") for code, count in facts.languages.items()]
        parts.append(_table(("language (fastText lid.176)", unit), rows))
    return "\n\n".join(parts)


def _evaluation(facts: Provenance) -> str:
    results = evaluation(facts)
    rows = [(each.dataset, each.subject, f"{each.value:.4g}") for each in results]
    checks = [
        (c.measure, "" if c.value is None else f"{c.value:.6g}", "yes" if c.passed else "no")
        for c in facts.manifest.checks
    ]
    parts = []
    if rows:
        parts.append(
            "Bits per byte: how many bits a model needs for each byte of a text it has not seen; "
            f"fewer is better.\n\n{_table(('text', 'model', 'bits per byte'), rows)}"
        )
    if checks:
        parts.append(_table(("check", "value", "passed"), checks))
    return "\n\n".join(["## Evaluation", *parts]) if parts else ""


def _limits(facts: Provenance, kind: Kind, num_marks: int) -> str:
    lines = [
        "The text is what web pages say: it may be wrong, one-sided, offensive or out of date, and "
        "may name persons. Nothing was checked by hand."
    ]
    if kind == "model":
        lines += [
            "The model writes what is likely after what it was given, not what is true. No test "
            "of safety, bias or knowledge was made.",
            "The held-out text is of the same sites as the training text: the figures above say "
            "nothing about other text.",
        ]
    if facts.manifest.name in ("dedup", "shard") or kind == "model":
        lines.append("Near duplicates below the threshold of the dedup stage are still in it.")
    if num_marks:
        # Which content that was is not said: the card may be published.
        lines.append(
            "After this was made, content that it was trained on was taken down "
            f"({counted(num_marks, 'takedown')}): train it again before you publish it."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _licence() -> str:
    return (
        "## Licence\n\nThe pages' own licences apply to what was taken from them; phusa does not "
        "know them. Whoever publishes this has to find out and say so here."
    )


def _tracing(facts: Provenance) -> str:
    manifest = facts.manifest
    return (
        "## Trace it\n\nEvery artifact above is sealed and kept under its version. In the project "
        f"that made it, `phusa show {manifest.label}` prints its files with their sha256 and what "
        "it was made from, and `phusa trace URL` follows a page from its fetch to what learnt from "
        "it. Each document carries its URL; the clean stage's `origins` say which page it came "
        "from, the crawl's `fetches` where that page lies in the WARC file."
    )


def _configuration(facts: Provenance) -> str:
    stages = {
        of.label: {
            "digest": of.digest,
            "stage_version": of.code.stage_version,
            "source_sha256": of.code.source_sha256,
            "git_commit": of.code.git_commit,
            "config": public(of.config),
        }
        for of in facts.manifests()
    }
    text = yaml.safe_dump(stages, sort_keys=False, allow_unicode=True, width=1000)
    return (
        "<details>\n<summary>The whole configuration of every stage</summary>\n\n"
        f"```yaml\n{text}```\n\n</details>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
