"""`phusa init`: a recipe for a place of pages, each value chosen by a rule, with its reason beside.

What was found of the pages comes from `flows/survey.py`, sizes and speeds from `flows/sizing.py`.
The other rules are here, one function each.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from flows.recipe import check_recipe
from flows.render import size
from flows.sizing import Machine, Sizing, model_for
from flows.survey import Kind, Page, Seen, Survey
from storage.errors import Fault, RequestError
from tasks.clean.config import STAGE as CLEAN
from tasks.clean.config import CleanConfig
from tasks.clean.filters import Bound, Verdict
from tasks.clean.judging import Verdicts
from tasks.crawl.config import STAGE as CRAWL
from tasks.finetune.config import STAGE as FINETUNE
from tasks.finetune.pairs import Definitions
from tasks.pretrain.config import STAGE as PRETRAIN
from tasks.shard.config import STAGE as SHARD
from tasks.tokenizer.config import STAGE as TOKENIZER
from tasks.words import split_words

_SMALLEST_TEXT = 20_000  # bytes: some hundred sequences, and a page to hold out
_MAX_PAGES = 100_000
_FASTEST_S = 0.01  # a page of a site that is on this machine
_TUNING_PAIRS = 200
_LEFT_AFTER_DEDUP = 0.85  # of the demo's bytes
_FEW = 10  # pages, from which bounds are fitted to them
_HELD_OUT = 8  # documents
_WIDTH, _COLUMN = 100, 38
# What instruction pairs ask, in the languages of many sites; in others, in English.
# ruff: noqa: RUF001
_QUESTIONS = {
    "ar": "ما هو {name}؟",
    "de": "Was ist {name}?",
    "es": "¿Qué es {name}?",
    "fr": "Qu'est-ce que {name} ?",
    "hi": "{name} क्या है?",
    "id": "Apa itu {name}?",
    "it": "Che cos'è {name}?",
    "ja": "{name}とは何ですか？",
    "ko": "{name}란 무엇인가요?",
    "nl": "Wat is {name}?",
    "pl": "Czym jest {name}?",
    "pt": "O que é {name}?",
    "ru": "Что такое {name}?",
    "th": "{name} คืออะไร",
    "tr": "{name} nedir?",
    "vi": "{name} là gì?",
    "zh": "{name}是什么？",
}


@dataclass(frozen=True)
class Plan:
    """What is chosen for a place, a machine and some hours."""

    survey: Survey
    machine: Machine
    hours: float
    clean: CleanConfig
    fitted: Mapping[str, str]
    """By knob of a filter, why it is not the default."""
    sizing: Sizing
    max_pages: int
    num_kept: int
    """Of the sample."""
    text_bytes: float
    """To train on."""
    crawl_hours: float
    other_hours: float
    """Of training, and all that is beside it."""
    num_documents: float
    held_out: float
    """Share of the documents."""
    num_pairs: int

    @property
    def tunes(self) -> bool:
        """Whether the pages give enough instruction pairs to tune the model with."""
        return self.num_pairs > 0


def choose(survey: Survey, hours: float, machine: Machine) -> Plan:
    """Choose everything. Raises RequestError for too little text to train anything.

    A third of the hours at most goes to the crawl, and of the others 0.85 to training the model, or
    0.65 if it is tuned, as in the demo, whose 718 s were 496 s of pretraining and 177 s of tuning.
    """
    seen = survey.seen
    clean, fitted = fit(survey)
    kept = [page for page in survey.pages if _verdict(clean, page) is None]
    by_time = int(hours * 3600 / 3 / max(seen.delay_s, _FASTEST_S))
    max_pages = max(10, min(by_time, _most_pages(seen)))
    num_pages = min(seen.num_pages, max_pages)
    num_documents = num_pages * len(kept) / len(seen.captures)
    held_out = round(min(max(_HELD_OUT / max(num_documents, 1), 0.05), 0.5), 2)
    mean = sum(page.num_bytes for page in kept) / max(len(kept), 1)
    text_bytes = num_documents * mean * _LEFT_AFTER_DEDUP * (1 - held_out)
    if text_bytes < _SMALLEST_TEXT:
        found = f"about {size(int(text_bytes))} of text in {num_documents:.0f} pages"
        found += f" ({_dropped(clean, survey)})"
        remedy = "Name a place with more pages; `phusa clean try` shows what becomes of one."
        expected = f"at least {size(_SMALLEST_TEXT)} to train on"
        raise RequestError(Fault(survey.place, found, expected, remedy, "too_little_text"))
    num_pairs = _count_pairs(kept, num_pages / len(seen.captures))
    crawl_hours = num_pages * seen.delay_s / 3600
    training = 0.65 if num_pairs else 0.85
    sizing = model_for(text_bytes, max(hours - crawl_hours, hours / 2) * training, machine)
    return Plan(
        survey, machine, hours, clean, fitted, sizing, max_pages, len(kept), text_bytes,
        crawl_hours, sizing.seconds / 3600 / training, num_documents, held_out, num_pairs,
    )  # fmt: skip


def _most_pages(seen: Seen) -> int:
    return min(_MAX_PAGES, max(1000, 10 * seen.num_pages))


def _count_pairs(kept: list[Page], scale: float) -> int:
    """Estimate the instruction pairs; 0 if most pages give none, or all give too few to tune with.

    On other pages what looks like a definition is a line of code: `print(x)`.
    """
    giving = [page for page in kept if page.names]
    count = int(sum(len(page.names) for page in giving) * scale)
    return count if len(giving) * 2 > len(kept) and count >= _TUNING_PAIRS else 0


# --- filters --------------------------------------------------------------------------------------


def fit(survey: Survey) -> tuple[CleanConfig, dict[str, str]]:
    """Fit the defaults to language and kind of page, and tell by knob why.

    The defaults are Gopher's, for English articles (arXiv:2112.11446, table A1). A bound that more
    than a tenth of the wanted pages break is moved to where nine of ten keep it, and no further
    than `_loosest`. Under 10 pages tell nothing.
    """
    config = CleanConfig(extractor=survey.extractor, languages=(survey.language,))
    why: dict[str, str] = {}
    pages = [page for page in survey.wanted if page.judged.signals]
    if len(pages) < _FEW:
        return config, why
    score = sorted(page.judged.score for page in pages)[len(pages) // 10]
    if score < config.min_language_score:
        why["min_language_score"] = f"nine of ten pages have {score:.2f} or more; default: 0.65"
        config = config.model_copy(update={"min_language_score": max(0.2, round(score - 0.05, 2))})
    filters = []
    for rule in config.filters:
        knobs: dict[str, Any] = dict(rule)
        for bound in rule.bounds():
            measured = ((page.judged.signals or {})[bound.signal] for page in pages)
            values = sorted(value for value in measured if not math.isnan(value))
            moved = _moved(bound, values, survey.kind)
            if moved is not None:
                num = sum(bound.verdict({bound.signal: value}) is not None for value in values)
                says = f"{num} of {len(pages)} pages break the default, {bound.says}"
                why.setdefault(_put(knobs, bound, moved), says)
        filters.append(type(rule).model_validate(knobs))
    return config.model_copy(update={"filters": tuple(filters)}), why


def _moved(bound: Bound, values: list[float], kind: Kind) -> float | None:
    """Move a bound to where nine of ten values keep it; None if they do already."""
    is_least = bound.min > -math.inf
    ordered = values if is_least else values[::-1]
    edge = ordered[len(ordered) // 10] if ordered else math.nan
    if bound.verdict({bound.signal: edge}) is None:
        return None
    limit = _loosest(bound, kind)
    if is_least:
        return max(limit, math.floor(edge * 95) / 100)
    return min(limit, math.ceil(edge * 105) / 100)


def _loosest(bound: Bound, kind: Kind) -> float:
    """Give the furthest that a bound is moved.

    References, manuals and lists repeat themselves: what pydoc's pages need, as in the demo, 20
    words and 0.8 of a page. Articles and forums: 1.5 times the default, and no shorter ones.
    """
    prose = kind in ("article", "forum")
    if bound.min > -math.inf:
        return bound.min / (1.5 if bound.signal != "num_words" else 1 if kind == "article" else 2.5)
    factor = 1.5 if prose or bound.signal.startswith("top_") else 5
    return max(bound.max, min(bound.max * factor, 0.8))


def _put(knobs: dict[str, Any], bound: Bound, value: float) -> str:
    """Set the knob that a bound is of, and give its name."""
    end = "min" if bound.min > -math.inf else "max"
    if grams := re.match(r"(top|repeated)_(\d+)_gram", bound.signal):
        name, first = f"max_{grams[1]}_gram_shares", 2 if grams[1] == "top" else 5
        shares = list(knobs[name])
        shares[int(grams[2]) - first] = value
        knobs[name] = tuple(shares)
        return name
    measured = {"number_sign_share": "symbol_share", "ellipsis_share": "symbol_share"}
    name = f"{end}_{measured.get(bound.signal, bound.signal.removeprefix('num_'))}"
    whole = isinstance(knobs[name], int)
    knobs[name] = int(value) if whole else max(value, knobs[name]) if end == "max" else value
    return name


def _verdict(config: CleanConfig, page: Page) -> Verdict | None:
    """Say why a page is dropped by a configuration, or None."""
    judged = page.judged
    if judged.signals is None:
        return judged.verdict
    language = judged.candidate.language
    return Verdicts(config).decide(language, judged.score, judged.signals)


def _dropped(config: CleanConfig, survey: Survey) -> str:
    """Count why pages would be dropped."""
    verdicts = [_verdict(config, page) for page in survey.pages]
    reasons = Counter(verdict.reason for verdict in verdicts if verdict)
    counts = ", ".join(f"{num} {reason}" for reason, num in reasons.most_common())
    return f"dropped: {counts}" if counts else "none dropped"


# --- the recipe -----------------------------------------------------------------------------------


def write_recipe(plan: Plan) -> str:
    """Write the recipe, and see that it is one."""
    text = "\n".join([*_header(plan), *_lines(plan)]) + "\n"
    check_recipe(yaml.safe_load(text), (), Path("recipe"))
    return text


def _header(plan: Plan) -> Iterator[str]:
    survey = plan.survey
    place = yaml.safe_dump(survey.place, allow_unicode=True, width=1 << 20).split("\n")[0]
    yield f"# From {place} to a language model ({survey.language}): written by `phusa init`."
    yield "#"
    for name, says in summary(plan).items():
        yield f"# {name + ':':<10}{says}"
    yield "#"
    yield "# Every knob: docs/recipes.md. What a run would do: `phusa plan` with this file."


def summary(plan: Plan) -> dict[str, str]:
    """Say what was found and chosen, a line each."""
    survey, seen, sizing = plan.survey, plan.survey.seen, plan.sizing
    pages = survey.pages
    words = median(page.judged.candidate.num_words for page in survey.wanted or pages)
    num_bytes = int(median(page.num_bytes for page in survey.wanted or pages))
    kinds = Counter(page.kind for page in pages)
    listed = f", {seen.num_listed:,} of them in sitemaps" if seen.num_listed else ""
    spoken = Counter(page.judged.candidate.language for page in pages)
    return {
        "Pages": f"{seen.quantity}{seen.num_pages:,}{listed}; {len(seen.captures)} were looked at",
        "Kind": ", ".join(f"{num} {kind}" for kind, num in kinds.most_common()),
        "Language": ", ".join(f"{num} {language}" for language, num in spoken.most_common()),
        "Text": f"{words:,.0f} words and {size(num_bytes)} a page",
        "Kept": f"{plan.num_kept}, {_dropped(plan.clean, survey)}; in all about "
        f"{size(int(plan.text_bytes))}, {sizing.corpus_tokens:,} tokens",
        "Machine": str(plan.machine),
        "Model": f"{sizing.parameters:,} parameters, {sizing.tokens:,} tokens",
        "Time": f"about {_duration(plan.crawl_hours)} for the pages, {_duration(plan.other_hours)} "
        f"for all else, of {_duration(plan.hours)}",
    }


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(math.ceil(hours * 60), 1)} min"


def _lines(plan: Plan) -> Iterator[str]:
    yield _line(0, "name", plan.survey.seen.name, "artifacts of this recipe are known by it")
    yield _line(0, "workers", min(plan.machine.cores, 16), "one for each core")
    yield _line(0, "prompts", _prompts(plan), "shown at the end, answered by the models")
    yield from _crawl(plan)
    yield from _clean(plan)
    yield from _training(plan)
    if plan.tunes:
        yield ""
        yield _line(0, FINETUNE.name)
        pairs = {"kind": "definitions"}
        if _question(plan) != Definitions().question:
            pairs["question"] = _question(plan)
        yield _line(1, "pairs", pairs, f"about {plan.num_pairs:,} are on the pages")


def _question(plan: Plan) -> str:
    return _QUESTIONS.get(plan.survey.language, Definitions().question)


def _prompts(plan: Plan) -> list[str]:
    pages = [page for page in plan.survey.wanted if _verdict(plan.clean, page) is None]
    if plan.tunes:
        asked = [page.names[0] for page in pages if page.names][:2]
        return [_question(plan).replace("{name}", name) for name in asked]
    texts = [page.judged.candidate.text for page in pages]
    return [" ".join(split_words(text[:200], plan.survey.language)[:6]) for text in texts[:2]]


_WHY_SOURCE = {
    "seeds": "where the crawl begins",
    "include": "the folder of the first page; without it all of the host",
    "languages": "asked for; translations are not followed",
    "contact": "in the user agent, for the owner of the host",
    "allow_private_addresses": "the host is on this machine or network",
    "politeness": "it is yours, and may answer as fast as it can",
    "path": "the folder, with all below it",
    "paths": "files, folders or globs",
    "text_column": "what such columns are called, or the longest text",
    "url_column": "filters and traces know a page by it",
    "content_type": "the column holds HTML, which the extractor reads",
}


def _crawl(plan: Plan) -> Iterator[str]:
    seen = plan.survey.seen
    yield ""
    yield _line(0, CRAWL.name)
    yield _line(1, "source")
    for name, value in seen.source.items():
        yield _line(2, name, value, _WHY_SOURCE.get(name, ""))
    if seen.source["kind"] == "web":
        pace = f"a third of the time, at {max(seen.delay_s, _FASTEST_S):g} s a page"
        is_paced = plan.max_pages < _most_pages(seen)
        says = pace if is_paced else "more than there are likely to be"
        yield _line(2, "max_pages", plan.max_pages, says)


def _clean(plan: Plan) -> Iterator[str]:
    config, survey = plan.clean, plan.survey
    yield ""
    yield _line(0, CLEAN.name)
    yield _line(1, "extractor", {"kind": config.extractor.kind}, survey.why_extractor)
    yield _line(1, "languages", [survey.language], "pages in others are dropped")
    if why := plan.fitted.get("min_language_score"):
        yield _line(1, "min_language_score", config.min_language_score, why)
    defaults = f"Gopher's; {plan.num_kept} of {len(survey.pages)} pages pass them and the language"
    yield _line(1, "filters", None, defaults)
    for rule in config.filters:
        yield _line(2, "- kind", rule.kind)
        changed = rule.model_dump(mode="json", exclude_defaults=True)
        for name, value in changed.items():
            if name != "kind":
                yield _line(3, name, value, plan.fitted.get(name, ""))


def _training(plan: Plan) -> Iterator[str]:
    sizing, shape = plan.sizing, plan.sizing.shape
    yield ""
    yield _line(0, TOKENIZER.name)
    entry = f"{plan.text_bytes / sizing.vocab_size:,.0f} bytes of text an entry"
    yield _line(1, "vocab_size", sizing.vocab_size, f"{entry}; 256 at least")
    yield ""
    yield _line(0, SHARD.name)
    length = "better than longer ones for small models" if shape.num_layers < 8 else "more context"
    yield _line(1, "sequence_length", sizing.sequence_length, length)
    if plan.held_out > 0.05:
        says = f"some {_HELD_OUT} of about {plan.num_documents:,.0f} documents; default: 0.05"
        yield _line(1, "validation_share", plan.held_out, says)
    yield ""
    yield _line(0, PRETRAIN.name)
    by_text = sizing.bound == "text"
    most = "as many as the text can feed" if by_text else "as many as can be fed in the time"
    yield _line(1, "model", None, f"{sizing.parameters:,} parameters: {most}")
    yield _line(2, "kind", "llama", "every inference engine reads it")
    reasons = {"hidden_size": "64 for each layer", "intermediate_size": "3 times the width"}
    for name, value in shape.model_dump(exclude_unset=True).items():
        yield _line(2, name, value, reasons.get(name, ""))
    more = "more text would help, more hours would not" if by_text else "as many as the time allows"
    yield _line(1, "tokens", sizing.tokens, f"{sizing.epochs:.1f} passes over the text; {more}")
    step = sizing.batch_sequences * sizing.sequence_length
    says = f"{step:,} tokens a step, {sizing.tokens // step:,} steps"
    yield _line(1, "batch_sequences", sizing.batch_sequences, says)


def _line(depth: int, key: str, value: Any = None, why: str = "") -> str:
    """Write a knob with its reason beside it, or above it where there is no room."""
    start = "  " * depth
    text = f"{start}{key}:{'' if value is None else f' {_flow(value)}'}"
    beside = f"{text:<{_COLUMN}}  # {why}" if why else text
    return beside if len(beside) <= _WIDTH else f"{start}# {why}\n{text}"


def _flow(value: Any) -> str:
    """Spell a value as YAML in one line; what a site or a person wrote stays a text."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:_}"
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1 << 20)
    text = text.removesuffix("...\n").strip()
    return json.dumps(value) if "\n" in text else text
