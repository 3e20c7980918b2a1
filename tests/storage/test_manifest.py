from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import DamagedArtifact, RequestError
from storage.manifest import (
    MANIFEST_SCHEMA,
    CodeRef,
    FileEntry,
    Manifest,
    RunRef,
    canonical_json,
    content_digest,
    fingerprint,
    is_withdrawn,
    utc_now,
    withdrawn,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(lambda x: x not in (float("inf"), float("-inf")))
)
CONFIGS = st.dictionaries(
    st.text(),
    st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v)),
    max_size=5,
)
DIGESTS = st.dictionaries(st.text(min_size=1), st.text("0123456789abcdef", min_size=1), max_size=3)


def _entry(path: str, size: int, sha: str, volatile: bool) -> FileEntry:
    return FileEntry(path=path, size=size, sha256=sha, volatile=volatile)


ENTRIES = st.lists(
    st.builds(_entry, st.text(), st.integers(0, 2**40), st.text("ab01", max_size=4), st.booleans()),
    unique_by=lambda entry: entry.path,
    max_size=6,
)


def _shuffled(value: object, seed: int) -> object:
    """The same JSON value with every object's keys in another order."""
    if isinstance(value, dict):
        keys = list(value)
        random.Random(seed).shuffle(keys)
        return {key: _shuffled(value[key], seed) for key in keys}
    if isinstance(value, list):
        return [_shuffled(item, seed) for item in value]
    return value


def test_fingerprint_known_value() -> None:
    """A changed value here makes every artifact in every store be built again."""
    found = fingerprint("clean", 2, {"min_words": 5, "language": "ä"}, {"crawl": "ab"})
    assert found == "445597df3e6d7958fd2dae9d8ff3973be1043e66b0a217d9e30b32e8ee5db018"


@given(CONFIGS, DIGESTS, st.integers())
def test_fingerprint_ignores_key_order(
    config: dict[str, object], digests: dict[str, str], seed: int
) -> None:
    one = fingerprint("s", 1, config, digests)
    other = _shuffled(config, seed)
    assert isinstance(other, dict)
    assert fingerprint("s", 1, other, dict(reversed(digests.items()))) == one


@settings(max_examples=40)  # of 100, drawing them takes half a minute
@given(CONFIGS, CONFIGS, DIGESTS, DIGESTS, st.integers(0, 3), st.integers(0, 3))
def test_fingerprint_differs_exactly_when_the_recipe_does(
    config: dict[str, object],
    other_config: dict[str, object],
    digests: dict[str, str],
    other_digests: dict[str, str],
    version: int,
    other_version: int,
) -> None:
    one = fingerprint("s", version, config, digests)
    other = fingerprint("s", other_version, other_config, other_digests)
    # json tells 1, 1.0 and true apart, as the fingerprint must; == of Python does not
    same = json.dumps([version, config, digests], sort_keys=True) == json.dumps(
        [other_version, other_config, other_digests], sort_keys=True
    )
    assert (one == other) == same
    assert fingerprint("t", version, config, digests) != one


@given(CONFIGS, st.text(min_size=1))
def test_fingerprint_sees_one_more_knob(config: dict[str, object], name: str) -> None:
    without = {key: value for key, value in config.items() if key != name}
    assert fingerprint("s", 1, without, {}) != fingerprint("s", 1, {**without, name: 0}, {})


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from storage.manifest import fingerprint;"
        "print(fingerprint('s', 1, {'b': {'y': 1, 'x': [1, 2]}, 'a': 'é'}, {'q': '1', 'p': '2'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    config = {"a": "é", "b": {"x": [1, 2], "y": 1}}
    assert found.stdout.strip() == fingerprint("s", 1, config, {"p": "2", "q": "1"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_is_no_json(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": value})


@given(ENTRIES, st.randoms(use_true_random=False))
def test_content_digest_ignores_order_and_volatile_files(
    entries: list[FileEntry], shuffler: random.Random
) -> None:
    digest = content_digest(entries)
    mixed = [*entries, FileEntry(path="log", size=7, sha256="77", volatile=True)]
    shuffler.shuffle(mixed)
    assert content_digest(mixed) == digest


@given(ENTRIES.filter(lambda entries: any(not e.volatile for e in entries)), st.data())
def test_content_digest_sees_every_part_of_a_lasting_file(
    entries: list[FileEntry], data: st.DataObject
) -> None:
    entry = data.draw(st.sampled_from([e for e in entries if not e.volatile]))
    rest = [e for e in entries if e is not entry]
    for change in ({"size": entry.size + 1}, {"sha256": entry.sha256 + "c"}, {"volatile": True}):
        assert content_digest([*rest, entry.model_copy(update=change)]) != content_digest(entries)
    assert content_digest(rest) != content_digest(entries)


# --- takedowns in the fingerprint ---------------------------------------------------------------


@given(CONFIGS, DIGESTS, st.lists(st.text(), max_size=3))
def test_fingerprint_with_takedowns(
    config: dict[str, object], digests: dict[str, str], rules: list[str]
) -> None:
    """Without one the key is what it was before there were takedowns; their order is nothing."""
    plain = fingerprint("s", 1, config, digests)
    found = fingerprint("s", 1, config, digests, rules)
    assert (found == plain) == (not rules)
    assert fingerprint("s", 1, config, digests, reversed(rules)) == found
    assert fingerprint("s", 1, config, digests, [*rules, "domain example.org"]) != found


# --- manifests ----------------------------------------------------------------------------------


def _manifest(**changes: object) -> Manifest:
    fields: dict[str, object] = {
        "name": "clean",
        "stage": "clean",
        "version": "20261121-000000-000-aaaa",
        "fingerprint": "f" * 64,
        "digest": "d",
        "config": {},
        "inputs": {},
        "files": (_entry("a", 3, "1", False), _entry("b", 4, "2", True)),
        "rows_in": 1,
        "rows_out": 1,
        "stats": {},
        "code": CodeRef(stage_version=1, source_sha256="0"),
        "run": RunRef(recipe="demo", host="h"),
        "created": utc_now(),
        "seconds": 1.5,
    }
    return Manifest.model_validate(fields | changes)


def test_a_manifest_survives_its_own_bytes() -> None:
    made = _manifest()
    assert Manifest.parse(made.to_json(), made.label) == made
    assert made.schema_version == MANIFEST_SCHEMA
    assert made.num_bytes == 7 and made.label == "clean@20261121-000000-000-aaaa"
    assert made.to_json().endswith(b"}\n")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"name": "clean"}', b"\xff\0"])
def test_a_manifest_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(DamagedArtifact, match="the manifest of clean@1 cannot be read") as caught:
        Manifest.parse(data, "clean@1")
    assert "phusa verify" in str(caught.value) and caught.value.exit_code == 1


@pytest.mark.parametrize("more", [b"", b'"new": 1, '])
def test_a_manifest_of_a_newer_phusa(more: bytes) -> None:
    """Also where this one could read it: who knows what it means there."""
    newer = _manifest(schema_version=MANIFEST_SCHEMA + 1).to_json().replace(b"{", b"{" + more, 1)
    with pytest.raises(RequestError) as caught:
        Manifest.parse(newer, "clean@1")
    assert str(caught.value).startswith("manifest of clean@1: found schema version 4; expected at")
    assert caught.value.exit_code == 2


def test_a_manifest_with_what_no_version_knows_is_damaged() -> None:
    odd = _manifest().to_json().replace(b"{", b'{"new": 1, ', 1)
    with pytest.raises(DamagedArtifact):
        Manifest.parse(odd, "clean@1")


@given(st.text())
def test_a_withdrawn_version_has_no_manifest(why: str) -> None:
    data = withdrawn(why)
    assert is_withdrawn(data) and Manifest.parse(data, "clean@1") is None
    assert json.loads(data)["withdrawn"].endswith(f": {why}")
    assert not is_withdrawn(_manifest().to_json()) and not is_withdrawn(b"")
