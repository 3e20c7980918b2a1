"""`phusa sample`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.options import ArtifactArgument, StoreOption, store_here
from storage.errors import Fault, RequestError


def sample(
    artifact: ArtifactArgument,
    prompt: Annotated[str, typer.Argument(help="what to continue or to answer")],
    store: StoreOption = None,
    tokens: Annotated[int, typer.Option(min=1, max=4096, help="tokens at most")] = 128,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="0: the most likely token each time")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the draws")] = 0,
) -> None:
    """Write text with a base model, or answer with a tuned one.

    Example: `phusa sample finetune "What is heapq.heappush?"`
    """
    place = store_here(store)
    manifest = place.resolve(artifact)
    tuned = any(entry.path == "merged/config.json" for entry in manifest.files)
    if not tuned and not any(entry.path == "config.json" for entry in manifest.files):
        remedy = "Name a pretrain or a finetune artifact."
        raise RequestError(Fault(manifest.label, "no model in it", "a model or an adapter", remedy))
    from tasks.lm.generate import Sampler, Sampling  # torch: 2 s, and only wanted here

    sampling = Sampling(tokens, temperature, seed=seed)
    prefix = "merged/" if tuned else ""
    sampler = Sampler(place.folder(manifest, prefix) / prefix)
    print(sampler.answer(prompt, sampling) if tuned else sampler.continue_text(prompt, sampling))
