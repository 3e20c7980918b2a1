"""What a recipe names on this machine and knows by its content.

The digest is part of the fingerprint, so that other content is another configuration; where it
lies is not. A stage that finds other content than the recipe was read with does not go on.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from pydantic import model_validator

from storage.errors import Fault, RequestError
from storage.identities import file_digest
from tasks.config import Config, knob


class Pinned(Config):
    """Files, named by the field `where`."""

    digest: str = knob("", "xxh3-128 of the content, in hex. Empty: found when the recipe is read")

    where: ClassVar[str] = "path"
    what: ClassVar[str] = "file"

    @classmethod
    @abstractmethod
    def content_digest(cls, where: Any) -> str:
        """Of what lies there now. Raises ValueError if that cannot be what is named."""

    @model_validator(mode="before")
    @classmethod
    def _find_digest(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get(cls.where) and not given.get("digest"):
            return {**given, "digest": cls.content_digest(given[cls.where])}
        return given

    def require_unchanged(self) -> None:
        """Raises RequestError unless the content is that of when the recipe was read."""
        try:
            found = self.content_digest(getattr(self, self.where))
        except ValueError as error:
            raise self.fault(str(error)) from error
        if found != self.digest:
            raise self.fault(f"the digest {found}")

    def fault(self, found: str, expected: str = "") -> RequestError:
        """What is wrong with it; without `expected`, that it is not what it was."""
        place = getattr(self, self.where)
        named = place if isinstance(place, str) else ", ".join(place)
        if expected:
            remedy = f"Mend the {self.what}, or what the recipe says of it."
            return RequestError(Fault(named, found, expected, remedy))
        expected = f"the {self.what} whose digest is {self.digest}, as when the recipe was read"
        remedy = "Put it back, or start the run again (a deployment: deploy again)."
        return RequestError(Fault(named, found, expected, remedy))


class PinnedFile(Pinned):
    """One file."""

    path: str = knob(..., "where it lies", identity=False)

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Those it may have; empty: any."""

    @property
    def place(self) -> Path:
        return Path(self.path).expanduser()

    @classmethod
    def content_digest(cls, where: Any) -> str:
        path = Path(str(where)).expanduser()
        if cls.suffixes and path.suffix not in cls.suffixes:
            raise ValueError(f"{path} is of no known kind; expected {', '.join(cls.suffixes)}")
        return digest_of(path)


def digest_of(path: Path) -> str:
    """`file_digest`, as a recipe is told of it: raises ValueError if the file cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error}); expected a file") from error
