"""Train an adapter on the answers alone, measure it on held-out names, merge it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from storage.errors import Fault, NothingLeft, RequestError, TrainingDiverged
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import (
    Example,
    Pair,
    collate,
    encode_pairs,
    plan_batches,
    tabulate_steps,
)
from tasks.lm.checkpoint import load_model
from tasks.lm.config import rate_factor
from tasks.lm.device import Compute, set_up
from tasks.lm.models.decoder import Decoder
from tasks.lm.sequences import IGNORED
from tasks.lm.snapshot import Snapshots
from tasks.lm.tensors import os_errors_unwrapped
from tasks.lm.tokens import PAD, load_tokenizer, special_id
from tasks.progress import note, track

_EVALUATION_BATCH = 32


@dataclass(frozen=True)
class FinetuneData:
    """What the earlier stages left, and the pairs."""

    train: Path
    validation: Path
    base: Path


@dataclass(frozen=True)
class Tuned:
    """What a training took, which of its steps learnt from which pair (records.STEP), and the
    base with the adapter in its weights."""

    stats: dict[str, Any]
    steps: pa.Table
    merged: Decoder


def finetune(config: FinetuneConfig, data: FinetuneData, scratch: Path, adapter: Path) -> Tuned:
    """Train and write the PEFT adapter into the given folder.

    Goes on from the newest snapshot in `scratch`. Raises RequestError if the adapter's targets are
    not in the model, NothingLeft if no pair fits its context, TrainingDiverged if the loss is no
    longer finite.
    """
    compute = set_up(config.compute)
    run = _Run(config, compute, data)
    before = run.held_out_bits_per_byte()
    steps = run.train(Snapshots(scratch))
    after = run.held_out_bits_per_byte()
    _check_finite(f"after the last step the held-out bits per byte are {after}", after)
    run.save(adapter)
    stats = {
        "pairs": len(run.train_examples),
        "held_out_pairs": len(run.held_out),
        "trainable_parameters": sum(p.numel() for p in run.trainable),
        "held_out_bits_per_byte_before": before,
        "held_out_bits_per_byte": after,
        "compute": str(compute),
    }
    return Tuned(stats, steps, run.merge())


class _Run:
    """A base model with an adapter in it, and its data."""

    def __init__(self, config: FinetuneConfig, compute: Compute, data: FinetuneData) -> None:
        from peft import get_peft_model  # 2 s to import, and only wanted where it trains

        self._config, self._compute, self._data = config, compute, data
        self._tokenizer = load_tokenizer(data.base)
        self._decoder = load_model(data.base)
        _check_targets(self._decoder, config)
        self.train_examples = self._examples(data.train)
        self.held_out = self._examples(data.validation)
        self._held_out_bytes = sum(len(self._answer(e).encode()) for e in self.held_out)
        torch.manual_seed(config.seed)  # PEFT draws the initial A from the global generator
        # Our own decoder goes through PEFT as it is: its module names are those of transformers,
        # and it trains in bfloat16 on a CPU at several times the speed.
        self._peft: Any = get_peft_model(self._decoder, config.adapter.peft_config())
        self._peft.to(compute.device)
        self.trainable = [p for p in self._peft.parameters() if p.requires_grad]

    def _examples(self, path: Path) -> list[Example]:
        pairs: list[Pair] = pq.read_table(path).to_pylist()
        examples = encode_pairs(pairs, self._tokenizer, self._decoder.context)
        if not examples:
            raise NothingLeft(
                f"none of the {len(pairs)} pairs of {path.name} fits the model's context of "
                f"{self._decoder.context} tokens; expected at least one. Raise "
                "shard.sequence_length or lower finetune.pairs.max_answer_characters."
            )
        return examples

    def _answer(self, example: Example) -> str:
        return str(self._tokenizer.decode(example.ids[example.answer_start :]))

    def train(self, snapshots: Snapshots) -> pa.Table:
        """All steps of all epochs, from the newest snapshot on; returns what each learnt from."""
        config = self._config
        optimizer = torch.optim.AdamW(
            self.trainable, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        plan = plan_batches(self.train_examples, config)
        first, history = snapshots.load(self._peft, [optimizer])
        if first:
            note(f"finetune: goes on from step {first:,} of {len(plan):,}")
        with track("finetune", len(plan), "steps", done=first) as bar:
            for step in range(first, len(plan)):
                factor = rate_factor(step + 1, len(plan), config.warmup, config.cooldown)
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * factor
                loss = self._step(optimizer, [self.train_examples[i] for i in plan[step]])
                _check_finite(f"the loss is {loss} at step {step + 1} of {len(plan)}", loss)
                history.append(loss)
                bar.advance(1, loss=loss)
                if (step + 1) % config.checkpoint_steps == 0 and step + 1 < len(plan):
                    snapshots.save(step + 1, self._peft, [optimizer], history)
        return tabulate_steps(self.train_examples, plan)

    def _step(self, optimizer: torch.optim.Optimizer, examples: Sequence[Example]) -> float:
        loss, num_targets = self._summed_loss(examples)
        mean = loss / num_targets
        optimizer.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return mean.item()

    def _summed_loss(self, examples: Sequence[Example]) -> tuple[Tensor, int]:
        """Sum in nats over the answers' tokens, and their number; the head sees only these."""
        ids, targets = collate(examples, special_id(self._tokenizer, PAD))
        ids, targets = ids.to(self._compute.device), targets.to(self._compute.device)
        hidden = self._decoder.model(ids, self._compute.dtype)
        learnt = targets != IGNORED
        logits = self._decoder.logits(hidden[learnt]).float()
        return F.cross_entropy(logits, targets[learnt], reduction="sum"), int(learnt.sum())

    @torch.no_grad()
    def held_out_bits_per_byte(self) -> float:
        """Bits per byte of the answers for held-out names, the end of the turn included."""
        nats = 0.0
        for start in range(0, len(self.held_out), _EVALUATION_BATCH):
            loss, _ = self._summed_loss(self.held_out[start : start + _EVALUATION_BATCH])
            nats += loss.item()
        return nats / math.log(2) / self._held_out_bytes

    def save(self, adapter: Path) -> None:
        """Write the adapter for `PeftModel`."""
        with os_errors_unwrapped():
            self._peft.save_pretrained(adapter, save_embedding_layers=False)
        (adapter / "README.md").unlink(missing_ok=True)  # an empty form; the lineage is the card
        _settle_adapter_config(adapter / "adapter_config.json")

    def merge(self) -> Decoder:
        """The decoder with the adapter in its weights, in float32 on the CPU; ends the run.

        An adapter on a tied embedding leaves the head as it was, so that merging unties the two.
        """
        self._peft.to("cpu")
        head = self._decoder.head.detach().clone()
        model: Decoder = self._peft.merge_and_unload()
        if not model.shape.tie_embeddings or "embed_tokens" not in self._config.adapter.targets:
            return model
        shape = model.shape.model_copy(update={"tie_embeddings": False})
        untied = Decoder(shape, model.vocab_size, model.context)
        untied.load_state_dict({**model.state_dict(), "lm_head.weight": head})
        return untied


def _check_finite(finding: str, value: float) -> None:
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"{finding}; expected a finite number. Lower finetune.learning_rate and run again."
        )


def _check_targets(model: Decoder, config: FinetuneConfig) -> None:
    kinds = (nn.Linear, nn.Embedding)
    known = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, kinds)}
    missing = sorted(set(config.adapter.targets).difference(known))
    if missing:
        raise RequestError(
            Fault(
                "finetune.adapter.targets",
                ", ".join(missing),
                f"some of {', '.join(sorted(known))} (a tied model has no lm_head)",
                "Leave them out.",
            )
        )


def _settle_adapter_config(path: Path) -> None:
    """Make the file say how to open the adapter, in equal bytes from every process.

    PEFT writes sets in the order of the process's hash seed, and names the class it trained: ours,
    where whoever opens the adapter has transformers'.
    """
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["task_type"] = "CAUSAL_LM"
    config["base_model_name_or_path"] = None
    config["auto_mapping"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
