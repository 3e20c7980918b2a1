"""Where examples come from. A new kind: a module here with a typed config, one line below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.quality.examples.files import ExampleFiles, FileExamples
from tasks.quality.examples.reference import ReferenceExamples

Examples = Annotated[FileExamples | ReferenceExamples, Field(discriminator="kind")]

__all__ = ["ExampleFiles", "Examples", "FileExamples", "ReferenceExamples"]
