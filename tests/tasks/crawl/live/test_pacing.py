from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.crawl.live.fetch import Pace, retry_after_s, seconds_until_open
from tasks.crawl.sources.web import Politeness

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def test_the_delay_follows_the_hosts_own_speed() -> None:
    pace = Pace(Politeness(delay_s=1, delay_factor=5, max_delay_s=30))
    assert pace.delay_s == 1
    for _ in range(40):
        pace.answered(2.0)
    assert pace.delay_s == pytest.approx(10, rel=0.01)
    for _ in range(40):
        pace.answered(60.0)
    assert pace.delay_s == 30
    pace.slow_down(120)
    assert pace.delay_s == 120  # robots.txt asks for more


def test_a_host_in_trouble_is_left_alone_longer_until_it_answers() -> None:
    pace = Pace(Politeness(delay_s=1, delay_factor=0))
    delays = []
    for attempt in range(8):
        pace.refused(None, attempt)
        delays.append(pace.delay_s)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    pace.answered(0.1)
    assert pace.delay_s == 1


def test_retry_after_parks_the_host() -> None:
    async def turns() -> list[float]:
        pace, begun = Pace(Politeness(delay_s=0, delay_factor=0)), monotonic()
        await pace.turn()
        pace.refused(0.3, 0)
        taken = [monotonic() - begun]
        await asyncio.gather(*(pace.turn() for _ in range(3)))
        return [*taken, monotonic() - begun]

    first, rest = asyncio.run(turns())
    assert first < 0.1 and 0.3 <= rest < 0.6


def test_turns_of_many_are_one_delay_apart() -> None:
    async def starts() -> list[float]:
        pace, found = Pace(Politeness(delay_s=0.05, delay_factor=0)), []

        async def one() -> None:
            await pace.turn()
            found.append(monotonic())

        await asyncio.gather(*(one() for _ in range(6)))
        return found

    found = asyncio.run(starts())
    assert all(later - earlier >= 0.045 for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    ("hours", "zone", "expected_h"),
    [
        (None, "UTC", 0.0),
        ((9, 17), "UTC", 0.0),
        ((22, 6), "UTC", 9.5),
        ((13, 14), "UTC", 0.5),
        ((0, 12), "UTC", 11.5),
        ((22, 6), "Asia/Ho_Chi_Minh", 2.5),  # 19:30 there
        ((19, 20), "Asia/Ho_Chi_Minh", 0.0),
    ],
)
def test_hours(hours: tuple[int, int] | None, zone: str, expected_h: float) -> None:
    wait_s = seconds_until_open(Politeness(hours=hours, timezone=zone), NOW)
    assert wait_s == expected_h * 3600


@given(st.integers(0, 23), st.integers(0, 23), st.datetimes())
def test_once_waited_the_hours_are_open(first: int, last: int, now: datetime) -> None:
    if first == last or now.year > 9990:
        return
    politeness, moment = Politeness(hours=(first, last)), now.replace(tzinfo=UTC)
    wait_s = seconds_until_open(politeness, moment)
    assert 0 <= wait_s <= 24 * 3600
    assert seconds_until_open(politeness, moment + timedelta(seconds=wait_s)) == 0


@pytest.mark.parametrize(
    "knobs", [{"hours": [5, 5]}, {"hours": [24, 6]}, {"timezone": "Mars/Olympus"}]
)
def test_hours_that_are_none_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Politeness.model_validate(knobs)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("²", None),
        ("-1", None),
        ("", None),
        ("soon", None),
        (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120.0),
        (format_datetime(NOW - timedelta(minutes=2), usegmt=True), None),
        ("Wed, 21 Oct 2026 07:28:00", None),
    ],
)
def test_retry_after(value: str, expected: float | None) -> None:
    assert retry_after_s(value, lambda: NOW) == expected


@given(st.text())
def test_no_retry_after_raises(value: str) -> None:
    seconds = retry_after_s(value)
    assert seconds is None or seconds >= 0
