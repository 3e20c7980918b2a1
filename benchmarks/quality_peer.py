"""fastText and scikit-learn, in an environment of their own: asked by `benchmarks.quality`.

Reads one line of JSON, answers with one: for each peer the CPU seconds of training and of scoring,
and the scores of what was held out.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fasttext
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

Texts = list[str]
Score = Callable[[Texts], list[float]]


def by_fasttext(texts: Texts, labels: list[int], **knobs: float) -> Score:
    """DCLM's: pairs of words, one thread, the rest as fastText has it but for `knobs`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        lines = (
            f"__label__{y} {' '.join(t.split())}\n" for t, y in zip(texts, labels, strict=True)
        )
        path.write_text("".join(lines))
        model = fasttext.train_supervised(str(path), wordNgrams=2, thread=1, verbose=0, **knobs)

    def score(texts: Texts) -> list[float]:
        # Not model.predict: it asks numpy for copy=False in a way that numpy 2 refuses.
        lines = [f"{' '.join(text.split())}\n" for text in texts]
        told = (model.f.predict(line, 2, 0.0, "strict") for line in lines)
        return [{label: p for p, label in row}.get("__label__1", 0.0) for row in told]

    return score


def by_sklearn(texts: Texts, labels: list[int]) -> Score:
    """Hashed words and pairs of words, and logistic regression by SGD."""
    hashing = HashingVectorizer(ngram_range=(1, 2), n_features=1 << 20, alternate_sign=False)
    model = SGDClassifier(loss="log_loss", random_state=0).fit(hashing.transform(texts), labels)
    return lambda texts: list(model.predict_proba(hashing.transform(texts))[:, 1].tolist())


def main() -> None:
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    told = {}
    tuned = partial(by_fasttext, lr=1.0, epoch=25)
    peers: dict[str, Callable[..., Any]] = {
        "fastText": by_fasttext,
        "fastText, tuned": tuned,
        "scikit-learn": by_sklearn,
    }
    for name, train in peers.items():
        begun = time.process_time()
        score = train(asked["texts"], asked["labels"])
        trained = time.process_time()
        seconds = []
        for _ in range(asked["repeats"]):
            start = time.process_time()
            score(asked["documents"])
            seconds.append(time.process_time() - start)
        told[name] = {
            "train_s": trained - begun,
            "score_s": min(seconds),
            "held_out": score(asked["held_out"]),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
