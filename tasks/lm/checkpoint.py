"""Models on disk as transformers, PEFT, vLLM and llama.cpp read them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from storage.errors import DamagedArtifact
from storage.workspace import Workspace
from tasks.lm.models import Llama, Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.lm.tokens import TOKENIZER, TOKENIZER_CONFIG, TextEncoder, tokenizer_config

_SHAPES = {"llama": Llama, "qwen3": Qwen3}
# What the decoder can be told or takes for granted; an absent key has the value it takes.
_SPOKEN: dict[str, tuple[object, ...]] = {
    "model_type": tuple(_SHAPES),
    "rope_type": ("default",),
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_sliding_window": (False,),
}

WEIGHTS = "model.safetensors"

# Widest first, then by name, as the library orders them: every tensor starts at a multiple of its
# element's size. Source: https://github.com/huggingface/safetensors#format
_KINDS = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


def save_model(model: Decoder, tokenizer_folder: Path, folder: Path) -> None:
    """Write weights, config.json, generation_config.json and tokenizer into `folder`."""
    _save_description(model, tokenizer_folder, folder)
    with (folder / WEIGHTS).open("wb") as stream:
        write_tensors(model.state_dict(), stream)


def finish_model(
    model: Decoder, tokenizer_folder: Path, workspace: Workspace, path: str = ""
) -> None:
    """Write the same as a finished folder of a workspace; the weights are hashed on their way."""
    with workspace.writing_folder(path) as folder:
        _save_description(model, tokenizer_folder, folder)
    with workspace.writing((PurePosixPath(path) / WEIGHTS).as_posix()) as stream:
        write_tensors(model.state_dict(), stream)


def _save_description(model: Decoder, tokenizer_folder: Path, folder: Path) -> None:
    """Write everything of a model folder but its weights."""
    encoder = TextEncoder.load(tokenizer_folder)
    (begin, *_), stops, pad = encoder.opening, sorted(encoder.stops), encoder.pad
    config = model.shape.hf_config(model.vocab_size, model.context, begin, encoder.end_of_text, pad)
    generation = {"bos_token_id": begin, "eos_token_id": stops, "pad_token_id": pad}
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    shutil.copyfile(tokenizer_folder / TOKENIZER, folder / TOKENIZER)
    said = tokenizer_config(tokenizer_folder) | {"model_max_length": model.context}
    text = json.dumps(said, indent=2, sort_keys=True) + "\n"
    (folder / TOKENIZER_CONFIG).write_text(text, encoding="utf-8")


def load_model(folder: Path) -> Decoder:
    """The model of a folder that `save_model` or transformers wrote, in float32 on the CPU.

    Raises DamagedArtifact for an architecture that this decoder does not speak.
    """
    config = json.loads((folder / "config.json").read_text())
    _check_spoken(folder / "config.json", config)
    shape = _SHAPES[config["model_type"]].from_hf(config)
    model = Decoder(shape, config["vocab_size"], config["max_position_embeddings"])
    weights = load_file(folder / WEIGHTS)
    if shape.tie_embeddings:
        weights.pop("lm_head.weight", None)
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model


def _check_spoken(file: Path, config: dict[str, Any]) -> None:
    found = {**config, "rope_type": config.get("rope_parameters", {}).get("rope_type")}
    wrong = [
        f"{key}={found[key]!r} (expected {' or '.join(map(repr, spoken))})"
        for key, spoken in _SPOKEN.items()
        if key in found and found[key] not in spoken
    ]
    if wrong:
        raise DamagedArtifact(
            f"{file} says {', '.join(wrong)}. Load that model with transformers instead."
        )


def write_tensors(tensors: Mapping[str, Tensor], stream: BinaryIO) -> None:
    """Write a safetensors file into a stream, one tensor after the other.

    The library's `save_file` wants a path, so that the file would be read again to be hashed, and
    its `save` a copy of all tensors in memory. Raises KeyError for an element type without a name.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _KINDS[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    stream.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        stream.write(flat.view(torch.uint8).numpy().data)


@contextmanager
def os_errors_unwrapped() -> Iterator[None]:
    """Raise the OSError (no space left, say) that safetensors 0.8 hides in its own error's text."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
