"""A recipe cannot hurt its reader: what is refused is refused at once, with its line and column."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flows.recipe import load_recipe
from flows.recipe_yaml import read_mapping, read_yaml
from storage.errors import PhusaError, RequestError
from tests.flows.conftest import Cli

DOUBLING = "n0: &n0 [silt, silt]\n" + "".join(
    f"n{i}: &n{i} [*n{i - 1}, *n{i - 1}]\n" for i in range(1, 40)
)
MERGING = "n0: &n0 {a: 1, b: 2}\n" + "".join(
    f"n{i}: &n{i}\n  <<: [{', '.join([f'*n{i - 1}'] * 8)}]\n" for i in range(1, 12)
)
LONG_TEXT = f"long: &long {'x' * 50_000}\nall: [{', '.join(['*long'] * 500)}]"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        (DOUBLING, "yaml_too_large", ""),
        (MERGING, "yaml_too_large", ""),
        (LONG_TEXT, "yaml_too_large", "line 2"),
        ("[" + "0," * 50_001 + "]", "yaml_too_large", "line 1"),
        ("a: 1\nb: &b\n  - *b", "yaml_self", "line 3, column 5"),
        ("a: &a\n  <<: *a", "yaml_self", "line 2, column 7"),
        ("[" * 3000, "yaml_too_deep", "line 1, column 41"),
        ("- " * 3000, "yaml_too_deep", "line 1, column 81"),
        ("a: {b: 1,\n  b: 2}", "yaml_repeated_key", "line 2, column 3"),
        ("a: 1\nno: 2", "yaml_key", "line 2, column 1"),
        ("a:\n  7: b", "yaml_key", "line 2, column 3"),
        ("? [a, b]\n: c", "yaml_key", "line 1, column 3"),
        ("a: " + "7" * 6000, "yaml_value", "line 1, column 4"),
        ("a: 0x" + "f" * 6000, "yaml_value", "line 1, column 4"),
        ("a: !!bool perhaps", "yaml_value", "line 1, column 4"),
        ("a: !!int ''", "yaml_value", "line 1, column 4"),
        ("a: !!python/name:os.system x", "yaml_tag", "line 1, column 4"),
        ("a: !mine x", "yaml_tag", "line 1, column 4"),
        ('a: "\\0"', "yaml_not_text", "line 1, column 4"),
        ('a: "\\ud800"', "yaml_not_text", "line 1, column 4"),
        ("a: 1\nb: x\x1b[31m", "yaml_not_text", "line 2, column 5"),
        ("a: 1\n---\nb: 2", "yaml_unreadable", "line 2, column 1"),
        ("a:\n\tb: 1", "yaml_unreadable", "line 2, column 1"),
        ("a: *b", "yaml_unreadable", "line 1, column 4"),
    ],
    ids=range(24),
)
def test_what_is_refused(text: str, code: str, place: str) -> None:
    began = time.process_time()
    with pytest.raises(RequestError) as caught:
        read_yaml(text, "mine.yaml")
    (fault,) = caught.value.faults
    assert (fault.code, caught.value.exit_code) == (code, 2)
    assert fault.where.startswith("mine.yaml, line ") and place in fault.where
    assert len(str(fault)) < 500
    assert time.process_time() - began < 8  # 1 s; it was for ever


def test_aliases_as_people_use_them() -> None:
    text = "base: &base {x: 1, y: [a]}\none:\n  <<: *base\n  x: 2\nall: [*base, *base]"
    base = {"x": 1, "y": ["a"]}
    wanted = {"base": base, "one": {"x": 2, "y": ["a"]}, "all": [base, base]}
    assert read_yaml(text, "mine.yaml") == wanted


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffa: é\r\nb: 2026-11-30\r\n".encode(),
        "a: é\nb: 2026-11-30\n".encode("utf-16"),
        "a: é\nb: 2026-11-30 # a day is text\n".encode(),
    ],
    ids=["BOM and CRLF", "UTF-16", "plain"],
)
def test_files_as_editors_write_them(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "r.yaml").write_bytes(data)
    assert read_mapping(tmp_path / "r.yaml") == {"a": "é", "b": "2026-11-30"}


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: mine\nprompts: [caf\xe9]\n")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    wanted = {
        tmp_path / "latin.yaml": ("yaml_not_text", "line 2, column 14"),
        tmp_path / "none.yaml": ("no_such_file", "none.yaml"),
        tmp_path: ("not_a_file", str(tmp_path)),
        tmp_path / "latin.yaml" / "r.yaml": ("not_a_folder", "latin.yaml"),
        tmp_path / "loop.yaml": ("bad_path", "loop.yaml"),
        Path("/dev/zero"): ("yaml_too_large", "/dev/zero"),
    }
    for path, (code, where) in wanted.items():
        with pytest.raises(PhusaError) as caught:
            read_mapping(path)
        assert caught.value.faults[0].code == code, path
        assert where in caught.value.faults[0].where
        assert caught.value.exit_code == 2


def test_overrides_are_read_as_carefully(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: mine\ncrawl: {source: {kind: files, path: x}}")
    wanted = {
        "prompts=&p [*p]": "yaml_self",
        "clean={languages: [vi], languages: [en]}": "yaml_repeated_key",
        f"prompts={'[' * 100}": "yaml_too_deep",
        "clean" + ".a" * 5000 + "=1": "wrong_form",
    }
    for override, code in wanted.items():
        with pytest.raises(RequestError) as caught:
            load_recipe(tmp_path / "r.yaml", [override])
        assert caught.value.faults[0].code == code, override[:40]


def test_likes_are_bounded(tmp_path: Path) -> None:
    seeds = ", ".join(f"http://{i}.example/" for i in range(2000))
    base = f"name: mine\ncrawl: {{source: {{kind: web, seeds: [{seeds}]}}}}\nstages:\n"
    (tmp_path / "r.yaml").write_text(
        base + "".join(f"  c{i}: {{like: crawl}}\n" for i in range(999))
    )
    with pytest.raises(RequestError) as caught:
        load_recipe(tmp_path / "r.yaml")
    assert caught.value.faults[0].code == "like_too_large"
    chain = "".join(f"  d{i}: {{like: d{i + 1}}}\n" for i in range(3000))
    (tmp_path / "r.yaml").write_text(f"name: mine\nstages:\n{chain}  d3000: {{stage: dedup}}\n")
    with pytest.raises(RequestError):
        load_recipe(tmp_path / "r.yaml")


def test_the_command_says_it_to_programs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: mine\nname: yours\n")
    done = cli("plan", tmp_path / "r.yaml", "--json")
    assert done.code == 2 and '"code": "yaml_repeated_key"' in done.err
