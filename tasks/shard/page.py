"""What token shards are made of, on the page of their run."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.artifacts.artifact import Artifact
from tasks.page import Section, fence, share


def sections(artifact: Artifact) -> Iterator[Section]:
    """Show tokens to train on by source, language and group, and what is known of the held out.

    Names of hosts come from the web, and stand in fenced blocks.
    """
    stats = artifact.manifest.stats
    if "overlap_measured" in stats:
        seen, of = (int(str(stats[f"overlap_{name}"])) for name in ("documents", "measured"))
        says = f"Of the 5-grams of what is held out, {stats['overlap_share']:.1%} occur in training"
        yield Section("Held out", f"{says}; in {seen:,} of {of:,} documents, over half do.")
    for what in ("source", "language", "mixture"):
        found = stats.get(f"{what}_tokens")
        if isinstance(found, dict) and found:
            counts = {name: int(str(tokens)) for name, tokens in found.items()}
            total = sum(counts.values())
            lines = [f"{n:>15,}  {share(n, total):>7}  {name}" for name, n in counts.items()]
            yield Section(f"Tokens to train on, by {what}", fence("\n".join(lines)))
