"""``python -m gateway check``: checks everything that is configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway import app, assistants
from gateway.domain.errors import GatewayError, SettingsError
from gateway.policy import admission
from gateway.policy.prices import Prices
from gateway.policy.rules import Rules
from gateway.ports.check import CheckResult
from gateway.ports.platform import Adapter, Closeable
from gateway.settings import Settings
from gateway.tools import ToolBox
from gateway.worker.worker import run_once
from storage import migrations
from storage.store import SqlStore


def check(settings: Settings) -> Iterator[CheckResult]:
    """Yields one result per line of output. Raises nothing."""
    yield _check_schema(settings)
    yield from _check_assistant(settings)
    try:
        yield _check_budgets(settings)
        store = SqlStore(settings.database_url)
        adapters = app.platforms(settings, store)
    except SettingsError as exc:
        yield CheckResult("settings", ok=False, detail=str(exc))
        return
    for adapter in adapters:
        yield from run_once(_check_platform(adapter))
    store.close()


def _check_schema(settings: Settings) -> CheckResult:
    try:
        current = migrations.is_current(settings.database_url)
    except GatewayError as exc:
        return CheckResult("database", ok=False, detail=str(exc))
    on_start = settings.database_url.startswith("sqlite")
    outdated = "will be migrated on start" if on_start else "not up to date; run python -m gateway migrate"
    detail = "up to date" if current else outdated
    return CheckResult("database", ok=current or on_start, detail=detail)


def _check_assistant(settings: Settings) -> Sequence[CheckResult]:
    missing = settings.missing()
    if missing:
        return (CheckResult(settings.backend, ok=False, detail=f"missing: {', '.join(missing)}"),)

    async def ask() -> Sequence[CheckResult]:
        assistant = assistants.build(settings, ToolBox(app.TOOLS), assistants.NoSharedValues())
        try:
            return await assistant.check()
        finally:
            await assistant.close()

    try:
        return run_once(ask())
    except SettingsError as exc:
        return (CheckResult(settings.backend, ok=False, detail=str(exc)),)


def _check_budgets(settings: Settings) -> CheckResult:
    model = (settings.openai_model or "") if settings.backend != "offline" else ""
    return admission.check_budgets(Rules.load(), Prices.load(settings), model)


async def _check_platform(adapter: Adapter) -> Sequence[CheckResult]:
    try:
        return await adapter.check()
    finally:
        if isinstance(adapter, Closeable):
            await adapter.close()
