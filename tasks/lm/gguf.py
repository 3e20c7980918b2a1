"""Tokenizers in GGUF files, which llama.cpp reads: opened, and written without a model.

Written by `gguf`, llama.cpp's own package. transformers opens some of these files, too, but splits
text as the model's architecture does and not as the file says (SmolLM2's digits), so that they are
opened here. Source: llama.cpp src/llama-vocab.cpp
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from storage.errors import Fault, RequestError
from tasks.lm.tokens import TextEncoder, merges_of, pre_tokenizer_of

_BYTES = pre_tokenizers.ByteLevel
# What llama.cpp calls the ways in which text is split before merging. Others are added here once
# their ids were compared with llama.cpp's.
_SPLITS: dict[str, Callable[[], Any]] = {
    "gpt-2": lambda: pre_tokenizer_of("gpt2"),
    "llama-bpe": lambda: pre_tokenizer_of("llama3"),
    "qwen2": lambda: pre_tokenizer_of("qwen2"),
    "qwen35": lambda: pre_tokenizer_of("qwen35"),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), _BYTES(add_prefix_space=False)]
    ),
}
_NORMAL, _UNKNOWN, _CONTROL, _ADDED, _UNUSED, _BYTE = range(1, 7)  # kinds of tokens
_NAMED = {"bos": "bos", "eos": "eos", "padding": "pad", "unknown": "unk"}


def read_tokenizer(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """Open the tokenizer of a GGUF file; gives it, and what a tokenizer_config.json says.

    Raises RequestError for a kind of vocabulary or a split that is not known here, and if `gguf`
    is not installed.
    """
    said = _metadata(path)
    kind, tokens = said["model"], said["tokens"]
    split = said.get("pre", "default")
    if kind == "gpt2" and split in _SPLITS:
        tokenizer = _byte_level(said, split)
    elif kind == "llama":
        tokenizer = _sentence_pieces(said)
    else:
        found = f"a tokenizer of the kind {kind}, split as {split}"
        expected = f"llama, or gpt2 split as {', '.join(_SPLITS)}"
        remedy = "Take the Hugging Face folder of the same tokenizer: tokenizer.base.kind folder."
        raise RequestError(Fault(str(path), found, expected, remedy, "unknown_vocabulary"))
    kinds = said.get("token_type", [_NORMAL] * len(tokens))
    tokenizer.add_tokens(
        [
            AddedToken(token, special=kind != _ADDED, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind in (_UNKNOWN, _CONTROL, _ADDED)
        ]
    )
    at = {ours: said.get(f"{theirs}_token_id") for theirs, ours in _NAMED.items()}
    if said.get("add_bos_token", kind == "llama" or split == "llama-bpe") and at["bos"] is not None:
        begin = tokens[at["bos"]]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, at["bos"])]
        )
    named = {f"{name}_token": tokens[id_] for name, id_ in at.items() if id_ is not None}
    template = said.get("chat_template")
    return tokenizer, named | ({"chat_template": template} if template else {})


def _metadata(path: Path) -> dict[str, Any]:
    """Read what a file says of its tokenizer."""
    gguf = _gguf()
    try:
        fields = gguf.GGUFReader(path).fields
        found = {
            name.removeprefix("tokenizer.").removeprefix("ggml."): field.contents()
            for name, field in fields.items()
            if name.startswith("tokenizer.")
        }
        found["tokens"], found["model"]
    except (ValueError, KeyError, IndexError) as error:
        expected, remedy = "a GGUF file with a tokenizer", "Fetch it again, or take another."
        fault = Fault(str(path), f"{type(error).__name__}: {error}", expected, remedy, "not_gguf")
        raise RequestError(fault) from error
    return found


def _byte_level(said: Mapping[str, Any], split: str) -> Tokenizer:
    vocab = {token: at for at, token in enumerate(said["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in said["merges"]]
    whole_words = split == "llama-bpe"  # llama.cpp takes a word that is an entry as it is
    tokenizer = Tokenizer(models.BPE(vocab, merges, ignore_merges=whole_words))
    tokenizer.pre_tokenizer, tokenizer.decoder = _SPLITS[split](), decoders.ByteLevel()
    if split.startswith("qwen"):  # as Qwen's own; the file does not say
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _sentence_pieces(said: Mapping[str, Any]) -> Tokenizer:
    """Build SentencePiece's BPE: two pieces are merged where the whole is one, the best first."""
    tokens, scores, kinds = said["tokens"], said["scores"], said["token_type"]
    vocab = {token: at for at, token in enumerate(tokens)}
    merges = [
        (-scores[at], vocab[token[:cut]], vocab[token[cut:]])
        for token, at in vocab.items()
        if kinds[at] == _NORMAL
        for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab
    ]
    pairs = [(tokens[a], tokens[b]) for _, a, b in sorted(merges)]
    unknown = next((tokens[at] for at, kind in enumerate(kinds) if kind == _UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(vocab, pairs, unk_token=unknown, fuse_unk=True, byte_fallback=_BYTE in kinds)
    )
    prefix = said.get("add_space_prefix", True)
    spaces = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), spaces] if prefix else [spaces]
    )
    joined = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    stripped = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence([*joined, *stripped])
    return tokenizer


def write_tokenizer(folder: Path, path: Path, name: str = "") -> None:
    """Write the tokenizer of a folder as a GGUF file without a model.

    Raises RequestError for one that llama.cpp splits in no known way, or is no byte-level BPE.
    """
    gguf, encoder = _gguf(), TextEncoder.load(folder)
    described = json.loads(encoder.tokenizer.to_str())
    split = _split_of(described, folder)
    ids = encoder.tokenizer.get_vocab(with_added_tokens=True)
    tokens = sorted(ids, key=ids.__getitem__)
    added = {token["content"] for token in described["added_tokens"]}
    kinds = [
        _CONTROL if token in encoder.control else _ADDED if token in added else _NORMAL
        for token in tokens
    ]
    merges = [" ".join(pair) for pair in merges_of(described["model"])]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name or folder.name)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(encoder.opening[0])
    writer.add_eos_token_id(encoder.eos)
    writer.add_add_bos_token(bool(encoder.put_before))
    if encoder.pad is not None:
        writer.add_pad_token_id(encoder.pad)
    if encoder.config.get("chat_template"):
        writer.add_chat_template(encoder.config["chat_template"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def _split_of(described: Mapping[str, Any], folder: Path) -> str:
    """Name the way in which llama.cpp splits text as a tokenizer.json does."""
    cutter = _plain(described["pre_tokenizer"])
    for name, make in _SPLITS.items() if described["model"]["type"] == "BPE" else ():
        if cutter == _plain(json.loads(make().__getstate__())):
            return name
    found = f"{described['model']['type']} with another split"
    expected = f"a byte-level BPE that splits text as {', '.join(_SPLITS)}"
    remedy = "Use it with transformers or tokenizers."
    raise RequestError(Fault(str(folder), found, expected, remedy, "no_gguf_form"))


def _plain(cutter: Any) -> Any:
    """Leave out what changes no ids."""
    if isinstance(cutter, dict):
        return {key: _plain(value) for key, value in cutter.items() if key != "trim_offsets"}
    return [_plain(one) for one in cutter] if isinstance(cutter, list) else cutter


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        remedy = "Install it: pip install 'phusa[gguf]'"
        fault = Fault("gguf", "not installed", "llama.cpp's package", remedy, "not_installed")
        raise RequestError(fault) from error
    return gguf
