"""Training: the steps of Adagrad, the split, what the same examples always give, how good it is."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import CorpusTooSmall, RequestError
from storage.workspace import Workspace
from tasks.quality.classifiers import Linear, Trained
from tasks.quality.evaluation import evaluate, make_model
from tasks.quality.examples.reading import Example
from tasks.quality.kernels import learn
from tasks.quality.model import load_model
from tasks.quality.train import Training, split, train
from tests.tasks.clean.measures import ARTICLES, articles
from tests.tasks.quality.conftest import Write, document, jumbled, paragraphs, write_documents


def linear(good: Path, bad: Path | None = None, **knobs: Any) -> Linear:
    examples: dict[str, Any] = {"kind": "reference", "good": {"paths": [str(good)]}}
    if bad is not None:
        examples |= {"kind": "files", "bad": {"paths": [str(bad)]}}
    return Linear.model_validate({"bucket_bits": 16, "examples": examples, **knobs})


def auc(trained: Training) -> float:
    return float(evaluate(trained.held_out, lambda _: 0.5)["auc"])


def test_a_pass_is_adagrad_on_the_logistic_loss() -> None:
    """Beside numpy, on rows written out in full."""
    draw = np.random.default_rng(3)
    num, wide, rate, l2 = 40, 30, 0.7, 1e-3
    dense = draw.random((num, wide)) * (draw.random((num, wide)) < 0.3)
    labels = (draw.random(num) < 0.4).astype(np.uint8)
    class_weights = np.array([0.8, 1.3])
    weights, squares, bias = draw.normal(size=wide), np.zeros(wide), np.zeros(2)
    rows, columns = dense.nonzero()
    shares = dense[rows, columns].astype(np.float32)
    dense[rows, columns] = shares  # as single precision has them
    ends = np.cumsum((dense != 0).sum(axis=1))
    order = draw.permutation(num)
    own, sums, own_bias = weights.copy(), squares.copy(), bias.copy()
    for row in order:
        x, cost = dense[row], class_weights[labels[row]]
        error = cost * (1 / (1 + np.exp(-(own_bias[0] + own @ x))) - labels[row])
        slope = np.where(x != 0, error * x + l2 * own, 0)
        sums += slope**2
        own -= np.where(x != 0, rate * slope / (np.sqrt(sums) + 1e-12), 0)
        own_bias[1] += error**2
        own_bias[0] -= rate * error / (np.sqrt(own_bias[1]) + 1e-12)
    learn(
        order, columns.astype(np.uint32), shares, ends, labels, class_weights, weights, squares,
        bias, rate, l2,
    )  # fmt: skip
    assert weights == pytest.approx(own, rel=1e-9, abs=1e-12)
    assert squares == pytest.approx(sums, rel=1e-9) and bias == pytest.approx(own_bias, rel=1e-9)


def test_its_step_is_along_the_gradient() -> None:
    """Of the loss itself, by differences: so the formula above is the right one."""
    x, label, l2, tiny = np.array([0.5, 0.25, 0.25]), 1, 0.01, 1e-6
    start = np.array([0.3, -0.2, 0.9])

    def loss(weights: np.ndarray[Any, Any]) -> float:
        return float(np.log1p(np.exp(-(weights @ x))) + l2 / 2 * (weights**2).sum())

    slopes = [(loss(start + tiny * e) - loss(start - tiny * e)) / (2 * tiny) for e in np.eye(3)]
    weights, squares = start.copy(), np.zeros(3)
    learn(
        np.array([0]), np.arange(3, dtype=np.uint32), x.astype(np.float32), np.array([3]),
        np.array([label], np.uint8), np.ones(2), weights, squares, np.zeros(2), 0.1, l2,
    )  # fmt: skip
    assert np.sqrt(squares) == pytest.approx(np.abs(slopes), rel=1e-5)
    assert np.sign(start - weights).tolist() == np.sign(slopes).tolist()


def test_the_same_examples_give_the_same_bytes(
    tmp_path: Path, write_examples: Write, whole: list[str]
) -> None:
    """In other files, in another order, given twice."""
    good, bad = whole[:200], jumbled(whole[:200])
    shuffled = random.Random(1).sample(good, len(good))
    one = linear(write_examples("good.jsonl", good), write_examples("bad.jsonl", bad))
    write_examples("parts-1.jsonl", shuffled[:90])
    write_examples("parts-2.jsonl", shuffled[90:])
    (tmp_path / "bad.jsonl.gz").write_bytes(gzip.compress((tmp_path / "bad.jsonl").read_bytes()))
    other = linear(tmp_path / "parts-*.jsonl", tmp_path / "bad.jsonl.gz")
    folders = [
        make_model(config, [], Workspace(tmp_path / str(number)))
        for number, config in enumerate((one, other))
    ]
    for name in ("model.safetensors", "model.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    told = [json.loads((f.parent / "scratch" / "training.json").read_text()) for f in folders]
    assert told[0] == told[1]
    seeded = train(one.model_copy(update={"seed": 1}), [])
    assert seeded.model.weights.tobytes() != load_model(folders[0]).weights.tobytes()


def test_word_order_is_learnt(write_examples: Write, whole: list[str]) -> None:
    """Measured 0.930 on paragraphs of prose and code whose words are all the same."""
    paths = write_examples("good.jsonl", whole), write_examples("bad.jsonl", jumbled(whole))
    knobs = {"bucket_bits": 20, "held_out_share": 0.2}
    each = [train(linear(*paths, **knobs, seed=seed), []) for seed in range(4)]
    assert np.mean([auc(trained) for trained in each]) >= 0.92
    assert auc(train(linear(*paths, **knobs, ngrams=1), [])) < 0.6  # nothing to see
    trained = each[0]
    told = trained.examples["good"]
    assert told["given"] == len(whole) and told["held_out_by"] == "text"
    assert told["held_out"] == math.floor(0.2 * told["used"] + 0.5)
    said = [row["ngram"] for row in trained.ngrams["good"]]
    assert "of the" in said and all(row["weight"] > 0 for row in trained.ngrams["good"])
    assert all(row["weight"] < 0 for row in trained.ngrams["bad"])


@pytest.mark.skipif(not ARTICLES.exists(), reason=f"no benchmark articles at {ARTICLES}")
def test_articles_are_told_from_what_stands_around_them(write_examples: Write) -> None:
    """Measured 0.97; text that a person chose against menus, teasers and notices."""
    from tasks.clean.extractors import Resiliparse

    known = articles()
    body = {line.strip() for one in known for line in one.text.splitlines()}
    around = []
    for one in known:
        lines = Resiliparse(main_content=False).extract(one.html, "http://a/").text.splitlines()
        around.append("\n".join(line for line in lines if line.strip() not in body))
    paths = (
        write_examples("a.jsonl", [one.text for one in known]),
        write_examples("b.jsonl", around),
    )
    assert auc(train(linear(*paths, bucket_bits=20, held_out_share=0.3), [])) >= 0.95


def test_a_reference_set_against_the_corpus(
    tmp_path: Path, write_examples: Write, whole: list[str]
) -> None:
    """Whatever shards the corpus lies in; its documents that are in the set are no bad examples."""
    good, poor = whole[:300], jumbled(whole[:400])
    config = linear(write_examples("good.jsonl", good), max_examples=320)
    rows = [document(f"http://a/{n}", text) for n, text in enumerate([*poor, *good[:50]])]
    one = train(config, write_documents(tmp_path / "1", rows))
    other = train(config, write_documents(tmp_path / "3", rows, 3))
    assert one.model.weights.tobytes() == other.model.weights.tobytes()
    assert one.held_out == other.held_out and auc(one) > 0.85
    told = one.examples["bad"]
    assert told["given"] == 320 and told["also_good"] > 0
    assert told["used"] == 320 - told["also_good"]
    assert set(one.held_out.languages) == {"", "en"}


def test_too_few_examples(tmp_path: Path, write_examples: Write, whole: list[str]) -> None:
    few = write_examples("few.jsonl", [f"{whole[0]} {'x' * n}" for n in range(48)] + ["same"] * 9)
    many = write_examples("many.jsonl", whole[:60])
    with pytest.raises(RequestError) as caught:
        train(linear(few, many), [])
    assert "examples.good: found 49 different texts; expected at least 50" in str(caught.value)
    with pytest.raises(RequestError) as caught:
        train(linear(many, write_examples("same.jsonl", whole[:60])), [])  # one class only
    assert "examples.bad: found 0 different texts that are not among the good" in str(caught.value)
    documents = write_documents(tmp_path, [document("http://a/1", whole[0])])
    with pytest.raises(CorpusTooSmall, match="the corpus gives 0 documents that are no good"):
        train(linear(many), documents)


def test_hosts_are_not_on_both_sides() -> None:
    pages = [
        Example.of(f"page {chr(97 + n % 26)} {chr(97 + n // 26)}", f"http://{n % 30}.org/{n}")
        for n in range(600)
    ]
    found = split(pages, 0.1, 0)
    hosts = [
        {example.url.split("/")[2] for example in side} for side in (found.train, found.held_out)
    ]
    assert found.rule == "host" and not hosts[0] & hosts[1]
    assert len(found.train) + len(found.held_out) == 600 and 30 <= len(found.held_out) <= 60
    again = split(pages[::-1], 0.1, 0)
    assert {e.id for e in again.held_out} == {e.id for e in found.held_out}


def test_a_host_that_is_most_of_all_is_trained_from() -> None:
    """And texts are told apart where hosts are too few, or unequal."""
    words = paragraphs()
    small = [Example.of(text, f"http://{n}.org/") for n, text in enumerate(words[:30])]
    giant = [Example.of(text, "http://giant.org/") for text in words[30:330]]
    found = split([*small, *giant], 0.08, 0)
    assert found.rule == "host" and not {e.url for e in found.held_out} & {"http://giant.org/"}
    assert split([*small, *giant], 0.4, 0).rule == "text"  # all small ones are not half of that
    assert (
        split(giant, 0.1, 0).rule == "text"
        and len({e.id for e in split(giant, 0.1, 0).held_out}) == 30
    )
    assert split([Example.of(e.text) for e in small], 0.1, 0).rule == "text"


def test_a_trained_model_is_taken_over(
    tmp_path: Path, write_examples: Write, whole: list[str]
) -> None:
    config = linear(write_examples("g.jsonl", whole[:60]), write_examples("b.jsonl", whole[60:120]))
    made = make_model(config, [], Workspace(tmp_path / "1"))
    with pytest.raises(ValueError, match=r"has no evaluation\.json; expected the folder of"):
        Trained.model_validate({"path": str(made)})
    told = {"examples": {}, "held_out": {}, "ngrams": {}}
    (made / "evaluation.json").write_text(json.dumps(told))
    trained = Trained.model_validate({"path": str(made)})
    taken = make_model(trained, [], Workspace(tmp_path / "2"))
    assert load_model(taken).weights.tobytes() == load_model(made).weights.tobytes()
    about = json.loads((made / "model.json").read_text())
    (made / "model.json").write_text(json.dumps({**about, "scheme": 99}))
    with pytest.raises(RequestError, match="the digest"):
        make_model(trained, [], Workspace(tmp_path / "3"))
    with pytest.raises(RequestError, match=r"scheme 99; expected .* scheme 1\. Train it again"):
        make_model(Trained.model_validate({"path": str(made)}), [], Workspace(tmp_path / "4"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.json", b"{}"),
        ("model.json", b"[1]"),
        ("model.json", b"\xff"),
        ("model.safetensors", b"torn"),
    ],
)
def test_a_broken_model_is_refused(
    tmp_path: Path, write_examples: Write, whole: list[str], name: str, content: bytes
) -> None:
    config = linear(write_examples("g.jsonl", whole[:60]), write_examples("b.jsonl", whole[60:120]))
    made = make_model(config, [], Workspace(tmp_path / "1"))
    (made / name).write_bytes(content)
    with pytest.raises(RequestError, match="expected a quality model of kind linear"):
        load_model(made)
