"""datatrove's filters on documents from standard input: what `benchmarks.filters` compares with.

Runs in datatrove's own environment. Its word and sentence tokenizers (NLTK, spaCy) need models that
must be downloaded; in their place stand phusa's words and sentences, which are given, so both
sides judge the same ones. Splitting is timed on neither side but for `str.split`, see `Tokens`.

Reads lines of JSON: first {"rules": [[filter class, arguments], ...]}, then one document a line.
Answers `ready`, then to each `pass` one line: CPU seconds of each filter; to `verdicts`, one list of
reasons (or null) for each filter, and the texts as C4 leaves them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from datatrove.data import Document
from datatrove.pipeline import filters
from datatrove.utils import word_tokenizers


class Tokens:
    """The words and sentences of the documents, as phusa splits them."""

    def __init__(self) -> None:
        self.units: dict[str, list[str]] = {}
        self.sentences: dict[str, int] = {}

    def word_tokenize(self, text: str) -> list[str]:
        return self.units.get(text) or text.split()

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))] * self.sentences.get(text, 1)


def main() -> None:
    tokens = Tokens()
    tokenizer: Any = tokens
    word_tokenizers.load_word_tokenizer = lambda language: tokenizer
    given = json.loads(sys.stdin.readline())
    rules = [getattr(filters, name)(**arguments) for name, arguments in given["rules"]]
    documents = []
    for _ in range(given["documents"]):
        row = json.loads(sys.stdin.readline())
        if row["words"]:
            tokens.units[row["text"]] = row["words"]
        tokens.sentences |= row["sentences"]
        documents.append((row["text"], row["url"]))
    print("ready", flush=True)
    for command in sys.stdin:
        answer = (
            _verdicts(rules, documents) if command == "verdicts\n" else _timed(rules, documents)
        )
        print(json.dumps(answer), flush=True)


def _document(text: str, url: str) -> Document:
    return Document(text=text, id="", metadata={"url": url})


def _timed(rules: list[Any], documents: list[tuple[str, str]]) -> list[float]:
    spent = []
    for rule in rules:
        made = [_document(text, url) for text, url in documents]
        begun = time.process_time()
        for document in made:
            rule.filter(document)
        spent.append(time.process_time() - begun)
    return spent


def _verdicts(rules: list[Any], documents: list[tuple[str, str]]) -> dict[str, Any]:
    reasons: list[list[str | None]] = []
    texts: list[str] = []
    for rule in rules:
        reasons.append([])
        for text, url in documents:
            document = _document(text, url)
            found = rule.filter(document)
            reasons[-1].append(None if found is True else found[1])
            if isinstance(rule, filters.C4QualityFilter):
                texts.append(document.text)
    return {"reasons": reasons, "texts": texts}


if __name__ == "__main__":
    main()
