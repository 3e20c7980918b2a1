"""Documents of one row that do not see each other, by each way in which attention is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.lm import kernels
from tasks.lm.documents import Documents
from tasks.lm.kernels import causal_attention
from tasks.lm.models import Llama, Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.lm.models.shape import DecoderShape
from tasks.lm.sequences import IGNORED

MakeModel = Callable[..., Decoder]
EOT = 0
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.05}


def test_documents_by_hand() -> None:
    ids = torch.tensor([[EOT, 7, 8, EOT, EOT, 9], [5, 6, EOT, EOT, EOT, EOT]])
    targets = torch.tensor([[7, 8, EOT, EOT, 9, 4], [6, EOT, *[IGNORED] * 4]])
    documents = Documents.of(ids, targets, EOT)
    assert documents.positions.tolist() == [[0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 4, 5]]
    assert documents.ends.tolist() == [0, 3, 4, 6, 12]
    assert documents.ends.dtype == torch.int32
    seen = [[key for key in range(6) if documents.mask[0, 0, query, key]] for query in range(6)]
    assert seen == [[0], [0, 1], [0, 1, 2], [3], [4], [4, 5]]
    assert torch.equal(documents.mask[1, 0], torch.ones(6, 6).tril().bool())
    chunks = [(c.rows, c.length, c.mask is None) for c in documents.chunks]
    assert chunks == [(2, 6, False)]


@st.composite
def _begins(draw: st.DrawFn) -> Tensor:
    """Rows in which documents begin often, seldom and not at all."""
    rows, length = draw(st.integers(1, 4)), draw(st.sampled_from([1, 40, 256, 700]))
    begins = torch.zeros(rows, length, dtype=torch.bool)
    for row in begins:
        row[
            draw(st.lists(st.integers(0, length - 1), max_size=draw(st.sampled_from([0, 2, 30]))))
        ] = True
    begins[:, 0] = True
    return begins


@settings(deadline=None, max_examples=40)
@given(_begins())
def test_chunks_are_the_blocks_of_the_mask(begins: Tensor) -> None:
    documents = Documents(begins)
    rows, length = begins.shape
    blocks = [
        mask
        for chunk in documents.chunks
        for mask in (
            torch.ones(chunk.rows, 1, chunk.length, chunk.length).tril().bool()
            if chunk.mask is None
            else chunk.mask
        )
    ]
    # Rows one after the other: what no chunk has is what no query sees.
    whole = torch.block_diag(*(block[0].int() for block in blocks)).bool()
    wanted = torch.block_diag(*(mask[0].int() for mask in documents.mask)).bool()
    assert whole.shape == (rows * length, rows * length)
    assert torch.equal(whole, wanted)


def _attention_case(begins: Tensor, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(begins.numel())
    rows, length = begins.shape
    return [torch.randn(rows, 2, length, 8, generator=generator).to(dtype) for _ in range(4)]


def _with_gradients(attend: Callable[..., Tensor], data: list[Tensor]) -> list[Tensor]:
    *qkv, upstream = (of.clone() for of in data)
    for of in qkv:
        of.requires_grad_()
    out = attend(*qkv)
    return [out.detach(), *torch.autograd.grad(out, qkv, upstream)]


@settings(deadline=None, max_examples=25)
@given(_begins(), st.sampled_from(list(TOLERANCE)))
def test_attention_on_a_cpu_is_that_under_a_mask(begins: Tensor, dtype: torch.dtype) -> None:
    documents, data = Documents(begins), _attention_case(begins, dtype)
    found = _with_gradients(lambda *qkv: causal_attention(*qkv, documents), data)
    wanted = _with_gradients(
        lambda *qkv: F.scaled_dot_product_attention(*qkv, attn_mask=documents.mask),
        [of.float() for of in data],
    )
    for mine, other in zip(found, wanted, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(
            mine.float(), other, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype]
        )


@pytest.fixture
def text() -> Callable[[int, int], Tensor]:
    return lambda seed, length: torch.randint(
        5, 270, (length,), generator=torch.Generator().manual_seed(seed)
    )


def _row(*documents: Tensor) -> Tensor:
    mark = torch.tensor([EOT])
    return torch.cat([part for document in documents for part in (mark, document)])


def _targets(ids: Tensor) -> Tensor:
    return torch.cat((ids[:, 1:], torch.full((len(ids), 1), EOT)), dim=1)


def _logits(model: Decoder, ids: Tensor) -> Tensor:
    return model(ids, torch.float32, Documents.of(ids, _targets(ids), EOT))


@torch.no_grad()
@pytest.mark.parametrize("member", [Llama, Qwen3])
def test_a_document_is_read_as_if_it_stood_alone(
    make_model: MakeModel, text: Callable[[int, int], Tensor], member: type[DecoderShape]
) -> None:
    model = make_model(member, num_kv_heads=2)
    one, other, second = text(1, 17), text(2, 17), text(3, 20)
    alone = model(_row(second)[None])[0]
    for neighbour in (one, other):
        beside = _logits(model, _row(neighbour, second)[None])[0, 18:]
        torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-5)
    assert (model(_row(one, second)[None])[0, 18:] - alone).abs().max() > 0.1  # without


def test_a_document_moves_no_gradient_of_another(
    make_model: MakeModel, text: Callable[[int, int], Tensor]
) -> None:
    model, second = make_model(Llama), text(3, 20)
    found = []
    for neighbour in (text(1, 17), text(2, 17)):
        ids = _row(neighbour, second)[None]
        targets = _targets(ids)
        targets[:, :18] = IGNORED  # only the second is learnt
        targets[:, 0] = ids[:, 1]  # (the begin of the first would begin nothing without a target)
        documents = Documents.of(ids, _targets(ids), EOT)
        loss = F.cross_entropy(model(ids, torch.float32, documents)[0, 18:], targets[0, 18:])
        found.append(torch.autograd.grad(loss, list(model.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_loss_of_a_row_is_the_sum_over_its_documents(
    make_model: MakeModel, text: Callable[[int, int], Tensor]
) -> None:
    model = make_model(Llama)
    documents = [text(seed, length) for seed, length in ((1, 9), (2, 1), (3, 12), (4, 20))]
    ids = torch.zeros(2, 26, dtype=torch.long)
    targets = torch.full((2, 26), IGNORED)
    for row, of in zip((0, 1), (documents[:3], documents[3:]), strict=True):
        whole = _row(*of)
        ids[row, : len(whole)] = whole  # padded with an id that is the mark's, but has no target
        targets[row, : len(whole)] = _targets(whole[None])[0]
    apart = sum(
        model.summed_loss(_row(of)[None], _targets(_row(of)[None]), torch.float32).item()
        for of in documents
    )
    together = model.summed_loss(ids, targets, torch.float32, EOT)
    assert together.item() == pytest.approx(apart, rel=1e-6)
    assert model.summed_loss(ids, targets, torch.float32).item() != pytest.approx(apart, rel=1e-3)


# --- torch's attention for flat documents, which runs on a GPU alone ------------------------------


def _each(q: Tensor, k: Tensor, v: Tensor, ends: Tensor, *, causal: bool) -> Tensor:
    """What it does, document by document."""
    parts = [
        F.scaled_dot_product_attention(
            *(t[a:b].transpose(0, 1) for t in (q, k, v)), is_causal=causal
        )
        for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]
    return torch.cat(parts, dim=1).transpose(0, 1)


def _of_torch_2_10(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
) -> Tensor:
    return _each(query, key, value, cu_seq_q, causal=is_causal)


def _of_torch_2_13(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    return _each(query, key, value, cu_seq_q, causal=window_size == (-1, 0))


def _that_looks_ahead(*given: Any, is_causal: bool) -> Tensor:
    return _each(*given[:4], causal=False)


def _that_refuses(*given: Any, is_causal: bool) -> Tensor:
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer")


@pytest.fixture
def find_varlen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Look for a function in torch's place for it."""
    from torch.nn.attention import varlen

    def find(stands_there: Callable[..., Tensor]) -> Any:
        monkeypatch.setattr(varlen, "varlen_attn", stands_there)
        kernels._find_varlen.cache_clear()
        return kernels._find_varlen(torch.device("cpu"), torch.float32, 8)

    yield find
    kernels._find_varlen.cache_clear()


@pytest.mark.parametrize("there", [_of_torch_2_10, _of_torch_2_13])
def test_flat_attention_is_taken_where_it_does_what_a_mask_does(
    find_varlen: Callable[..., Any], there: Callable[..., Tensor]
) -> None:
    begins = torch.rand(3, 90, generator=torch.Generator().manual_seed(0)) < 0.1
    begins[:, 0] = True
    documents, data = Documents(begins), _attention_case(begins, torch.float32)
    varlen = find_varlen(there)
    found = _with_gradients(lambda *qkv: kernels._attend_flat(varlen, *qkv, documents), data)
    wanted = _with_gradients(
        lambda *qkv: F.scaled_dot_product_attention(*qkv, attn_mask=documents.mask), data
    )
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("there", [_that_looks_ahead, _that_refuses])
def test_flat_attention_is_passed_over_where_it_does_not(
    find_varlen: Callable[..., Any], there: Callable[..., Tensor]
) -> None:
    assert find_varlen(there) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_attention_on_a_gpu_is_that_under_a_mask(dtype: torch.dtype) -> None:
    begins = torch.rand(3, 700, generator=torch.Generator().manual_seed(0)) < 0.01
    begins[:, 0] = True
    documents, data = Documents(begins), _attention_case(begins, torch.float32)
    there = Documents(begins.cuda())
    found = _with_gradients(
        lambda *qkv: causal_attention(*qkv, there), [of.cuda().to(dtype) for of in data]
    )
    wanted = _with_gradients(lambda *qkv: causal_attention(*qkv, documents), data)
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(
            mine.float().cpu(), other, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype]
        )
