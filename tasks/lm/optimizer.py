"""Muon for the matrices inside the model, AdamW for the rest.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; arXiv:2502.16982;
torch.optim.Muon. A Muon of our own that took all matrices of one shape as one stack was 1.1 times
as fast on a CPU: not worth its lines. But torch's orthogonalises in bfloat16 everywhere: on a CPU
that has no such products (AVX2 alone) it took 7.9 s for the demo's matrices, in fp32 0.14 s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from tasks.lm.config import OptimizerConfig
from tasks.lm.device import has_cpu_bf16


class Fp32Muon(Muon):
    """torch's Muon, its state included, with the orthogonalisation in fp32."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        assert closure is None, "nothing here evaluates a closure"
        for group in self.param_groups:
            for matrix in (p for p in group["params"] if p.grad is not None):
                self._update(matrix, group)

    def _update(self, matrix: Tensor, group: dict[str, Any]) -> None:
        assert matrix.grad is not None
        state, momentum = self.state[matrix], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        update = matrix.grad.lerp(state["momentum_buffer"], momentum)  # Nesterov's
        update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = matrix.shape
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonalized(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """The nearest semi-orthogonal (rows, columns) matrix, roughly, by Newton-Schulz in fp32."""
    a, b, c = coefficients
    x = matrix.float().T if matrix.shape[0] > matrix.shape[1] else matrix.float()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def build_optimizers(model: nn.Module, config: OptimizerConfig) -> list[Optimizer]:
    """AdamW over embedding, head and gains; Muon over everything else."""
    groups: dict[str, list[Tensor]] = {"matrix": [], "embedding": [], "head": [], "gain": []}
    for name, parameter in model.named_parameters():
        kind = "gain" if parameter.ndim == 1 else "matrix"
        kind = "embedding" if "embed_tokens" in name else "head" if "lm_head" in name else kind
        groups[kind].append(parameter)
    on_cpu = all(matrix.device.type == "cpu" for matrix in groups["matrix"])
    muon = Fp32Muon if on_cpu and not has_cpu_bf16() else Muon
    decay = config.weight_decay
    adam_groups = [
        {"params": groups["embedding"], "lr": config.embedding_lr, "weight_decay": decay},
        {"params": groups["head"], "lr": config.head_lr, "weight_decay": decay},
        {"params": groups["gain"], "lr": config.gain_lr, "weight_decay": 0.0},
    ]
    return [
        AdamW(
            [group for group in adam_groups if group["params"]],
            betas=(config.beta1, config.beta2),
            eps=1e-10,
            fused=True,
        ),
        muon(
            groups["matrix"],
            lr=config.matrix_lr,
            momentum=config.momentum,
            weight_decay=decay,
            adjust_lr_fn="original",  # the rate times sqrt(max(1, out / in)) of a matrix
        ),
    ]


def set_rates(optimizers: Sequence[Optimizer], factor: float) -> None:
    """Every group's rate becomes its peak, that of before the first call, times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("peak_lr", group["lr"]) * factor
