"""What a stage's run shows in the Prefect UI: one page about the artifact it ended with."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from storage.manifest import Manifest


def publish_page(manifest: Manifest, *, action: str, reason: str) -> None:
    """Put the page on the Artifacts tab of the run in hand."""
    create_markdown_artifact(
        key=manifest.name,
        description=f"{action.capitalize()}: {manifest.label}",
        markdown=_markdown(manifest, action, reason),
    )


def _markdown(manifest: Manifest, action: str, reason: str) -> str:
    facts = {
        "version": f"`{manifest.version}`",
        "action": f"{action}: {reason}",
        "rows": f"{manifest.rows_in:,} in, {manifest.rows_out:,} out",
        "bytes": f"{manifest.num_bytes:,}",
        "seconds to build": f"{manifest.seconds:.1f}",
        "content digest": f"`{manifest.digest[:16]}`",
        "made from": ", ".join(f"`{r.name}@{r.version}`" for r in manifest.inputs.values()) or "-",
    }
    facts |= {key: f"`{value}`" for key, value in manifest.stats.items()}
    facts |= {
        f"check of {check.measure}": check.says if check.passed else f"**{check.says}**"
        for check in manifest.checks
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"## {manifest.name}\n\n| | |\n|---|---|\n{rows}\n"
