"""Which examples a model is trained from, and which it is measured on.

Pages of one host share a frame, an author and often their text: a model that has seen one knows the
others. So a host's examples are all on one side. Where there are too few hosts for that, or no
URLs, texts are told apart by their normalised form, of which each is one example.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tasks.quality.examples.reading import Example, rank

MIN_HOSTS = 20
Rule = Literal["host", "text"]


@dataclass(frozen=True)
class Split:
    """The two sides, in the order of the examples, and what kept them apart."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    rule: Rule


def split(examples: Sequence[Example], share: float, seed: int) -> Split:
    """Hold `share` of the examples (0-1) out, by the hashes of their hosts or texts.

    Hosts with more pages than still fit are trained from.
    """
    hosts = {example.id: _host(example.url) for example in examples}
    if len(set(hosts.values())) >= MIN_HOSTS:
        wanted = share * len(examples)
        apart = _by(examples, lambda example: hosts[example.id], share, seed, "host")
        if len(apart.held_out) >= wanted / 2:
            return apart
    return _by(examples, lambda example: example.id, share, seed, "text")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _by(
    examples: Sequence[Example],
    group_of: Callable[[Example], str],
    share: float,
    seed: int,
    rule: Rule,
) -> Split:
    groups = defaultdict[str, list[str]](list)
    for example in examples:
        groups[group_of(example)].append(example.id)
    room, held = max(1, math.floor(share * len(examples) + 0.5)), set[str]()
    for name in sorted(groups, key=lambda name: (rank(seed, f"held out {name}"), name)):
        if len(held) + len(groups[name]) <= room:
            held.update(groups[name])
    return Split(
        tuple(example for example in examples if example.id not in held),
        tuple(example for example in examples if example.id in held),
        rule,
    )
