"""What takedowns mean for a run: which a stage leaves out, and when it must not run at all."""

from __future__ import annotations

from collections.abc import Mapping

from flows.stages import Stage
from storage import takedown
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.store import Store
from storage.takedown import Forgotten, Takedowns

LEAVE_OUT = frozenset({"crawl", "clean", "shard"})
"""The stages that drop content that was taken down; the others take only inputs without any."""


def check_forgotten(
    stage: Stage, inputs: Mapping[str, Manifest], takedowns: Takedowns
) -> Forgotten:
    """The takedowns whose content these inputs hold, for the stage to leave out.

    Raises RequestError if it is a stage that cannot.
    """
    found = takedowns.held_by(inputs.values())
    if stage.name == "clean":  # where a document would come from whose URL no artifact knew
        return Forgotten(found.takedowns + takedowns.forgotten.unplaced)
    if not found or stage.name in LEAVE_OUT:
        return found
    faults = [
        Fault(
            f"input of {stage.name}",
            f"{manifest.label}, which holds {', '.join(of_one.rules)}",
            "no content that was taken down",
            "Run from clean on (--from clean), which leaves it out, or `phusa forget --purge` it.",
        )
        for manifest in inputs.values()
        if (of_one := takedowns.held_by([manifest]))
    ]
    raise RequestError(faults)


def note_late_takedowns(store: Store, made: Manifest, known: Takedowns) -> None:
    """Look whether an artifact holds what was taken down while it was being built.

    A crawl fetches the URL of a document that was taken down: another text may be there by now.
    Whether it is, cleaning finds out, which has to know that this crawl may hold it.
    """
    from flows.holding import Search  # pyarrow: 0.2 s, and only wanted here

    for one in takedown.read(store.backend).all:
        maybe = made.name == "crawl" and one.kind == "document"
        if (maybe or one not in known.all) and Search(store, [made], Forgotten((one,))).ids(made):
            takedown.add_holders(store.backend, one, [made])
