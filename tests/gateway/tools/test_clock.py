"""The clock knows every time zone, and suggests names for a misspelt one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.tools import ToolBox, current_time


@pytest.mark.parametrize(
    ("zone", "name"),
    [("Asia/Kolkata", "Asia/Kolkata"), (" america/new york ", "America/New_York"), ("utc", "UTC")],
)
def test_it_returns_the_time_in_a_zone(zone: str, name: str) -> None:
    told = current_time.call(time_zone=zone)
    moment, _, rest = told.partition(" ")
    assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1)
    assert rest == f"({datetime.fromisoformat(moment):%A}, {name})"


async def test_without_a_zone_it_is_utc() -> None:
    assert "+00:00 (" in (await ToolBox([current_time]).call("current_time", "")).text


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("Berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("tokio", "Asia/Tokyo"),
        ("new york", "America/New_York"),
    ],
)
def test_an_unknown_zone_gets_suggestions(asked: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"Did you mean .*{meant}"):
        current_time.call(asked)


@pytest.mark.parametrize("asked", ["", "../../etc/passwd", "Nowhere/Atlantis" * 100, "\0", "/"])
def test_an_invalid_zone_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match="There is no time zone") as caught:
        current_time.call(asked)
    assert len(str(caught.value)) < 500
