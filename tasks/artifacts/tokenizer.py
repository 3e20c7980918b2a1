"""Tokenizers: one tokenizer.json, as transformers loads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tasks.artifacts.artifact import (
    Artifact,
    ArtifactType,
    Finding,
    Form,
    Saw,
    TakedownSearch,
    Walk,
)
from tasks.artifacts.documents import DOCUMENTS, kept_ids
from tasks.artifacts.excerpts import Excerpt, Excerpts, Wanted

REPORT = "report.json"
"""What it makes of text; tokenizers of before there was one have none."""

_CHARACTERS = 300
_LANGUAGES = 6


def read_report(artifact: Artifact) -> dict[str, Any] | None:
    """Read what a tokenizer was measured to make of text, if it was."""
    if not artifact.has(REPORT):
        return None
    (path,) = artifact.files(REPORT)
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


@dataclass(frozen=True)
class TokenizerFinding:
    """The documents, among those asked about, that a tokenizer was trained on."""

    document_ids: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Tell that it was."""
        yield "trained on it"


def _is_taken(artifact: Artifact) -> bool:
    """Whether it learnt nothing from the documents."""
    config = artifact.manifest.config
    return bool(config.get("base")) and not config.get("extend_by")


class Tokenizer(ArtifactType):
    """A vocabulary with its merges."""

    form: ClassVar[Form] = "tokenizer"
    is_trained: ClassVar[bool] = True
    loader: ClassVar[str] = "transformers.AutoTokenizer.from_pretrained"
    load: ClassVar[str] = """\
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
print(tokenizer.tokenize("What the river leaves behind."))"""

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give the beginning of a document that it learnt from, split into tokens."""
        from tasks.lm.tokens import TextEncoder

        encoder = TextEncoder.load(artifact.folder())
        rows = artifact.input(DOCUMENTS).first_rows("documents/", ["text"], 1)
        text = rows[0]["text"][:_CHARACTERS] if rows else ""
        yield f"Bars stand between tokens:\n\n{'|'.join(encoder.pieces(text))}"

    def excerpts(self, artifact: Artifact, wanted: Wanted) -> Excerpts:
        """Draw entries: the number of each, and what it stands for."""
        if wanted.dropped or wanted.language:
            raise self.cannot_show(artifact, wanted)
        import random

        from tasks.lm.tokens import load_tokenizer

        tokenizer = load_tokenizer(artifact.folder())
        size = tokenizer.get_vocab_size()
        drawn = random.Random(wanted.seed).sample(range(size), min(wanted.count, size))
        texts = (tokenizer.decode([at], skip_special_tokens=False) for at in drawn)
        found = (
            Excerpt(str(at), text=text, note=repr(tokenizer.id_to_token(at)))
            for at, text in zip(drawn, texts, strict=True)
        )
        return Excerpts(size, tuple(found))

    def summary(self, artifact: Artifact) -> Iterator[str]:
        """Tell what its report says, in a few lines."""
        report = read_report(artifact)
        whole = report["languages"][""] if report else {}
        rates = whole.get("bytes_per_token")
        if report is None or not rates:
            return
        by_language = ", ".join(
            f"{language} {row['bytes_per_token']['own']:.2f}"
            for language, row in list(report["languages"].items())[1 : _LANGUAGES + 1]
        )
        of = f"{report['bytes']:,} bytes of {report['documents']:,} documents that it learnt from"
        yield f"bytes a token: {rates['own']:.2f} ({by_language}), on {of}"
        if "held_out" in rates:
            size = report["peers"]["entries"]
            yield (
                f"trained without these, with {size:,} entries: {rates['held_out']:.2f}; GPT-2's "
                f"split {rates['gpt2']:.2f}; bytes 1"
            )
        words = whole.get("tokens_per_word")
        said = f"tokens a word: {words:.2f}; " if words else ""
        broken = report["not_utf8"]["entries"]
        yield (
            f"{said}entries used: {report['used']:,} of {report['usable']:,}; "
            f"no text by themselves: {broken:,}"
        )

    def drift(self, old: Artifact, new: Artifact) -> Finding | None:
        """Compare entries, ids and merges, and what both make of documents of the new one."""
        from storage.errors import UnknownArtifact
        from tasks.lm.tokens import load_tokenizer
        from tasks.lm.vocabulary import draw_sample, drift

        try:
            documents = new.input(DOCUMENTS)
            sample = draw_sample(documents.files("documents/")) if documents.is_whole() else None
        except UnknownArtifact:
            sample = None
        return drift(load_tokenizer(old.folder()), load_tokenizer(new.folder()), sample)

    def trace(self, artifact: Artifact, walk: Walk) -> TokenizerFinding | None:
        """Tell which documents it was trained on: all that were kept, or none if it was taken."""
        if _is_taken(artifact):
            return None
        ids = kept_ids(walk.known(artifact, DOCUMENTS))
        return TokenizerFinding(ids) if ids else None

    def saw(
        self, artifact: Artifact, search: TakedownSearch, earlier: Mapping[str, Saw]
    ) -> Saw | None:
        """Count the documents."""
        if _is_taken(artifact):
            return None
        documents = next((a for a in artifact.inputs(DOCUMENTS) if a.is_whole()), None)
        ids = search.held(documents).ids if documents else ()
        return Saw(documents=len(ids)) if ids else None


TOKENIZER = Tokenizer("tokenizer", "entries")
