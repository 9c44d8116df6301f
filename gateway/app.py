"""The composition root: creates and connects the parts of the gateway that the settings enable."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.configuration import CurrentConfiguration
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.coordination.rate_limiter import RateLimiter
from gateway.coordination.shares import SharedPlaces
from gateway.coordination.threads import ThreadPool
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import SettingsError
from gateway.handover import HandoverSettings
from gateway.handover.automatic import AutomaticHandovers
from gateway.handover.tool import hand_over_tool
from gateway.observability import tracing
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing, TracingSettings
from gateway.policy.admission import AdmissionControl
from gateway.policy.prices import Prices, PriceSettings
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.platform import Adapter, NamesAssistants
from gateway.settings import Load, Settings
from gateway.tools.servers import ToolServers
from gateway.web.metrics_endpoint import MetricsSettings
from gateway.wiring.assistant_setup import AssistantBuilder
from gateway.wiring.background import BackgroundWork
from gateway.wiring.loading import load, load_configuration
from gateway.wiring.platforms import people_hand_over, staff_place
from gateway.wiring.running_gateway import Gateway
from gateway.worker.accepting.inbox import StoreInbox
from gateway.worker.accepting.thread_inbox import ThreadInbox
from gateway.worker.answering.assistants import Assistants
from gateway.worker.answering.tool_files import KeptFiles
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext
from gateway.worker.turns.turn_processor import TurnProcessor
from gateway.worker.worker import Worker
from storage import migrations
from storage.store import SqlStore

LEASE_SECONDS = 12.0
"""Short enough for the turns of a process that died to be claimed by another within 15 seconds."""
DATABASE_THREADS = 4


@dataclass(frozen=True)
class _Parts:
    """The parts that both what accepts messages and what runs turns use."""

    settings: Settings
    load: Load
    adapters: Sequence[Adapter]
    store: SqlStore
    threads: ThreadPool
    async_store: AsyncStore
    metrics: Metrics
    tracer: Tracing
    tool_servers: ToolServers
    handovers: AutomaticHandovers
    assistants: Assistants
    spool: FileSpool
    admission: AdmissionControl


def open_gateway(
    settings: Settings,
    adapters: Sequence[Adapter],
    store: SqlStore,
    *,
    current: CurrentConfiguration | None = None,
    load: Load = load,
    lease_seconds: float = LEASE_SECONDS,
) -> Gateway:
    """Returns a running gateway for these platforms. Raises SettingsError.

    ``current``: the configuration; None: what the environment alone describes. ``load``: where all other settings come
    from. ``lease_seconds``: the store's.
    """
    current = current or CurrentConfiguration(load_configuration(settings))
    place = staff_place(load(HandoverSettings), adapters)
    parts = _parts(settings, load, adapters, store, current)
    processor = _processor(parts)
    worker = _worker(parts, processor, lease_seconds)
    backpressure = _backpressure(settings)
    inbox = _inbox(parts, worker, backpressure)
    gateway = _gateway(parts, current, worker, inbox)
    background = BackgroundWork(gateway, parts.async_store, processor, parts.admission, backpressure, parts.handovers)
    # What is told of turns comes first: those that an earlier process has left are claimed at once.
    background.start_recording_people()
    background.start_callbacks()
    background.start_staff_channel(place)
    worker.start()
    worker.run_in_background(parts.tool_servers.run())
    worker.listen(store, gateway.notify_resolved)
    background.start_maintenance()
    background.start_publishing_turn_logs()
    return gateway


# ---------------------------------------------------------------- what all use


def _parts(
    settings: Settings, load: Load, adapters: Sequence[Adapter], store: SqlStore, current: CurrentConfiguration
) -> _Parts:
    threads = ThreadPool(DATABASE_THREADS, "database")
    async_store, tool_servers = AsyncStore(store, threads), ToolServers()
    metrics, handover = _metrics(load, adapters, store, current), load(HandoverSettings)
    handovers = AutomaticHandovers(async_store, store.handovers, seconds=handover.seconds)
    builder = AssistantBuilder(
        async_store,
        metrics,
        tool_servers,
        KeptFiles(store.tool_files, threads),
        load(PriceSettings),
        hand_over_tool(handovers.hand_over_current),
        handover.handover_tool,
    )
    return _Parts(
        settings=settings,
        load=load,
        adapters=adapters,
        store=store,
        threads=threads,
        async_store=async_store,
        metrics=metrics,
        tracer=tracing.build(load(TracingSettings)),
        tool_servers=tool_servers,
        handovers=handovers,
        assistants=Assistants(current, builder.build, free_platforms(adapters)),
        spool=_spool(settings),
        admission=_admission(settings, load, store, async_store),
    )


def _metrics(load: Load, adapters: Sequence[Adapter], store: SqlStore, current: CurrentConfiguration) -> Metrics:
    return Metrics(
        [each.name for each in adapters],
        store.queue_depths,
        assistants=current.get().assistants,
        folder=load(MetricsSettings).prometheus_multiproc_dir,
    )


def free_platforms(adapters: Iterable[Adapter]) -> Sequence[str]:
    """Returns the names of the platforms whose senders may ask any assistant where no route says which."""
    return [each.name for each in adapters if isinstance(each, NamesAssistants) and each.names_assistants]


def _spool(settings: Settings) -> FileSpool:
    return FileSpool(
        folder=settings.spool_folder,
        max_bytes=settings.max_file_bytes_in_flight,
        max_message_bytes=settings.max_message_file_bytes,
    )


def _admission(settings: Settings, load: Load, store: SqlStore, async_store: AsyncStore) -> AdmissionControl:
    """Returns what decides who may, how often and for how much. Raises SettingsError."""
    rules = Rules.from_settings(load(AdmissionSettings))
    prices = Prices.of(load(PriceSettings), settings)
    return AdmissionControl(rules, prices, store.ledger, async_store, max_wait=settings.assistant_timeout_seconds)


# ---------------------------------------------------------------- what runs turns


def _processor(parts: _Parts) -> TurnProcessor:
    rate_limiter = RateLimiter(parts.async_store, shared=parts.store.is_shared)
    adapters = {adapter.name: adapter for adapter in parts.adapters}
    return TurnProcessor(
        parts.async_store,
        parts.assistants,
        adapters,
        partial(WorkerDeliveryContext, rate_limiter, parts.assistants, parts.spool, adapters=adapters),
        parts.admission,
        parts.metrics,
        parts.tracer,
        parts.spool,
    )


def _worker(parts: _Parts, processor: TurnProcessor, lease_seconds: float) -> Worker:
    settings = parts.settings
    caller_share, workspace_share = settings.max_caller_share, settings.max_workspace_share
    worker = Worker(
        parts.async_store,
        processor,
        tuple(adapter.name for adapter in parts.adapters),
        parts.metrics,
        owner=_worker_name(),
        places=SharedPlaces(settings.max_runs, caller_share, workspace_fraction=workspace_share),
        lease_seconds=lease_seconds,
    )
    parts.admission.on_woken = worker.wake_up
    return worker


def _worker_name() -> str:
    """Returns a name for this process that is readable in the audit log and never used again."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


# ---------------------------------------------------------------- what accepts messages


def _backpressure(settings: Settings) -> Backpressure:
    return Backpressure(
        max_total=settings.max_queue,
        max_per_platform=settings.max_queue_per_platform,
        caller_share=settings.max_caller_share,
        workspace_share=settings.max_workspace_share,
    )


def _inbox(parts: _Parts, worker: Worker, backpressure: Backpressure) -> StoreInbox:
    inbox = StoreInbox(
        parts.async_store,
        parts.assistants,
        worker,
        parts.admission,
        backpressure,
        parts.metrics,
        parts.tracer,
        parts.spool,
        max_backlog=parts.settings.max_backlog,
    )
    inbox.hands_over = people_hand_over(parts.load)
    parts.handovers.accept = inbox.accept
    return inbox


def _gateway(parts: _Parts, current: CurrentConfiguration, worker: Worker, inbox: StoreInbox) -> Gateway:
    return Gateway(
        settings=parts.settings,
        load=parts.load,
        store=parts.store,
        configuration=current,
        assistants=parts.assistants,
        worker=worker,
        async_inbox=inbox,
        inbox=ThreadInbox(inbox, worker),
        adapters=parts.adapters,
        threads=parts.threads,
        metrics=parts.metrics,
        tracing=parts.tracer,
        tool_servers=parts.tool_servers,
    )


# ---------------------------------------------------------------- the database


def open_store(settings: Settings, *, migrate: Callable[[str], None] = migrations.upgrade) -> SqlStore:
    """Returns the store. SQLite is migrated first, by ``migrate``; any other database must be up to date already.

    Raises SettingsError, StoreUnavailable.
    """
    if settings.database_url.startswith("sqlite"):
        migrate(settings.database_url)
    elif not migrations.is_current(settings.database_url):
        raise SettingsError(f"DATABASE_URL: the database is not up to date; run {gateway_command('migrate')} first.")
    return SqlStore(settings.database_url, lease_seconds=LEASE_SECONDS)
