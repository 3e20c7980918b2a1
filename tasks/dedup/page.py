"""What a deduplication dropped, on its run's page: similarities, clusters, domains.

URLs, texts and domains come from the web and stand in fenced blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.parquet as pq

from storage.parquet import find_rows
from tasks.artifacts.artifact import Artifact
from tasks.dedup.evidence import (
    NUM_BINS,
    ClusterSize,
    Histogram,
    biggest_clusters,
    copying_domains,
    read_evidence,
    repeating_domains,
    similarities,
)
from tasks.domains import domains_of
from tasks.page import Picture, Section, escape, fence, new_figure, png_of, table

_CLUSTERS, _DOMAINS = 5, 10
_CHARACTERS = 200
_WIDEST = 34  # letters of a domain
_COLOURS = ("#2a9d8f", "#e9a23b", "#1d4ed8", "#9333ea", "#6b7280")


def sections(artifact: Artifact) -> Iterator[Section]:
    """Show what was dropped in favour of what; nothing if no document was."""
    paths = artifact.files("duplicates.parquet")
    histograms = similarities(read_evidence(paths, ["similarity", "method"]))
    if not sum(each.total for each in histograms):
        return
    threshold = float(str(artifact.manifest.config["threshold"]))
    png = draw_similarities(histograms, threshold)
    columns = ["kept_id", "kept_url", "kept_in", "similarity"]
    clusters = biggest_clusters(read_evidence(paths, columns), _CLUSTERS)
    parts = [
        _methods(histograms, threshold),
        "The biggest clusters, each by the document that was kept:",
        *_clusters(artifact, clusters),
        *_domains(artifact),
    ]
    picture = Picture("similarities", "duplicates by similarity", png)
    yield Section("Duplicates", "\n\n".join(parts), (picture,))


def _methods(histograms: Sequence[Histogram], threshold: float) -> str:
    """Count what each method found, and how much of that is near to the threshold."""
    near = slice(int(threshold * NUM_BINS + 1e-9), int((threshold + 0.05) * NUM_BINS + 1e-9))
    rows = [
        (escape(h.method), f"{h.total:,}", f"{h.identical:,}", f"{int(h.counts[near].sum()):,}")
        for h in histograms
    ]
    return table(("found by", "dropped", "similarity 1", f"{threshold:g} to +0.05"), rows)


def _clusters(artifact: Artifact, found: Sequence[ClusterSize]) -> list[str]:
    ids = {one.kept_id for one in found if not one.kept_in}
    rows = find_rows(artifact.files("documents/"), "document_id", ids, ("document_id", "text"))
    texts = {row["document_id"]: " ".join(row["text"][: 2 * _CHARACTERS].split()) for row in rows}
    blocks = []
    for one in found:
        where = f", in {one.kept_in}" if one.kept_in else ""
        size = f"{one.num_dropped + 1:,} documents, at least {one.least_similarity:.1%} alike"
        text = texts.get(one.kept_id, "")
        start = f"\n\n{text[:_CHARACTERS].rstrip()} …" if text else ""
        head = f"{size}; phusa dedup show {one.kept_id[:12]}"
        blocks.append(fence(f"{head}\n{one.kept_url}{where}{start}"))
    return blocks


def _domains(artifact: Artifact) -> list[str]:
    paths = artifact.files("duplicates.parquet")
    dropped = domains_of(read_evidence(paths, ["url"])["url"])
    kept_for = domains_of(read_evidence(paths, ["kept_url"])["kept_url"])
    kept: Counter[str] = Counter()
    for path in artifact.files("documents/"):  # one by one: URLs are 100 MB for a million
        domains = domains_of(pq.read_table(path, columns=["url"])["url"])
        counts = np.bincount(domains.indices.to_numpy(), minlength=len(domains.dictionary))
        kept.update(dict(zip(domains.dictionary.to_pylist(), counts.tolist(), strict=True)))
    repeating = repeating_domains(kept, dropped, kept_for, _DOMAINS)
    rows = [
        (
            one.domain, f"{one.dropped:,}", f"{one.dropped / one.documents:.1%}",
            f"{one.documents:,}", f"{one.for_own:,}",
        )
        for one in repeating
    ]  # fmt: skip
    header = ("domain", "dropped", "share", "of", "for its own")
    parts = ["Domains that repeat themselves most:", fence(_aligned([header, *rows]))]
    pairs = [
        (one.one, one.other, f"{one.of_one:,}", f"{one.of_other:,}")
        for one in copying_domains(dropped, kept_for, _DOMAINS)
    ]
    if pairs:
        heads = ("domain", "other", "dropped for other", "and the other way")
        parts += ["Domains that have the same as another:", fence(_aligned([heads, *pairs]))]
    return parts


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Align columns of names to the left, of numbers to the right."""
    cut = [[c if len(c) <= _WIDEST else f"{c[: _WIDEST - 1]}…" for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    is_number = [cell[:1].isdigit() and cell[-1:] in "0123456789%" for cell in cut[-1]]
    is_number[0] = False  # 127.0.0.1
    lines = (
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in cut
    )
    return "\n".join(lines)


def draw_similarities(histograms: Sequence[Histogram], threshold: float) -> bytes:
    """Draw a PNG of documents by their similarity to the one kept, with the threshold.

    Those of similarity 1 are a number beside it: as a bar they would hide all others.
    """
    figure = new_figure(7.2, 3.2)
    axes = figure.subplots()
    edges = np.arange(NUM_BINS) / NUM_BINS
    below = np.zeros(NUM_BINS)
    for place, each in enumerate(histograms):
        if each.counts.any():
            colour = _COLOURS[place % len(_COLOURS)]
            axes.bar(
                edges, each.counts, 1 / NUM_BINS, below, align="edge", color=colour,
                label=each.method,
            )  # fmt: skip
            below += each.counts
    axes.axvline(threshold, color="#b3261e", linestyle="--", label=f"threshold {threshold:g}")
    drawn = np.flatnonzero(below)
    lowest = min(threshold, edges[drawn[0]] if drawn.size else threshold)
    axes.set_xlim(max(0.0, lowest - 0.05), 1)
    axes.set_xlabel("similarity to the kept document")
    axes.set_ylabel("dropped documents")
    identical = sum(each.identical for each in histograms)
    axes.set_title(f"{int(below.sum()):,} below similarity 1, and {identical:,} of similarity 1")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    return png_of(figure)
