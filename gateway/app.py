"""The composition root: the one file that knows every room. What is switched on is decided and wired here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import click
import flask

from adapters import console
from adapters.http import HttpAdapter, HttpSettings
from adapters.slack import manifest as slack_manifest
from adapters.slack.settings import SlackSettings
from adapters.telegram import command as telegram_command
from adapters.telegram.settings import TelegramSettings
from gateway import assistants, logs, web
from gateway.conversations import Conversations
from gateway.engine import Engine, run_once
from gateway.errors import GatewayError, SettingsError, StoreUnavailable
from gateway.inbox import CoreInbox
from gateway.journal import Journal
from gateway.limits import Limits
from gateway.outbox import CoreOutbox
from gateway.ports import Adapter, Assistant, Attended, Check, Connected, Inbox, Listening
from gateway.settings import Settings
from gateway.storing import Memory, Store
from gateway.tools import ToolBox
from gateway.tools.calculator import calculate
from gateway.tools.clock import current_time
from storage import migrations
from storage.store import SqlStore

TOOLS = (current_time, calculate)
"""The functions that the assistant may call. Add yours here."""

LEASE_SECONDS = 15.0
DATABASE_THREADS = 4


def platforms(settings: Settings, memory: Memory) -> Sequence[Adapter]:
    """The platforms that are switched on. Raises SettingsError."""
    http = HttpAdapter(HttpSettings.load(), max_message_chars=settings.max_message_chars, threads=settings.web_threads)
    slack, telegram = SlackSettings.load(), TelegramSettings.load()
    adapters: list[Adapter] = [http]
    # Loaded where they are wanted only: their libraries take 5 and 9 MB.
    if slack.on:
        from adapters.slack.adapter import SlackAdapter  # noqa: PLC0415

        adapters.append(SlackAdapter(slack, memory))
    if telegram.on:
        from adapters.telegram.adapter import TelegramAdapter  # noqa: PLC0415

        adapters.append(TelegramAdapter(telegram, memory, run_once))
    return adapters


def load_settings(*, quiet: bool = False) -> Settings:
    """The core's settings, with logging set up by them. ``quiet``: warnings only, unless a level is asked for.

    Raises SettingsError.
    """
    settings = Settings.load()
    level = "WARNING" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    every = (settings, HttpSettings.load(), SlackSettings.load(), TelegramSettings.load())
    logs.configure(level, settings.log_format, [secret for each in every for secret in each.secrets()])
    return settings


def commands() -> Sequence[click.Command]:
    """What platforms add to the command line."""
    return (console.command(_console), slack_manifest.command(), telegram_command.command(run_once))


@dataclass(frozen=True)
class Gateway:
    """One process's worth of gateway, running."""

    store: Store
    assistant: Assistant
    engine: Engine
    inbox: CoreInbox
    adapters: Sequence[Adapter]
    executor: ThreadPoolExecutor

    def web(self) -> flask.Flask:
        return web.create_app(self.adapters, self.inbox, self.readiness)

    def readiness(self) -> Sequence[Check]:
        """Whether the database and the backend answer, each by name."""
        return (_check_database(self.store), *self.engine.call(self.assistant.check()))

    def listen(self) -> None:
        """Begin to fetch what people say, where a platform does not call us. Returns at once."""
        for adapter in self.adapters:
            if isinstance(adapter, Listening):
                adapter.listen(self.inbox)

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


def open_gateway(
    settings: Settings, adapters: Sequence[Adapter], store: Store, *, lease_seconds: float = LEASE_SECONDS
) -> Gateway:
    """A gateway that works on the turns of these platforms. ``lease_seconds``: the store's. Raises SettingsError."""
    executor = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="database")
    journal = Journal(store, executor)
    assistant = assistants.build(settings, ToolBox(TOOLS, settings.tool_timeout_seconds), journal)
    engine = Engine(
        journal,
        Conversations(journal, assistant, timeout=settings.assistant_timeout_seconds),
        adapters,
        partial(CoreOutbox, journal, Limits(journal, shared=store.shared), assistant),
        owner=secrets.token_hex(8),
        room=settings.max_runs,
        lease_seconds=lease_seconds,
    )
    engine.start()
    inbox = CoreInbox(store, assistant, engine, backlog=settings.max_backlog)
    return Gateway(store, assistant, engine, inbox, adapters, executor)


def open_store(settings: Settings) -> SqlStore:
    """The store, on a database that is up to date: brought there on SQLite, demanded elsewhere.

    Raises SettingsError, StoreUnavailable.
    """
    if settings.database_url.startswith("sqlite"):
        migrations.upgrade(settings.database_url)
    elif not migrations.is_current(settings.database_url):
        raise SettingsError("DATABASE_URL: the database is not up to date; run python -m gateway migrate first.")
    return SqlStore(settings.database_url, lease_seconds=LEASE_SECONDS)


def check(settings: Settings) -> Iterator[Check]:
    """Each thing that is configured, and whether it answers. Raises nothing."""
    yield _check_schema(settings)
    yield from _check_assistant(settings)
    try:
        store = SqlStore(settings.database_url)
        adapters = platforms(settings, store)
    except SettingsError as exc:
        yield Check("settings", ok=False, detail=str(exc))
        return
    for adapter in adapters:
        yield from run_once(_check_platform(adapter))
    store.close()


async def _check_platform(adapter: Adapter) -> Sequence[Check]:
    try:
        return await adapter.check()
    finally:
        if isinstance(adapter, Connected):
            await adapter.close()


def _check_database(store: Store) -> Check:
    try:
        store.ping()
    except StoreUnavailable as exc:
        return Check("database", ok=False, detail=str(exc))
    return Check("database", ok=True)


def _check_schema(settings: Settings) -> Check:
    try:
        current = migrations.is_current(settings.database_url)
    except GatewayError as exc:
        return Check("database", ok=False, detail=str(exc))
    on_start = settings.database_url.startswith("sqlite")
    detail = "up to date" if current else "will be brought up to date on start" if on_start else "run: migrate"
    return Check("database", ok=current or on_start, detail=detail)


def _check_assistant(settings: Settings) -> Sequence[Check]:
    missing = settings.missing()
    if missing:
        return (Check(settings.backend, ok=False, detail=f"missing: {', '.join(missing)}"),)

    async def ask() -> Sequence[Check]:
        assistant = assistants.build(settings, ToolBox(TOOLS), _Nothing())
        try:
            return await assistant.check()
        finally:
            await assistant.close()

    try:
        return run_once(ask())
    except SettingsError as exc:
        return (Check(settings.backend, ok=False, detail=str(exc)),)


@contextmanager
def _console(adapter: Adapter) -> Iterator[tuple[Inbox, str]]:
    """A gateway for one person at this terminal."""
    settings = load_settings(quiet=True)
    gateway = open_gateway(settings, (adapter,), open_store(settings))
    try:
        yield gateway.inbox, gateway.assistant.description
    finally:
        gateway.close(settings.grace_seconds)


class _Nothing:
    """Facts for an assistant that is only asked whether it is there: none, and none are kept."""

    async def recall(self, name: str) -> None:  # noqa: ARG002  # the protocol's
        return None

    async def remember(self, name: str, value: str) -> str:  # noqa: ARG002  # likewise
        return value
