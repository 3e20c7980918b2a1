"""Tokenizers: one tokenizer.json, as transformers loads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tasks.artifacts.artifact import Artifact, ArtifactType, Form, Saw, TakedownSearch, Walk
from tasks.artifacts.documents import DOCUMENTS, kept_ids
from tasks.artifacts.excerpts import Excerpt, Excerpts, Wanted

_CHARACTERS = 300


@dataclass(frozen=True)
class TokenizerFinding:
    """The documents, among those asked about, that a tokenizer was trained on."""

    document_ids: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Tell that it was."""
        yield "trained on it"


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

    def trace(self, artifact: Artifact, walk: Walk) -> TokenizerFinding | None:
        """Tell which documents it was trained on: all that were kept, or none if it was taken."""
        if not artifact.manifest.rows_in:
            return None
        ids = kept_ids(walk.known(artifact, DOCUMENTS))
        return TokenizerFinding(ids) if ids else None

    def saw(
        self, artifact: Artifact, search: TakedownSearch, earlier: Mapping[str, Saw]
    ) -> Saw | None:
        """Count the documents."""
        if not artifact.manifest.rows_in:
            return None
        documents = next((a for a in artifact.inputs(DOCUMENTS) if a.is_whole()), None)
        ids = search.held(documents).ids if documents else ()
        return Saw(documents=len(ids)) if ids else None


TOKENIZER = Tokenizer("tokenizer", "entries")
