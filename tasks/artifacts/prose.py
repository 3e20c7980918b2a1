"""Lists and numbers as traces tell them to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

FEW, SOME = 3, 10
"""Items of a list that people are told; JSON has all."""


def count(number: int, unit: str) -> str:
    """Say `1 token`, `2,048 tokens`."""
    return f"{number:,} {unit}{'s' * (number != 1)}"


def first(items: Sequence[T], most: int, line: Callable[[T], str]) -> Iterator[str]:
    """Tell the first items, a line for each, and how many more there are."""
    yield from (f"  {line(item)}" for item in items[:most])
    if len(items) > most:
        yield f"  (+{len(items) - most:,} more)"


def steps(numbers: Sequence[int]) -> str:
    """Say `steps 3, 17, 804 (+12 more)`."""
    more = f" (+{len(numbers) - FEW:,} more)" if len(numbers) > FEW else ""
    return f"step{'s' * (len(numbers) > 1)} {', '.join(f'{n:,}' for n in numbers[:FEW])}{more}"


def as_yaml(value: object, *, inline: bool = False) -> str:
    """Write what JSON can hold as people write it in a recipe; `inline` in one line."""
    import yaml  # the types are imported by every command

    text: str = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=2**20, default_flow_style=inline
    )
    return text.removesuffix("...\n").rstrip("\n")
