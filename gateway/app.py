"""The composition root: creates and connects the parts of the gateway that the settings enable."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from adapters.http import HttpSettings
from gateway import admin
from gateway.admin import AdminContext, AdminSettings, RunningBackend
from gateway.assistant_setup import AssistantBuilder
from gateway.callbacks import CallbackSettings
from gateway.callbacks.outbox import EventOutbox
from gateway.callbacks.sender import CallbackSender
from gateway.configuration import Configuration, CurrentConfiguration
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.coordination.rate_limiter import RateLimiter
from gateway.coordination.retry import repeat
from gateway.coordination.shares import SharedPlaces
from gateway.domain.errors import SettingsError, StoreUnavailable
from gateway.domain.models import TurnId
from gateway.handover import HandoverSettings
from gateway.handover.desk import HandoverDesk
from gateway.handover.staff_channel import StaffChannel, StaffPlace
from gateway.handover.tool import hand_over_tool
from gateway.languages import LanguageSettings
from gateway.loading import load, load_configuration
from gateway.observability import tracing
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing, TracingSettings
from gateway.observability.turn_log import TurnLogRing
from gateway.platforms import callback_outbox, people_hand_over, staff_place
from gateway.policy.admission import AdmissionControl
from gateway.policy.block_list import BlockList
from gateway.policy.prices import Prices, PriceSettings
from gateway.policy.rules import Rules
from gateway.ports.check import CheckResult
from gateway.ports.platform import (
    Adapter,
    BackgroundReceiver,
    Closeable,
    HasWaitingCallers,
    NamesAssistants,
)
from gateway.push import PushSettings
from gateway.push import routes as push_routes
from gateway.push.messages import PushMessages
from gateway.push.scheduler import Scheduler
from gateway.settings import Settings
from gateway.tools.servers import ToolServers
from gateway.web import asgi_app, metrics_endpoint
from gateway.web.api.api_keys import ApiKeys
from gateway.web.api.routes import Api
from gateway.web.asgi_app import WebApp
from gateway.web.chat_page import Assets, ChatPage, ChatPageSettings
from gateway.web.metrics_endpoint import MetricsSettings
from gateway.worker.abandoned_turns import AbandonedTurns
from gateway.worker.assistants import Assistants, RunningAssistant
from gateway.worker.delivery_context import WorkerDeliveryContext
from gateway.worker.inbox import StoreInbox, ThreadInbox
from gateway.worker.maintenance import Maintenance
from gateway.worker.people_recorder import PeopleRecorder
from gateway.worker.retention import DAY_SECONDS, apply_retention
from gateway.worker.tool_files import KeptFiles
from gateway.worker.turn_log_publisher import KEPT_SECONDS, TurnLogPublisher
from gateway.worker.turn_processor import TurnProcessor
from gateway.worker.worker import Worker
from storage import migrations
from storage.store import SqlStore

LEASE_SECONDS = 12.0
"""Short enough for the turns of a process that died to be claimed by another within 15 seconds."""
DATABASE_THREADS = 4
CHECK_SECONDS = 10.0
STAFF_SECONDS = 2.0
"""Seconds between two looks at what to bring to the channel of the staff."""
DISK_FULL = "the disk of the database is full, or nearly"


@dataclass(frozen=True)
class Gateway:
    """The running parts of one gateway process."""

    settings: Settings
    store: SqlStore
    configuration: CurrentConfiguration
    assistants: Assistants
    worker: Worker
    async_inbox: StoreInbox
    """For the worker's loop."""
    inbox: ThreadInbox
    """The same for any other thread."""
    adapters: Sequence[Adapter]
    executor: ThreadPoolExecutor
    metrics: Metrics
    tracing: Tracing
    tool_servers: ToolServers

    def web(self) -> WebApp:
        """Returns the web application of this process."""
        http, token, assets = load(HttpSettings), MetricsSettings.load().token, Assets()
        max_chars = self.settings.max_message_chars
        languages = LanguageSettings.load().languages
        page = ChatPage(ChatPageSettings.load(), assets, http.cors_origins, bool(http.keys), max_chars, languages)
        context = self._admin_context(assets)
        pages = (assets.routes(), page.routes(), admin.blueprint(context))
        push = self._push_apis()
        return asgi_app.create_app(
            self.adapters,
            self.async_inbox,
            self.readiness,
            [*pages, metrics_endpoint.blueprint(self.metrics, token, http.trusted_proxies)],
            (*metrics_endpoint.operations(token), *(push_routes.OPERATIONS if push else ())),
            apis=push,
            routes=admin.native_routes(context),
            trusted_proxies=http.trusted_proxies,
            languages=languages,
        )

    def _push_apis(self) -> Sequence[Api]:
        """Returns the routes of pushed messages; none while no key may push."""
        keys = PushSettings.load().keys
        if not keys:
            return ()
        limits = self.settings.max_message_chars, self.settings.max_reply_chars
        messages = PushMessages(self.adapters, self.assistants.router)
        handlers = push_routes.PushRoutes(ApiKeys(keys), messages, self.store.schedules, self.async_inbox, *limits)
        return (push_routes.api(handlers),)

    def _admin_context(self, assets: Assets) -> AdminContext:
        return AdminContext(
            settings=AdminSettings.load(),
            inbox=self.inbox,
            store=self.store,
            reporting=self.store,
            checks=self.checks,
            platforms=[adapter.name for adapter in self.adapters],
            backend=self.assistants.default.backend.name,
            assets=assets.base_path,
            schedules=self.store.schedules,
            callbacks=self.store.callbacks,
            handovers=self.store.handovers,
            max_answer_chars=self.settings.max_reply_chars,
            turn_logs=self.store.turn_logs,
            run=self.worker.run_coroutine,
            is_stopping=lambda: self.worker.is_draining,
            books=self.store,
            feedback=self.store.feedback,
            budget_store=self.store.ledger,
            budget_report=self.store.budget_report,
            rules=Rules.load(),
            currency=PriceSettings.load().price_currency,
            about=self.assistants.default.backend.description,
            assistants=lambda: tuple(self.configuration.get().assistants),
            configuration=self.configuration.get,
            backends=lambda: [self._described(each) for each in self.assistants],
        )

    def _described(self, running: RunningAssistant) -> RunningBackend:
        backend, checked_as = running.backend, self._check_name(running)
        return RunningBackend(running.name, backend.name, backend.model, backend.description, checked_as)

    def _check_name(self, running: RunningAssistant) -> str:
        """Returns the name of an assistant in the results of ``checks``."""
        return running.backend.name if running is self.assistants.default else f"assistant {running.name}"

    @property
    def description(self) -> str:
        """Returns the default assistant in words, and the names of the others."""
        names = [each.name for each in self.assistants if each is not self.assistants.default]
        about = self.assistants.default.backend.description
        return f"{about}, and {', '.join(names)}" if names else about

    async def readiness(self) -> Sequence[CheckResult]:
        """Checks the database and the default assistant's backend: without another one the process is of use."""
        database = asyncio.get_running_loop().run_in_executor(self.executor, check_database, self.store)
        return (*await database, *await self.assistants.default.backend.check())

    def checks(self) -> Mapping[str, Sequence[CheckResult]]:
        """Checks the database, the assistants, their MCP servers and the platforms; returns the results by name."""

        async def run_checks() -> Mapping[str, Sequence[CheckResult]]:
            checks = {each.name: _in_time(each.check()) for each in self.adapters}
            for each in self.assistants:
                checks[self._check_name(each)] = _in_time(each.backend.check())
            if self.tool_servers.in_use:
                checks["mcp"] = _in_time(self.tool_servers.check())
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
        self.worker.run_coroutine(self.assistants.close())
        self.worker.stop()
        self.executor.shutdown()
        self.store.close()
        self.tracing.close(grace)


def open_gateway(
    settings: Settings,
    adapters: Sequence[Adapter],
    store: SqlStore,
    *,
    current: CurrentConfiguration | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Gateway:
    """Returns a running gateway for these platforms. Raises SettingsError.

    ``current``: the configuration; None: what the environment alone describes. ``lease_seconds``: the store's.
    """
    current = current or CurrentConfiguration(load_configuration(settings))
    executor = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="database")
    by_name = {adapter.name: adapter for adapter in adapters}
    async_store, tracer = AsyncStore(store, executor), tracing.build(TracingSettings.load())
    metrics = _metrics(by_name, store, current.get())
    tool_servers, handover = ToolServers(), HandoverSettings.load()
    place = staff_place(handover, adapters)
    desk = HandoverDesk(async_store, store.handovers, seconds=handover.seconds)
    builder = AssistantBuilder(
        async_store,
        metrics,
        tool_servers,
        KeptFiles(store.tool_files, executor),
        hand_over_tool(desk.hand_over_current),
        handover.handover_tool,
    )
    all_assistants = Assistants(current, builder.build, free_platforms(adapters))
    spool = _spool(settings)
    rate_limiter = RateLimiter(async_store, shared=store.is_shared)
    delivery_context_of = partial(WorkerDeliveryContext, rate_limiter, all_assistants, spool)
    gatekeeper = AdmissionControl(
        Rules.load(), Prices.load(settings), store.ledger, async_store, max_wait=settings.assistant_timeout_seconds
    )
    processor = TurnProcessor(
        *(async_store, all_assistants, by_name, delivery_context_of, gatekeeper, metrics, tracer, spool)
    )
    worker = Worker(
        async_store,
        processor,
        tuple(by_name),
        metrics,
        owner=_worker_name(),
        places=SharedPlaces(
            settings.max_runs, settings.max_caller_share, workspace_fraction=settings.max_workspace_share
        ),
        lease_seconds=lease_seconds,
    )
    gatekeeper.on_woken = worker.wake_up
    backpressure = Backpressure(
        max_total=settings.max_queue,
        max_per_platform=settings.max_queue_per_platform,
        caller_share=settings.max_caller_share,
        workspace_share=settings.max_workspace_share,
    )
    inbox = StoreInbox(
        *(async_store, all_assistants, worker, gatekeeper, backpressure, metrics, tracer, spool),
        max_backlog=settings.max_backlog,
    )
    inbox.hands_over = people_hand_over(load)
    desk.accept = inbox.accept
    thread_inbox = ThreadInbox(inbox, worker)
    gateway = Gateway(
        *(settings, store, current, all_assistants, worker, inbox, thread_inbox, adapters, executor, metrics, tracer),
        tool_servers,
    )
    _record_people(worker, async_store, store, gatekeeper.block_list, processor, inbox)
    worker.start()
    worker.run_in_background(tool_servers.run())
    worker.listen(store, gateway.notify_resolved)
    retention = partial(_apply_retention, store, settings.retention_days)
    abandoned_turns = AbandonedTurns(async_store, all_assistants, gatekeeper, metrics)
    missed = PushSettings.load().push_missed
    scheduler = Scheduler(
        async_store,
        store.schedules,
        PushMessages(adapters, all_assistants.router),
        inbox.accept,
        skips_missed=missed == "skip",
    )
    maintenance = Maintenance(
        *(async_store, backpressure, retention, abandoned_turns, scheduler.run_due, desk.end_overdue),
        owner=worker.owner,
    )
    worker.run_in_background(maintenance.run())
    if AdminSettings.load().enabled:
        worker.run_in_background(TurnLogPublisher(TurnLogRing(), async_store, store.turn_logs, worker.owner).run())
    _start_callbacks(gateway, async_store, processor)
    _start_staff_channel(gateway, async_store, place)
    return gateway


def _start_staff_channel(gateway: Gateway, async_store: AsyncStore, place: StaffPlace | None) -> None:
    """Starts to show conversations that are handed over in the channel of the staff, if there is one."""
    if place is None:
        return
    inbox, owner, most = gateway.async_inbox, gateway.worker.owner, gateway.settings.max_reply_chars
    staff = StaffChannel(async_store, gateway.store.handovers, place, inbox.accept, owner=owner, most=most)
    inbox.as_answer = staff.as_answer
    pause = partial(asyncio.sleep, STAFF_SECONDS)
    gateway.worker.run_in_background(repeat(staff.relay, "handovers not shown to the staff", pause))


def _apply_retention(store: SqlStore, days: float, may_continue: Callable[[], bool]) -> int:
    """Erases what is older than so many days (0: nothing), see ``apply_retention``. Raises StoreUnavailable."""
    store.turn_logs.erase_older_than(KEPT_SECONDS)
    if days > 0:
        store.api_objects.erase_older_than(days * DAY_SECONDS)
        store.people.erase_older_than(days * DAY_SECONDS)
    return apply_retention(store, store.unparsed_updates, days, may_continue)


def free_platforms(adapters: Iterable[Adapter]) -> Sequence[str]:
    """Returns the names of the platforms whose senders may ask any assistant where no route says which."""
    return [each.name for each in adapters if isinstance(each, NamesAssistants) and each.names_assistants]


def _metrics(platforms: Iterable[str], store: SqlStore, configuration: Configuration) -> Metrics:
    folder = MetricsSettings.load().prometheus_multiproc_dir
    return Metrics(platforms, store.queue_depths, assistants=configuration.assistants, folder=folder)


def _record_people(
    worker: Worker,
    async_store: AsyncStore,
    store: SqlStore,
    block_list: BlockList,
    processor: TurnProcessor,
    inbox: StoreInbox,
) -> None:
    """Stores who writes, and keeps the list of who is blocked current; it is read before this returns.

    Raises StoreUnavailable.
    """
    recorder = PeopleRecorder(async_store, store.people, store.blocks, block_list)
    block_list.refresh(store.blocks)
    inbox.on_recorded, inbox.refused.may_tell = recorder.note, recorder.may_tell
    processor.context_fetcher.on_names = recorder.learn
    worker.run_in_background(recorder.run())


def _start_callbacks(gateway: Gateway, async_store: AsyncStore, processor: TurnProcessor) -> None:
    """Starts to post what is stored for addresses of programs, and to store the events that the operator wants."""
    settings, store = CallbackSettings.load(), gateway.store
    outbox = callback_outbox(settings, store)
    if outbox is None:
        return
    if settings.callback_events_url:
        events = EventOutbox(outbox, async_store, settings.callback_events_url, settings.events)
        processor.on_resolved, gateway.async_inbox.on_feedback = events.on_resolved, events.on_feedback
        processor.handovers.on_changed = events.on_handover
    sender = CallbackSender(async_store, store.callbacks, settings.rule, settings.keys, hours=settings.callback_hours)
    gateway.worker.run_in_background(sender.run())


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
