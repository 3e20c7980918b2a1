"""Where the numbers are crunched."""

from __future__ import annotations

import pytest
import torch

from storage.errors import RequestError
from tasks.lm import device
from tasks.lm.config import ComputeConfig
from tasks.lm.device import Compute, set_up


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match=r"compute\.device: found no CUDA GPU.*auto") as caught:
        set_up(ComputeConfig(device="cuda"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("precision", "native", "expected"),
    [
        ("fp32", True, torch.float32),
        ("bf16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_precision_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, precision: str, native: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(device, "has_cpu_bf16", lambda: native)
    config = ComputeConfig.model_validate({"device": "cpu", "precision": precision})
    assert set_up(config) == Compute(torch.device("cpu"), expected)


@pytest.mark.parametrize(
    ("wanted", "precision", "kind", "dtype"),
    [
        ("auto", "auto", "cuda", torch.bfloat16),
        ("cuda", "fp32", "cuda", torch.float32),
        ("cpu", "fp32", "cpu", torch.float32),
    ],
)
def test_choices_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, wanted: str, precision: str, kind: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "has_cpu_bf16", lambda: False)
    made = set_up(ComputeConfig.model_validate({"device": wanted, "precision": precision}))
    assert made == Compute(torch.device(kind), dtype)


def test_threads_are_set_and_told() -> None:
    made = set_up(ComputeConfig(device="cpu", precision="bf16", threads=2))
    assert torch.get_num_threads() == 2
    assert str(made) == "cpu, bf16, 2 threads"
    set_up(ComputeConfig(device="cpu", threads=0))  # leaves torch's choice
    assert torch.get_num_threads() == 2
