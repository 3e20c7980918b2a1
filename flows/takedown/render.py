"""What `phusa forget` prints for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from flows.stages import STAGES
from flows.takedown.purge import Plan, Purged
from flows.takedown.record import Found, Holder, MarkedModel, Recorded


def show_found(console: Console, found: Found) -> None:
    """The takedown, what holds it, which models saw it, and where the same text is."""
    _print(console, _found_lines(found))


def show_plan(console: Console, plan: Plan) -> None:
    """What a purge is about to do."""
    old = [label for label in plan.buries if label not in plan.makes]
    lines = ["", "purge"]
    lines += [f"  {label}: a new version without it, then it goes" for label in plan.makes]
    lines += [f"  {label}: goes; it is neither the newest nor named" for label in reversed(old)]
    lines += [f"  {label}: goes from quarantine" for label in plan.withdraws]
    if plan.makes:
        lines.append("  what was made from these is built again where it changes")
    _print(console, lines)


def show_purged(console: Console, purged: Purged) -> None:
    """What a purge did beyond the new versions, which were said as they were made."""
    lines = [f"alias {moved}" for moved in purged.aliases]
    gone = [*purged.buried, *purged.withdrawn]
    lines += [f"gone: {', '.join(gone)}; manifests are kept"] if gone else []
    lines += [f"dropped {line}" for line in purged.dropped]
    if purged.left:
        lines += ["still there:", *_named(purged.left)]
    else:
        lines.append("no data in the store holds it any more")
    _print(console, lines)


def show_recorded(console: Console, recorded: Sequence[Recorded]) -> None:
    """Every takedown: when, by whom, why, and what holds it still."""
    lines = []
    for one in recorded:
        taken = one.takedown
        lines.append(f"{taken.rule}")
        lines.append(f"  {taken.at:%Y-%m-%d %H:%M} UTC by {taken.by}: {taken.why}")
        lines.append(f"  held by {', '.join(one.holders) or 'nothing any more'}")
        if one.models:
            lines.append(f"  seen by {', '.join(one.models)}")
    _print(console, lines or ["nothing was taken down"])


def _found_lines(found: Found) -> Iterator[str]:
    taken = found.takedown
    if found.is_new:
        *names, last = [stage.name for stage in STAGES.values() if stage.leaves_out]
        stages = f"{', '.join(names)} and {last}"
        yield f"{taken.rule}: taken down; {stages} leave it out from now on"
    else:
        yield f"{taken.rule}: taken down {taken.at:%Y-%m-%d %H:%M} UTC by {taken.by}: {taken.why}"
    yield "held by" if found.holders else "nothing holds it now"
    yield from map(_holder, found.holders)
    if found.models:
        yield "seen by, and marked"
        yield from map(_model, found.models)
    if found.moved:
        yield "it redirects to another URL, which is not covered:"
        yield from (f"  {url}" for url in found.moved)
    if found.alike:
        yield "the same or nearly the same text is also at, and is not covered:"
        yield from (f"  {url}" for url in found.alike)
    if found.unreadable:
        yield "cannot be looked into, and may hold it:"
        yield from _named(found.unreadable)


def _holder(holder: Holder) -> str:
    amount = _count(holder.amount, holder.unit)
    if holder.unit in ("sequences", "pairs"):
        amount += f" of {_count(holder.documents, 'documents')}"
    state = ", in quarantine" if holder.quarantined else ""
    return f"  {holder.artifact}{_aliases(holder.aliases)}: {amount}{state}"


def _model(saw: MarkedModel) -> str:
    parts = []
    if saw.pairs:
        parts.append(_count(saw.pairs, "pairs"))
    if saw.base is not None:
        tokens = "some" if saw.tokens is None else f"{saw.tokens:,}"
        parts.append(f"{tokens} tokens through {saw.base}")
    elif saw.tokens is not None:
        parts.append(f"{saw.tokens:,} tokens")
    elif saw.documents is not None:
        parts.append(_count(saw.documents, "documents"))
    seen = ", ".join(parts) or "an amount that was not kept"
    return f"  {saw.artifact}{_aliases(saw.aliases)}: {seen}"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit if number != 1 else unit[:-1]}"


def _aliases(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _named(problems: Mapping[str, str]) -> Iterator[str]:
    return (f"  {label}: {problem}" for label, problem in problems.items())


def _print(console: Console, lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
