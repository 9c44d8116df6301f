"""Checks of a platform's set-up, for ``python -m gateway check``."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from gateway.domain.errors import DeliveryError
from gateway.ports.check import CheckResult


async def check_setup(name: str, checks: Awaitable[Sequence[CheckResult]]) -> Sequence[CheckResult]:
    """Returns the results of ``checks``, or one failed check if the platform refuses or cannot be reached."""
    try:
        return await checks
    except DeliveryError as exc:
        return (CheckResult(name, ok=False, detail=str(exc)),)
