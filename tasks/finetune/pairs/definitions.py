"""Questions about names, answered with their documentation.

A reference page lists definitions: a signature on a line of its own, then what it does. Each gives
one pair: `What is heapq.heapify?` and the signature with the first paragraph under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from pydantic import field_validator

from storage.errors import Fault
from tasks.config import Config, Pattern, knob
from tasks.foresight import Addressed, Known

# A second name has its own line: `weekheader = formatweekheader(width)`.
_SIGNATURE = re.compile(
    r"(?:async )?(?:[A-Za-z_]\w* = )?([A-Za-z_]\w*)\(.*\)"
    r"(?: -> .*| from .*| method of .*| unbound .*)?$"
)
_CLASS = re.compile(r"class ([A-Za-z_]\w*)(?:\(|$)")
_MEMBERS = re.compile(r"[A-Z][\w ]* (?:defined here|inherited from [\w.]+):$")
_HEADINGS = frozenset(
    {"Functions", "Data", "Classes", "Modules", "Package Contents", "Author", "Credits", "Version"}
)
# What describes every object alike, and so teaches nothing about a name.
_BOILERPLATE = re.compile(
    r"Initialize self\.|Create and return a new object|Helper for pickle|Implement |See base class|"
    r"Return (?:self|value|key|len\(|repr|str|hash|getattr)|# |[TD]\.__"
)


@dataclass(frozen=True)
class Entry:
    """One definition of a page: its class (or empty), signature line and first paragraph."""

    owner: str
    signature: str
    description: str

    @property
    def name(self) -> str:
        return self.signature.removeprefix("async ").split("(")[0].split(" = ")[0]


class Definitions(Config):
    """Signature lines with a paragraph under them, as reference pages have."""

    kind: Literal["definitions"] = "definitions"
    subject: Pattern = knob(
        r"/([\w.]+)\.html$",
        "regular expression on a document's URL; its group names the module "
        "that definitions belong to. Documents that do not match give no pairs",
    )
    question: str = knob("What is {name}?", "the user's message; {name} is the dotted name")
    aliases: Mapping[str, str] = knob({}, "modules that are known by another name")
    max_answer_characters: int = knob(400, "longer answers are left out", ge=16)

    @field_validator("subject")
    @classmethod
    def _has_group(cls, subject: str) -> str:
        if not re.compile(subject).groups:
            raise ValueError(f"{subject!r} has no group; expected one around the module's name")
        return subject

    @field_validator("question")
    @classmethod
    def _asks_for_the_name(cls, question: str) -> str:
        if "{name}" not in question:
            raise ValueError(f"{question!r} has no {{name}}; expected it where the name goes")
        return question

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """A subject that no page of any source has in its URL."""
        sources = list(known.above("source"))
        told = [one.addresses() for one in sources if isinstance(one, Addressed)]
        if not told or None in told or len(told) < len(sources):
            return
        urls = chain.from_iterable(urls for urls in told if urls is not None)
        first = next(urls, "")
        if not any(re.search(self.subject, url) for url in chain([first], urls)):
            found = f"{self.subject}, which no URL matches, such as {first}"
            expected = "an expression that finds the module's name in the pages' URLs"
            remedy = "Mend it, set the source's base_url, or leave finetune out: `finetune: null`."
            yield Fault("subject", found, expected, remedy, "no_pairs")

    def build(self, document: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        """The pairs of one document (a row of the documents table), as rows of `records.PAIR`."""
        found = re.search(self.subject, document["url"])
        if found is None:
            return
        module = self.aliases.get(found[1], found[1])
        for entry in entries(document["text"]):
            answer = f"{entry.signature}\n{entry.description}"
            if is_boilerplate(entry.description) or len(answer) > self.max_answer_characters:
                continue
            name = ".".join(part for part in (module, entry.owner, entry.name) if part)
            yield {
                "name": name,
                "prompt": self.question.replace("{name}", name),
                "answer": answer,
                "document_id": document["document_id"],
            }


def entries(text: str) -> Iterator[Entry]:
    """The callables that a page defines itself; inherited members are passed over."""
    lines = [line.strip() if line.startswith("   ") else line for line in text.split("\n")]
    owner, own, described = "", True, 0
    for index, line in enumerate(lines):
        if found := _CLASS.match(line):
            owner, own = found[1], False
        elif line == "Functions":
            owner, own = "", True
        elif line in _HEADINGS:
            own = False
        elif _MEMBERS.match(line):
            own = line.endswith("defined here:") and not line.startswith("Data")
        elif own and index >= described and (found := _SIGNATURE.match(line)):
            described = _after_calls(lines, index + 1, found[1])
            yield Entry(owner, line, _paragraph(lines, described))


def is_boilerplate(description: str) -> bool:
    """Whether a description says nothing about its own function."""
    first = description.split("\n", maxsplit=1)[0]
    return (
        len(description) < 12
        or " " not in first
        or not first[0].isalpha()
        or "__ = " in description
        or _BOILERPLATE.match(description) is not None
    )


def _after_calls(lines: list[str], start: int, name: str) -> int:
    """Where the description begins: call lines such as `fill(text) -> str` are passed over."""
    if start < len(lines) and lines[start].startswith(f"{name}("):
        while start < len(lines) and (not lines[start] or lines[start].startswith(f"{name}(")):
            start += 1
    return start


def _paragraph(lines: list[str], start: int) -> str:
    end = start
    while end < len(lines) and not _ends_paragraph(lines[end]):
        end += 1
    return "\n".join(lines[start:end]).strip()


def _ends_paragraph(line: str) -> bool:
    patterns = (_SIGNATURE, _CLASS, _MEMBERS)
    return not line or line in _HEADINGS or any(pattern.match(line) for pattern in patterns)
