"""A recipe that is never run, and artifacts as its stages would have sealed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.recipe import RECIPE, Recipe
from flows.stages import STAGES
from storage.manifest import CheckResult, CodeRef, InputRef, Manifest, RunRef
from storage.sealing import Draft, commit, quarantine
from storage.store import Store
from tasks.config import identity


def recipe(**changes: object) -> Recipe:
    """All stages, with their defaults but for what is said."""
    source = {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}
    whole = {"name": "r", "crawl": {"source": source}, "pretrain": {}, "finetune": {}}
    return RECIPE.model_validate({**whole, **changes})


def seal(
    store: Store,
    of: Recipe,
    name: str,
    content: str,
    *,
    instance: str = "",
    inputs: Mapping[str, Manifest] | None = None,
    checks: tuple[CheckResult, ...] = (),
    held: bool = False,
    stats: Mapping[str, Any] | None = None,
    **took: Any,
) -> Manifest:
    """Put an artifact of stage `name` with some content into the store, or into quarantine.

    It has the name of its stage, or that of an `instance`.
    `inputs` are by the names that they are recorded under; without them the newest are taken.
    `took` are `work_bytes` and `memory_bytes`.
    """
    stage = STAGES[name]
    keys = (port.key for port in stage.ports if not port.names)
    read = inputs or {key: store.resolve(key) for key in keys}
    config = of.config(stage)
    key = stage.fingerprint(config, {key: m.digest for key, m in read.items()})
    with store.building(name, key) as workspace:
        workspace.write_json("content.json", content)
        draft = Draft(
            name=instance or name,
            stage=name,
            type=stage.output.name,
            fingerprint=key,
            config=identity(config),
            inputs={
                k: InputRef(name=m.name, version=m.version, digest=m.digest)
                for k, m in read.items()
            },
            rows_in=1,
            rows_out=1,
            stats=stats or {},
            checks=checks,
            code=CodeRef(stage_version=stage.version, source_sha256=stage.source_sha256),
            run=RunRef(recipe=of.name, host="test", **took),
        )
        if held:
            return quarantine(store, workspace, draft)
        return commit(store, workspace, draft, replace=True)
