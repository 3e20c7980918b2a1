"""What a fine-tuned model is measured by, on figures that training ended with."""

from __future__ import annotations

import math

import pytest

from tasks.checks import Made
from tasks.finetune.checks import measures
from tests.tasks.judging import broken, changed

BITS = "held_out_bits_per_byte"
DEMO = Made(4000, 1, {"trainable_parameters": 500_000, f"{BITS}_before": 1.68, BITS: 0.92})
TINY = Made(38, 7424, {f"{BITS}_before": 0.66, BITS: 0.55})


@pytest.mark.parametrize("made", [DEMO, TINY])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("finetune", made) == broken("finetune", made, made) == set()


def test_measures_by_hand() -> None:
    assert measures(DEMO, changed(DEMO, rows_in=5000, trainable_parameters=400_000)) == {
        "growth": 0.25,
        "pairs_growth": pytest.approx(-0.2),
        BITS: 0.92,
        "gain": pytest.approx(0.76),
    }


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(DEMO, rows_in=1999), {"warn pairs_growth"}),
        (changed(DEMO, held_out_bits_per_byte=1.1), {f"warn {BITS}"}),
        (changed(DEMO, held_out_bits_per_byte=1.7), {f"warn {BITS}", "warn gain"}),
        (changed(DEMO, held_out_bits_per_byte=2.7), {f"warn {BITS}", "block gain", "warn gain"}),
        (
            changed(DEMO, held_out_bits_per_byte=math.nan),
            {f"block {BITS}", f"warn {BITS}", "block gain", "warn gain"},
        ),
        (
            changed(DEMO, held_out_bits_per_byte=8.1, held_out_bits_per_byte_before=8.2),
            {f"block {BITS}", f"warn {BITS}"},
        ),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("finetune", made, DEMO) == said
