"""Where the numbers are crunched."""

from __future__ import annotations

import pytest
import torch

from storage.errors import RequestError
from tasks.lm import device
from tasks.lm.config import ComputeConfig
from tasks.lm.device import Compute, count_devices, set_up, usable_cores
from tasks.lm.distributed.world import World


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match=r"compute\.device: found no CUDA GPU.*auto") as caught:
        set_up(ComputeConfig(device="cuda"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("precision", "native", "expected", "is_open"),
    [
        ("fp32", True, torch.float32, False),
        ("bf16", False, torch.bfloat16, False),
        ("auto", True, torch.float32, True),  # to be measured
        ("auto", False, torch.float32, False),
    ],
)
def test_precision_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    native: bool,
    expected: torch.dtype,
    is_open: bool,
) -> None:
    monkeypatch.setattr(device, "has_bf16_products", lambda: native)
    config = ComputeConfig.model_validate({"device": "cpu", "precision": precision})
    assert set_up(config) == Compute(torch.device("cpu"), expected, is_open=is_open)


def test_fp16_wants_a_gpu() -> None:
    with pytest.raises(RequestError) as error:
        set_up(ComputeConfig(device="cpu", precision="fp16"))
    assert error.value.faults[0].code == "no_gpu"


@pytest.mark.parametrize(
    ("wanted", "precision", "kind", "dtype"),
    [
        ("auto", "auto", "cuda", torch.bfloat16),
        ("auto", "fp16", "cuda", torch.float16),
        ("cuda", "fp32", "cuda", torch.float32),
        ("cpu", "fp32", "cpu", torch.float32),
    ],
)
def test_choices_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, wanted: str, precision: str, kind: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    config = ComputeConfig.model_validate({"device": wanted, "precision": precision})
    assert set_up(config) == Compute(torch.device(kind), dtype)
    second = torch.device(kind, 1) if kind == "cuda" else torch.device(kind)
    assert set_up(config, World(1, 4)) == Compute(second, dtype, 4)


def test_threads_are_set_and_told() -> None:
    made = set_up(ComputeConfig(device="cpu", precision="bf16", threads=2))
    assert torch.get_num_threads() == 2
    assert str(made) == "cpu, bf16, 2 threads"
    set_up(ComputeConfig(device="cpu", threads=0))  # leaves torch's choice
    assert torch.get_num_threads() == 2


def test_threads_are_shared_out_among_ranks() -> None:
    config = ComputeConfig(device="cpu", precision="fp32", threads=5)
    assert str(set_up(config, World(0, 2))) == "2 x cpu, fp32, 2 threads"
    assert set_up(config, World(6, 7)).num_devices == 7
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("wanted", "gpus", "devices", "expected"),
    [
        ("auto", 4, 1, 1),
        ("auto", 4, 0, 4),
        ("cuda", 4, 4, 4),
        ("cpu", 4, 0, 1),
        ("auto", 0, 0, 1),
        ("auto", 0, 2, 2),
    ],
)
def test_devices_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, wanted: str, gpus: int, devices: int, expected: int
) -> None:
    _pretend(monkeypatch, gpus)
    config = ComputeConfig.model_validate({"device": wanted, "devices": devices})
    assert count_devices(config) == expected


@pytest.mark.parametrize(
    ("wanted", "gpus", "devices", "said"),
    [
        ("auto", 4, 5, "found 5; expected at most 4: this machine has 4 CUDA GPUs"),
        ("cpu", 4, 3, "found 3; expected at most 2: this machine has 2 CPU cores.*to 2 or less"),
        ("cuda", 0, 2, "no CUDA GPU"),
    ],
)
def test_more_devices_than_there_are(
    monkeypatch: pytest.MonkeyPatch, wanted: str, gpus: int, devices: int, said: str
) -> None:
    _pretend(monkeypatch, gpus)
    with pytest.raises(RequestError, match=said):
        count_devices(ComputeConfig.model_validate({"device": wanted, "devices": devices}))


def _pretend(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(device, "usable_cores", lambda: 2)


def test_cores_are_counted() -> None:
    assert usable_cores() >= 1
