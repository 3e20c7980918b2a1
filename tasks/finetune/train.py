"""Train an adapter on the answers alone, measure it on held-out names, merge it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from storage.errors import Fault, NothingLeft, RequestError
from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import (
    STEPS,
    TRAIN,
    VALIDATION,
    Example,
    Pair,
    collate,
    encode_pairs,
    plan_batches,
    tabulate_steps,
)
from tasks.lm.checkpoint import finish_model, load_model, os_errors_unwrapped
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.loop import Batch, Training, TrainingJob
from tasks.lm.models.decoder import Decoder
from tasks.lm.sequences import IGNORED
from tasks.lm.tokens import TextEncoder


@dataclass(frozen=True)
class FinetuneData:
    """What the earlier stages left, and the pairs."""

    train: Path
    validation: Path
    base: Path


class FinetuneJob(TrainingJob):
    """A fine-tuning from its inputs to its files: adapter, merged model and loss curve."""

    config: FinetuneConfig
    base: Path

    def training(self, world: World) -> Finetuning:
        pairs = Workspace(self.work).data
        return Finetuning(
            self.config, FinetuneData(pairs / TRAIN, pairs / VALIDATION, self.base), world
        )


class Finetuning(Training):
    """A base model with an adapter in it, which learns the answers alone."""

    stage, unit, scored_on, scores_before = "finetune", "steps", "held-out", True
    remedy = "Lower finetune.learning_rate and run again."
    held_out_unit, held_out_rows = "pairs", 32

    def __init__(self, config: FinetuneConfig, data: FinetuneData, world: World = ALONE) -> None:
        """Raise RequestError if the adapter's targets are not in the model, NothingLeft if no pair
        fits its context, and as `Training` does."""
        from peft import get_peft_model  # 2 s to import, and only wanted where it trains

        super().__init__(config, world)
        self._config, self._data = config, data
        self._encoder = TextEncoder.load(data.base)
        self.decoder = load_model(data.base)
        _check_targets(self.decoder, config)
        self._train, self._held_out = self._examples(data.train), self._examples(data.validation)
        torch.manual_seed(config.seed)  # PEFT draws the initial A from the global generator
        # Our own decoder goes through PEFT as it is: its module names are those of transformers,
        # and it trains in bfloat16 on a CPU at several times the speed.
        self.model: Any = get_peft_model(self.decoder, config.adapter.peft_config())
        self.model.to(self.compute.device)
        self._trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.peak_rate, self.rates = config.learning_rate, config
        self._plan = plan_batches(self._train, config)
        self.num_steps = len(self._plan)
        self.held_out = self._rows(self._held_out)
        learnt = (list(compress(e.ids, e.learnt)) for e in self._held_out)  # the end of a turn, too
        self.held_out_bytes = sum(len(self._encoder.decode(ids).encode()) for ids in learnt)

    @property
    def about(self) -> str:
        return ""

    def build_optimizers(self) -> list[Optimizer]:
        return [
            torch.optim.AdamW(
                self._trainable, self.peak_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
            )
        ]

    def _examples(self, path: Path) -> list[Example]:
        pairs: list[Pair] = pq.read_table(path).to_pylist()
        examples = encode_pairs(pairs, self._encoder, self.decoder.context)
        if not examples:
            raise NothingLeft(
                f"none of the {len(pairs)} pairs of {path.name} fits the model's context of "
                f"{self.decoder.context} tokens; expected at least one. Raise "
                "shard.sequence_length or lower finetune.pairs.max_answer_characters."
            )
        return examples

    def batch(self, step: int) -> Batch:
        return self._rows([self._train[i] for i in self._plan[step]])

    def _rows(self, examples: list[Example]) -> Batch:
        return Batch(
            len(examples),
            sum(len(example.ids) for example in examples),
            lambda rows: sum(sum(example.learnt[1:]) for example in examples[rows]),
            lambda rows: self._summed_loss(examples[rows]),
        )

    def _summed_loss(self, examples: list[Example]) -> Tensor:
        """Sum in nats over the answers' tokens; the head sees only these."""
        ids, targets = collate(examples)
        ids, targets = ids.to(self.compute.device), targets.to(self.compute.device)
        hidden = self.decoder.model(ids, self.compute.dtype)
        learnt = targets != IGNORED
        logits = self.decoder.logits(hidden[learnt]).float()
        return F.cross_entropy(logits, targets[learnt], reduction="sum")

    def write(self, workspace: Workspace) -> None:
        with workspace.writing_folder("adapter") as folder:
            self.save(folder)
        finish_model(self.merge(), self._data.base, workspace, "merged")
        steps = tabulate_steps(self._train, self._plan)
        write_table(workspace, STEPS, steps, volatile=True)
        write_table(workspace, "training.parquet", self.history.table(), volatile=True)

    @property
    def stats(self) -> dict[str, Any]:
        return {
            "pairs": len(self._train),
            "held_out_pairs": len(self._held_out),
            "trainable_parameters": sum(p.numel() for p in self._trainable),
            "held_out_bits_per_byte_before": self.score_before,
            "held_out_bits_per_byte": self.score,
            "compute": str(self.compute),
            "precision": self.compute.precision,
        }

    def save(self, adapter: Path) -> None:
        """Write the adapter for `PeftModel`."""
        with os_errors_unwrapped():
            self.model.save_pretrained(adapter, save_embedding_layers=False)
        (adapter / "README.md").unlink(missing_ok=True)  # an empty form; the lineage is the card
        _settle_adapter_config(adapter / "adapter_config.json")

    def merge(self) -> Decoder:
        """The decoder with the adapter in its weights, in float32 on the CPU; ends the run.

        An adapter on a tied embedding leaves the head as it was, so that merging unties the two.
        """
        self.model.to("cpu")
        head = self.decoder.head.detach().clone()
        model: Decoder = self.model.merge_and_unload()
        if not model.shape.tie_embeddings or "embed_tokens" not in self._config.adapter.targets:
            return model
        shape = model.shape.model_copy(update={"tie_embeddings": False})
        untied = Decoder(shape, model.vocab_size, model.context)
        untied.load_state_dict({**model.state_dict(), "lm_head.weight": head})
        return untied


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
                "unknown_targets",
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
