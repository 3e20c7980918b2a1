"""The special tokens, the chat template and the pre-tokenizer splits that every stage agrees on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from storage.errors import DamagedArtifact

END_OF_TEXT = "<|endoftext|>"  # between documents, and before the first
PAD = "<|pad|>"  # never the end of text: a model that learns from padding never stops (trl #456)
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
END_OF_TURN = "<|end|>"
SPECIAL_TOKENS = (END_OF_TEXT, PAD, USER, ASSISTANT, END_OF_TURN)

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

Split = Literal["gpt2", "llama3", "qwen2"]

# llama.cpp recognises a pre-tokenizer by the ids it gives: these must stay letter for letter.
# Source: openai/tiktoken (gpt2), meta-llama/llama3 tokenizer.py, Qwen/Qwen2 tokenizer.json.
SPLIT_PATTERNS: dict[Split, str] = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}


def chat_prompt(prompt: str) -> str:
    """A user's message as the model was taught to read it, up to where its answer begins."""
    return f"{END_OF_TEXT}{USER}{prompt}{END_OF_TURN}{ASSISTANT}"


TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a tokenizer or model folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token. Raises DamagedArtifact if the tokenizer has none."""
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise DamagedArtifact(
            f"the tokenizer has no {token}; expected the special tokens "
            f"{', '.join(SPECIAL_TOKENS)}. Use one that phusa's tokenizer stage made."
        )
    return found
