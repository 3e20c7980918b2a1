"""Muon for the matrices inside the model, AdamW for the rest, and one schedule for both.

torch.optim.Muon was tried: it orthogonalises matrix by matrix, this one takes all matrices of one
shape as a stack (the step is 3 times shorter for a small model on a CPU), and it exists on torch
2.11 too. Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; arXiv:2502.16982.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from tasks.lm.config import OptimizerConfig

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised; an (out, in) update is scaled by sqrt(max(1, out/in))."""

    def __init__(
        self, params: Sequence[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "Muon evaluates no closure"
        for group in self.param_groups:
            stacks: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    stacks.setdefault(parameter.shape, []).append(parameter)
            for parameters in stacks.values():
                self._step_stack(parameters, group)

    def _step_stack(self, parameters: Sequence[Tensor], group: dict[str, Any]) -> None:
        updates = []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            updates.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
        rows, columns = parameters[0].shape
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        for parameter, update in zip(parameters, orthogonalize(torch.stack(updates)), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)


def orthogonalize(stack: Tensor, steps: int = 5) -> Tensor:
    """Near semi-orthogonal matrices of a stack (N, rows, columns), by Newton-Schulz in bfloat16."""
    a, b, c = _NEWTON_SCHULZ
    x = stack.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).bfloat16()
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.transpose(1, 2) if tall else x).float()


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
        Muon(groups["matrix"], config.matrix_lr, config.momentum, decay),
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
