"""README.md cards for the Hugging Face Hub, written from the lineage: nothing in them is invented.

Source: https://huggingface.co/docs/hub/model-cards, https://huggingface.co/docs/hub/datasets-cards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow.parquet as pq
import yaml
from huggingface_hub import CardData, DatasetCardData, EvalResult, ModelCardData

from flows.export.provenance import Provenance, example, provenance, public
from flows.stages import STAGES, type_of
from storage import takedown
from storage.manifest import Manifest
from storage.store import Store
from tasks.artifacts.artifact import ExportForm, Score, Table

_MOST_HOSTS = 10
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip


def card(store: Store, manifest: Manifest, folder: str, form: ExportForm | None = None) -> str:
    """Write the README.md of an artifact that is exported to a folder of that name, as it lies or
    in another form."""
    facts = provenance(store, manifest)
    scores = facts.artifact.type.scores(facts.artifact)
    sections = (
        _opening(manifest),
        _loading(facts, folder, form),
        _contents(facts, form),
        _making(facts),
        _text(facts),
        _evaluation(facts, scores),
        _limits(facts, len(takedown.marks(store.backend, manifest))),
        "## Licence\n\nThe pages' own licences apply to what was taken from them; phusa does not "
        "know them. Whoever publishes this has to find out and say so here.",
        _tracing(facts),
        _configuration(facts),
    )
    front = front_matter(facts, scores, form).to_yaml()
    return f"---\n{front}\n---\n\n" + "\n\n".join(text for text in sections if text) + "\n"


def front_matter(
    facts: Provenance, scores: Sequence[Score], form: ExportForm | None = None
) -> CardData:
    """Give what the Hub reads: no licence, because nobody told phusa one."""
    manifest, kind = facts.artifact.manifest, facts.artifact.type
    common: dict[str, Any] = {"language": facts.main_languages() or None, "tags": ["phusa"]}
    if kind.form != "dataset":
        results = [
            EvalResult(
                task_type="text-generation",
                task_name="Language modelling",
                dataset_type="phusa",
                dataset_name=score.text,
                metric_type="bits_per_byte",
                metric_name="Bits per byte",
                metric_value=score.value,
            )
            for score in scores
            if score.own
        ]
        return ModelCardData(
            library_name="transformers",
            pipeline_tag="text-generation" if kind.form == "model" else None,
            model_name=_title(manifest),
            eval_results=results or None,
            **common,
        )
    configs = [
        {
            "config_name": table.name,
            "data_files": [
                {"split": split, "path": glob} for split, glob in _globs(table, manifest).items()
            ],
            **({"default": True} if number == 0 else {}),
        }
        for number, table in enumerate(() if form else kind.tables_in(manifest))
        if table in facts.tables
    ]
    rows = sum(facts.tables[0].rows(manifest).values()) if facts.tables else 0
    return DatasetCardData(
        pretty_name=_title(manifest),
        task_categories=["text-generation"] if kind.tables else None,
        size_categories=[size_category(rows)],
        configs=configs or None,
        **common,
    )


def size_category(rows: int) -> str:
    """Name a number of rows as the Hub does."""
    return next((name for bound, name in _SIZES if rows < bound), "n>1B")


def _title(manifest: Manifest) -> str:
    return f"{manifest.run.recipe}: {manifest.name}"


# --- sections ---------------------------------------------------------------------------------


def _opening(manifest: Manifest) -> str:
    kind = (manifest.type or type_of(manifest).name).capitalize()
    return (
        f"# {_title(manifest)}\n\n{kind}: {type_of(manifest).amount(manifest)}, made by the "
        f"recipe `{manifest.run.recipe}` with phusa, which turns a crawl of pages into a language "
        f"model and keeps every step. This is its artifact `{manifest.label}` of "
        f"{manifest.created:%d %B %Y}, content digest `{manifest.digest[:16]}`."
    )


def _loading(facts: Provenance, folder: str, form: ExportForm | None) -> str:
    """Say how to load the folder. A test runs every line of this code."""
    kind, tables = facts.artifact.type, facts.tables
    where = json.dumps(f"./{folder}", ensure_ascii=False)
    first = f"folder = {where}  # this folder, or the name of its repository on the Hub"
    parts = ["## Load it"]
    if form:
        return "\n\n".join([*parts, _python(form.load, f"folder = {where}")])
    if kind.load:
        said = json.dumps(example(facts), ensure_ascii=False)
        prompt = f"\nprompt = {said}" if kind.form == "model" else ""
        parts.append(_python(kind.load, first + prompt))
        for table in tables:
            parts += [f"Beside it lie {table.says}:", _load_files(table, facts.artifact.manifest)]
    elif tables:
        parts.append(_python(_load_tables(tables), first))
    else:
        code = 'from pathlib import Path\n\nprint(*Path(folder).rglob("*"), sep="\\n")'
        parts.append(_python(code, first))
    parts += [says for place, says in kind.notes.items() if facts.artifact.has(place)]
    return "\n\n".join(parts)


def _load_tables(tables: Sequence[Table]) -> str:
    names = json.dumps([table.name for table in tables])
    return (
        "from datasets import load_dataset\n\n"
        f"tables = {{name: load_dataset(folder, name) for name in {names}}}\n"
        f"print(tables[{json.dumps(tables[0].name)}])"
    )


def _load_files(table: Table, manifest: Manifest) -> str:
    """Load a table that lies beside a model."""
    places = json.dumps(_globs(table, manifest))
    code = f"{table.name} = load_dataset(folder, data_files={places})\nprint({table.name})"
    return _python(f"from datasets import load_dataset\n\n{code}")


def _python(code: str, first: str = "") -> str:
    imports, _, rest = code.partition("\n\n")
    lines = [imports, "", *([first] if first else []), rest]
    return "\n".join(["```python", *lines, "```"])


def _contents(facts: Provenance, form: ExportForm | None) -> str:
    artifact = facts.artifact
    if form:
        return f"## What is in it\n\n{form.says}"
    if artifact.type.form != "dataset":
        return ""
    parts = ["## What is in it", *(_columns(facts, table) for table in facts.tables)]
    places = {t.name: t.splits.values() for t in artifact.type.tables if t not in facts.tables}
    empty = [f"`{name}`" for name, found in places.items() if any(map(artifact.has, found))]
    if empty:
        parts.append(
            f"{listed(empty)} {'has' if len(empty) == 1 else 'have'} no row here and so no "
            "configuration: `datasets` does not read empty tables."
        )
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _columns(facts: Provenance, table: Table) -> str:
    manifest = facts.artifact.manifest
    rows = table.rows(manifest)
    files = facts.artifact.files(table.splits[next(iter(rows))])
    schema = pq.read_schema(next(path for path in files if pq.read_metadata(path).num_rows))
    described = [
        (f"`{f.name}`", f"`{f.type}`", (f.metadata or {}).get(b"description", b"").decode())
        for f in schema
    ]
    counts = listed(f"{count:,} in the split `{split}`" for split, count in rows.items())
    places = ", ".join(f"`{glob}`" for glob in _globs(table, manifest).values())
    says = f": {table.says}" if table.says else ""
    head = f"**`{table.name}`** ({places}){says}. Rows: {counts}."
    return f"{head}\n\n{_table(('column', 'type', 'what it is'), described)}"


def _making(facts: Provenance) -> str:
    head = ("artifact", "content", "what was done", "rows in", "made", "left out", "seconds")
    gone = ("no longer in the store", "", "", "", "", "")
    rows = [
        (f"`{node.label}`", *(_step(node.manifest) if node.manifest else gone))
        for node in facts.lineage
    ]
    return f"## How it was made\n\n{_table(head, rows)}"


def _step(of: Manifest) -> tuple[str, ...]:
    """Say what was done for one artifact, and what was left out for which reason."""
    stage = STAGES.get(of.stage)
    dropped = stage.dropped(of).items() if stage else ()
    left_out = [f"{count:,} `{reason}`" for reason, count in dropped if count]
    left_out += [f"{len(of.forgotten):,} takedowns"] if of.forgotten else []
    return (
        f"`{of.digest[:12]}`",
        stage.says if stage else f"`{of.stage}`",
        f"{of.rows_in:,} {stage.unit_in if stage else 'rows'}",
        type_of(of).amount(of),
        ", ".join(left_out),
        f"{of.seconds:,.1f}",
    )


def _text(facts: Provenance) -> str:
    if not facts.hosts and not facts.languages:
        return ""
    unit = type_of(facts.text).unit
    parts = ["## Where the text is from"]
    if facts.hosts:
        shown = list(facts.hosts.items())
        rows = [(f"`{host}`", f"{count:,}") for host, count in shown[:_MOST_HOSTS]]
        if rest := shown[_MOST_HOSTS:]:
            rows.append((f"{len(rest):,} other hosts", f"{sum(c for _, c in rest):,}"))
        parts.append(_table(("host", unit), rows))
    if sum(facts.languages.values()) > len(facts.languages):  # counted, not as configured
        rows = [(f"`{code}`", f"{count:,}") for code, count in facts.languages.items()]
        parts.append(_table(("language (fastText lid.176)", unit), rows))
    return "\n\n".join(parts)


def _evaluation(facts: Provenance, scores: Sequence[Score]) -> str:
    parts = ["## Evaluation"]
    if scores:
        rows = [(each.text, each.subject, f"{each.value:.4g}") for each in scores]
        parts.append(
            "Bits per byte: how many bits a model needs for each byte of a text it has not seen; "
            f"fewer is better.\n\n{_table(('text', 'model', 'bits per byte'), rows)}"
        )
    checks = [
        (c.measure, "" if c.value is None else f"{c.value:.6g}", "yes" if c.passed else "no")
        for c in facts.artifact.manifest.checks
    ]
    if checks:
        parts.append(_table(("check", "value", "passed"), dict.fromkeys(checks)))
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _limits(facts: Provenance, num_marks: int) -> str:
    lines = [
        "The text is what the pages say: it may be wrong, one-sided, offensive or out of date, and "
        "may name persons. Nothing was checked by hand."
    ]
    if facts.artifact.type.form == "model":
        lines += [
            "The model writes what is likely after what it was given, not what is true. No test "
            "of safety, bias or knowledge was made.",
            "The held-out text is of the same sites as the training text: the figures above say "
            "nothing about other text.",
        ]
    if any("duplicates" in of.stats for of in facts.manifests()):
        lines.append("Near duplicates below the threshold of deduplication are still in it.")
    if num_marks:
        # Which content that was is not said: the card may be published.
        lines.append(
            "After this was made, content that it was trained on was taken down "
            f"(takedowns: {num_marks:,}): train it again before you publish it."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _tracing(facts: Provenance) -> str:
    label = facts.artifact.label
    return (
        "## Trace it\n\nEvery artifact above is sealed and kept under its version. In the project "
        f"that made it, `phusa show {label}` prints its files with their sha256 and what it was "
        "made from, and `phusa trace URL` follows a page from its fetch to what learnt from it."
    )


def _configuration(facts: Provenance) -> str:
    stages = {
        of.label: {
            "stage": of.stage,
            "digest": of.digest,
            "stage_version": of.code.stage_version,
            "source_sha256": of.code.source_sha256,
            "git_commit": of.code.git_commit,
            "figures": public(
                {k: v for k, v in of.stats.items() if not isinstance(v, dict | list)}
            ),
            "config": public(of.config),
        }
        for of in facts.manifests()
    }
    text = yaml.safe_dump(stages, sort_keys=False, allow_unicode=True, width=1000)
    return (
        "<details>\n<summary>Figures and the whole configuration of every stage</summary>\n\n"
        f"```yaml\n{text}```\n\n</details>"
    )


# --- words and tables -------------------------------------------------------------------------


def listed(words: Iterable[str]) -> str:
    """Write `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _globs(table: Table, manifest: Manifest) -> dict[str, str]:
    """Write where each split lies as `datasets` and people do: `documents/*.parquet`."""
    places = {split: table.splits[split] for split in table.rows(manifest)}
    return {s: f"{p}*.parquet" if p.endswith("/") else p for s, p in places.items()}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
