"""What a plan knows before any work: what cannot be, and what a first run takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.foresight import Foresight
from flows.plan import Selection, plan
from flows.recipe import Recipe, load_recipe
from flows.request import read_request
from flows.sizing import Machine
from flows.stages import STAGES
from storage.errors import Fault, RequestError
from storage.store import Store
from tasks.config import models_in
from tasks.crawl.config import CrawlConfig
from tasks.foresight import Forecast, Span, exactly
from tasks.lm.models import Llama
from tests.conftest import ROOT
from tests.flows.by_hand import recipe, seal
from tests.flows.conftest import Cli

Plan = Callable[..., list[Fault]]
CONTACT = {"contact": "me@a.example"}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.lm.config.count_gpus", lambda: 0)
    monkeypatch.setattr("tasks.lm.config.usable_cores", lambda: 2)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Folders with pages, with other files, and with nothing."""
    for name in ("pages", "notes", "empty", "rows"):
        (tmp_path / name).mkdir()
    (tmp_path / "pages" / "a.html").write_text("<p>A page.</p>")
    (tmp_path / "pages" / "b.html").write_text("<p>Another.</p>")
    (tmp_path / "notes" / "a.md").write_text("# Notes")
    (tmp_path / "rows" / "a.jsonl").write_text('{"text": "A row."}')
    (tmp_path / "file").write_text("no folder")
    return tmp_path


@pytest.fixture
def planned(home: Path) -> Plan:
    """What a plan finds wrong with the smallest recipe to a model and the changes to it."""

    def call(*changes: str, store: str = "store") -> list[Fault]:
        raw = {
            "name": "r",
            "crawl": {"source": {"kind": "files", "path": str(home / "pages")}},
            "pretrain": {},
            "finetune": {},
        }
        path = home / "r.yaml"
        path.write_text(yaml.safe_dump(raw))
        try:
            written = [change.replace("HOME", str(home)) for change in changes]
            read_request(path, str(home / store), written).require_possible()
        except RequestError as error:
            assert error.exit_code == 2
            return list(error.faults)
        return []

    return call


def _source(**knobs: object) -> str:
    return f"crawl.source={json.dumps(knobs)}"


def _web(seed: str, **knobs: object) -> str:
    return _source(kind="web", seeds=[seed], **knobs)


FORESEEN: list[tuple[tuple[str, ...], str, str, str]] = [
    # a source that is not there, is empty, or has nothing that is read
    (("crawl.source.path=HOME/none",), "missing_folder", "crawl.source.path", "HOME/none"),
    (("crawl.source.path=HOME/empty",), "empty_folder", "crawl.source", "HOME/empty"),
    (("crawl.source.include=[x/*]",), "no_matching_file", "crawl.source.include", "2 files"),
    ((_source(kind="records", paths=["HOME/x.jsonl"]),), "missing_file", "crawl.source", "x.jsonl"),
    ((_source(kind="warc", paths=["HOME/empty"]),), "empty_folder", "crawl.source", "HOME/empty"),
    ((_source(kind="warc", paths=["HOME/w.paths"]),), "missing_file", "crawl.source", "w.paths"),
    ((_source(kind="dataset", path="HOME/none"),), "missing_folder", "crawl.source.path", "none"),
    (
        (_source(kind="dataset", path="json", data_files=["HOME/x.json"]),),
        "missing_file",
        "crawl.source",
        "x.json",
    ),
    # hosts
    (
        (_web("http://127.0.0.1:9/", **CONTACT),),
        "private_address",
        "crawl.source.allow_private_addresses",
        "127.0.0.1",
    ),
    (
        (_web("http://localhost/"),),
        "private_address",
        "crawl.source.allow_private_addresses",
        "localhost",
    ),
    # devices
    (("pretrain.compute.device=cuda",), "no_gpu", "pretrain.compute.device", "cuda"),
    (("finetune.compute.device=cuda",), "no_gpu", "finetune.compute.device", "cuda"),
    (("pretrain.compute.devices=3",), "too_many_devices", "pretrain.compute.devices", "3"),
    (
        ("pretrain.compute.devices=2", "pretrain.batch_sequences=1"),
        "more_devices_than_sequences",
        "pretrain.compute.devices",
        "2 devices for batches of 1",
    ),
    # training
    (("pretrain.tokens=8191",), "budget_below_a_step", "pretrain.tokens", "8,191"),
    (
        ("finetune.adapter.targets=[q_proj, c_attn]",),
        "unknown_targets",
        "finetune.adapter.targets",
        "c_attn",
    ),
    (
        ("pretrain.model={kind: qwen3, tie_embeddings: true}",),
        "unknown_targets",
        "finetune.adapter.targets",
        "lm_head",
    ),
    # pairs
    (("crawl.source.path=HOME/notes",), "no_pairs", "finetune.pairs.subject", "file:///a.md"),
    (
        (_source(kind="records", paths=["HOME/rows"]),),
        "no_pairs",
        "finetune.pairs.subject",
        "a.jsonl/0",
    ),
    # artifacts that knobs and inputs name
    (("dedup.against=[older]",), "unknown_artifact", "store HOME/store", "dedup@latest"),
    (("dedup.against=[r]",), "itself", "dedup.against", "this recipe itself"),
    (
        ("stages.mine={stage: finetune, inputs: {model: pretrain@prod}}",),
        "unknown_artifact",
        "store HOME/store",
        "pretrain@prod",
    ),
    # further instances say where they stand
    (
        ("stages.big={stage: pretrain, tokens: 9, inputs: {sequences: shard}}",),
        "budget_below_a_step",
        "stages.big.tokens",
        "9",
    ),
]


@pytest.mark.parametrize(("changes", "code", "where", "found"), FORESEEN)
def test_what_cannot_be_is_foreseen(
    planned: Plan, home: Path, changes: tuple[str, ...], code: str, where: str, found: str
) -> None:
    faults = planned(*changes)
    place = where.replace("HOME", str(home))
    (fault,) = [one for one in faults if one.code == code and one.where == place]
    assert found.replace("HOME", str(home)) in fault.found
    assert fault.expected and fault.remedy


READ: list[tuple[tuple[str, ...], str]] = [
    ((_web("https://a.example/"),), "crawl.source.contact"),
    (
        ("pretrain.model={kind: llama, num_heads: 6, num_kv_heads: 4}",),
        "pretrain.model.num_kv_heads",
    ),
    (("pretrain.model={kind: qwen3, head_dim: 33}",), "pretrain.model.head_dim"),
    (("tokenizer.vocab_size=260",), "tokenizer.vocab_size"),
    (("clean.languages=[Klingon]",), "clean.languages.0"),
    (("dedup.decontaminate.sets=[HOME/none.txt]",), "dedup.decontaminate.sets.0"),
    (
        ("quality.classifier={kind: trained, path: HOME/none}", "quality.threshold=0.5"),
        "quality.classifier",
    ),
    (
        (
            "quality.threshold=0.5",
            "quality.classifier={kind: linear, examples: {kind: files, good: {paths: HOME/none}, "
            "bad: {paths: HOME/notes}}}",
        ),
        "quality.classifier.examples.good",
    ),
    (
        ("dedup.methods=[{kind: semantic, embeddings: [{path: HOME/none.parquet}]}]",),
        "dedup.methods.0.embeddings.0",
    ),
]


@pytest.mark.parametrize(("changes", "where"), READ)
def test_what_reading_the_recipe_refuses(
    planned: Plan, changes: tuple[str, ...], where: str
) -> None:
    """Bounds of a knob, and files whose content is part of a configuration."""
    assert where in planned(*changes)[0].where


def test_a_sound_recipe_has_no_fault(planned: Plan) -> None:
    assert planned() == []


def test_all_that_cannot_be_is_said_at_once(planned: Plan) -> None:
    changes = ("crawl.source.path=HOME/empty", "pretrain.tokens=1", "dedup.against=[older]")
    codes = {fault.code for fault in planned(*changes, "pretrain.compute.device=cuda")}
    assert codes == {"empty_folder", "budget_below_a_step", "no_gpu", "unknown_artifact"}


def test_a_gpu_is_no_fault_where_there_is_one(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.lm.config.count_gpus", lambda: 2)
    assert planned("pretrain.compute.device=cuda", "finetune.compute.device=auto") == []
    assert planned("pretrain.compute={device: cuda, devices: 2}") == []
    (fault,) = planned("pretrain.compute={device: cuda, devices: 3}")
    assert (fault.code, fault.where) == ("too_many_devices", "pretrain.compute.devices")


def test_a_tracker_and_a_runner_that_are_not_installed(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.lm.tracking.logbook.find_spec", lambda name: None)
    (fault,) = planned("pretrain.tracking=[{kind: tensorboard}, {kind: mlflow}]")
    assert (fault.code, fault.where) == ("not_installed", "pretrain.tracking.1.kind")
    monkeypatch.setattr("flows.runners.importlib.util.find_spec", lambda name: None)
    assert [fault.code for fault in planned("runner=ray")] == ["not_installed"]


def test_a_store_that_cannot_be_written(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned(store="file/store")  # below a file
    monkeypatch.setattr("os.access", lambda place, mode: False)  # root may write anywhere
    assert [fault.code for fault in planned()] == ["store_not_writable"]


def test_urls_that_are_known_when_pages_are_read_are_no_fault(planned: Plan) -> None:
    """A column's, a book's, the web's."""
    rows = {"kind": "records", "paths": ["HOME/rows"], "url_column": "url"}
    assert planned(_source(**rows)) == []
    assert planned(_web("https://a.example/", **CONTACT)) == []
    assert planned("crawl.source.path=HOME/notes", "finetune.pairs.subject='/([a-z]+).md'") == []


def test_faults_of_instances_that_do_not_run_are_not_said(planned: Plan, home: Path) -> None:
    path = home / "r.yaml"
    assert planned("crawl.source.path=HOME/empty")
    overrides = [f"crawl.source.path={home / 'empty'}"]
    made = load_recipe(path, overrides)
    store = Store(home / "store")
    for name in STAGES:
        seal(store, made, name, name)
    read_request(path, store.address, overrides).require_possible()


def test_sequences_that_are_there_say_how_long_and_how_many_they_are(tmp_path: Path) -> None:
    """The recipe's own knobs count for nothing where an artifact is given."""
    store, changed = Store(tmp_path / "store"), recipe(shard={"sequence_length": 64})
    for name in ("crawl", "clean", "quality", "dedup", "tokenizer"):
        seal(store, changed, name, name)
    seal(store, changed, "shard", "shard", stats={"train_tokens": 300})

    def codes(**pretrain: Any) -> list[str]:
        whole = recipe(shard={"sequence_length": 64}, pretrain=pretrain, finetune=None)
        chosen = Selection(only=("pretrain",))
        return [f.code for f in Foresight(whole, store, plan(whole, store, chosen)).faults]

    assert codes(tokens=256, batch_sequences=4) == []
    assert codes(tokens=255, batch_sequences=4) == ["budget_below_a_step"]
    assert codes(tokens=1000, batch_sequences=5) == ["corpus_below_a_step"]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_nothing_begins_and_programs_read_why(
    planned: Plan, home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("flows.commands.run.settle_prefect", lambda: pytest.fail("it began"))
    planned()
    words = (home / "r.yaml", "--store", home / "store", "--set", "pretrain.tokens=1")
    done = cli(command, *words, *(["--json"] if command == "plan" else []))
    assert done.code == 2
    assert not (home / "store").exists()
    if command == "run":
        assert "pretrain.tokens: found 1; expected" in " ".join(done.err.split())
        return
    (fault,) = json.loads(done.err)["error"]["faults"]
    assert (fault["code"], fault["where"]) == ("budget_below_a_step", "pretrain.tokens")
    assert len(json.loads(done.out)) == len(STAGES)  # the plan is told all the same
    assert cli(command, *words, "--no-preflight").code == 0


@pytest.mark.parametrize("tied", [False, True])
def test_a_shape_knows_the_matrices_of_its_decoder(tied: bool) -> None:
    from tasks.lm.models.decoder import Decoder

    small = {"num_layers": 2, "hidden_size": 32, "intermediate_size": 48, "head_dim": 8}
    shape = Llama(num_heads=4, num_kv_heads=2, tie_embeddings=tied, **small)
    found: dict[str, list[tuple[int, ...]]] = {}
    for name, weight in Decoder(shape, 300, 16).named_parameters():
        if weight.ndim == 2:
            found.setdefault(name.split(".")[-2], []).append(tuple(weight.shape))
    told = {name: [(r, c)] * num for name, (num, r, c) in shape.matrices(300).items()}
    assert told == found
    assert shape.num_multiplied(300) == shape.num_parameters(300) - (0 if tied else 300 * 32)


# --- what a first run takes -----------------------------------------------------------------------


FP32, BF16 = Machine(2, 8 << 30, bf16=False), Machine(2, 8 << 30, bf16=True)


def _told(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine = FP32
) -> tuple[dict[str, Forecast], Forecast]:
    """By instance what a first run takes on a machine of two cores, and all of it."""
    monkeypatch.setattr("flows.foresight.this_machine", lambda: machine)
    monkeypatch.setattr("flows.foresight.usable_cores", lambda: machine.cores)
    store = Store(tmp_path / "store")
    foresight = Foresight(made, store, plan(made, store, Selection()))
    total = foresight.total()
    assert total is not None
    return {n: k.forecast for n, k in foresight.known.items() if k.forecast is not None}, total


def _holds(span: Span, value: float) -> bool:
    return span.low <= value <= span.high


def test_the_demo_takes_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/benchmarks.md: 2026-11-28, two cores without bf16; and 2026-11-21, with it.

    Seconds, bytes, memory and amounts as the manifests have them.
    """
    demo = load_recipe(ROOT / "recipes" / "demo.yaml")
    told, total = _told(demo, tmp_path, monkeypatch)
    took = {
        "crawl": (19.9, 4_836_953, 198e6, 883),
        "clean": (6.7, 1_463_911, 383e6, 811),
        "quality": (0.0, 0, 0, 811),
        "dedup": (0.9, 1_286_116, 92e6, 625),
        "tokenizer": (1.1, 263_140, 31e6, 4096),
        "shard": (2.0, 1_408_588, 197e6, 1_684_232),
        "pretrain": (496.3, 22_299_819, 717e6, 2_398_208),
        "finetune": (176.9, 26_403_131, 2159e6, 5_375),
    }
    assert list(told) == list(took)
    for name, (seconds, kept, memory, amount) in took.items():
        of = told[name]
        assert _holds(of.seconds, seconds) and _holds(of.amount, amount), (name, of)
        assert _holds(of.kept_bytes * Span(0.99, 1.01), kept), (name, of)
        assert _holds(of.memory_bytes, memory), (name, of)
    assert _holds(total.seconds, 718) and total.seconds.high < 4 * total.seconds.low
    assert _holds(total.kept_bytes, sum(kept for _, kept, *_ in took.values()))
    quick, in_all = _told(demo, tmp_path, monkeypatch, BF16)
    assert _holds(in_all.seconds, 418) and _holds(in_all.seconds, 20 * 60)
    assert _holds(quick["pretrain"].seconds, 257) and _holds(quick["finetune"].seconds, 101)


_WIDE = {"kind": "llama", "hidden_size": 512}
GROWS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"pretrain": {"tokens": 10**6}}, {"pretrain": {"tokens": 10**7}}, "pretrain", "seconds"),
    ({"pretrain": {}}, {"pretrain": {"batch_sequences": 32}}, "pretrain", "memory_bytes"),
    ({"pretrain": {}}, {"pretrain": {"model": _WIDE}}, "pretrain", "kept_bytes"),
    ({"pretrain": {}}, {"pretrain": {"model": _WIDE}}, "finetune", "memory_bytes"),
    ({"finetune": {"epochs": 2}}, {"finetune": {"epochs": 8}}, "finetune", "seconds"),
    ({"tokenizer": {"vocab_size": 512}}, {"tokenizer": {}}, "tokenizer", "kept_bytes"),
    ({"tokenizer": {"vocab_size": 512}}, {"tokenizer": {}}, "pretrain", "seconds"),
    ({"workers": 2}, {"workers": 1}, "clean", "seconds"),
]


@pytest.mark.parametrize(("less", "more", "instance", "of"), GROWS)
def test_what_it_takes_grows_with_the_knobs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    less: dict[str, Any],
    more: dict[str, Any],
    instance: str,
    of: str,
) -> None:
    few, many = (
        getattr(_told(recipe(**changes), tmp_path, monkeypatch)[0][instance], of)
        for changes in (less, more)
    )
    assert few.low < many.low and few.high < many.high


@pytest.mark.parametrize("stage", list(STAGES))
def test_more_pages_take_more_of_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def told(num: int) -> Forecast:
        source = {"kind": "web", "seeds": ["http://a.example/"], "max_pages": num, **CONTACT}
        return _told(recipe(crawl={"source": source}), tmp_path, monkeypatch)[0][stage]

    few, many = told(500), told(5_000)
    assert few.seconds.low <= many.seconds.low and few.seconds.high <= many.seconds.high
    assert few.text.high <= many.text.high and few.memory_bytes.high <= many.memory_bytes.high


def test_a_polite_crawl_takes_its_delays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page a second, where a recipe says how many; two hosts are asked side by side."""

    def seconds(*seeds: str, **polite: float) -> Span:
        source = {"kind": "web", "seeds": seeds, "max_pages": 1000, **CONTACT, "politeness": polite}
        made = recipe(crawl={"source": source})
        return _told(made, tmp_path, monkeypatch)[0]["crawl"].seconds

    one = seconds("https://a.example/")
    assert _holds(one, 1000) and one.low > 400
    assert seconds("https://a.example/", "https://b.example/").high < 0.6 * one.high
    assert seconds("https://a.example/", delay_s=10).low > 5 * one.low


def test_files_are_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        (home / "notes" / f"{number}.txt").write_text("x" * 10_000)
    (home / "rows" / "b.jsonl").write_text('{"text": "' + "y" * 200_000 + '"}')
    files = {"kind": "files", "path": str(home / "notes")}
    records = {"kind": "records", "paths": [str(home / "rows")]}

    def crawl(source: dict[str, Any]) -> Forecast:
        return _told(recipe(crawl={"source": source}), home, monkeypatch)[0]["crawl"]

    assert crawl(files).amount == exactly(41)
    assert _holds(crawl(files).text, 400_000 * 0.95)
    assert _holds(crawl(records).text, 150_000)


def test_what_lies_in_a_bucket_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    source = {"kind": "warc", "paths": ["s3://nobody/x.warc.gz"]}
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"name": "r", "crawl": {"source": source}, "shard": {}}))
    listed = json.loads(cli("plan", path, "--store", tmp_path / "s", "--json").out)
    assert {row["instance"]: row["expected"] for row in listed}["clean"] is None
    said = " ".join(cli("plan", path, "--store", tmp_path / "s").out.split())
    assert "of crawl, clean, quality, dedup, tokenizer, shard it is not known" in said


def test_what_was_built_before_tells_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last build with these knobs, give or take a third; with other knobs the rates."""
    store, made = Store(tmp_path / "store"), recipe()
    for name in STAGES:
        seal(store, made, name, "x" * 997, memory_bytes=5_000)
    steps = plan(made, store, Selection(force=("pretrain",)))
    told = Foresight(made, store, steps).known["pretrain"].forecast
    assert told is not None and _holds(told.kept_bytes, 1_000) and told.kept_bytes.high < 2_000
    assert Foresight(made, store, steps).known["clean"].forecast == Forecast(
        exactly(1), "documents", Span(3_000, 5_000), exactly(1_000), exactly(0), exactly(0)
    )
    longer = _told(recipe(pretrain={"tokens": 90_000_000}), tmp_path, monkeypatch)[0]["pretrain"]
    assert longer.amount.high > 89_000_000 and longer.kept_bytes.low > 1_000_000


def test_a_plan_tells_a_range(tmp_path: Path, cli: Cli) -> None:
    demo = ROOT / "recipes" / "demo.yaml"
    words = ("plan", demo, "--store", tmp_path / "store")
    rows = {row["instance"]: row["expected"] for row in json.loads(cli(*words, "--json").out)}
    assert rows["pretrain"]["amount"] == {"low": 2_398_208, "high": 2_398_208}
    assert rows["pretrain"]["unit"] == "tokens"
    for of in ("seconds", "kept_bytes", "memory_bytes"):
        assert 0 < rows["crawl"][of]["low"] < rows["crawl"][of]["high"]
    said = cli(*words).out
    assert "2,398,208 tokens" in said and "4,096 entries" in said
    assert "about " in said and "on disk, up to" in said


def test_every_source_tells_what_it_is_expected_to_give() -> None:
    sources = list(models_in(CrawlConfig.model_fields["source"].annotation))
    assert len(sources) >= 5
    assert [one.__name__ for one in sources if not hasattr(one, "expected")] == []
    assert [name for name, stage in STAGES.items() if stage.forecast is None] == []
