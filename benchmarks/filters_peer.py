"""datatrove's filters on documents from standard input: what `benchmarks.filters` compares with.

Runs in datatrove's own environment. With `own`, as it comes: with its own tokenizers, spaCy's.
Else in their place stand phusa's words and sentences, so that both sides judge the same ones:
`str.split`, or for scripts without spaces the words that are sent along. datatrove keeps the last
five texts' words, so its filters share them as phusa's do.

Reads lines of JSON: first the filters and the number of documents, then one document a line, then
commands; answers each with a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import tldextract
from datatrove.data import Document
from datatrove.pipeline import filters
from datatrove.utils import word_tokenizers
from datatrove.utils.text import PUNCTUATION_SET


class Tokens:
    """The words and sentences of the documents, as phusa splits them."""

    def __init__(self) -> None:
        self.words: dict[str, list[str]] = {}
        self.sentences: dict[str, int] = {}

    def word_tokenize(self, text: str) -> list[str]:
        return self.words[text] if text in self.words else text.split()

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))] * self.sentences.get(text, 1)


class Peer:
    """The filters, the documents, and what is asked of them."""

    def __init__(self, rules: list[Any], rows: list[dict[str, Any]]) -> None:
        self.rules, self.rows = rules, rows

    def filter(self, rule: Any, row: dict[str, Any]) -> tuple[Any, str]:
        document = Document(text=row["text"], id="", metadata={"url": row["url"]})
        if isinstance(rule, filters.GopherQualityFilter):  # one for each language
            rule.stop_words, rule.min_stop_words = row["stop_words"], 2 * bool(row["stop_words"])
        return rule.filter(document), document.text

    def verdicts(self) -> dict[str, Any]:
        """The reason for each document, or null, by filter; the texts that C4 leaves."""
        reasons: list[list[str | None]] = []
        texts: list[str] = []
        for rule in self.rules:
            found = [self.filter(rule, row) for row in self.rows]
            reasons.append([None if verdict is True else verdict[1] for verdict, _ in found])
            if isinstance(rule, filters.C4QualityFilter):
                texts = [text for _, text in found]
        return {"reasons": reasons, "texts": texts, "punctuation": sorted(PUNCTUATION_SET)}

    def timed(self, rules: list[Any]) -> float:
        """CPU seconds of all documents, one after the other through all filters."""
        begun = time.process_time()
        for row in self.rows:
            for rule in rules:
                self.filter(rule, row)
        return time.process_time() - begun

    def answer(self, command: str) -> Any:
        if command == "verdicts":
            return self.verdicts()
        which = command.split()[1]
        return self.timed(self.rules if which == "all" else [self.rules[int(which)]])


def main() -> None:
    tokens: Any = Tokens()
    if sys.argv[1:] != ["own"]:
        word_tokenizers.load_word_tokenizer = lambda _language: tokens
    given = json.loads(sys.stdin.readline())
    rules = [getattr(filters, name)(**arguments) for name, arguments in given["rules"]]
    for rule in rules:
        if isinstance(rule, filters.URLFilter):  # the list of suffixes that it bundles, no download
            rule.tldextractor = tldextract.TLDExtract(suffix_list_urls=())
    rows = [json.loads(sys.stdin.readline()) for _ in range(given["documents"])]
    for row in rows:
        row["stop_words"] = set(row["stop_words"])
        tokens.sentences |= row["sentences"]
        if row["words"]:
            tokens.words[row["text"]] = row["words"]
    peer = Peer(rules, rows)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.answer(line.strip())), flush=True)


if __name__ == "__main__":
    main()
