"""What torch lacks of optimisers: a Muon in fp32, Lion; and which parameter goes where.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; arXiv:2502.16982;
torch.optim.Muon. A Muon of our own that took all matrices of one shape as one stack was 1.1 times
as fast on a CPU: not worth its lines. But torch's orthogonalises in bfloat16 everywhere: on a CPU
that has no such products (AVX2 alone) it took 7.9 s for the demo's matrices, in fp32 0.14 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Muon, Optimizer

from tasks.lm.optimizers import KINDS, OptimizerConfig

JORDAN = 5
"""Iterations that torch's Muon takes, all with the same coefficients."""
# The best odd polynomials of degree 5 for so many iterations, one for each: 3 take singular values
# from 0.01 on to 0.73-1.27, 4 those from 0.003 on to 0.80-1.20; Jordan's 5 end in 0.68-1.20.
# Source: arXiv:2505.16932, algorithm 1.
_POLAR = {
    3: (
        (8.093369, -23.62043, 17.446152),
        (3.636586, -2.721927, 0.536546),
        (2.6613, -1.977155, 0.452616),
    ),
    4: (
        (8.383674, -24.765906, 18.357082),
        (4.04342, -3.011405, 0.569512),
        (3.505571, -2.626654, 0.525719),
        (2.490116, -1.834275, 0.436835),
    ),
}


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
        polynomials = _POLAR.get(group["ns_steps"], (group["ns_coefficients"],) * group["ns_steps"])
        update = orthogonalized(update, polynomials, group["eps"])
        rows, columns = matrix.shape
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonalized(
    matrix: Tensor, polynomials: Sequence[tuple[float, float, float]], eps: float
) -> Tensor:
    """The nearest semi-orthogonal (rows, columns) matrix, roughly, by Newton-Schulz in fp32.

    Polynomials of a long matrix are those of its small Gram matrix, so that the long side is met
    only twice: 0.7 of the products for (256, 768). Not with torch's own, which stay as they were.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.float().T if tall else matrix.float()
    x = x / x.norm().clamp(min=eps)
    if x.shape[1] >= 2 * x.shape[0] and len(polynomials) < JORDAN:
        x = _by_gram(x, polynomials)
    else:
        for a, b, c in polynomials:
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _by_gram(x: Tensor, polynomials: Sequence[tuple[float, float, float]]) -> Tensor:
    gram = x @ x.T
    factor = whole = torch.empty(0)
    for step, (a, b, c) in enumerate(polynomials):
        gram = factor @ gram @ factor if step else gram
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        whole = factor @ whole if step else factor
    made: Tensor = whole @ x
    return made


def build_muon(
    groups: Sequence[dict[str, Any]], momentum: float, iterations: int, dtype: torch.dtype
) -> Muon:
    """torch's Muon where products are in bfloat16, else the same in fp32; ours for 3 iterations."""
    kind = Muon if dtype == torch.bfloat16 and iterations == JORDAN else Fp32Muon
    return kind(
        groups,
        momentum=momentum,
        ns_steps=iterations,
        adjust_lr_fn="original",  # the rate times sqrt(max(1, out / in)) of a matrix
    )


class Lion(Optimizer):
    """Moves every weight by the rate, to the side that its momentum says. Source: arXiv:2302.06675.

    torch 2.13 has none.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], betas: tuple[float, float]) -> None:
        super().__init__(groups, {"betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "nothing here evaluates a closure"
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in (p for p in group["params"] if p.grad is not None):
                state = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                update = state["exp_avg"].lerp(parameter.grad, 1 - beta1).sign_()
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])
                state["exp_avg"].lerp_(parameter.grad, 1 - beta2)


def build_optimizers(
    model: nn.Module, config: OptimizerConfig, dtype: torch.dtype, head: Tensor | None = None
) -> list[Optimizer]:
    """What updates the parameters, each by its kind; `head` is the model's output matrix."""
    kinds: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    looked_up = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for parameter in model.parameters():
        inside = "matrix" if parameter.ndim == 2 else "gain"
        kind = (
            "embedding" if id(parameter) in looked_up else "head" if parameter is head else inside
        )
        kinds[kind].append(parameter)
    return config.build(kinds, dtype)


def set_rates(optimizers: Sequence[Optimizer], factor: float) -> None:
    """Every group's rate becomes its peak, that of before the first call, times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("peak_lr", group["lr"]) * factor
