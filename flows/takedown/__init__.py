"""What takedowns mean for a run: which a stage leaves out, and when it must not run at all."""

from __future__ import annotations

from collections.abc import Mapping

from flows.stages import STAGES, type_of
from storage import takedown
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.store import Store
from storage.takedown import Forgotten, Takedowns
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.pages import PAGES
from tasks.stage import Stage


def check_forgotten(
    stage: Stage, inputs: Mapping[str, Manifest], takedowns: Takedowns
) -> Forgotten:
    """Give the takedowns whose content these inputs hold, for the stage to leave out.

    Raises RequestError if it is a stage that cannot.
    """
    found = takedowns.held_by(inputs.values())
    if _reads_pages(stage):  # where a document would come from whose URL no artifact knew
        return Forgotten(found.takedowns + takedowns.forgotten.unplaced)
    if not found or stage.leaves_out:
        return found
    cleaning = next((s.name for s in STAGES.values() if _reads_pages(s) and s.leaves_out), "")
    faults = [
        Fault(
            f"input of {stage.name}",
            f"{manifest.label}, which holds {', '.join(of_one.rules)}",
            "no content that was taken down",
            f"Run from {cleaning} on (--from {cleaning}), which leaves it out, or "
            "`phusa forget --purge` it.",
        )
        for manifest in inputs.values()
        if (of_one := takedowns.held_by([manifest]))
    ]
    raise RequestError(faults)


def _reads_pages(stage: Stage) -> bool:
    """Say whether pages become documents there."""
    takes_pages = any(port.type.serves(PAGES) for port in stage.ports)
    return takes_pages and stage.output.serves(DOCUMENTS)


def note_late_takedowns(store: Store, made: Manifest, known: Takedowns) -> None:
    """Look whether an artifact holds what was taken down while it was being built.

    A crawl fetches the URL of a document that was taken down: another text may be there by now.
    Whether it is, cleaning finds out, which has to know that this crawl may hold it.
    """
    from flows.takedown.search import Search  # pyarrow: 0.2 s, and only wanted here

    for one in takedown.read(store.backend).all:
        maybe = one.kind == "document" and type_of(made).serves(PAGES)
        if maybe or one not in known.all:
            held = Search(store, [made], Forgotten((one,))).of(made)
            takedown.add_holders(store.backend, one, [made] if held.ids else [])
