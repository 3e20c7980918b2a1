"""How fast this machine trains, and what size of model fits a text and the hours given.

Every rule is one function with its source in its docstring. `phusa init` writes recipes by them,
`phusa plan` estimates by them.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING

import psutil

from tasks.lm.models import Llama
from tasks.lm.models.shape import DecoderShape
from tasks.machine import count_gpus, has_bf16_products, usable_cores
from tasks.tokenizer.config import SMALLEST_VOCABULARY

if TYPE_CHECKING:
    import torch

_STEP_TOKENS = 2_048  # at 2.4 M tokens; on a CPU many small steps beat few large ones
_EPOCHS = 4
_PARAMETERS_PER_TOKEN = 3.5  # of a text without its repeats
_TRAINED_BYTES = 16  # of a parameter in fp32: itself, its gradient, two moments
_LARGEST_DEPTH = 32
_BYTES_PER_ENTRY = 256
_CORE_FLOPS = {False: 65e9, True: 150e9}  # trained with, by a core; by whether it has bf16 products
_CPU_SHARE, _GPU_SHARE = 0.54, 0.35
_GPU_FLOPS = 300e12  # bf16, of an A100, where no probe was made
_FULL_GPU = 760e6  # parameters from which a GPU is busy
_CPU_TOKENS, _GPU_TOKENS = 40_000.0, 200_000.0  # a second, however small the model


@dataclass(frozen=True)
class Machine:
    """What there is to train with."""

    cores: int
    memory_bytes: int
    """Of the machine; of the GPU, once probed."""
    bf16: bool
    """Whether products of bfloat16 are fast: on a GPU, or on a CPU with AVX512-BF16 or AMX."""
    gpus: int = 0
    flops: float = 0.0
    """Floating point operations a second of one device's large products; 0: not measured."""

    def __str__(self) -> str:
        kind = f"{self.gpus} GPU" if self.gpus else f"{self.cores} cores"
        measured = f", {self.flops / 1e9:,.0f} GFLOP/s measured" if self.flops else ""
        return f"{kind}, {'bf16' if self.bf16 else 'fp32'}{measured}"


@lru_cache
def this_machine() -> Machine:
    """Look at this machine without torch, in a millisecond: nothing is measured."""
    gpus = count_gpus()
    bf16 = gpus > 0 or has_bf16_products()
    return Machine(usable_cores(), psutil.virtual_memory().total, bf16, gpus)


def probed(machine: Machine) -> Machine:
    """Measure large products for a second, and take the arithmetic that is faster.

    Bfloat16 can be slower than fp32 where the processor says that it has it: half as fast on a
    virtual Xeon with AVX512-BF16 and no AMX. The best of many short products counts, and cores are
    asked one at a time: so other programs hardly matter.
    """
    import torch  # 1 s, and only wanted here

    if torch.cuda.is_available():
        memory, count = torch.cuda.mem_get_info()[1], torch.cuda.device_count()
        flops = _product_flops("cuda", torch.bfloat16, 8192)
        return replace(machine, memory_bytes=memory, bf16=True, gpus=count, flops=flops)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fp32 = _product_flops("cpu", torch.float32, 512)
        bf16 = _product_flops("cpu", torch.bfloat16, 512) if machine.bf16 else 0.0
    finally:
        torch.set_num_threads(threads)
    return replace(machine, bf16=bf16 > fp32, gpus=0, flops=max(bf16, fp32) * machine.cores)


def _product_flops(device: str, kind: torch.dtype, size: int) -> float:
    import torch

    a = torch.randn(size, size, device=device).to(kind)
    best, end = math.inf, time.monotonic() + 0.5
    while time.monotonic() < end:
        start = time.perf_counter()
        torch.nn.functional.linear(a, a)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def tokens_per_second(parameters: int, machine: Machine) -> float:
    """Estimate the training speed of a model whose layers and head have so many parameters.

    A token costs 6 operations a parameter (Kaplan et al., arXiv:2001.08361, section 2.1). A CPU
    does 0.54 of its peak in a whole step; where the peak was not measured, a core does what the
    demo's did: 4,835 tokens/s at 4.5 M parameters on two cores, 11,184 with bf16
    (docs/benchmarks.md); 40,000 at most, as 0.12 M parameters did on one core. A GPU does 0.35 of
    its peak from 760 M parameters on (llm-foundry, H100), less with the root of the size, and
    200,000 tokens/s at most, as small models wait for launches.
    """
    if machine.gpus:
        busy = _GPU_SHARE * min(1.0, math.sqrt(parameters / _FULL_GPU))
        return min((machine.flops or _GPU_FLOPS) * busy / (6 * parameters), _GPU_TOKENS)
    by_rule = machine.cores * _CORE_FLOPS[machine.bf16]
    return min((machine.flops * _CPU_SHARE or by_rule) / (6 * parameters), _CPU_TOKENS)


def layer_parameters(shape: DecoderShape) -> int:
    """Count the parameters inside the layers, gains left out."""
    attention = 2 * shape.head_dim * (shape.num_heads + shape.num_kv_heads)
    return shape.num_layers * shape.hidden_size * (attention + 3 * shape.intermediate_size)


def trained_parameters(shape: DecoderShape, vocab_size: int) -> int:
    """Count the parameters that every token is multiplied by: the layers' and the head's."""
    return layer_parameters(shape) + vocab_size * shape.hidden_size


def bytes_per_token(vocab_size: int) -> float:
    """Estimate the bytes of UTF-8 in a token of byte-level BPE.

    A curve through what was measured on manuals of 1.4 to 1.7 MB in English, Vietnamese and
    Japanese, on which it was trained: 2.0, 2.6, 3.3, 3.9 and 4.3 at 512, 1,024, 2,048, 4,096 and
    8,192 entries, the languages within a tenth up to 4,096.
    """
    return 5.3 - 4.3 * math.exp(-0.27 * (math.log2(vocab_size) - 8))


def corpus_tokens(text_bytes: float, vocab_size: int) -> int:
    """Estimate the tokens of a text."""
    return int(text_bytes / bytes_per_token(vocab_size))


def vocabulary_for(text_bytes: float, parameters: int) -> int:
    """Choose a power of two: what the text can fill and a model of such layers can use.

    An entry wants 256 bytes of text: at 80 held-out text took a sixth more tokens a byte than the
    text trained on, at 360 a twentieth. A model can use embeddings that grow with the 0.83rd power
    of its other parameters, from 125 million beside 3 billion (Tao et al., arXiv:2407.13623, table
    1), and with twice as many: the demo's 3.4 million are best with 4,096 entries, at 2,048 they
    are worse a byte.
    """
    width = 64 * max(1, round((parameters * 64 / 13) ** (1 / 3) / 64))
    usable = max(2048.0, 2 * 125e6 * (parameters / 3e9) ** 0.83 / width)
    filled = max(text_bytes / _BYTES_PER_ENTRY, 1)
    entries = 2 ** min(int(math.log2(filled)), round(math.log2(usable)), 16)
    return int(max(SMALLEST_VOCABULARY, entries))


@dataclass(frozen=True)
class Sizing:
    """A vocabulary, a model and how long it is trained."""

    vocab_size: int
    shape: Llama
    sequence_length: int
    batch_sequences: int
    tokens: int
    corpus_tokens: int
    parameters: int
    """All of them, embedding and head included."""
    seconds: float
    """What the training should take on the machine."""
    bound: str
    """What kept it from being larger: "text" or "time"."""

    @property
    def epochs(self) -> float:
        """How often the text is read."""
        return self.tokens / max(self.corpus_tokens, 1)


def shape_of(depth: int) -> Llama:
    """Make a decoder of so many layers, and two at least: one copies nothing (arXiv:2209.11895).

    64 wide for each, heads of 128 (nanochat, `scripts/base_train.py`), three times as wide inside
    its feed-forward part, as the demo's.
    """
    width = 64 * depth
    head = 128 if width % 128 == 0 and width >= 256 else 64
    heads = width // head
    return Llama(
        num_layers=max(depth, 2),
        hidden_size=width,
        intermediate_size=3 * width,
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=head,
    )


def model_for(text_bytes: float, hours: float, machine: Machine) -> Sizing:
    """Choose the largest model that sees enough tokens within the hours; the smallest at least.

    Tokens: what the machine does in the hours, and at most 4 passes over the text, up to which
    repeated text is worth almost as much as new (Muennighoff et al., arXiv:2305.16264); on 0.13
    million tokens of a Vietnamese manual 16 were worse (1.700 and 1.669 bits a byte). What is
    enough says `tokens_needed`; and no model has more than 3.5 parameters for each token of the
    text, which the demo's has.
    """
    depths = range(1, _LARGEST_DEPTH + 1)
    sizes = (_sized(depth, text_bytes, hours, machine) for depth in depths)
    enough = list(takewhile(lambda size: _is_fed(size, machine), sizes))
    return enough[-1] if enough else _sized(1, text_bytes, hours, machine)


def _sized(depth: int, text_bytes: float, hours: float, machine: Machine) -> Sizing:
    """Size the training of a model of so many layers.

    A step has 2,048 tokens at 2.4 million, as in the demo, and grows with the 0.383rd power of the
    tokens (arXiv:2505.13738). Sequences are of 256 tokens, better than 512 at equal tokens in the
    demo, and longer for models that have the capacity to use it.
    """
    shape = shape_of(depth)
    vocab_size = vocabulary_for(text_bytes, layer_parameters(shape))
    corpus = corpus_tokens(text_bytes, vocab_size)
    speed = tokens_per_second(trained_parameters(shape, vocab_size), machine)
    by_time, by_text = hours * 3600 * speed, _EPOCHS * corpus
    length = 256 if depth < 8 else 512 if depth < 16 else 1024
    tokens = _two_digits(max(min(by_time, by_text), length))
    step = _STEP_TOKENS * (tokens / 2.4e6) ** 0.383
    return Sizing(
        vocab_size=vocab_size,
        shape=shape,
        sequence_length=length,
        batch_sequences=max(1, 2 ** round(math.log2(step / length))),
        tokens=tokens,
        corpus_tokens=corpus,
        parameters=shape.num_parameters(vocab_size),
        seconds=tokens / speed,
        bound="text" if by_text < by_time else "time",
    )


def tokens_needed(parameters: int) -> float:
    """Give the tokens that a model with so many parameters in layers and head is worth its size at.

    0.54 a parameter at 4.5 million, which was best within 8 minutes (recipes/demo.yaml), 10.5 at
    500 million (nanochat's depth 20, Muon as well); between and beyond them a power law, and never
    under 0.54.
    """
    return 0.54 * parameters * max(1.0, math.pow(parameters / 4.46e6, 0.63))


def _is_fed(size: Sizing, machine: Machine) -> bool:
    """Whether a model sees enough tokens, and fits half of the memory with its optimizer."""
    trained = trained_parameters(size.shape, size.vocab_size)
    fits = size.parameters * _TRAINED_BYTES < machine.memory_bytes / 2
    grounded = trained <= size.corpus_tokens * _PARAMETERS_PER_TOKEN
    return fits and grounded and size.tokens >= tokens_needed(trained)


def _two_digits(number: float) -> int:
    """Round down to two digits: the third would be a pretence."""
    unit = 10 ** max(0, int(math.log10(number)) - 1)
    return int(number // unit * unit)
