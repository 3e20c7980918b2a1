"""A recipe: one YAML file that holds every knob of every stage.

Everything wrong with it is found at once, before any work, and said with where, what was found,
what was expected and the remedy.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flows.runners import Runner, Threads
from storage.errors import Fault, RequestError
from tasks.clean.config import CleanConfig
from tasks.config import Config, knob
from tasks.crawl.config import CrawlConfig
from tasks.dedup.config import DedupConfig
from tasks.finetune.config import FinetuneConfig
from tasks.pretrain.config import PretrainConfig
from tasks.quality.config import QualityConfig
from tasks.shard.config import ShardConfig
from tasks.tokenizer.config import TokenizerConfig


class Recipe(Config):
    """From a crawl to a fine-tuned model."""

    name: str = knob(
        ..., "names the recipe's artifacts in the store", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$"
    )
    workers: int = knob(
        2,
        "shards worked on at once; the output does not depend on it",
        ge=1,
        le=256,
        identity=False,
    )
    store: str | None = knob(
        None,
        "where the artifacts are kept: a folder, or s3://bucket/prefix (credentials as boto finds "
        "them); --store and PHUSA_STORE come first. Null: .phusa beside the recipe's project",
        identity=False,
    )
    runner: Runner = knob(
        Threads(),
        "where mapped shard tasks run: threads of this machine, or an existing Ray or Dask cluster",
        identity=False,
    )
    prompts: tuple[str, ...] = knob(
        (), "shown at the end of a run, answered by the base and the tuned model", identity=False
    )
    crawl: CrawlConfig = knob(..., "fetch pages")
    clean: CleanConfig = knob(CleanConfig(), "pages to documents")
    quality: QualityConfig = knob(QualityConfig(), "score documents, drop poor ones")
    dedup: DedupConfig = knob(DedupConfig(), "drop duplicates")
    tokenizer: TokenizerConfig = knob(TokenizerConfig(), "train a byte-level BPE")
    shard: ShardConfig = knob(ShardConfig(), "documents to token sequences")
    pretrain: PretrainConfig = knob(PretrainConfig(), "train a base model")
    finetune: FinetuneConfig = knob(FinetuneConfig(), "train an adapter")

    def stage(self, name: str) -> Config:
        """The configuration of one stage."""
        config = dict(self)[name]
        assert isinstance(config, Config), f"{name} is not a stage"
        return config


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, with `a.b.c=value` overrides (values in YAML).

    Raises RequestError with all faults at once.
    """
    return check_recipe(_read(path), overrides, path)


def check_recipe(raw: dict[str, Any], overrides: Sequence[str], path: Path) -> Recipe:
    """The recipe in a mapping that was read from `path`, with overrides; as `load_recipe`."""
    faults = []
    for override in overrides:
        fault = _apply(raw, override)
        if fault is not None:
            faults.append(fault)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        faults += [_fault(path, details, raw) for details in error.errors()]
    if faults:
        raise RequestError(faults)
    return recipe


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = ", ".join(str(p) for p in sorted(path.parent.glob("*.yaml"))) or "no recipe there"
        raise RequestError(
            Fault(str(path), "no such file", "a recipe (YAML)", f"In that folder: {found}.")
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        text = " ".join(str(error).split())
        raise RequestError(
            Fault(str(path), text, "a readable YAML file", "Mend the file at that place.")
        ) from error
    if not isinstance(raw, dict):
        kind = type(raw).__name__
        remedy = "Begin with `name: …` and `crawl: …`, as recipes/demo.yaml does."
        raise RequestError(Fault(str(path), kind, "a mapping of stages", remedy))
    return raw


def _apply(raw: dict[str, Any], override: str) -> Fault | None:
    """Set one dotted path in the raw recipe; list items go by index."""
    path, equals, text = override.partition("=")
    fault = Fault(
        "--set",
        repr(override),
        "PATH=VALUE, such as dedup.threshold=0.8",
        "Name a knob by its path in the recipe (docs/recipes.md); list items go by their index.",
    )
    if not equals or not all(path.split(".")):
        return fault
    try:
        value = yaml.safe_load(text)
        node: Any = raw
        *parents, last = path.split(".")
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    except (yaml.YAMLError, ValueError, IndexError, AttributeError, TypeError):
        return fault
    return None


def _fault(path: Path, details: ErrorDetails, raw: Mapping[str, Any]) -> Fault:
    place = [str(part) for part in details["loc"]]
    where = f"{path}: {'.'.join(place) or 'recipe'}"
    found = _short(details["input"])
    if details["type"] == "extra_forbidden":
        known = _known_keys(details["loc"][:-1], raw)
        close = difflib.get_close_matches(place[-1], known, n=1)
        remedy = f"Did you mean `{close[0]}`?" if close else "Remove it."
        return Fault(where, f"unknown key `{place[-1]}`", f"one of {', '.join(known)}", remedy)
    if details["type"] == "missing":
        return Fault(where, "nothing", "a value: this knob has no default", "Add it.")
    expected = details["msg"][0].lower() + details["msg"][1:]
    return Fault(where, found, expected, "docs/recipes.md describes this knob.")


def _known_keys(place: Sequence[str | int], raw: Mapping[str, Any]) -> list[str]:
    """The knobs that the model at `place` has; members of a union are told apart by `kind`."""
    models: list[type[BaseModel]] = [Recipe]
    for part in place:
        children = [c for m in models for c in _models_at(m, part)]
        if children:
            models = children
        elif isinstance(part, str):  # the tag of a union's member
            models = [m for m in models if _kind(m) == part] or models
    return sorted({name for model in models for name in model.model_fields})


def _models_at(model: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    field = model.model_fields.get(str(part))
    return [] if field is None else models_in(field.annotation)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The config models in an annotation, members of unions and items of tuples included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in models_in(part)]


def _kind(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    return None if field is None else field.default


def _short(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
