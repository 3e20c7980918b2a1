"""The GPU, as PyTorch sees it."""

from __future__ import annotations

import shutil
import warnings

from flows.operations.doctor.finding import Finding, Place, error, ok, warning
from flows.render import size

_CPU_MODE = "Training on the CPU works; for the GPU install PyTorch's build for it (pytorch.org)."


def gpu(place: Place) -> list[Finding]:
    """Devices with their free memory; a driver that is there while PyTorch cannot use it."""
    import torch

    driver = shutil.which("nvidia-smi") is not None
    build = f"torch {torch.__version__}"
    if torch.version.cuda is None and torch.version.hip is None:
        if driver:
            seen = f"an NVIDIA driver, and {build}, a build for the CPU"
            return [warning("GPU", seen, "a build of torch for CUDA", _CPU_MODE)]
        return [ok("GPU", f"none; {build} trains on the CPU")]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        return [finding for index in range(count) for finding in _device(index)]
    why = "; ".join(" ".join(str(one.message).split()) for one in said)
    if driver:
        remedy = "Does nvidia-smi work? The driver must be as new as torch's CUDA, or newer."
        seen = f"an NVIDIA driver, and no device that {build} can use. {why}".strip()
        return [error("GPU", seen, "at least one device", remedy)]
    return [ok("GPU", f"none; {build} trains on the CPU")]


def _device(index: int) -> list[Finding]:
    import torch

    name = torch.cuda.get_device_name(index)
    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError as problem:
        remedy = "Look at nvidia-smi: the device may be taken whole, or have fallen off the bus."
        return [error(f"GPU {index}", f"{name}: {problem}", "a device that answers", remedy)]
    seen = f"{name}, {size(free)} of {size(total)} free"
    if free < total / 2:
        remedy = "nvidia-smi shows whose it is; a run that died may still hold it."
        return [warning(f"GPU {index}", seen, "most of its memory free", remedy)]
    return [ok(f"GPU {index}", seen)]
