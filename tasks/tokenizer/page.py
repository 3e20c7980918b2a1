"""A tokenizer's report on the page of its run: figures by language, entries, and pictures.

Entries are from the web: they stand in fenced blocks alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.artifacts.artifact import Artifact
from tasks.artifacts.tokenizer import read_report
from tasks.page import Picture, Section, escape, fence, new_figure, png_of, share, table

_LANGUAGES = 12
_SAYS = {
    "own": "this tokenizer",
    "held_out": "its knobs, held out",
    "gpt2": "GPT-2's split, held out",
}
_COLOURS = {"own": "#1d4ed8", "held_out": "#93c5fd", "gpt2": "#b45309"}


def sections(artifact: Artifact) -> Iterator[Section]:
    """Show the report; nothing of a tokenizer that has none, or was measured on no text."""
    report = read_report(artifact)
    if report is None or not report["bytes"]:
        return
    pictures = (
        Picture("languages", "bytes a token, by language", draw_languages(report)),
        Picture("lengths", "entries by their length in bytes", draw_lengths(report)),
        Picture("ranks", "how often entries are used, by rank", draw_ranks(report)),
    )
    yield Section("Tokens", "\n\n".join(_parts(report)), pictures)


def _parts(report: Mapping[str, Any]) -> Iterator[str]:
    peers, covered, broken = report["peers"], report["coverage"], report["not_utf8"]
    beside = (
        f"What is *held out* has {peers['entries']:,} entries of {peers['trained_on_bytes']:,} "
        "bytes of other documents alone. "
        if peers["entries"]
        else "There is too little text to train others on for comparison. "
    )
    yield (
        f"Measured on {report['bytes']:,} bytes of {report['documents']:,} documents, which it has "
        f"learnt from. {beside}Plain bytes are 1 byte a token."
    )
    head = ("language", "documents", "bytes", "tokens a word", *_SAYS.values())
    yield table(head, map(_row, list(report["languages"].items())[: _LANGUAGES + 1]))
    facts = {
        "entries that occur in this text": f"{report['used']:,} of {report['usable']:,}",
        "tokens of known text": _percent(covered["known_tokens"]),
        "texts that read back the same": _percent(covered["same_texts"]),
        "entries that are no UTF-8 by themselves": f"{broken['entries']:,}, "
        f"{broken['longer']:,} of more than a byte",
    }
    yield table(("", ""), facts.items())
    for title, lines in (
        ("Longest entries", report["longest"]),
        ("Strangest entries", [f"{entry}  {why}" for entry, why in report["strangest"]]),
        ("Longest that are no UTF-8", broken["longest"]),
    ):
        if lines:
            yield f"{title}:\n\n{fence(chr(10).join(lines))}"


def _row(item: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    language, row = item
    rates = (f"{row['bytes_per_token'].get(name, 0):.2f}" for name in _SAYS)
    words = f"{row['tokens_per_word']:.2f}" if "tokens_per_word" in row else ""
    shown = escape(language) or "all"
    return shown, f"{row['documents']:,}", f"{row['bytes']:,}", words, *rates


def _percent(part: float | None) -> str:
    return "" if part is None else share(round(part * 1e6), 10**6)


# --- pictures -------------------------------------------------------------------------------------


def draw_languages(report: Mapping[str, Any]) -> bytes:
    """Draw a PNG of bytes a token, a group of bars for each language and one for all."""
    rows = list(report["languages"].items())[: _LANGUAGES + 1]
    names = [name for name in _SAYS if name in rows[0][1]["bytes_per_token"]]
    figure = new_figure(7.2, 3)
    axes = figure.subplots()
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        heights = [row["bytes_per_token"].get(name, 0) for _, row in rows]
        lefts = [at - 0.4 + place * width for at in range(len(rows))]
        axes.bar(lefts, heights, width, align="edge", color=_COLOURS[name], label=_SAYS[name])
    axes.axhline(1, color="#b3261e", linestyle="--", label="plain bytes")
    axes.set_xticks(range(len(rows)), [language[:8] or "all" for language, _ in rows])
    axes.set_ylabel("bytes a token")
    axes.margins(y=0.35)
    axes.legend(loc="upper right", frameon=False, ncols=2, fontsize="small")
    return png_of(figure)


def draw_lengths(report: Mapping[str, Any]) -> bytes:
    """Draw a PNG of entries by length; the last bar has all that are longer."""
    most = 24
    counts = [0] * most
    for length, count in report["lengths"]:
        counts[min(max(length, 1), most) - 1] += count
    return _drawn(range(1, most + 1), counts, "bytes of an entry", "entries")


def draw_ranks(report: Mapping[str, Any]) -> bytes:
    """Draw a PNG of uses by rank, both on scales of tenfolds; words fall along a straight line."""
    figure = new_figure(7.2, 2.5)
    axes = figure.subplots()
    axes.loglog(*zip(*report["ranks"], strict=True), color="#1d4ed8")
    axes.axvline(report["usable"], color="#b45309", linestyle="--", label="entries there are")
    axes.set_xlabel("entries, from the most used")
    axes.set_ylabel("uses")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return png_of(figure)


def _drawn(lefts: Sequence[int], heights: Sequence[int], across: str, up: str) -> bytes:
    figure = new_figure(7.2, 2.5)
    axes = figure.subplots()
    axes.bar(lefts, heights, 0.9, color="#93c5fd", edgecolor="#1d4ed8")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    return png_of(figure)
