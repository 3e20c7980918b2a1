"""What a quality classifier has learnt, and what it makes of the corpus, for people to judge it.

N-grams and texts are from the web: they stand in fenced blocks alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flows.run_page.markdown import escape, fence, number, table
from flows.run_page.plots import plot_scores
from storage.manifest import Manifest
from storage.parquet import find_rows, read_table
from storage.store import Store

EVALUATION = "evaluation.json"
_NGRAMS = 20
_PLACES = {"lowest": 0.0, "low": 0.25, "middle": 0.5, "high": 0.75, "highest": 1.0}
_CHARACTERS = 300


def quality_section(store: Store, manifest: Manifest, action: str) -> str:
    """Markdown with the evaluation, the scores of the corpus and the n-grams that decide.

    Empty for other artifacts, and for one without a classifier. What is reused shows no picture:
    it is on the page of the run that built it.
    """
    told = read_evaluation(store, manifest)
    if told is None:
        return ""
    parts = [_held_out(told), _corpus(told), _ngrams(told["ngrams"])]
    if action != "reused":
        corpus = told["corpus"]
        drawn = plot_scores(corpus["histogram"], corpus["threshold"])
        parts.insert(2, f"![documents by score, and the threshold]({drawn})")
    return "\n\n".join(parts)


def read_evaluation(store: Store, manifest: Manifest) -> dict[str, Any] | None:
    """The evaluation that is sealed with a quality artifact; None if there is none."""
    held = any(entry.path == EVALUATION for entry in manifest.files)
    if manifest.name != "quality" or not held:
        return None
    (path,) = store.files(manifest, EVALUATION)
    told: dict[str, Any] = json.loads(path.read_bytes())
    return told


def _held_out(told: Mapping[str, Any]) -> str:
    held, examples = told["held_out"], told["examples"]
    rows = [
        ("AUC", number(held["auc"])),
        (f"precision at {number(held['threshold'])}", number(held["precision"])),
        ("recall", number(held["recall"])),
        ("F1", number(held["f1"])),
        ("calibration error", number(held["calibration_error"])),
    ]
    rows += [
        (
            f"{side} examples",
            f"{of['used']:,}, of them {of['held_out']:,} held out by {of['held_out_by']}",
        )
        for side, of in examples.items()
    ]
    return f"On examples that were held out:\n\n{table(('', ''), rows)}"


def _corpus(told: Mapping[str, Any]) -> str:
    corpus = told["corpus"]
    rows = [
        (escape(name), f"{of['documents']:,}", f"{of['kept']:,}", number(of["mean_score"]))
        for name, of in _largest(corpus["languages"])
    ]
    head = f"Of {corpus['documents']:,} documents {corpus['kept']:,} are kept:"
    return f"{head}\n\n{table(('language', 'documents', 'kept', 'mean score'), rows)}"


def _largest(languages: Mapping[str, Any], most: int = 12) -> Sequence[tuple[str, Any]]:
    ordered = sorted(languages.items(), key=lambda item: (-item[1]["documents"], item[0]))
    return ordered[:most]


def _ngrams(sides: Mapping[str, Any]) -> str:
    """In good and in bad texts, how many of them hold it: a menu or a name shows at once."""
    blocks = []
    for side, rows in sides.items():
        lines = ["  good    bad  weight  n-gram"]
        lines += [
            f"{row['in_good']:6.1%} {row['in_bad']:6.1%} {row['weight']:+7.2f}  {row['ngram']}"
            for row in rows[:_NGRAMS]
        ]
        blocks.append(f"What speaks for {side}:\n\n" + fence("\n".join(lines)))
    return "\n\n".join(blocks)


def scored_samples(store: Store, manifest: Manifest, prompts: Sequence[str]) -> str:
    """Documents of the first file of scores, from the lowest to the highest."""
    entry = next((e for e in manifest.files if e.path.startswith("scores/") and e.rows), None)
    if entry is None:
        return ""
    scored = read_table(store.files(manifest, entry.path))
    order = np.argsort(scored["score"].to_numpy(), kind="stable")
    rows = {name: scored.slice(order[round(at * (len(order) - 1))], 1).to_pylist()[0]
            for name, at in _PLACES.items()}  # fmt: skip
    reference = manifest.inputs["clean"]
    clean = store.manifest(reference.name, reference.version)
    ids = {row["document_id"] for row in rows.values()}
    texts: dict[str, str] = {}
    for path in store.files(clean, "documents/"):
        found = find_rows([path], "document_id", ids, ["document_id", "text"])
        texts |= {row["document_id"]: row["text"] for row in found}
        if len(texts) == len(ids):
            break
    return "\n\n".join(
        fence(
            f"{name}: {row['score']:.4f}, {row['language']}\n{row['url']}\n\n"
            f"{texts.get(row['document_id'], '')[:_CHARACTERS].rstrip()} …"
        )
        for name, row in rows.items()
    )
