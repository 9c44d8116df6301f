"""Retries: what is logged, how long they wait, and when they end."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from adapters.base.background_task import Backoff, retry_forever
from gateway.domain.errors import DeliveryError, GatewayError, StoreUnavailable

PAUSES = (1.0, 2.0, 60.0)


class WrongCredentials(DeliveryError):
    """The credentials are wrong."""


def backoff(pauses: tuple[float, ...] = PAUSES) -> Backoff:
    return Backoff(pauses, lambda exc: isinstance(exc, WrongCredentials))


def test_pauses_grow_with_failures_in_a_row_and_the_last_one_stays() -> None:
    tries = backoff()
    assert [tries.pause_after(ValueError()) for _ in range(4)] == [1.0, 2.0, 60.0, 60.0]


def test_a_pause_is_as_long_as_the_platform_asks() -> None:
    assert backoff().pause_after(DeliveryError(retry_after=30.0)) == 30.0
    assert backoff().pause_after(DeliveryError(retry_after=0.5)) == 1.0


def test_rejected_credentials_wait_for_the_operator() -> None:
    assert backoff().pause_after(WrongCredentials()) == 60.0


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
        backoff().log("not done; retrying", exc)
    (entry,) = logs
    assert (entry["event"], entry["log_level"], "exc_info" in entry) == ("not done; retrying", level, traceback)


async def test_work_is_repeated_until_it_succeeds() -> None:
    faults: list[Exception] = [GatewayError(), ValueError(), WrongCredentials()]

    async def work() -> str:
        if faults:
            raise faults.pop()
        return "done"

    with capture_logs() as logs:
        assert await retry_forever(work, "not done; retrying", backoff((0.0,))) == "done"
    assert len(logs) == 3
