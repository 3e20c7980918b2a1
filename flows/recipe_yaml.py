"""YAML of a person, read so that it cannot hurt its reader: bounded, plain, and each key once.

What is refused is refused with its line and column, before it is built: eleven lines of nested
aliases are 400 million values. PyYAML's safe loader bounds none of this, and its C loader has no
hook for it.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.reader import ReaderError

from flows.stages import STAGES
from storage.errors import Fault, RequestError, named_error

_MAX_BYTES = 1 << 20  # 15,000 seeds
_MAX_VALUES = 50_000  # aliases written out; a long text counts as several
_TEXT_VALUE = 64  # characters of text that count as one more value
_MAX_DEPTH = 40
_MAX_DIGITS = 64  # of a number; a float has 17
_TAG = "tag:yaml.org,2002:"
_TEXT, _MERGE, _MAP = _TAG + "str", _TAG + "merge", _TAG + "map"
_NUMBERS = (_TAG + "int", _TAG + "float")
_PLAIN_TAGS = (_TEXT, _MERGE, _MAP, *_NUMBERS, *(_TAG + t for t in ("null", "bool", "seq")))
_NAMES = {"NoneType": "nothing", "list": "a list", "str": "text"}


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a recipe's file. Raises RequestError with the line and column of what is wrong."""
    text = _text_of(path)
    raw = read_yaml(text, str(path), _RecipeLoader)
    if not isinstance(raw, dict):
        kind = type(raw).__name__
        remedy = "Begin with `name: …` and `crawl: …`, as recipes/demo.yaml does."
        found = _NAMES.get(kind, f"a {kind}")
        raise RequestError(Fault(str(path), found, "a mapping of stages", remedy, "no_mapping"))
    return raw


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)  # also of a pipe or a device without an end
    except FileNotFoundError:
        there = ", ".join(str(p) for p in sorted(path.parent.glob("*.yaml"))) or "no recipe there"
        remedy = f"In that folder: {there}."
        raise RequestError(
            Fault(str(path), "no such file", "a recipe (YAML)", remedy, "no_such_file")
        ) from None
    except OSError as error:
        raise named_error(error, path) or error from None
    if len(data) > _MAX_BYTES:
        remedy = "Crawl a list of addresses that is longer from files, or from a sitemap."
        found, expected = f"more than {_MAX_BYTES:,} bytes", "a recipe of that size at most"
        raise RequestError(Fault(str(path), found, expected, remedy, "yaml_too_large"))
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell writes
    try:
        return data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place(str(path), data[: error.start].decode(error.encoding, "replace"))
        found, remedy = f"byte {data[error.start]:#04x}", "Save the file as UTF-8."
        raise RequestError(Fault(place, found, "text in UTF-8", remedy, "yaml_not_text")) from None


def read_yaml(text: str, where: str, loader: type[_BoundedLoader] | None = None) -> Any:
    """Read one YAML document. Raises RequestError with the line and column of what is wrong."""
    try:
        reader = (loader or _BoundedLoader)(text)
        reader.name = where  # its marks say it
        return reader.get_single_data()
    except ReaderError as error:
        place = _place(where, text[: error.position])
        found = f"the character U+{int(error.character):04X}"
        raise RequestError(
            Fault(place, found, "text without control characters", "Remove it.", "yaml_not_text")
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        found = words.removeprefix("found ")
        place = where if mark is None else _place_of(mark)
        is_tab = "'\\t'" in found
        remedy = "Indent with spaces." if is_tab else "Mend the file at that place."
        raise RequestError(
            Fault(place, found, "a readable YAML file", remedy, "yaml_unreadable")
        ) from None


def _place(where: str, before: str) -> str:
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{where}, line {line}, column {column}"


def _place_of(mark: yaml.Mark) -> str:
    return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}"


class _BoundedLoader(yaml.SafeLoader):
    """Composes no more than a recipe can need: so deep, so many values, text for keys."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._num_values = 0
        self._begun: set[str | None] = set()  # anchors of what is not yet whole
        self._num_under: dict[str, int] = {}  # values under an anchor, aliases written out

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a value; an alias counts as all that it stands for."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark, anchor = event.start_mark, event.anchor
        if isinstance(event, yaml.AliasEvent):
            if anchor in self._begun:
                expected, remedy = "something whole", "Write out what it means."
                _refuse(mark, f"*{anchor} inside of &{anchor}", expected, remedy, "yaml_self")
            self._count(self._num_under.get(anchor, 0), mark)
            return super().compose_node(parent, index)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            expected = f"{_MAX_DEPTH} at most"
            _refuse(mark, f"{self._depth} levels", expected, "Nest less.", "yaml_too_deep")
        before = self._num_values
        self._begun.add(anchor)
        node = super().compose_node(parent, index)
        self._begun.discard(anchor)
        self._depth -= 1
        assert node is not None
        _require_plain(node, mark)
        num_characters = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        self._count(1 + num_characters // _TEXT_VALUE, mark)
        if anchor is not None:
            self._num_under[anchor] = self._num_values - before
        return node

    def _count(self, num: int, mark: yaml.Mark) -> None:
        self._num_values += num
        if self._num_values > _MAX_VALUES:
            found = f"{self._num_values:,} values or more, aliases written out"
            remedy = "Use fewer aliases, and shorter lists."
            _refuse(mark, found, f"{_MAX_VALUES:,} at most", remedy, "yaml_too_large")

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping whose keys are text, each once."""
        node = super().compose_mapping_node(anchor)
        seen: dict[str, yaml.Mark] = {}
        for key, _ in node.value:
            mark = key.start_mark
            if not isinstance(key, yaml.ScalarNode) or key.tag not in (_TEXT, _MERGE):
                shown = f"`{key.value}`" if isinstance(key, yaml.ScalarNode) else "a collection"
                found = f"the key {shown}, which YAML reads as {key.tag.removeprefix(_TAG)}"
                _refuse(mark, found, "text", "Put it in quotes, if it is a name.", "yaml_key")
            if key.value in seen:
                found = f"the key `{key.value}` again, first in line {seen[key.value].line + 1}"
                _refuse(mark, found, "each key once", "Remove one of them.", "yaml_repeated_key")
            seen[key.value] = mark
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build a value; what cannot be one is refused with its place."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError) as error:  # a tag that the text does not fit
            remedy = "Put it in quotes, if it is text."
            _refuse(
                node.start_mark,
                f"`{node.value}` ({error})",
                f"a value of the tag {node.tag}",
                remedy,
                "yaml_value",
            )


_BoundedLoader.yaml_implicit_resolvers = {  # a date is text: no knob is one
    first: [(tag, form) for tag, form in resolvers if tag != _TAG + "timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _RecipeLoader(_BoundedLoader):
    """Reads a stage's key with nothing behind it as that stage with its defaults.

    `pretrain:` asks for a model; `finetune: null` says that there is to be none. To YAML itself
    both are null.
    """

    def construct_document(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            node.value = [(key, self._of_stage(key, value)) for key, value in node.value]
        return super().construct_document(node)

    @staticmethod
    def _of_stage(key: yaml.Node, value: yaml.Node) -> yaml.Node:
        is_bare = isinstance(value, yaml.ScalarNode) and not value.value and not value.style
        if is_bare and key.value in STAGES:
            return yaml.MappingNode(_MAP, [])
        return value


def _require_plain(node: yaml.Node, mark: yaml.Mark) -> None:
    """Refuse what no knob can be: another tag, a number of many digits, half a character."""
    if node.tag not in _PLAIN_TAGS:
        expected = "text, numbers, yes and no, lists, mappings"
        _refuse(mark, f"the tag {node.tag}", expected, "Remove the tag.", "yaml_tag")
    if not isinstance(node, yaml.ScalarNode):
        return
    if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
        found, expected = f"a number of {len(node.value):,} characters", f"{_MAX_DIGITS} at most"
        _refuse(mark, found, expected, "Put it in quotes, if it is text.", "yaml_value")
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in node.value):
        _refuse(mark, "\\0 or half of a character", "text", "Remove the escape.", "yaml_not_text")


def _refuse(mark: Any, found: str, expected: str, remedy: str, code: str) -> NoReturn:
    raise RequestError(Fault(_place_of(mark), found, expected, remedy, code))
