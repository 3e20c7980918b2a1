"""Muon for the matrices inside the model, AdamW for the rest.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; arXiv:2502.16982;
torch.optim.Muon. A Muon of our own that took all matrices of one shape as one stack was 1.1 times
as fast on a CPU: not worth its lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from tasks.lm.config import OptimizerConfig


def build_optimizers(model: nn.Module, config: OptimizerConfig) -> list[Optimizer]:
    """AdamW over embedding, head and gains; Muon over everything else."""
    groups: dict[str, list[Tensor]] = {"matrix": [], "embedding": [], "head": [], "gain": []}
    for name, parameter in model.named_parameters():
        kind = "gain" if parameter.ndim == 1 else "matrix"
        kind = "embedding" if "embed_tokens" in name else "head" if "lm_head" in name else kind
        groups[kind].append(parameter)
    decay = config.weight_decay
    adam_groups = [
        {"params": groups["embedding"], "lr": config.embedding_lr, "weight_decay": decay},
        {"params": groups["head"], "lr": config.head_lr, "weight_decay": decay},
        {"params": groups["gain"], "lr": config.gain_lr, "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [
        AdamW(
            [group for group in adam_groups if group["params"]],
            betas=(config.beta1, config.beta2),
            eps=1e-10,
            fused=True,
        ),
        Muon(
            groups["matrix"],
            lr=config.matrix_lr,
            momentum=config.momentum,
            weight_decay=decay,
            adjust_lr_fn="original",  # the rate times sqrt(max(1, out / in)) of a matrix
        ),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_rates(optimizers: Sequence[Optimizer], factor: float) -> None:
    """Every group's rate becomes its peak times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
