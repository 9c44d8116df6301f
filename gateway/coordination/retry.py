"""Repeats work that fails for a while: how long it waits, and what is logged of each failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, TypeVar

from gateway import logs
from gateway.domain.errors import GatewayError

T = TypeVar("T")

MAX_DOUBLINGS = 60

Job = tuple[Callable[[], Awaitable[object]], float, str]
"""Work that is repeated, the seconds to wait after it, and the log line for each failure."""

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after failures in a row: twice as long after each, up to a limit."""

    first: float
    """Seconds after the first failure."""
    limit: float
    """Seconds."""

    def pause(self, failures: int) -> float:
        """Returns the seconds to wait after so many failures in a row, at least one."""
        return min(self.first * 2.0 ** min(failures - 1, MAX_DOUBLINGS), self.limit)


async def retry(
    work: Callable[[], Awaitable[T]],
    problem: str,
    backoff: Backoff,
    *,
    retried: type[Exception] = Exception,
    needs_operator: Callable[[Exception], bool] = lambda _: False,
) -> T:
    """Repeats ``work`` until it succeeds; returns its result. Raises at once what is not a ``retried`` error.

    Waits at least as long as the ``retry_after`` of an error says. ``problem``: the log line for each failure.
    ``needs_operator``: whether only the operator can correct the cause, such as a rejected token. Then the line is an
    error, and the pause the longest.
    """
    failures = 0
    while True:
        try:
            return await work()
        except retried as exc:
            failures += 1
            severe = needs_operator(exc)
            requested = exc.retry_after if isinstance(exc, GatewayError) else None
            pause = max(backoff.limit if severe else backoff.pause(failures), requested or 0.0)
            log_failure(problem, exc, severe=severe, retry_in=pause)
        await asyncio.sleep(pause)


async def repeat(
    work: Callable[[], Awaitable[object]], problem: str, pause: Callable[[], Awaitable[object]]
) -> NoReturn:
    """Runs ``work`` and then ``pause``, again and again, until it is cancelled.

    Work that fails is not retried before its next turn. ``problem``: the log line for each failure.
    """
    while True:
        try:
            await work()
        except Exception as exc:  # noqa: BLE001  # the log shows unknown ones with their traceback
            log_failure(problem, exc)
        await pause()


async def repeat_all(jobs: Iterable[Job]) -> None:
    """Repeats all of these jobs beside each other, as ``repeat`` does each, until it is cancelled."""
    async with asyncio.TaskGroup() as group:
        for work, seconds, problem in jobs:
            group.create_task(repeat(work, problem, partial(asyncio.sleep, seconds)))


def log_failure(problem: str, exc: Exception, *, severe: bool = False, **facts: object) -> None:
    """Logs an error of ours in one line, as an error if it is ``severe``; any other with its traceback."""
    if not isinstance(exc, GatewayError):
        log.error(problem, exc_info=exc, **facts)
    else:
        (log.error if severe else log.warning)(problem, code=exc.code, error=str(exc), **facts)
