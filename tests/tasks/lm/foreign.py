"""Small tokenizers in the form in which others have theirs."""

from __future__ import annotations

import json
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
    trainers,
)

from tests.tasks.tokenizer.conftest import corpus, trained

_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_LLAMA = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
)
_GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' "
    "+ m['content'] + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def _special(*texts: str) -> list[AddedToken]:
    return [AddedToken(text, special=True, normalized=False) for text in texts]


def _pieces(*special: str) -> Tokenizer:
    """A BPE of SentencePiece's form: bytes as entries, merges over what spaces have become."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=_special("<unk>", *special),
        initial_alphabet=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    described = json.loads(tokenizer.to_str())
    vocab = described["model"]["vocab"]
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    for text in special:  # as converted from SentencePiece: whatever gives an entry is a merge
        for cut in range(len(text) - 1, -1, -1):
            vocab.setdefault(text[cut], len(vocab))
            vocab.setdefault(text[cut:], len(vocab))
            if cut < len(text) - 1:
                described["model"]["merges"].append([text[cut], text[cut + 1 :]])
    return Tokenizer.from_str(json.dumps(described))


def llama_like(folder: Path, *, legacy: bool = False) -> Path:
    """With a space that begins a text, `<s>` before it, no pad token, two forms of that space."""
    tokenizer = _pieces("<s>", "</s>")
    if legacy:
        spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence(spaces)
    else:
        tokenizer.normalizer = None
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    config = {
        "bos_token": "<s>",
        "eos_token": {"__type": "AddedToken", "content": "</s>"},
        "unk_token": "<unk>",
    }
    return _write(folder, tokenizer, config, _LLAMA)


def gemma_like(folder: Path) -> Path:
    """With no space before a text, and runs of spaces that were added as text."""
    tokenizer = _pieces("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
    tokenizer.add_tokens([AddedToken("\n\n", special=False), AddedToken("<table>", special=False)])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    config = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    return _write(folder, tokenizer, config, _GEMMA)


def qwen_like(folder: Path) -> Path:
    """A byte-level BPE that puts nothing before a text; `<think>` is added and not special."""
    described = json.loads(trained("qwen2").to_str())
    described["added_tokens"] = []
    for at in range(7):
        described["model"]["vocab"] = {
            f"<unused{at}>" if number == at else text: number
            for text, number in described["model"]["vocab"].items()
        }
    described["post_processor"] = None
    tokenizer = Tokenizer.from_str(json.dumps(described))
    tokenizer.add_special_tokens(_special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>")])
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None}
    return _write(folder, tokenizer, config, _CHATML)


def _write(folder: Path, tokenizer: Tokenizer, config: dict[str, Any], template: str) -> Path:
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(template)
    return folder
