"""All types of artifacts, by name."""

from tasks.artifacts.adapter import ADAPTER
from tasks.artifacts.artifact import ArtifactType
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.model import MODEL
from tasks.artifacts.pages import PAGES
from tasks.artifacts.scores import SCORES
from tasks.artifacts.sequences import SEQUENCES
from tasks.artifacts.tokenizer import TOKENIZER

TYPES: dict[str, ArtifactType] = {
    kind.name: kind for kind in (PAGES, DOCUMENTS, SCORES, TOKENIZER, SEQUENCES, MODEL, ADAPTER)
}
