"""The composition root: creates and connects the parts of the gateway that the settings enable."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar, cast

from adapters.discord.settings import DiscordSettings
from adapters.http import HttpAdapter, HttpSettings
from adapters.slack.settings import SlackSettings
from adapters.telegram.settings import TelegramSettings
from gateway import admin, assistants, logs
from gateway.admin import AdminContext, AdminSettings
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.coordination.rate_limiter import RateLimiter
from gateway.coordination.shares import SharedPlaces
from gateway.domain.errors import SettingsError, StoreUnavailable
from gateway.domain.extras import imports_of_extra
from gateway.domain.models import TurnId
from gateway.languages import LanguageSettings
from gateway.observability import tracing
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing, TracingSettings
from gateway.policy.admission import AdmissionControl
from gateway.policy.prices import Prices, PriceSettings
from gateway.policy.request_estimate import RequestEstimator
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.policy.turn_limit import TurnCostLimit
from gateway.ports.assistant import Assistant
from gateway.ports.check import CheckResult
from gateway.ports.platform import Adapter, BackgroundReceiver, Closeable, HasWaitingCallers
from gateway.setting_names import unknown_names
from gateway.settings import EnvironmentSettings, Settings, given_variables
from gateway.tools import ToolBox, find_tools
from gateway.web import asgi_app, exposure, metrics_endpoint
from gateway.web.asgi_app import WebApp
from gateway.web.chat_page import Assets, ChatPage, ChatPageSettings
from gateway.web.metrics_endpoint import MetricsSettings
from gateway.worker.abandoned_turns import AbandonedTurns
from gateway.worker.assistant_runner import AssistantRunner
from gateway.worker.delivery_context import WorkerDeliveryContext
from gateway.worker.inbox import StoreInbox, ThreadInbox
from gateway.worker.maintenance import Maintenance
from gateway.worker.retention import apply_retention
from gateway.worker.turn_limits import TurnLimits
from gateway.worker.turn_processor import TurnProcessor
from gateway.worker.worker import Worker, run_once
from storage import migrations
from storage.store import SqlStore

SETTINGS: Sequence[type[EnvironmentSettings]] = (
    *(Settings, HttpSettings, SlackSettings, TelegramSettings, DiscordSettings, ChatPageSettings, AdminSettings),
    *(MetricsSettings, TracingSettings, PriceSettings, AdmissionSettings, LanguageSettings),
)
"""All settings classes."""

PLATFORMS = ("http", "slack", "telegram", "discord", "console")
"""The names of all platforms, also of those that are not enabled."""

AnySettings = TypeVar("AnySettings", bound=EnvironmentSettings)


class Load(Protocol):
    """Returns the settings of a class, as ``load`` does."""

    def __call__(self, cls: type[AnySettings], /) -> AnySettings: ...


LEASE_SECONDS = 12.0
"""Short enough for the turns of a process that died to be claimed by another within 15 seconds."""
DATABASE_THREADS = 4
CHECK_SECONDS = 10.0
DISK_FULL = "the disk of the database is full, or nearly"


def load(cls: type[AnySettings]) -> AnySettings:
    """Returns the settings of a class. Raises SettingsError."""
    return cls.load()


def platforms(settings: Settings, store: SqlStore) -> Sequence[Adapter]:
    """Returns the adapters of the enabled platforms. Raises SettingsError."""
    return tuple(adapter for build in PLATFORM_BUILDERS if (adapter := build(settings, store, load)) is not None)


def _build_http(settings: Settings, store: SqlStore, load: Load) -> Adapter:
    max_chars, max_waiting = settings.max_message_chars, settings.max_waiting_callers
    return HttpAdapter(
        load(HttpSettings),
        store,
        max_message_chars=max_chars,
        max_waiting=max_waiting,
        caller_share=settings.max_caller_share,
        languages=load(LanguageSettings).languages,
    )


def _build_slack(_: Settings, store: SqlStore, load: Load) -> Adapter | None:
    settings = load(SlackSettings)
    if not settings.on:
        return None
    with imports_of_extra("slack", "SLACK_BOT_TOKEN or SLACK_CLIENT_ID"):
        from adapters.slack.adapter import SlackAdapter  # noqa: PLC0415  # its libraries take 5 MB
    return SlackAdapter(settings, store, store.unparsed_updates, run_once, load(LanguageSettings).languages)


def _build_telegram(_: Settings, store: SqlStore, load: Load) -> Adapter | None:
    settings = load(TelegramSettings)
    if not settings.on:
        return None
    with imports_of_extra("telegram", "TELEGRAM_BOT_TOKEN"):
        from adapters.telegram.adapter import TelegramAdapter  # noqa: PLC0415  # its libraries take 9 MB
    return TelegramAdapter(settings, store, store.unparsed_updates, run_once, load(LanguageSettings).languages)


def _build_discord(_: Settings, store: SqlStore, load: Load) -> Adapter | None:
    settings = load(DiscordSettings)
    if not settings.on:
        return None
    from adapters.discord.adapter import DiscordAdapter  # noqa: PLC0415  # as above

    return DiscordAdapter(settings, store, store.unparsed_updates, run_once, load(LanguageSettings).languages)


PLATFORM_BUILDERS: Sequence[Callable[[Settings, SqlStore, Load], Adapter | None]] = (
    *(_build_http, _build_slack, _build_telegram, _build_discord),
)
"""Each returns the adapter of its platform if that is enabled, and raises SettingsError."""


def is_behind_proxy() -> bool:
    """Returns whether the operator says that clients connect through a proxy."""
    return HttpSettings.load().trusted_proxies > 0


def load_settings(*, quiet: bool = False) -> Settings:
    """Returns the core's settings and configures logging. ``quiet``: warnings only, unless LOG_LEVEL is set.

    Raises SettingsError, also for errors in any other settings class.
    """
    settings = Settings.load()
    if wrong := _wrong_names(AdmissionSettings.load()):
        raise SettingsError("\n".join(wrong))
    level = "WARNING" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    _configure_log(level, settings, [each.load() for each in SETTINGS])
    return settings


def load_valid_settings() -> tuple[Load, Sequence[str]]:
    """Reads all settings, with defaults for what is wrong; also returns what is wrong. Configures logging.

    Raises SettingsError if nothing can be read.
    """
    read = {each: each.load_valid() for each in SETTINGS}

    def load(cls: type[AnySettings]) -> AnySettings:
        return cast("AnySettings", read[cls][0])

    settings = load(Settings)
    _configure_log(settings.log_level, settings, [valid for valid, _ in read.values()])
    wrong = [line for _, lines in read.values() for line in lines]
    return load, tuple(dict.fromkeys([*wrong, *_wrong_names(load(AdmissionSettings))]))


def _configure_log(level: str, settings: Settings, loaded: Sequence[EnvironmentSettings]) -> None:
    patterns = [pattern for each in SETTINGS for pattern in each.token_patterns]
    logs.configure(level, settings.log_format, [secret for each in loaded for secret in each.secrets()], patterns)


def _wrong_names(rules: AdmissionSettings) -> Sequence[str]:
    misspelt = unknown_names(SETTINGS, given_variables()).misspelt
    return (*rules.wrong_platforms(PLATFORMS), *(_misspelt(name, near) for name, near in misspelt.items()))


def _misspelt(name: str, near: Sequence[str]) -> str:
    return f"{name} is no setting. If you mean {' or '.join(near)}, write that; else unset it."


def start_warnings(settings: Settings, load: Load = load) -> Sequence[str]:
    """Returns what to warn the operator of at start. Raises SettingsError."""
    unused = unknown_names(SETTINGS, given_variables()).unused
    unknown = (f"set, but no settings of the gateway: {', '.join(unused)}",) if unused else ()
    http, password = load(HttpSettings), load(AdminSettings).admin_password
    given = password.get_secret_value() if password else ""
    exposed = exposure.warnings(settings, http.keys, http.cors_origins, given, load(MetricsSettings).token)
    return (*unknown, *exposed)


# ---------------------------------------------------------------- one process


@dataclass(frozen=True)
class Gateway:
    """The running parts of one gateway process."""

    settings: Settings
    store: SqlStore
    assistant: Assistant
    worker: Worker
    async_inbox: StoreInbox
    """For the worker's loop."""
    inbox: ThreadInbox
    """The same for any other thread."""
    adapters: Sequence[Adapter]
    executor: ThreadPoolExecutor
    metrics: Metrics
    tracing: Tracing

    def web(self) -> WebApp:
        """Returns the web application of this process."""
        http, token, assets = HttpSettings.load(), MetricsSettings.load().token, Assets()
        max_chars = self.settings.max_message_chars
        languages = LanguageSettings.load().languages
        page = ChatPage(ChatPageSettings.load(), assets, http.cors_origins, bool(http.keys), max_chars, languages)
        pages = (assets.routes(), page.routes(), admin.blueprint(self._admin_context(assets)))
        return asgi_app.create_app(
            self.adapters,
            self.async_inbox,
            self.readiness,
            [*pages, metrics_endpoint.blueprint(self.metrics, token, http.trusted_proxies)],
            metrics_endpoint.operations(token),
            trusted_proxies=http.trusted_proxies,
            languages=languages,
        )

    def _admin_context(self, assets: Assets) -> AdminContext:
        return AdminContext(
            settings=AdminSettings.load(),
            inbox=self.inbox,
            store=self.store,
            reporting=self.store,
            checks=self.checks,
            platforms=[adapter.name for adapter in self.adapters],
            backend=self.assistant.name,
            assets=assets.base_path,
            about=self.assistant.description,
        )

    async def readiness(self) -> Sequence[CheckResult]:
        """Checks the database and the assistant's backend."""
        database = asyncio.get_running_loop().run_in_executor(self.executor, check_database, self.store)
        return (*await database, *await self.assistant.check())

    def checks(self) -> Mapping[str, Sequence[CheckResult]]:
        """Checks the database, the assistant's backend and the platforms; returns the results by name."""

        async def run_checks() -> Mapping[str, Sequence[CheckResult]]:
            checked: tuple[Adapter | Assistant, ...] = (*self.adapters, self.assistant)
            checks = {each.name: _in_time(each.check()) for each in checked}
            return dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))

        return {**self.worker.run_coroutine(run_checks()), "database": check_database(self.store)}

    def listen(self) -> None:
        """Starts the adapters that fetch messages themselves (polling, sockets). Returns at once."""
        for adapter in self.adapters:
            if isinstance(adapter, BackgroundReceiver):
                adapter.start_receiving(self.inbox)

    def notify_resolved(self, turn: TurnId) -> None:
        """Tells the adapters that another process resolved a turn for which a caller may wait here."""
        for adapter in self.adapters:
            if isinstance(adapter, HasWaitingCallers):
                adapter.notify_resolved(turn)

    def drain(self, grace: float) -> None:
        """Stops accepting work; ``close`` is called within ``grace`` seconds. Returns at once."""
        self.worker.drain()
        for adapter in self.adapters:
            if isinstance(adapter, BackgroundReceiver):
                self.executor.submit(adapter.stop_receiving)
            if isinstance(adapter, HasWaitingCallers):
                adapter.drain(grace)

    def close(self, grace: float) -> None:
        """Waits up to ``grace`` seconds for turns in progress, releases the rest unfinished, and closes everything."""
        for adapter in self.adapters:
            if isinstance(adapter, BackgroundReceiver):
                adapter.stop_receiving()
        self.worker.finish(grace)
        for adapter in self.adapters:
            if isinstance(adapter, Closeable):
                self.worker.run_coroutine(adapter.close())
        self.worker.run_coroutine(self.assistant.close())
        self.worker.stop()
        self.executor.shutdown()
        self.store.close()
        self.tracing.close(grace)


def open_gateway(
    settings: Settings, adapters: Sequence[Adapter], store: SqlStore, *, lease_seconds: float = LEASE_SECONDS
) -> Gateway:
    """Returns a running gateway for these platforms. ``lease_seconds``: the store's. Raises SettingsError."""
    executor = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="database")
    by_name = {adapter.name: adapter for adapter in adapters}
    async_store, tracer = AsyncStore(store, executor), tracing.build(TracingSettings.load())
    metrics = Metrics(by_name, store.queue_depths, folder=MetricsSettings.load().prometheus_multiproc_dir)
    timeout = settings.assistant_timeout_seconds
    toolbox = ToolBox([found.tool for found in find_tools(settings.tools_path)], settings.tool_timeout_seconds)
    assistant = assistants.build(settings, toolbox, async_store)
    runner = AssistantRunner(
        async_store,
        assistant,
        metrics,
        timeout=timeout,
        estimator=_estimator(settings, assistant, toolbox),
        limits=TurnLimits(settings.max_reply_chars, TurnCostLimit.load(settings)),
    )
    spool = _spool(settings)
    rate_limiter = RateLimiter(async_store, shared=store.is_shared)
    delivery_context_of = partial(WorkerDeliveryContext, rate_limiter, assistant, spool)
    gatekeeper = AdmissionControl(Rules.load(), Prices.load(settings), store.ledger, async_store, max_wait=timeout)
    worker = Worker(
        async_store,
        TurnProcessor(async_store, runner, by_name, delivery_context_of, gatekeeper, metrics, tracer, spool),
        tuple(by_name),
        metrics,
        owner=_worker_name(),
        places=SharedPlaces(settings.max_runs, settings.max_caller_share),
        lease_seconds=lease_seconds,
    )
    gatekeeper.on_woken = worker.wake_up
    backpressure = Backpressure(
        max_total=settings.max_queue,
        max_per_platform=settings.max_queue_per_platform,
        caller_share=settings.max_caller_share,
    )
    inbox = StoreInbox(
        async_store, assistant, worker, gatekeeper, backpressure, metrics, tracer, max_backlog=settings.max_backlog
    )
    thread_inbox = ThreadInbox(inbox, worker)
    gateway = Gateway(settings, store, assistant, worker, inbox, thread_inbox, adapters, executor, metrics, tracer)
    worker.start()
    worker.listen(store, gateway.notify_resolved)
    retention = partial(apply_retention, store, store.unparsed_updates, settings.retention_days)
    abandoned_turns = AbandonedTurns(async_store, runner, gatekeeper, metrics)
    worker.run_in_background(Maintenance(async_store, backpressure, retention, abandoned_turns, worker.owner).run())
    return gateway


def _estimator(settings: Settings, assistant: Assistant, toolbox: ToolBox) -> RequestEstimator:
    history_chars = settings.history_chars if assistant.name == "chat" else None
    instructions = assistants.instructions_of(settings).for_message
    return RequestEstimator(assistant.model, instructions, toolbox.schemas, history_chars)


def _spool(settings: Settings) -> FileSpool:
    return FileSpool(
        folder=settings.spool_folder,
        max_bytes=settings.max_file_bytes_in_flight,
        max_message_bytes=settings.max_message_file_bytes,
    )


def open_store(settings: Settings, *, migrate: Callable[[str], None] = migrations.upgrade) -> SqlStore:
    """Returns the store. SQLite is migrated first, by ``migrate``; any other database must be up to date already.

    Raises SettingsError, StoreUnavailable.
    """
    if settings.database_url.startswith("sqlite"):
        migrate(settings.database_url)
    elif not migrations.is_current(settings.database_url):
        raise SettingsError("DATABASE_URL: the database is not up to date; run python -m gateway migrate first.")
    return SqlStore(settings.database_url, lease_seconds=LEASE_SECONDS)


def check_database(store: SqlStore) -> Sequence[CheckResult]:
    """Checks that the database answers, and has space. Raises nothing."""
    full = (CheckResult("disk", ok=False, detail=DISK_FULL),) if store.is_disk_full() else ()
    try:
        store.ping()
    except StoreUnavailable as exc:
        return (CheckResult("database", ok=False, detail=str(exc)), *full)
    return (CheckResult("database", ok=True), *full)


async def _in_time(check: Awaitable[Sequence[CheckResult]]) -> Sequence[CheckResult]:
    """Awaits a check; returns a failed result after ``CHECK_SECONDS``."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except TimeoutError:
        return (CheckResult("answers", ok=False, detail=f"no response within {CHECK_SECONDS:g} s"),)


def _worker_name() -> str:
    """Returns a name for this process that is readable in the audit log and never used again."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"
