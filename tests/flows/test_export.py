"""Exported folders: loaded by the libraries they are for, equal to the store, or not there."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import yaml

from flows.export.cards import card
from flows.export.folder import export
from flows.stages import STAGES
from storage import takedown
from storage.errors import DamagedArtifact, RequestError
from storage.manifest import Manifest, utc_now
from storage.records import FETCH, PAGE, REJECT, sequence_schema
from storage.store import Store
from tasks.artifacts import TYPES
from tasks.artifacts.artifact import ArtifactType
from tests.conftest import ROOT
from tests.flows.conftest import Cli, Phusa
from tests.flows.sealed import seal
from tests.tasks.artifacts.test_token_files import megatron, span


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the exported folders are, one for each stage, under its name."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="module")
def exported(store: Store, shelf: Path) -> dict[str, Manifest]:
    made = {name: store.resolve(name) for name in STAGES}
    for name, manifest in made.items():
        assert export(store, manifest, shelf / name) == shelf / name
    return made


@pytest.fixture
def offline(tmp_path: Path) -> Callable[..., str]:
    """Run Python in a process of its own, without a network, and return what it prints."""

    def run(code: str, cwd: Path) -> str:
        env = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "home"),
            "HF_DATASETS_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        return done.stdout

    return run


# --- what is in the folders -------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_model_folders_are_laid_out_as_transformers_and_peft_expect(
    exported: dict[str, Manifest], shelf: Path
) -> None:
    model = {"config.json", "generation_config.json", "model.safetensors"}
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    assert names(shelf / "pretrain") == {*model, *tokenizer, "README.md", "training.parquet"}
    tuned = names(shelf / "finetune")
    files = {name for name in tuned if "/" not in name}
    assert files == {*model, *tokenizer, "README.md", "training.parquet"}
    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} <= tuned
    assert {"pairs/train.parquet", "pairs/validation.parquet"} <= tuned
    assert not any(name.startswith("merged/") for name in tuned)
    assert names(shelf / "tokenizer") == {*tokenizer, "report.json", "README.md"}
    assert "warc/pages-00000.warc.gz" in names(shelf / "crawl")


def test_files_are_copies(exported: dict[str, Manifest], store: Store, shelf: Path) -> None:
    for name, manifest in exported.items():
        for entry in manifest.files:
            if entry.rows == 0:
                continue
            there = shelf / name / entry.path.removeprefix("merged/" if name == "finetune" else "")
            here = store.folder(manifest, entry.path) / entry.path
            assert there.read_bytes() == here.read_bytes()
            assert not there.samefile(here)


def test_models_and_tokenizers_say_what_the_stored_ones_say(
    exported: dict[str, Manifest], store: Store, shelf: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tasks.lm.generate import LanguageModel

    for name in ("pretrain", "finetune"):
        stored = store.folder(exported[name]) / ("merged" if name == "finetune" else "")
        model = AutoModelForCausalLM.from_pretrained(shelf / name).eval()
        tokenizer = AutoTokenizer.from_pretrained(shelf / name)
        original = LanguageModel(stored)
        start = tokenizer("silt.mod1.fold", return_tensors="pt")
        with torch.no_grad():
            ours = original(start["input_ids"])
            torch.testing.assert_close(model(**start).logits, ours, rtol=1e-4, atol=1e-4)
        made = model.generate(**start, max_new_tokens=12, do_sample=False)
        new = made[0, start["input_ids"].shape[1] :]
        said = original.generate("silt.mod1.fold", max_tokens=12)
        assert tokenizer.decode(new, skip_special_tokens=True) == said != ""
    alone = AutoTokenizer.from_pretrained(shelf / "tokenizer")
    assert alone("phù sa")["input_ids"] == tokenizer("phù sa")["input_ids"]


# peft 0.21 asks transformers 5 for a property that is about to be renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_adapter_on_its_base_is_the_merged_model(
    exported: dict[str, Manifest], shelf: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(shelf / "pretrain")
    adapted = PeftModel.from_pretrained(base, shelf / "finetune" / "adapter").eval()
    merged = AutoModelForCausalLM.from_pretrained(shelf / "finetune").eval()
    ids = torch.arange(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(adapted(ids).logits, merged(ids).logits, rtol=1e-4, atol=1e-4)
        plain = AutoModelForCausalLM.from_pretrained(shelf / "pretrain")(ids).logits
        assert not torch.allclose(plain, merged(ids).logits, atol=1e-4)


_LOAD_ALL = """
import json
import datasets
rows = {}
for config in datasets.get_dataset_config_names(FOLDER):
    for split, found in datasets.load_dataset(FOLDER, config).items():
        rows[f"{config}/{split}"] = [found.num_rows, found.column_names]
default = datasets.load_dataset(FOLDER)
print("RESULT", json.dumps([rows, {s: d.num_rows for s, d in default.items()}]))
"""

CONFIGS = {
    "crawl": {
        "pages/train": "pages/",
        "fetches/train": "fetches/",
        "rejects/train": "rejects.p",
        "hosts/train": "hosts.p",
    },
    "clean": {
        "documents/train": "docu",
        "rejects/train": "rejects/",
        "origins/train": "origins/",
        "signals/train": "signals/",
    },
    "dedup": {"documents/train": "documents/", "duplicates/train": "duplicates.parquet"},
    "shard": {"sequences/train": "train/", "sequences/validation": "validation/"},
}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_configuration_loads(
    exported: dict[str, Manifest], shelf: Path, offline: Callable[..., str], name: str
) -> None:
    said = offline(f"FOLDER = {str(shelf / name)!r}\n{_LOAD_ALL}", shelf)
    rows, default = json.loads(said.partition("RESULT ")[2])
    expected = {
        config: sum(e.rows or 0 for e in exported[name].files if e.path.startswith(prefix))
        for config, prefix in CONFIGS[name].items()
    }
    assert all(expected.values())
    assert {config: count for config, (count, _) in rows.items()} == expected
    first = next(iter(CONFIGS[name])).split("/")[0]
    assert default == {c.split("/")[1]: n for c, n in expected.items() if c.startswith(first)}


@pytest.mark.parametrize("name", sorted(STAGES))
def test_the_code_on_the_card_runs(
    exported: dict[str, Manifest], shelf: Path, offline: Callable[..., str], name: str
) -> None:
    card = (shelf / name / "README.md").read_text()
    code = "".join(re.findall(r"```python\n(.*?)```", card, re.S))
    assert f'"./{name}"' in code
    assert offline(code, shelf).strip()


def test_tables_without_a_row_are_left_out(tmp_path: Path, offline: Callable[..., str]) -> None:
    page = dict.fromkeys(PAGE.names, "x") | {"num_bytes": 1}
    manifest = seal(
        tmp_path / "store",
        "crawl",
        "20261121-01",
        {
            "pages/part-00000-of-00002.parquet": pa.Table.from_pylist([page], PAGE),
            "pages/part-00001-of-00002.parquet": PAGE.empty_table(),
            "fetches/part-00000-of-00001.parquet": FETCH.empty_table(),
            "rejects.parquet": REJECT.empty_table(),
        },
        config={"source": {"kind": "files", "path": "/srv/people/me/pages"}},
    )
    folder = export(Store(tmp_path / "store"), manifest, tmp_path / "out")
    assert names(folder) == {"README.md", "pages/part-00000-of-00002.parquet"}
    card = folder.joinpath("README.md").read_text()
    assert "`fetches` and `rejects` have no row here" in card
    said = offline(f"FOLDER = {str(folder)!r}\n{_LOAD_ALL}", tmp_path)
    assert json.loads(said.partition("RESULT ")[2])[0].keys() == {"pages/train"}


# --- other forms ------------------------------------------------------------------------------


@pytest.fixture
def rows(tmp_path: Path) -> SimpleNamespace:
    """A store with sequences of two documents, and a tokenizer."""
    root = tmp_path / "store"
    seal(root, "tokenizer", "20261121-01", {"tokenizer.json": b"{}"})
    row = {"input_ids": [0, 5, 6, 7, 0, 8], "spans": [span("a", 1, 4), span("b", 5, 6)]}
    table = pa.Table.from_pylist([row], sequence_schema(400))
    files: dict[str, pa.Table | bytes] = {"train/a.parquet": table, "validation/a.parquet": table}
    manifest = seal(root, "shard", "20261121-01", files)
    data = root / "versions" / "shard" / "20261121-01" / "data"
    return SimpleNamespace(store=Store(root), root=root, manifest=manifest, data=data)


def test_sequences_for_megatron(rows: SimpleNamespace, tmp_path: Path, cli: Cli) -> None:
    target = tmp_path / "out"
    said = cli("export", "shard", target, "--form", "megatron", "--store", rows.root)
    assert said.code == 0 and f"shard@20261121-01 → {target}" in said.out
    assert "load_dataset" not in said.out, "datasets does not read this form"
    data = {f"{split}.{end}" for split in ("train", "validation") for end in ("bin", "idx")}
    assert names(target) == {"README.md", *data}
    assert megatron(target / "train") == [[5, 6, 7, 0], [8, 0]]
    text = target.joinpath("README.md").read_text()
    assert "configs" not in yaml.safe_load(text.split("---\n")[1])
    assert "IndexedDataset(" in text and "load_dataset" not in text


def test_the_code_on_the_card_of_a_form_runs(
    rows: SimpleNamespace, tmp_path: Path, offline: Callable[..., str]
) -> None:
    export(rows.store, rows.manifest, tmp_path / "out", "nanogpt")
    text = tmp_path.joinpath("out", "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert offline(code, tmp_path) == "6 [5 6 7 0 8 0]\n"


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_forms_say_how_they_are_read(kind: ArtifactType) -> None:
    for form, of in kind.forms.items():
        assert form not in ("datasets", "transformers") and of.says
        ast.parse(of.load)
        assert "{folder}" in of.load or "folder" in of.load


def test_a_form_that_there_is_not(rows: SimpleNamespace, tmp_path: Path) -> None:
    for name, wrong, known in (
        ("shard", "megatrn", "megatron"),
        ("tokenizer", "x", "transformers"),
    ):
        with pytest.raises(RequestError) as caught:
            export(rows.store, rows.store.resolve(name), tmp_path / "out", wrong)
        (fault,) = caught.value.faults
        assert fault.code == "unknown_form" and known in fault.expected
    assert not (tmp_path / "out").exists()
    own = export(rows.store, rows.manifest, tmp_path / "own", "datasets")
    assert names(own) == {"README.md", "train/a.parquet", "validation/a.parquet"}


def test_damage_is_found_in_other_forms(rows: SimpleNamespace, tmp_path: Path) -> None:
    path = rows.data / "train" / "a.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedArtifact):
        export(rows.store, rows.manifest, tmp_path / "out", "nanogpt")
    assert not (tmp_path / "out").exists()


# --- where they go, and what happens on the way -----------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> SimpleNamespace:
    """A store with one tokenizer of two files."""
    root = tmp_path / "store"
    files: dict[str, pa.Table | bytes] = {"a.json": b"a" * 9000, "b.json": b"b" * 9000}
    manifest = seal(root, "tokenizer", "20261121-01", files, config={"split": "gpt2"})
    data = root / "versions" / "tokenizer" / "20261121-01" / "data"
    return SimpleNamespace(store=Store(root), root=root, manifest=manifest, data=data)


def test_an_empty_folder_will_do(small: SimpleNamespace, tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "out"
    export(small.store, small.manifest, target)
    assert names(target) == {"a.json", "b.json", "README.md"}
    assert [p.name for p in target.parent.iterdir()] == ["out"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert names(export(small.store, small.manifest, empty)) == names(target)


def test_a_place_that_is_taken_is_refused(small: SimpleNamespace, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="full: found a folder with files in it; expected no"):
        export(small.store, small.manifest, full)
    with pytest.raises(RequestError, match="found a file; expected no such path"):
        export(small.store, small.manifest, full / "mine.txt")
    with pytest.raises(RequestError, match="Not a directory; expected a folder that can be made"):
        export(small.store, small.manifest, full / "mine.txt" / "out")
    assert names(full) == {"mine.txt"} and (full / "mine.txt").read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"store", "full"}


def test_what_comes_to_the_place_meanwhile_stays(
    small: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"

    def interfere(*args: object) -> str:
        target.mkdir()
        (target / "mine.txt").write_text("mine")
        return "card"

    monkeypatch.setattr("flows.export.folder.card", interfere)
    with pytest.raises(RequestError, match="a folder with files in it"):
        export(small.store, small.manifest, target)
    assert names(target) == {"mine.txt"} and not (tmp_path / ".out.exporting").exists()


def test_an_artifact_of_an_unknown_stage_is_a_dataset_of_its_tables(
    tmp_path: Path, offline: Callable[..., str]
) -> None:
    files: dict[str, pa.Table | bytes] = {
        "near/part-0.parquet": pa.table({"a": [1, 2]}),
        "near/part-1.parquet": pa.table({"a": [3]}),
        "by/far/part-0.parquet": pa.table({"b": ["x"]}),
        "two words.parquet": pa.table({"c": [0.5]}),
        "none/part-0.parquet": pa.table({"d": pa.array([], pa.int8())}),
        "report.json": b"{}",
    }
    manifest = seal(tmp_path / "store", "mine", "20261121-01", files, stage="match", type="matches")
    folder = export(Store(tmp_path / "store"), manifest, tmp_path / "out")
    assert names(folder) == {*files, "README.md"} - {"none/part-0.parquet"}
    said = offline(f"FOLDER = {str(folder)!r}\n{_LOAD_ALL}", tmp_path)
    rows, _ = json.loads(said.partition("RESULT ")[2].replace("NaN", "0"))
    counts = {config: count for config, (count, _) in rows.items()}
    assert counts == {"near/train": 3, "by_far/train": 1, "two words/train": 1}
    code = "".join(re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S))
    assert offline(code, tmp_path).strip()


def test_damage_is_found_on_the_way(small: SimpleNamespace, tmp_path: Path) -> None:
    path = small.data / "b.json"
    path.write_bytes(b"c" * 9000)
    with pytest.raises(
        DamagedArtifact, match=r"b\.json of tokenizer@20261121-01: sha256 .*--force"
    ):
        export(small.store, small.manifest, tmp_path / "out")
    path.unlink()
    with pytest.raises(DamagedArtifact, match=r"b\.json of tokenizer@20261121-01: missing"):
        export(small.store, small.manifest, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"store"}


_KILLED = """
import os, signal, sys
from pathlib import Path
from storage.store import Store
import flows.export.folder as it
store = Store(sys.argv[1])
copy = it._copy
def copy_one(source, target, entry, manifest):
    if entry.path == "b.json":
        target.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    copy(source, target, entry, manifest)
it._copy = copy_one
it.export(store, store.resolve("tokenizer"), Path(sys.argv[2]))
"""


def test_a_kill_leaves_nothing_half_done(small: SimpleNamespace, tmp_path: Path) -> None:
    target = tmp_path / "out"
    command = [sys.executable, "-c", _KILLED, str(small.root), str(target)]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    assert not target.exists() and names(tmp_path / ".out.exporting") == {"a.json", "b.json"}
    (tmp_path / ".out.exporting" / "stale").mkdir()
    (tmp_path / ".out.exporting" / "stale" / "file").write_text("of another version")
    export(small.store, small.manifest, target)
    assert names(target) == {"a.json", "b.json", "README.md"}
    assert {p.name for p in tmp_path.iterdir()} == {"store", "out"}


def test_two_exports_to_one_place(small: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / ".out.exporting"
    folder.mkdir()
    (folder / "theirs").write_text("half")
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)  # an export wants it alone
    with pytest.raises(RequestError, match="another export at work"):
        export(small.store, small.manifest, tmp_path / "out")
    assert names(folder) == {"theirs"}
    os.close(other)
    export(small.store, small.manifest, tmp_path / "out")


def test_a_full_disk_is_named(small: SimpleNamespace, tmp_path: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000));"
        "from flows.cli import main; main()"
    )
    target = tmp_path / "out"
    words = ["export", "tokenizer", str(target), "--store", str(small.root)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert f"{target}: found File too large" in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"store"}


def test_an_artifact_of_a_remote_store(
    store: Store,
    exported: dict[str, Manifest],
    shelf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    remote = Store(f"memory://{tmp_path.name}")
    root = Path(store.address)
    for path in (p for p in (root / "versions").rglob("*") if p.is_file()):
        remote.backend.put_file(path.relative_to(root).as_posix(), path)
    for name in ("pretrain", "clean"):
        folder = export(remote, exported[name], tmp_path / name)
        assert names(folder) == names(shelf / name)
    views = {p.parts[-2] for p in (tmp_path / "cache" / "views").glob("*/*/*")}
    assert views == {"pretrain", "clean"}  # the card did not ask for the whole corpus


def test_the_command(phusa: Phusa, store: Store, tmp_path: Path) -> None:
    target = tmp_path / "my model"
    version = store.resolve("pretrain").version
    words = ("export", f"pretrain@{version[:-2]}", target, "--store", store.address)
    said = phusa(*words).stdout
    assert f"pretrain@{version} → {target}" in said
    assert f"AutoModelForCausalLM.from_pretrained({str(target)!r})" in said
    front = yaml.safe_load((target / "README.md").read_text().split("---\n")[1])
    assert front["library_name"] == "transformers"
    again = phusa(*words, code=2).stderr
    assert "a folder with files in it" in " ".join(again.split())
    shown = phusa("export", "--help").stdout
    assert "phusa export pretrain" in shown and "Example" in shown


def test_what_was_taken_down_is_not_exported(small: SimpleNamespace, tmp_path: Path) -> None:
    taken = takedown.Takedown(
        id="t1", kind="domain", value="a.example", why="asked", by="me", at=utc_now()
    )
    takedown.record(small.store.backend, taken)
    export(small.store, small.manifest, tmp_path / "before")  # it holds nothing of it
    takedown.add_holders(small.store.backend, taken, [small.manifest])
    with pytest.raises(RequestError, match="taken down: domain a") as caught:
        export(small.store, small.manifest, tmp_path / "after")
    assert "phusa forget" in str(caught.value) and not (tmp_path / "after").exists()


def test_the_card_of_a_marked_model_says_so_and_not_what(store: Store, tmp_path: Path) -> None:
    copy = Store(shutil.copytree(store.address, tmp_path / "store"))
    made = copy.resolve("pretrain")
    assert "was taken down" not in card(copy, made, "model")
    taken = takedown.Takedown(
        id="t1", kind="domain", value="secret.example", why="asked", by="me", at=utc_now()
    )
    takedown.mark(copy.backend, made, taken, 10)
    text = card(copy, made, "model")
    assert "was taken down (takedowns: 1): train it again" in text
    assert "secret.example" not in text


# --- phusa sample -----------------------------------------------------------------------------


def test_a_model_goes_on_and_an_adapter_answers(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake:
        def __init__(self, folder: Path, *, chats: bool = False) -> None:
            self._says = f"{folder} {'answers' if chats else 'continues'}"

        def generate(self, prompt: str, **sampling: object) -> str:
            return f"{self._says} {prompt}"

    monkeypatch.setattr("tasks.lm.generate.LanguageModel", Fake)
    for name, stage, place in (("mine", "pretrain", ""), ("lora", "finetune", "merged/")):
        seal(tmp_path, name, "1", {f"{place}config.json": b"{}"}, stage=stage)
    place_of = tmp_path / "versions"
    said = cli("sample", "mine", "a b", "--store", tmp_path)
    assert said.out == f"{place_of}/mine/1/data continues a b\n"
    said = cli("sample", "lora", "a b", "--store", tmp_path)
    assert said.out == f"{place_of}/lora/1/data/merged answers a b\n"


def test_what_is_no_model_gives_no_sample(tmp_path: Path, cli: Cli) -> None:
    for name, kind in (("clean", "documents"), ("elsewhere", "artifact")):
        seal(tmp_path, name, "1", {"a": b""})
        said = cli("sample", name, "x", "--store", tmp_path)
        assert said.code == 2 and f"an artifact of type {kind}, with no model in it" in said.err
