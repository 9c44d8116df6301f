"""When schedules are due, also where a day has 23 or 25 hours."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import pytest

from gateway.domain.errors import MalformedRequest
from gateway.push.cron import first_tick, next_tick, parse_time


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def ticks(every: str, zone: str, after: str, count: int) -> list[float]:
    """Returns ticks as a scheduler finds them, each after the one before."""

    def found() -> object:
        now: float | None = at(after)
        while now is not None:
            now = next_tick(every, zone, now)
            yield now

    return list(islice(found(), count))  # type: ignore[call-overload]  # a generator


@pytest.mark.parametrize(
    ("every", "zone", "after", "expected"),
    [
        ("0 9 * * MON-FRI", "UTC", "2026-11-27T09:00:00Z", ["2026-11-30T09:00:00Z", "2026-12-01T09:00:00Z"]),
        ("0 9 * * *", "Europe/Berlin", "2026-03-28T10:00:00Z", ["2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"]),
        # 02:30 does not exist on this day in spring, and exists twice on that day in autumn.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        # The scheduler looks between the two passes of 02:30: the second one is no tick.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", ["2026-10-26T01:30:00Z"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", ["2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["2028-02-29T00:00:00Z"]),
    ],
)
def test_ticks_follow_the_clock_on_the_wall(every: str, zone: str, after: str, expected: list[str]) -> None:
    assert ticks(every, zone, after, len(expected)) == list(map(at, expected))


@pytest.mark.parametrize(
    ("every", "zone", "names"),
    [
        ("", "UTC", "five fields"),
        ("* * * * * *", "UTC", "It has 6"),
        ("61 * * * *", "UTC", "Bad minute"),
        ("0 0 31 2 *", "UTC", "day-of-month"),
        ("0 0 * * *", "Mars/Olympus", "time_zone"),
        ("0 0 * * *", "../zoneinfo/UTC", "time_zone"),
        ("0 0 * * *", "", "time_zone"),
        ("0 0 * * *", "Europe", "time_zone"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(every: str, zone: str, names: str) -> None:
    with pytest.raises(MalformedRequest, match=names):
        first_tick(every, zone, 1.7e9)


def test_a_time_is_read_with_its_zone() -> None:
    assert parse_time("2026-12-24T18:00:00+01:00") == at("2026-12-24T17:00:00Z")
    assert parse_time("20261224T170000Z") == at("2026-12-24T17:00:00Z")


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-12-24", "2026-12-24T18:00:00", "9999-12-31T23:59:59-12:00"])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest, match="with its zone"):
        parse_time(text)
