"""What a base model is measured by, on figures that training ended with."""

from __future__ import annotations

import math

import pytest

from tasks.checks import Made
from tasks.pretrain.checks import measures
from tests.tasks.judging import broken, changed

DEMO = Made(
    6300,
    5_000_000,
    {
        "parameters": 5_000_000,
        "epochs": 1.54,
        "validation_bits_per_byte": 1.03,
        "last_loss": 2.4,
        "unigram_bits_per_byte": 2.7,
    },
)
TINY = Made(
    320,
    43_232,
    {
        "epochs": 1.004,
        "validation_bits_per_byte": 0.53,
        "last_loss": 0.9,
        "unigram_bits_per_byte": 2.5,
    },
)


@pytest.mark.parametrize("made", [DEMO, TINY])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("pretrain", made) == broken("pretrain", made, made) == set()


def test_a_model_that_hardly_learnt_is_let_through() -> None:
    """After a handful of steps: one may have wanted no more."""
    made = changed(TINY, validation_bits_per_byte=6.0, last_loss=math.log(384))
    assert broken("pretrain", made) == {"warn gain_over_unigram"}


def test_measures_by_hand() -> None:
    assert measures(DEMO, changed(DEMO, parameters=4_000_000)) == {
        "growth": 0.25,
        "validation_bits_per_byte": 1.03,
        "last_loss": 2.4,
        "gain_over_unigram": pytest.approx(1.67),
        "epochs": 1.54,
    }


BITS = "validation_bits_per_byte"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(DEMO, validation_bits_per_byte=1.2), {f"warn {BITS}"}),
        (
            changed(DEMO, validation_bits_per_byte=8.5),
            {f"block {BITS}", f"warn {BITS}", "warn gain_over_unigram"},
        ),
        (
            changed(DEMO, validation_bits_per_byte=math.nan),
            {f"block {BITS}", f"warn {BITS}", "warn gain_over_unigram"},
        ),
        (changed(DEMO, last_loss=math.inf), {"block last_loss"}),
        (changed(DEMO, last_loss=25.0), {"block last_loss"}),
        (changed(DEMO, last_loss=None), {"block last_loss"}),  # NaN, read back from JSON
        (changed(DEMO, epochs=20.0), {"warn epochs"}),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("pretrain", made, DEMO) == said
