"""How fast a host is asked: its delay, how it answered so far, and the hours in which it may be.

The delay follows the host's own speed, as Heritrix has it: `delay_factor` times what the last
answers took, between `delay_s` and `max_delay_s`; robots.txt may ask for more. 429 and 503 double
the delay, up to a minute, until answers come again, and Retry-After parks the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from zoneinfo import ZoneInfo

from tasks.crawl.sources.web import Politeness

MAX_RETRY_AFTER_S = 3600.0
_MAX_PENALTY_S = 60.0
_SMOOTHING = 0.3  # the weight of the newest answer in the mean


class Pace:
    """The pace of one host."""

    def __init__(self, politeness: Politeness) -> None:
        self._politeness = politeness
        self._next_start = 0.0
        self._answer_s = 0.0
        self._penalty_s = 0.0
        self._robots_delay_s = 0.0

    @property
    def delay_s(self) -> float:
        """Seconds between the starts of two requests, as things stand."""
        wanted = self._politeness
        own = min(wanted.delay_factor * self._answer_s, wanted.max_delay_s)
        return max(wanted.delay_s, own, self._robots_delay_s, self._penalty_s)

    def slow_down(self, robots_delay_s: float) -> None:
        """robots.txt asks for so many seconds between two requests, from this one on."""
        if robots_delay_s != self._robots_delay_s:
            self._robots_delay_s = robots_delay_s
            self._next_start = max(self._next_start, monotonic() + self.delay_s)

    async def turn(self) -> None:
        """Wait until the next request may start, and take that turn."""
        while (wait_s := self._next_start - monotonic()) > 0:
            await asyncio.sleep(wait_s)
        self._next_start = monotonic() + self.delay_s
        await self._hours()

    def answered(self, seconds: float) -> None:
        """The host answered, well, after so long."""
        self._answer_s += _SMOOTHING * (seconds - self._answer_s)
        self._penalty_s = 0.0
        self._next_start = max(self._next_start, monotonic() - seconds + self.delay_s)

    def refused(self, retry_after_s: float | None, attempt: int) -> None:
        """The host is overloaded, or does not answer."""
        pause = 0.5 * 2.0**attempt if retry_after_s is None else retry_after_s
        if retry_after_s is None:
            self._penalty_s = min(max(2 * self._penalty_s, self.delay_s), _MAX_PENALTY_S)
        self._next_start = max(self._next_start, monotonic() + pause)

    async def _hours(self) -> None:
        while (wait_s := seconds_until_open(self._politeness)) > 0:
            await asyncio.sleep(min(wait_s, 60.0))


def seconds_until_open(politeness: Politeness, now: datetime | None = None) -> float:
    """Seconds until the hours in which hosts may be asked; 0 within them."""
    if politeness.hours is None:
        return 0.0
    first, last = politeness.hours
    local = (now or datetime.now(UTC)).astimezone(ZoneInfo(politeness.timezone))
    open_now = first <= local.hour < last if first < last else not last <= local.hour < first
    if open_now:
        return 0.0
    opens = local.replace(hour=first, minute=0, second=0, microsecond=0)
    if opens <= local:
        opens += timedelta(days=1)
    return (opens.astimezone(UTC) - local.astimezone(UTC)).total_seconds()


def retry_after_s(
    value: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date), or None.

    Source: RFC 9110 §10.2.3
    """
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        seconds = (parsedate_to_datetime(value) - now()).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        return None
    return seconds if seconds > 0 else None  # one of the past says no more than "later"
