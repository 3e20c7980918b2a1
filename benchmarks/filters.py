"""The quality filters beside datatrove's: same verdicts on real documents, and the speed of both.

`python -m benchmarks.filters --datatrove peers/bin/python`, with datatrove in a virtual environment
of its own (`python -m venv peers && peers/bin/pip install 'datatrove[processing]==0.10.1' spacy`).
Documents: see `benchmarks.filters_documents`; `--articles` is the folder of Zyte's article
extraction benchmark. Both sides judge the same words and sentences, see
`benchmarks.filters_peer`, with the same thresholds. Speed is measured so, and with datatrove as it
comes, whose own tokenizers are spaCy's, on some of the English documents.

Agreement: both keep a document, or both drop it and the rule that datatrove names is broken here
too. Every other document is listed with its cause. Speed: CPU time of judging every document by
every filter, in turn, several times; the median counts. datatrove stops at the first broken rule of
a filter; phusa measures all rules.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from benchmarks.filters_causes import UNEXPLAINED, cause, line_cause
from benchmarks.filters_documents import documents
from benchmarks.filters_pairs import PAIRS, Pair
from benchmarks.ledger import record
from tasks.clean.filters import Candidate
from tasks.clean.filters.gopher_quality import STOP_WORDS
from tasks.clean.trims import C4Lines, trim
from tasks.words import UNSPACED
from tests.tasks.clean.golden.made_up import made_up
from tests.tasks.clean.measures import count_sentences

COMMAND = "python -m benchmarks.filters --datatrove PATH"
PEER = Path(__file__).with_name("filters_peer.py")


class Peer:
    """datatrove, in its own process."""

    def __init__(self, python: Path, found: Sequence[Candidate], *how: str) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen([python.absolute(), PEER, *how], text=True, **pipes)
        rules = [[pair.name, pair.arguments] for pair in PAIRS]
        self._say(json.dumps({"rules": rules, "documents": len(found)}))
        for one in found:
            self._say(json.dumps(_row(one)))
        self._ask("")

    def ask(self, command: str) -> Any:
        self._say(command)
        return self._ask(command)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")

    def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"datatrove ended at {command!r}; expected an answer")
        return json.loads(answer)


def _row(candidate: Candidate) -> dict[str, Any]:
    """A document for the peer, with what stands for its tokenizers."""
    lines = [line.strip() for line in C4Lines().without_citations(candidate.text).split("\n")]
    sentences = {line: number for line in lines if (number := count_sentences(line, 1)) != 1}
    unspaced = candidate.language in UNSPACED
    return {
        "text": candidate.text,
        "url": candidate.url,
        "words": candidate.words if unspaced else [],
        "stop_words": sorted(STOP_WORDS.get(candidate.language, ())),
        "sentences": sentences,
    }


def golden(python: Path, to: Path) -> None:
    """Write what datatrove says of the made-up documents that the tests judge too."""
    found = made_up()
    answer = Peer(python, found).ask("verdicts")
    kept = {
        "made_by": "python -m benchmarks.filters --datatrove PATH --golden FILE, datatrove 0.10.1",
        "digests": [xxhash.xxh3_64_hexdigest(one.text.encode()) for one in found],
        "punctuation": "".join(answer["punctuation"]),
        "reasons": {pair.name: of for pair, of in zip(PAIRS, answer["reasons"], strict=True)},
        "c4_lines": [xxhash.xxh3_64_hexdigest(text.encode()) for text in answer["texts"]],
    }
    to.write_text(json.dumps(kept, indent=0) + "\n")


def compare(peer: Peer, found: Sequence[Candidate]) -> None:
    """Print agreement and every difference's cause, filter by filter."""
    answer = peer.ask("verdicts")
    punctuation = frozenset(answer["punctuation"])
    for pair, theirs in zip(PAIRS, answer["reasons"], strict=True):
        causes: Counter[str] = Counter()
        for candidate, reason in zip(found, theirs, strict=True):
            broken = pair.broken(candidate)
            if pair.agrees(reason, broken):
                continue
            why = cause(candidate, reason, broken, punctuation)
            causes[why] += 1
            if why == UNEXPLAINED:
                print(f"  {candidate.url} {reason} {sorted(broken)}")
        agreed, dropped = len(found) - causes.total(), len(theirs) - theirs.count(None)
        print(f"{pair.name}: {agreed:,} of {len(found):,} verdicts agree ({dropped:,} dropped)")
        for why, number in causes.most_common():
            print(f"  {number:5} {why}")
    compare_texts(found, answer["reasons"], answer["texts"])


def compare_texts(
    found: Sequence[Candidate],
    reasons: Sequence[Sequence[str | None]],
    texts: Sequence[str],
) -> None:
    """Print in how many documents the lines are those that C4's rules keep at datatrove."""
    (number,) = (n for n, pair in enumerate(PAIRS) if pair.trims)
    kept = [n for n, reason in enumerate(reasons[number]) if reason is None]
    causes: Counter[str] = Counter()
    for n in kept:
        mine = trim(PAIRS[number].trims, found[n].text).text.split("\n")
        lines = [line.strip() for line in mine if line]
        theirs = [line.strip() for line in texts[n].split("\n")]
        if lines != theirs:
            causes[line_cause(set(lines) ^ set(theirs), found[n].text)] += 1
    agreed = len(kept) - causes.total()
    print(f"C4's lines: {agreed:,} of {len(kept):,} texts agree, but for indents and blank lines")
    for why, count in causes.most_common():
        print(f"  {count:5} {why}")


def ours(found: Sequence[Candidate], pairs: Sequence[Pair]) -> float:
    """CPU seconds of judging every document, nothing known of it before."""
    begun = time.process_time()
    for one in found:
        candidate = Candidate(one.text, one.language, one.url)
        for pair in pairs:
            pair.broken(candidate)
    return time.process_time() - begun


def race(peer: Peer, found: Sequence[Candidate], repeats: int, how: str) -> None:
    """Both in turn: each filter alone, and all of them."""
    words = sum(len(one.words) for one in found)
    what = f"{len(found):,} real documents, {words / 1e6:.1f} M words, CPU"
    sides = [(pair.name, [pair], str(number)) for number, pair in enumerate(PAIRS)]
    for name, pairs, which in [*sides, ("all", list(PAIRS), "all")]:
        runs = [(ours(found, pairs), float(peer.ask(f"pass {which}"))) for _ in range(repeats)]
        mine, theirs = (statistics.median(side) for side in zip(*runs, strict=True))
        print(f"{name}: seconds, phusa and datatrove in turn:", _told(runs))
        record(
            f"filters, {name}, {how}",
            f"{what}; peer: datatrove 0.10.1, {how}",
            f"{len(found) / mine:,.0f} documents/s",
            f"{len(found) / theirs:,.0f} documents/s",
            f"{theirs / mine:.1f}x",
            COMMAND,
        )


def _told(runs: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{mine:.2f} {theirs:.2f}" for mine, theirs in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datatrove", type=Path, required=True, help="python with datatrove")
    parser.add_argument(
        "--articles", type=Path, default=Path("../shared/data/article-extraction"), help="folder"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-race", action="store_true", help="compare verdicts only")
    parser.add_argument("--golden", type=Path, help="write the tests' golden file and end")
    given = parser.parse_args()
    if given.golden:
        return golden(given.datatrove, given.golden)
    found = documents(given.articles)
    peer = Peer(given.datatrove, found)
    compare(peer, found)
    if not given.no_race:
        race(peer, found, given.repeats, "given words and sentences")
        some = [one for one in found if one.language == "en"][::4]
        own = Peer(given.datatrove, some, "own")
        race(own, some, 3, "with its own tokenizers")
    return None


if __name__ == "__main__":
    main()
