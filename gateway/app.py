"""The composition root: the one file that knows every room. What is switched on is decided and wired here."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import flask

from adapters.http import HttpAdapter, HttpSettings
from adapters.slack.settings import SlackSettings
from adapters.telegram.settings import TelegramSettings
from gateway import admin, assistants, logs
from gateway.admin import AdminSettings, Desk
from gateway.coordination.async_store import Journal
from gateway.coordination.backpressure import Pressure
from gateway.coordination.rate_limiter import Limits
from gateway.domain.errors import SettingsError, StoreUnavailable
from gateway.domain.models import TurnId
from gateway.observability import tracing
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing, TracingSettings
from gateway.policy.admission import Gatekeeper
from gateway.policy.prices import Prices, PriceSettings
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.assistant import Assistant
from gateway.ports.check import Check
from gateway.ports.platform import Adapter, Attended, Connected, Listening
from gateway.settings import Environment, Settings
from gateway.tools import ToolBox
from gateway.tools.calculator import calculate
from gateway.tools.clock import current_time
from gateway.web import flask_app, metrics_endpoint
from gateway.web.chat_page import Assets, ChatPage, ChatPageSettings
from gateway.web.metrics_endpoint import MetricsSettings
from gateway.worker.assistant_runner import Conversations
from gateway.worker.delivery_context import CoreOutbox
from gateway.worker.inbox import CoreInbox
from gateway.worker.maintenance import Housekeeping
from gateway.worker.retention import clear_up
from gateway.worker.turn_processor import Working
from gateway.worker.worker import Engine, run_once
from storage import migrations
from storage.store import SqlStore

TOOLS = (current_time, calculate)
"""The functions that the assistant may call. Add yours here."""

SETTINGS: Sequence[type[Environment]] = (
    *(Settings, HttpSettings, SlackSettings, TelegramSettings, ChatPageSettings, AdminSettings),
    *(MetricsSettings, TracingSettings, PriceSettings, AdmissionSettings),
)
"""Everything that can be set."""

LEASE_SECONDS = 12.0
"""With what it takes to notice, the work of a process that died is taken up within 15 seconds."""
DATABASE_THREADS = 4
CHECK_SECONDS = 10.0


def platforms(settings: Settings, store: SqlStore) -> Sequence[Adapter]:
    """The platforms that are switched on. Raises SettingsError."""
    most, threads = settings.max_message_chars, settings.web_threads
    http = HttpAdapter(HttpSettings.load(), store, max_message_chars=most, threads=threads)
    slack, telegram = SlackSettings.load(), TelegramSettings.load()
    adapters: list[Adapter] = [http]
    # Loaded where they are wanted only: their libraries take 5 and 9 MB.
    if slack.on:
        from adapters.slack.adapter import SlackAdapter  # noqa: PLC0415

        adapters.append(SlackAdapter(slack, store, run_once))
    if telegram.on:
        from adapters.telegram.adapter import TelegramAdapter  # noqa: PLC0415

        adapters.append(TelegramAdapter(telegram, store, run_once))
    return adapters


def load_settings(*, quiet: bool = False) -> Settings:
    """The core's settings, with logging set up by them. ``quiet``: warnings only, unless a level is asked for.

    Raises SettingsError, also for what is wrong in those of other rooms.
    """
    settings = Settings.load()
    level = "WARNING" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    secrets_set = [secret for each in SETTINGS for secret in each.load().secrets()]
    patterns = [pattern for each in SETTINGS for pattern in each.token_patterns]
    logs.configure(level, settings.log_format, secrets_set, patterns)
    return settings


# ---------------------------------------------------------------- one process


@dataclass(frozen=True)
class Gateway:
    """One process's worth of gateway, running."""

    settings: Settings
    store: SqlStore
    assistant: Assistant
    engine: Engine
    inbox: CoreInbox
    adapters: Sequence[Adapter]
    executor: ThreadPoolExecutor
    metrics: Metrics
    tracing: Tracing

    def web(self) -> flask.Flask:
        """All that this process serves."""
        http, token, assets = HttpSettings.load(), MetricsSettings.load().token, Assets()
        most = self.settings.max_message_chars
        page = ChatPage(ChatPageSettings.load(), assets, http.cors_origins, bool(http.keys), most)
        pages = (assets.routes(), page.routes(), admin.blueprint(self._desk(assets)))
        return flask_app.create_app(
            self.adapters,
            self.inbox,
            self.readiness,
            [*pages, metrics_endpoint.blueprint(self.metrics, token)],
            metrics_endpoint.operations(token),
        )

    def _desk(self, assets: Assets) -> Desk:
        return Desk(
            settings=AdminSettings.load(),
            inbox=self.inbox,
            store=self.store,
            catalogue=self.store,
            checks=self.checks,
            platforms=[adapter.name for adapter in self.adapters],
            backend=self.assistant.name,
            assets=assets.root,
            about=self.assistant.description,
        )

    def readiness(self) -> Sequence[Check]:
        """Whether the database and the backend answer, each by name."""
        return (check_database(self.store), *self.engine.call(self.assistant.check()))

    def checks(self) -> Mapping[str, Sequence[Check]]:
        """The same of the platforms as well, of each what it says."""

        async def ask() -> Mapping[str, Sequence[Check]]:
            plugged: tuple[Adapter | Assistant, ...] = (*self.adapters, self.assistant)
            asked = {each.name: _in_time(each.check()) for each in plugged}
            return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))

        return {**self.engine.call(ask()), "database": (check_database(self.store),)}

    def listen(self) -> None:
        """Begin to fetch what people say, where a platform does not call us. Returns at once."""
        for adapter in self.adapters:
            if isinstance(adapter, Listening):
                adapter.listen(self.inbox)

    def wake(self, turn: TurnId) -> None:
        """Another process decided a turn: tell whoever may wait for it here."""
        for adapter in self.adapters:
            if isinstance(adapter, Attended):
                adapter.wake(turn)

    def drain(self, grace: float) -> None:
        """Take on nothing new; within ``grace`` seconds ``close`` will be called. Returns at once."""
        self.engine.drain()
        for adapter in self.adapters:
            if isinstance(adapter, Listening):
                self.executor.submit(adapter.hush)
            if isinstance(adapter, Attended):
                adapter.let_go(grace)

    def close(self, grace: float) -> None:
        """Finish within ``grace`` seconds what is in hand, hand back the rest, and let go of everything."""
        for adapter in self.adapters:
            if isinstance(adapter, Listening):
                adapter.hush()
        self.engine.finish(grace)
        for adapter in self.adapters:
            if isinstance(adapter, Connected):
                self.engine.call(adapter.close())
        self.engine.call(self.assistant.close())
        self.engine.stop()
        self.executor.shutdown()
        self.store.close()
        self.tracing.close(grace)


def open_gateway(
    settings: Settings, adapters: Sequence[Adapter], store: SqlStore, *, lease_seconds: float = LEASE_SECONDS
) -> Gateway:
    """A gateway that works on the turns of these platforms. ``lease_seconds``: the store's. Raises SettingsError."""
    executor = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="database")
    by_name = {adapter.name: adapter for adapter in adapters}
    journal, traces = Journal(store, executor), tracing.build(TracingSettings.load())
    metrics = Metrics(by_name, store.depths, folder=MetricsSettings.load().prometheus_multiproc_dir)
    assistant = assistants.build(settings, ToolBox(TOOLS, settings.tool_timeout_seconds), journal)
    conversations = Conversations(journal, assistant, metrics, timeout=settings.assistant_timeout_seconds)
    outbox_of = partial(CoreOutbox, journal, Limits(journal, shared=store.shared), assistant)
    patience = settings.assistant_timeout_seconds
    gate = Gatekeeper(Rules.load(), Prices.load(settings), store.ledger, journal, patience=patience)
    engine = Engine(
        journal,
        Working(journal, conversations, by_name, outbox_of, gate, metrics, traces),
        tuple(by_name),
        metrics,
        owner=_own_name(),
        room=settings.max_runs,
        lease_seconds=lease_seconds,
    )
    pressure = Pressure(most=settings.max_queue, most_of_one=settings.max_queue_per_platform)
    inbox = CoreInbox(store, assistant, engine, gate, pressure, metrics, traces, backlog=settings.max_backlog)
    gateway = Gateway(settings, store, assistant, engine, inbox, adapters, executor, metrics, traces)
    engine.start()
    engine.listen(store, gateway.wake)
    clearing = partial(clear_up, store, settings.retention_days)
    engine.look_after(Housekeeping(journal, pressure, clearing, engine.owner).go_on())
    return gateway


def open_store(settings: Settings) -> SqlStore:
    """The store, on a database that is up to date: brought there on SQLite, demanded elsewhere.

    Raises SettingsError, StoreUnavailable.
    """
    if settings.database_url.startswith("sqlite"):
        migrations.upgrade(settings.database_url)
    elif not migrations.is_current(settings.database_url):
        raise SettingsError("DATABASE_URL: the database is not up to date; run python -m gateway migrate first.")
    return SqlStore(settings.database_url, lease_seconds=LEASE_SECONDS)


def check_database(store: SqlStore) -> Check:
    try:
        store.ping()
    except StoreUnavailable as exc:
        return Check("database", ok=False, detail=str(exc))
    return Check("database", ok=True)


async def _in_time(check: Awaitable[Sequence[Check]]) -> Sequence[Check]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except TimeoutError:
        return (Check("answers", ok=False, detail=f"nothing came within {CHECK_SECONDS:g} s"),)


def _own_name() -> str:
    """This process's, unlike that of any other: readable in a trail, and never used again."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"
