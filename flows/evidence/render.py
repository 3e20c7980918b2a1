"""`phusa dedup …` for people: clusters, their members, and what these differ by."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from flows.evidence.cluster import Cluster, Member
from flows.evidence.differences import Difference, Piece
from tasks.dedup.evidence import ClusterSize
from tasks.dedup.ranking import BY_ID, Decision, Value

_STYLES = {"both": "dim", "kept": "red", "dropped": "green"}
_MARKS = {"both": ("", ""), "kept": ("[-", "-]"), "dropped": ("{+", "+}")}
_UNITS = {"longest": " words", "shortest_url": " characters"}
_KEPT_CONTROLS = frozenset("\n\t\u200c\u200d")  # the joiners are part of Persian and Hindi words


def show_top(console: Console, label: str, found: Sequence[ClusterSize]) -> None:
    """One row for each cluster."""
    if not found:
        console.print(f"{label} dropped no duplicate", highlight=False)
        return
    _say(console, f"biggest clusters of {label}", "bold")
    _say(console, "cluster       documents  least alike  kept", "bold")
    for one in found:
        where = f"  in {one.kept_in}" if one.kept_in else ""
        size, least = one.num_dropped + 1, one.least_similarity
        _say(console, f"{one.kept_id[:12]}  {size:>9,}  {least:>11.1%}  {one.kept_url}{where}")
    _say(console, f"phusa dedup show {found[0].kept_id[:12]} shows the first of them")


def show_cluster(console: Console, found: Cluster) -> None:
    """The kept document, then each dropped one with why and what differs."""
    _say(console, f"cluster {found.kept_id} of {found.artifact}", "bold")
    where = f", in the earlier corpus {found.kept_in}" if found.kept_in else ""
    _say(console, f"kept     {found.kept_url}{where}", "bold")
    policy = ", ".join((*found.keep, BY_ID))
    _say(
        console,
        f"dropped  {found.num_dropped:,}; threshold {found.threshold:.0%}, kept first by {policy}",
    )
    for problem in found.problems:
        _say(console, problem, "red")
    if any(member.difference for member in found.members):
        _say(console, "[-only in the kept one-] {+only in the dropped one+}", "dim")
    for number, member in enumerate(found.members, 1):
        _show_member(console, found, number, member)
    hidden = found.num_dropped - len(found.members)
    if hidden:
        _say(
            console,
            f"\n{hidden:,} more, as much alike or more; --most {found.num_dropped} shows all",
        )


def _show_member(console: Console, cluster: Cluster, number: int, member: Member) -> None:
    console.print()
    _say(console, f"{number}. {member.url}", "cyan")
    _say(
        console,
        f"   {member.similarity:.1%} alike, found by {member.method}; {_why(cluster, member)}",
    )
    if member.difference is not None:
        _show_difference(console, member.difference)


def _why(cluster: Cluster, member: Member) -> str:
    if cluster.kept_in:
        return f"{cluster.kept_in} keeps what it has"
    if member.decision is None:
        return "which rule kept the other is not known without the texts"
    return _tell(member.decision)


def _tell(decision: Decision) -> str:
    kept, dropped = (_value(decision.rule, v) for v in (decision.kept, decision.dropped))
    if decision.rule == BY_ID:
        return f"equal by all rules, so the lower id stays: {kept} before {dropped}"
    return f"{decision.rule}: {kept} before {dropped}"


def _value(rule: str, value: Value) -> str:
    if value is None:
        return "no pattern"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}{_UNITS.get(rule, '')}"
    return value


def _show_difference(console: Console, found: Difference) -> None:
    if not found.pieces:
        _say(console, "   the same text, white space aside")
        return
    counts = (f"{found.only_kept:,}", f"{found.only_dropped:,}")
    _say(console, f"   {found.unit} in the kept one alone {counts[0]}, in this one {counts[1]}:")
    text = Text()
    for piece in found.pieces:
        text.append_text(_mark(piece, found.unit))
    if found.more:
        text.append(f"\n… {found.more:,} more differences", "dim")
    for line in text.split("\n"):
        if line.plain.strip():
            console.print(Text("   │ ") + line, soft_wrap=True)


def _mark(piece: Piece, unit: str) -> Text:
    """The piece between its marks; white space after it stays outside of them."""
    text = _plain(piece.text)
    body = text.rstrip()
    before, after = _MARKS[piece.where]
    shown = Text(style=_STYLES[piece.where])
    folded = f" … {_count(piece.folded, unit)} … " if piece.folded else ""
    if piece.where == "both":
        return shown.append(text + folded)
    return shown.append(before + body + folded.rstrip() + after).append(text[len(body) :])


def _count(number: int, units: str) -> str:
    return f"{number:,} {units if number != 1 else units.removesuffix('s')}"


def _say(console: Console, text: str, style: str = "") -> None:
    # URLs are printed as they are, and whole, however narrow the terminal.
    console.print(_plain(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _plain(text: str) -> str:
    """Text from the web without what a terminal obeys."""
    return "".join(c if c.isprintable() or c in _KEPT_CONTROLS else " " for c in text)
