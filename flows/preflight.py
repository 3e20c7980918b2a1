"""Whether a run fits the machine, estimated before it begins from what earlier builds took.

A stage that was never built has no estimate and is let through: nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.plan import Step
from flows.render import size
from flows.resources import free_disk, free_memory
from flows.stages import inputs_by
from storage.errors import Fault, NotEnoughRoom, PhusaError
from storage.manifest import Manifest
from storage.store import Store


@dataclass(frozen=True)
class Need:
    """What building one instance would take: `kept_bytes` of it stay as the artifact."""

    instance: str
    work_bytes: int
    kept_bytes: int
    memory_bytes: int
    basis: str


def estimate(store: Store, steps: Sequence[Step]) -> list[Need]:
    """The needs of the stages that would run, where an earlier build tells.

    Disk follows the size of the inputs; so does memory, but for training, whose batches do not.
    """
    sizes = {s.instance.name: s.artifact.num_bytes for s in steps if s.artifact is not None}
    needs = []
    for step in steps:
        last = step.artifact
        if step.action != "run" or last is None:
            continue
        growth = _growth(store, step, last, sizes)
        sizes[step.instance.name] = int(last.num_bytes * growth)
        needs.append(
            Need(
                instance=step.instance.name,
                work_bytes=int((last.run.work_bytes or last.num_bytes) * growth),
                kept_bytes=int(last.num_bytes * growth),
                memory_bytes=int(
                    (last.run.memory_bytes or 0) * (growth if step.stage.grows else 1)
                ),
                basis=last.label,
            )
        )
    return needs


def _growth(store: Store, step: Step, last: Manifest, sizes: Mapping[str, int]) -> float:
    """How much larger the inputs are now than when `last` was built.

    Artifacts of the store, such as earlier corpora, are the same now as then.
    """
    before = now = 0
    for name in step.instance.upstream:
        if name not in sizes:
            return 1.0
        now += sizes[name]
    own = (port for port in step.stage.ports if not port.names)
    for reference in (ref for port in own for ref in inputs_by(last, port.name)):
        try:
            before += store.manifest(reference.name, reference.version).num_bytes
        except PhusaError:  # gone: nothing to compare with
            return 1.0
    return now / before if before and now else 1.0


def check_room(store: Store, steps: Sequence[Step]) -> None:
    """Raise NotEnoughRoom, with all that is too little at once, if the run would not fit."""
    check_needs(store, estimate(store, steps))


def check_needs(store: Store, needs: Sequence[Need]) -> None:
    """Raise as `check_room`, for needs that were estimated already."""
    faults = []
    if needs:
        disk = _disk_fault(store, needs)
        faults += [disk] if disk is not None else []
        largest = max(needs, key=lambda need: need.memory_bytes)
        free = free_memory()
        if largest.memory_bytes > free:
            faults.append(
                Fault(
                    f"memory for {largest.instance}",
                    f"{size(free)} free",
                    f"{size(largest.memory_bytes)}, as {largest.basis} took for inputs of its size",
                    "Close other programs or take a larger machine; --no-preflight runs anyway.",
                    "no_memory",
                )
            )
    if faults:
        raise NotEnoughRoom(faults)


def _disk_fault(store: Store, needs: Sequence[Need]) -> Fault | None:
    """Stages run one after the other: what they leave adds up, what they work with does not.

    On a remote store only the work is on this machine's disk, with the cached copies of results.
    """
    kept = most = 0
    for need in needs:
        most = max(most, kept + need.work_bytes)
        kept += need.kept_bytes
    free = free_disk(store.work)
    if most <= free:
        return None
    stages = ", ".join(f"{need.instance} {size(need.work_bytes)}" for need in needs)
    return Fault(
        f"disk of {store.work}",
        f"{size(free)} free",
        f"{size(most)} ({stages}, as the last such builds took)",
        "Free some (`phusa gc`), or choose another store; --no-preflight runs anyway.",
        "no_disk",
    )
