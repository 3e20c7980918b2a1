"""Numeric arrays in safetensors files that are mapped, not read: only the touched pages cost.

Source: the format, https://huggingface.co/docs/safetensors. Its own numpy reader copies every
tensor whole; an index of a hundred gigabytes is asked for a few thousand places.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from storage.errors import DamagedArtifact
from storage.files import write_whole

Array = npt.NDArray[Any]

_REMEDY = "It was torn or overwritten: make its stage again with --force."
_DTYPES: dict[str, type[np.generic]] = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32}
_DTYPES |= {"U64": np.uint64, "I32": np.int32, "I64": np.int64}
_DTYPES |= {"F32": np.float32, "F64": np.float64}


def write_tensors(path: Path, tensors: Mapping[str, Array], facts: Mapping[str, str]) -> None:
    """Write arrays and facts of them as one file, which is there as a whole or not at all."""
    write_whole(path, to_bytes(tensors, facts))


def to_bytes(tensors: Mapping[str, Array], facts: Mapping[str, str]) -> bytes:
    """The file's bytes: equal arrays and facts give equal bytes."""
    plain = {name: np.ascontiguousarray(array) for name, array in sorted(tensors.items())}
    return bytes(save(plain, dict(sorted(facts.items()))))


def map_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a file, mapped read-only, and its facts.

    Raises DamagedArtifact where the file is shorter or longer than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        try:
            header: dict[str, Any] = json.loads(stream.read(min(length, size)))
            facts = header.pop("__metadata__", {})
            end = 8 + length + max((t["data_offsets"][1] for t in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedArtifact(
                f"{path} has no header of tensors; expected a safetensors file. {_REMEDY}"
            ) from None
    if end != size:
        raise DamagedArtifact(
            f"{path} has {size} bytes; expected {end}, as its header says. {_REMEDY}"
        )
    tensors: dict[str, Array] = {}
    for name, of_one in header.items():
        dtype, shape = _DTYPES[of_one["dtype"]], tuple(of_one["shape"])
        offset = 8 + length + of_one["data_offsets"][0]
        # no map is empty
        tensors[name] = (
            np.empty(shape, dtype) if 0 in shape else np.memmap(path, dtype, "r", offset, shape)
        )
    return tensors, facts
