"""The part of a card that says how to load the folder. A test runs every line of its code."""

from __future__ import annotations

import json

from flows.export.card_facts import base_model
from flows.export.layouts import PAIRS, STEPS, TABLES, TRAIN, Kind
from flows.export.provenance import Provenance
from storage.manifest import Manifest

_TOKENIZER = """\
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
print(tokenizer.tokenize("What the river leaves behind."))"""

_BASE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
start = tokenizer(tokenizer.bos_token + "The", return_tensors="pt")
made = model.generate(**start, max_new_tokens=32, do_sample=True, temperature=0.7)
print(tokenizer.decode(made[0], skip_special_tokens=True))"""

_TUNED = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
question = [{"role": "user", "content": "What is this about?"}]
start = tokenizer.apply_chat_template(
    question, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**start, max_new_tokens=32, do_sample=False)
print(tokenizer.decode(made[0, start["input_ids"].shape[1] :], skip_special_tokens=True))"""

_PAIRS = """\
from datasets import load_dataset

places = {split: f"{folder}/pairs/{split}.parquet" for split in ("train", "validation")}
pairs = load_dataset("parquet", data_files=places)
print(pairs["train"][0])"""


def loading(facts: Provenance, kind: Kind, name: str) -> str:
    """The section `Load it` for a folder that is called `name`."""
    where = f"folder = {json.dumps(f'./{name}', ensure_ascii=False)}"
    first = f"{where}  # this folder, or the name of its repository on the Hub"
    manifest = facts.manifest
    if kind == "dataset":
        parts = [_python(first, _tables(manifest))]
    elif kind == "tokenizer":
        parts = [_python(first, _TOKENIZER)]
    elif manifest.name == "pretrain":
        parts = [
            _python(first, _BASE),
            "Documents began with the token `tokenizer.bos_token` in training; a prompt is to "
            "begin with it too.",
        ]
    else:
        parts = _tuned(facts, first)
    return "\n\n".join(["## Load it", *parts])


def _tuned(facts: Provenance, first: str) -> list[str]:
    base = base_model(facts)
    label = f"`{base.label}`" if base else "that it was trained on"
    steps = any(entry.path == STEPS for entry in facts.manifest.files)
    more = f" (`{STEPS}` says which step learnt from which)" if steps else ""
    return [
        "The model at the root has the adapter merged in.",
        _python(first, _TUNED),
        '`adapter/` is the adapter alone: `PeftModel.from_pretrained(base, f"{folder}/adapter")` '
        f"puts it on the base model {label}.",
        f"`pairs/` holds {PAIRS.says}{more}:",
        _python(_PAIRS),
    ]


def _tables(manifest: Manifest) -> str:
    lines = ["from datasets import load_dataset\n"]
    for number, table in enumerate(TABLES[manifest.name]):
        for split in table.rows(manifest):
            name = table.name if split == TRAIN else split
            which = "" if number == 0 else f', "{table.name}"'
            lines.append(f'{name} = load_dataset(folder{which}, split="{split}")')
    if len(lines) == 1:  # quality, where no classifier is on
        read = 'print("".join(path.read_text() for path in Path(folder).glob("*.json")))'
        return f"from pathlib import Path\n\n{read}"
    return "\n".join([*lines, f"print({TABLES[manifest.name][0].name}[0])"])


def _python(*code: str) -> str:
    """A code block; what it imports comes first."""
    lines = "\n".join(code).split("\n")
    imports = [line for line in lines if line.startswith("from ")]
    rest = "\n".join(line for line in lines if not line.startswith("from "))
    joined = "\n".join(imports) + "\n\n" + rest.strip("\n").replace("\n\n", "\n")
    return f"```python\n{joined}\n```"
