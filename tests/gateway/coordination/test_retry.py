"""Retries: what is logged, how long they wait, and when they end."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.coordination.retry import Backoff, log_failure, repeat, retry
from gateway.domain.errors import DeliveryError, GatewayError, StoreUnavailable

PROBLEM = "not done; retrying"


class WrongCredentials(DeliveryError):
    """The credentials are wrong."""


def needs_operator(exc: Exception) -> bool:
    return isinstance(exc, WrongCredentials)


async def pauses_after(*faults: Exception, limit: float = 0.05) -> list[float]:
    """Returns the seconds that were waited after each failure, as logged."""
    left = list(faults)

    async def work() -> str:
        if left:
            raise left.pop(0)
        return "done"

    with capture_logs() as logs:
        assert await retry(work, PROBLEM, Backoff(0.001, limit), needs_operator=needs_operator) == "done"
    return [entry["retry_in"] for entry in logs]


async def test_work_is_repeated_until_it_succeeds_with_pauses_that_double_up_to_a_limit() -> None:
    faults = [GatewayError(), ValueError(), StoreUnavailable(), ValueError()]
    assert await pauses_after(*faults, limit=0.005) == [0.001, 0.002, 0.004, 0.005]


async def test_a_pause_is_as_long_as_the_other_side_asks() -> None:
    assert await pauses_after(DeliveryError(retry_after=0.06), DeliveryError(retry_after=0.0005)) == [0.06, 0.002]


async def test_what_only_the_operator_can_correct_waits_longest() -> None:
    assert await pauses_after(WrongCredentials(), GatewayError()) == [0.05, 0.002]


async def test_it_waits_before_it_tries_again() -> None:
    clock = asyncio.get_running_loop().time
    since = clock()
    await pauses_after(WrongCredentials())
    assert clock() - since >= 0.05


async def test_only_the_given_errors_are_retried() -> None:
    async def work() -> None:
        raise WrongCredentials

    with pytest.raises(WrongCredentials):
        await retry(work, PROBLEM, Backoff(1.0, 60.0), retried=StoreUnavailable)


def test_thousands_of_failures_wait_no_longer_than_the_limit() -> None:
    assert Backoff(1.0, 60.0).pause(100_000) == 60.0
    assert Backoff(0.0, 60.0).pause(100_000) == 0.0


@pytest.mark.parametrize(
    ("exc", "level", "traceback"),
    [
        (StoreUnavailable(), "warning", False),
        (WrongCredentials(), "error", False),
        (ValueError("a bug"), "error", True),
    ],
)
def test_a_failure_is_logged_in_one_line_unless_it_is_unknown(exc: Exception, level: str, *, traceback: bool) -> None:
    with capture_logs() as logs:
        log_failure(PROBLEM, exc, severe=needs_operator(exc))
    (entry,) = logs
    assert (entry["event"], entry["log_level"], "exc_info" in entry) == (PROBLEM, level, traceback)


async def test_repeated_work_goes_on_after_a_failure_until_it_is_cancelled() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("work")
        raise ValueError

    async def pause() -> None:
        steps.append("pause")
        if len(steps) == 4:
            raise asyncio.CancelledError

    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await repeat(work, PROBLEM, pause)
    assert steps == ["work", "pause", "work", "pause"]
    assert [entry["event"] for entry in logs] == [PROBLEM, PROBLEM]
