"""llama.cpp's tokenizer, called in the library that the wheel `xllamacpp` carries."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

_VOCAB_ONLY = 72  # where llama_model_params has that flag; the one after the next is on by default


class _Params(ctypes.Structure):
    _fields_ = (("raw", ctypes.c_ubyte * 256),)


class LlamaCpp:
    """The tokenizer of a GGUF file; text is text."""

    def __init__(self, path: Path) -> None:
        module = pytest.importorskip("xllamacpp", reason="pip install xllamacpp, to compare with")
        self._lib: Any = ctypes.CDLL(str(Path(module.__file__).parent / "xllamacpp.abi3.so"))
        self._lib.llama_log_set(_SILENT, None)
        self._lib.llama_model_default_params.restype = _Params
        params = self._lib.llama_model_default_params()
        if bytes(params.raw[_VOCAB_ONLY : _VOCAB_ONLY + 3]) != b"\0\0\1":
            pytest.skip("another llama.cpp, whose parameters lie elsewhere")
        params.raw[_VOCAB_ONLY] = 1
        load = self._lib.llama_model_load_from_file
        load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, _Params]
        self._lib.llama_model_get_vocab.restype = ctypes.c_void_p
        self._lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
        self._lib.llama_tokenize.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32,
            ctypes.c_bool, ctypes.c_bool,
        ]  # fmt: skip
        model = load(str(path).encode(), params)
        assert model, "llama.cpp does not open the file"
        self._vocab = self._lib.llama_model_get_vocab(model)

    def encode(self, text: str, *, begin: bool = False) -> list[int]:
        """Give the ids of a text, with what stands before it if it begins."""
        raw = text.encode()
        room = (ctypes.c_int32 * (len(raw) + 8))()
        count = self._lib.llama_tokenize(self._vocab, raw, len(raw), room, len(room), begin, False)
        return list(room[:count])


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _SILENT(level: int, text: bytes, data: Any) -> None:  # noqa: N802
    """Say nothing."""
