"""``python -m gateway check``: checks everything that is configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway import app, assistants, operations
from gateway.domain.errors import GatewayError, SettingsError
from gateway.policy import admission
from gateway.policy.prices import Prices
from gateway.policy.rules import Rules
from gateway.ports.check import CheckResult
from gateway.ports.platform import Adapter, Closeable
from gateway.ports.unparsed_updates import UnparsedUpdates
from gateway.settings import Settings
from gateway.tools import ToolBox, find_tools
from gateway.worker.worker import run_once
from storage import migrations
from storage.store import SqlStore

UP_TO_DATE = "up to date"


def check(settings: Settings) -> Iterator[CheckResult]:
    """Yields one result per line of output. Raises nothing."""
    database = _check_schema(settings)
    yield database
    try:
        tools = find_tools(settings.tools_path)
    except SettingsError as exc:
        yield CheckResult("tools", ok=False, detail=str(exc))
        tools = ()
    yield from _check_assistant(settings, ToolBox([found.tool for found in tools]))
    for found in tools:
        yield CheckResult(f"tool {found.tool.name}", ok=True, detail=found.origin)
    try:
        yield _check_budgets(settings)
        for warning in app.exposure_warnings(settings):
            yield CheckResult("warning", ok=True, detail=warning)
        store = SqlStore(settings.database_url)
        adapters = app.platforms(settings, store)
    except SettingsError as exc:
        yield CheckResult("settings", ok=False, detail=str(exc))
        return
    for adapter in adapters:
        yield from run_once(_check_platform(adapter))
        if database.detail == UP_TO_DATE:
            yield from _check_unparsed(adapter.name, store.unparsed_updates)
    store.close()


def _check_schema(settings: Settings) -> CheckResult:
    try:
        current = migrations.is_current(settings.database_url)
    except GatewayError as exc:
        return CheckResult("database", ok=False, detail=str(exc))
    on_start = settings.database_url.startswith("sqlite")
    outdated = "will be migrated on start" if on_start else "not up to date; run python -m gateway migrate"
    detail = UP_TO_DATE if current else outdated
    return CheckResult("database", ok=current or on_start, detail=detail)


def _check_assistant(settings: Settings, toolbox: ToolBox) -> Sequence[CheckResult]:
    missing = settings.missing()
    if missing:
        return (CheckResult(settings.backend, ok=False, detail=f"missing: {', '.join(missing)}"),)

    async def ask() -> Sequence[CheckResult]:
        assistant = assistants.build(settings, toolbox, assistants.NoSharedValues())
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


def _check_unparsed(platform: str, updates: UnparsedUpdates) -> Sequence[CheckResult]:
    """Returns a line if updates of the platform are stored that could not be parsed. They do not fail the check."""
    try:
        found = updates.count(platform)
    except GatewayError as exc:
        return (CheckResult(f"{platform} unparsed", ok=False, detail=str(exc)),)
    if found.newest_at is None:
        return ()
    what = "1 update" if found.count == 1 else f"{found.count} updates"
    detail = f"{what} could not be parsed; newest {operations.iso(found.newest_at)}; see the table unparsed_updates"
    return (CheckResult(f"{platform} unparsed", ok=True, detail=detail),)
