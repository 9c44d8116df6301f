"""``/healthz`` and ``/readyz``: whether the process is up, and whether it can answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from gateway import logs
from gateway.ports.check import CheckResult
from gateway.web.api.openapi import Operation, ResponseDoc
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response

READINESS_CACHE_SECONDS = 3.0

CheckReadiness = Callable[[], Awaitable[Sequence[CheckResult]]]
"""Checks what the gateway depends on. Does I/O; raises nothing."""

log = logs.get_logger(__name__)


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ok", "unavailable"]
    checks: dict[str, Literal["ok", "failed"]] = Field(description="Each dependency of the gateway by name.")


OPERATIONS = (
    Operation("healthz", "GET", "/healthz", "Whether the process is up.", {200: ResponseDoc("It is up.", Health)}),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        "Whether the gateway can answer: the database and the backend are checked at most every few seconds. "
        "A full disk of the database is a check of its own, `disk`.",
        {
            200: ResponseDoc("It can.", Readiness),
            503: ResponseDoc("A dependency does not answer.", Readiness),
        },
    ),
)


def routes(readiness: CheckReadiness, cache_seconds: float = READINESS_CACHE_SECONDS) -> Sequence[Route]:
    """``cache_seconds``: how long a result of ``readiness`` is used, so that many requests do not load the backend."""
    cached = _CachedReadiness(readiness, cache_seconds)
    return (Route("GET", "/healthz", _healthz), Route("GET", "/readyz", cached.readyz))


async def _healthz(_: HttpRequest) -> HttpResponse:
    return json_response(Health(status="ok").model_dump())


class _CachedReadiness:
    def __init__(self, readiness: CheckReadiness, seconds: float) -> None:
        self._readiness = readiness
        self._seconds = seconds
        self._known: Sequence[CheckResult] | None = None
        self._valid_until = 0.0
        self._checking: asyncio.Task[Sequence[CheckResult]] | None = None

    async def readyz(self, _: HttpRequest) -> HttpResponse:
        checks = await self._checks()
        all_ok = all(check.ok for check in checks)
        # Details are for the operator only: in the log and in the output of `check`.
        by_name: dict[str, Literal["ok", "failed"]] = {check.name: "ok" if check.ok else "failed" for check in checks}
        view = Readiness(status="ok" if all_ok else "unavailable", checks=by_name)
        return json_response(view.model_dump(), 200 if all_ok else 503)

    async def _checks(self) -> Sequence[CheckResult]:
        """Returns the last result while it is valid, and while another caller has it renewed."""
        if self._known is not None and (self._checking is not None or time.monotonic() < self._valid_until):
            return self._known
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())
        return await asyncio.shield(self._checking)  # which ends also when its first caller goes away

    async def _check(self) -> Sequence[CheckResult]:
        try:
            self._known = tuple(await self._readiness())
            self._valid_until = time.monotonic() + self._seconds
        finally:
            self._checking = None
        for check in self._known:
            if not check.ok:
                log.warning("readiness check failed", check=check.name, detail=check.detail)
        return self._known
