"""A tokenizer's report: counted by hand, the same each time, of any kind and any text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from storage.store import Store
from tasks.artifacts.tokenizer import TOKENIZER
from tasks.lm.tokens import TextEncoder
from tasks.lm.vocabulary import Sample
from tasks.tokenizer.config import SMALLEST_VOCABULARY, TokenizerConfig
from tasks.tokenizer.page import sections
from tasks.tokenizer.report import make_report, stats_of
from tests.flows.sealed import seal
from tests.tasks.tokenizer.conftest import corpus, trained

CONFIG = TokenizerConfig(vocab_size=400)
TEXTS, OTHERS = corpus()[:6], corpus()[6:]
SAMPLE = Sample(TEXTS, ("vi", "en", "und", "en", "en", "en"), OTHERS)


def test_figures_by_hand() -> None:
    report = make_report(trained(), CONFIG, SAMPLE)
    ids = [TextEncoder(trained()).encode(text) for text in TEXTS]
    whole, own = report["languages"][""], report["languages"]["vi"]
    num_bytes, num_tokens = len("".join(TEXTS).encode()), sum(map(len, ids))
    assert (whole["bytes"], whole["documents"]) == (num_bytes, 6)
    assert whole["bytes_per_token"]["own"] == pytest.approx(num_bytes / num_tokens)
    assert own["bytes_per_token"]["own"] == pytest.approx(len(TEXTS[0].encode()) / len(ids[0]))
    assert [*report["languages"]] == ["", "en", *sorted(["vi", "und"], key=lambda n: -_size(n))]
    assert report["used"] == len({i for of in ids for i in of})
    assert report["coverage"] == {"known_tokens": 1.0, "same_texts": 1.0}
    assert sum(count for _, count in report["lengths"]) == report["usable"] == 393
    assert report["ranks"][-1][0] == report["used"]
    # Bytes from 128 on are no text, and some merges of them are not either.
    assert report["not_utf8"]["entries"] == 128 + report["not_utf8"]["longer"]
    assert stats_of(report)["language_bytes_per_token"].keys() == {"en", "vi", "und"}


def _size(language: str) -> int:
    return len(TEXTS[SAMPLE.languages.index(language)].encode())


def test_peers_have_not_seen_what_is_measured() -> None:
    report = make_report(trained(), CONFIG, Sample(("strengths " * 50,), ("en",), OTHERS))
    assert report["peers"]["entries"] == 400
    rates = report["languages"]["en"]["bytes_per_token"]
    learnt = make_report(trained(), CONFIG, Sample(("strengths " * 50,), ("en",), TEXTS * 9))
    assert rates["held_out"] == rates["gpt2"] < 3  # no digits, one way to cut
    assert learnt["languages"]["en"]["bytes_per_token"]["own"] == rates["own"]


@pytest.mark.parametrize("texts", [(), ("",), ("a b",), TEXTS])
def test_too_little_text_has_a_report_and_a_page(tmp_path: Path, texts: tuple[str, ...]) -> None:
    config = CONFIG.model_copy(update={"vocab_size": SMALLEST_VOCABULARY})
    sample = Sample(texts, ("en",) * len(texts), ())
    report = make_report(trained(vocab_size=SMALLEST_VOCABULARY), config, sample)
    assert report["used"] <= 256 and report["bytes"] == sample.num_bytes
    assert report["peers"]["entries"] in (0, SMALLEST_VOCABULARY)
    assert bool(_page(tmp_path, report)) == bool(sample.num_bytes)


def test_a_page_shows_hostile_entries_as_text(tmp_path: Path) -> None:
    hostile = "</td><script>alert(1)</script>"
    vocabulary = {
        "[UNK]": 0,
        "word": 1,
        hostile: 2,
        "\x1b[31mred": 3,
        "\u0430\u0431cd": 4,
        "![x](http": 5,
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    report = make_report(tokenizer, CONFIG, Sample((f"word unknown {hostile}",), ("|<b>",), ()))
    assert report["coverage"] == {"known_tokens": pytest.approx(2 / 3), "same_texts": 0.0}
    assert {why for _, why in report["strangest"]} == {
        "cyrillic and latin in one",
        "a control, private or unassigned character",
    }
    page = _page(tmp_path, report)
    lines, fenced = page.split("\n"), False
    for line in lines:
        fenced ^= line.startswith("```")
        assert fenced or ("<script>" not in line and "![x]" not in line and "<b>" not in line), line
    assert "\x1b" not in page and hostile in page


def _page(root: Path, report: object) -> str:
    """Seal a tokenizer with a report, and write its page's own section."""
    from flows.stages import open_artifact

    content = json.dumps(json.loads(json.dumps(report)), ensure_ascii=False).encode()
    made = seal(root, "tokenizer", "20261121-000001-000-aaaa", {"report.json": content})
    artifact = open_artifact(Store(root), made)
    assert [*TOKENIZER.summary(artifact)] or not artifact.files("report.json")[
        0
    ].stat().st_size > 900
    found = [*sections(artifact)]
    assert all(p.png.startswith(b"\x89PNG") for section in found for p in section.pictures)
    return "\n".join(section.markdown for section in found)


def test_a_tokenizer_of_before_has_no_report(tmp_path: Path) -> None:
    from flows.stages import open_artifact

    made = seal(tmp_path, "tokenizer", "20261121-000001-000-aaaa", {"tokenizer.json": b"{}"})
    artifact = open_artifact(Store(tmp_path), made)
    assert [*TOKENIZER.summary(artifact)] == [*sections(artifact)] == []
