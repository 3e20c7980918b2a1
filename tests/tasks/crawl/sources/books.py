"""EPUB books by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="{}" media-type="application/oebps-package+xml"/></rootfiles>
</container>"""
PACKAGE = """<?xml version="1.0"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>{}</manifest>
<spine>{}</spine></package>"""
XHTML = "application/xhtml+xml"


def chapter(text: str) -> bytes:
    """One document."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
        f"<head><title>{text}</title></head><body><p>{text}</p></body></html>"
    ).encode()


def package(spine: Sequence[str], kind: str = XHTML) -> str:
    """A package document whose spine is these paths, relative to it."""
    items = "".join(
        f'<item id="i{n}" href="{href}" media-type="{kind}"/>' for n, href in enumerate(spine)
    )
    return PACKAGE.format(items, "".join(f'<itemref idref="i{n}"/>' for n in range(len(spine))))


def write_book(
    path: Path,
    chapters: Mapping[str, bytes],
    spine: Sequence[str] | None = None,
    more: Mapping[str, str | bytes] | None = None,
    opf: str = "OEBPS/content.opf",
) -> Path:
    """A book whose entries are in another order than its spine."""
    folder = opf.rpartition("/")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", CONTAINER.format(opf))
        for name in sorted(chapters, reverse=True):
            archive.writestr(f"{folder}/{name}" if folder else name, chapters[name])
        archive.writestr(opf, package(list(chapters) if spine is None else spine))
        for name, data in (more or {}).items():
            archive.writestr(name, data)
    return path
