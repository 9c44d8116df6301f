"""``python -m gateway check``: checks everything that is configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway import app, assistants
from gateway.domain.errors import GatewayError, SettingsError
from gateway.policy import admission
from gateway.policy.prices import Prices
from gateway.policy.rules import Rules
from gateway.ports.check import Check
from gateway.ports.platform import Adapter, Connected
from gateway.settings import Settings
from gateway.tools import ToolBox
from gateway.worker.worker import run_once
from storage import migrations
from storage.store import SqlStore


def check(settings: Settings) -> Iterator[Check]:
    """Yields one result per line of output. Raises nothing."""
    yield _schema(settings)
    yield from _assistant(settings)
    try:
        yield _budgets(settings)
        store = SqlStore(settings.database_url)
        adapters = app.platforms(settings, store)
    except SettingsError as exc:
        yield Check("settings", ok=False, detail=str(exc))
        return
    for adapter in adapters:
        yield from run_once(_platform(adapter))
    store.close()


def _schema(settings: Settings) -> Check:
    try:
        current = migrations.is_current(settings.database_url)
    except GatewayError as exc:
        return Check("database", ok=False, detail=str(exc))
    on_start = settings.database_url.startswith("sqlite")
    outdated = "will be migrated on start" if on_start else "not up to date; run python -m gateway migrate"
    detail = "up to date" if current else outdated
    return Check("database", ok=current or on_start, detail=detail)


def _assistant(settings: Settings) -> Sequence[Check]:
    missing = settings.missing()
    if missing:
        return (Check(settings.backend, ok=False, detail=f"missing: {', '.join(missing)}"),)

    async def ask() -> Sequence[Check]:
        assistant = assistants.build(settings, ToolBox(app.TOOLS), assistants.NoFacts())
        try:
            return await assistant.check()
        finally:
            await assistant.close()

    try:
        return run_once(ask())
    except SettingsError as exc:
        return (Check(settings.backend, ok=False, detail=str(exc)),)


def _budgets(settings: Settings) -> Check:
    model = (settings.openai_model or "") if settings.backend != "offline" else ""
    return admission.check(Rules.load(), Prices.load(settings), model)


async def _platform(adapter: Adapter) -> Sequence[Check]:
    try:
        return await adapter.check()
    finally:
        if isinstance(adapter, Connected):
            await adapter.close()
