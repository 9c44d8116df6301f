"""A gateway process for tests: the real worker and inbox, with a fake assistant and platform."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from queue import SimpleQueue
from types import MappingProxyType

from gateway.configuration import AssistantDefinition, Configuration, CurrentConfiguration
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.coordination.rate_limiter import RateLimiter
from gateway.coordination.shares import SharedPlaces
from gateway.domain.models import DEFAULT_ASSISTANT, MessageKind, Turn, TurnId
from gateway.handover.automatic import AutomaticHandovers
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.admission import AdmissionControl
from gateway.policy.prices import Price, Prices
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.assistant import Assistant
from gateway.ports.cluster import ClusterEvent
from gateway.worker.accepting.inbox import StoreInbox
from gateway.worker.accepting.thread_inbox import ThreadInbox
from gateway.worker.answering.assistant_runner import AssistantRunner
from gateway.worker.answering.assistants import Assistants, RunningAssistant
from gateway.worker.answering.turn_limits import TurnLimits
from gateway.worker.claiming.conversation_task import ConversationTask
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext
from gateway.worker.turns.turn_processor import TurnProcessor
from gateway.worker.upkeep.abandoned_turns import AbandonedTurns
from gateway.worker.worker import Worker
from storage.store import SqlStore
from tests.fakes.platform import FakePlatform
from tests.gateway.one_assistant import configuration
from tests.settings import settings_of

MAX_REPLY_CHARS = 5000
EACH_TOKEN = Prices(dict.fromkeys(("gpt-4o", "*"), Price(Decimal(1), Decimal(1))))
"""A millionth for each token."""


def open_admission(
    store: SqlStore, journal: AsyncStore, *, prices: Prices = EACH_TOKEN, **settings: str
) -> AdmissionControl:
    """Returns a gatekeeper with these rules; without any it admits everything."""
    rules = Rules.from_settings(settings_of(AdmissionSettings, **settings))
    return AdmissionControl(rules, prices, store.ledger, journal, max_wait=30.0)


class _ListeningStore:
    """Sets ``listening`` at the first event, which the store emits as soon as it listens."""

    def __init__(self, store: SqlStore, listening: threading.Event) -> None:
        self._store = store
        self._listening = listening
        self.is_shared = store.is_shared

    def listen(self, hear: Callable[[ClusterEvent], None], stopped: threading.Event) -> None:
        def on_event(event: ClusterEvent) -> None:
            hear(event)
            self._listening.set()

        self._store.listen(on_event, stopped)


class _Processor(TurnProcessor):
    """Counts what fails in a way that nobody foresaw: it is done again, so that a test may see nothing of it."""

    failed = 0

    async def release(self, task: ConversationTask, *, delay_seconds: float, failed: bool = False) -> None:
        self.failed += failed
        await super().release(task, delay_seconds=delay_seconds, failed=failed)


class WorkerProcess:
    """One gateway process: worker and inbox on a store and an assistant that several processes may share."""

    def __init__(
        self,
        store: SqlStore,
        assistant: Assistant,
        *,
        owner: str = "one",
        room: int = 50,
        lease_seconds: float = 0.6,
        sweep_seconds: float = 0.05,
        timeout: float = 30.0,
        approval_seconds: float = 60.0,
        rules: Mapping[str, str] = MappingProxyType({}),
        caller_share: float = 1.0,
        others: Mapping[str, Assistant] = MappingProxyType({}),
        configured: Configuration | None = None,
        handover_seconds: float = 0.0,
        quiet_seconds: float = 0.0,
    ) -> None:
        """``others``: assistants beside the default one, by name; they are in force if ``configured`` has them."""
        self.store = store
        self.assistant = assistant
        self.platform = FakePlatform(quiet_seconds=quiet_seconds)
        self.executor = ThreadPoolExecutor(4)
        self.pressure = Backpressure(max_total=2000, max_per_platform=1500)
        async_store, metrics, tracing = AsyncStore(store, self.executor), Metrics(), Tracing.disabled()
        backends = {DEFAULT_ASSISTANT: assistant, **others}
        limits = TurnLimits(MAX_REPLY_CHARS, seconds=timeout, approval_seconds=approval_seconds)

        def build(definition: AssistantDefinition, _: object) -> RunningAssistant:
            name, backend = definition.name, backends[definition.name]
            pace = {"max_retries": 2, "retry_delay": 0.001}
            tools = getattr(backend, "run_calls", None)
            more = {"limits": limits, "name": name, "run_calls": tools}
            runner = AssistantRunner(async_store, backend, metrics, **more, **pace)  # type: ignore[arg-type]  # of many types
            return RunningAssistant(name, backend, runner, definition.fallback)

        self.assistants = assistants = Assistants(CurrentConfiguration(configured or configuration()), build)
        spool, rate_limiter = FileSpool(), RateLimiter(async_store, shared=store.is_shared)
        platforms = {self.platform.name: self.platform}
        delivery_context_of = partial(WorkerDeliveryContext, rate_limiter, assistants, spool, adapters=platforms)
        gatekeeper = open_admission(store, async_store, prices=EACH_TOKEN, **rules)
        self.abandoned_turns = AbandonedTurns(async_store, assistants, gatekeeper, metrics, settle_seconds=0.0)
        self.processor = _Processor(
            async_store, assistants, platforms, delivery_context_of, gatekeeper, metrics, tracing, spool
        )
        self.unforeseen = 0
        """How many attempts at turns are to fail in a way that nobody foresaw."""
        self.worker = Worker(
            async_store,
            self.processor,
            tuple(platforms),
            metrics,
            owner=owner,
            places=SharedPlaces(room, caller_share),
            lease_seconds=lease_seconds,
            sweep_seconds=sweep_seconds,
        )
        gatekeeper.on_woken = self.worker.wake_up
        self.async_inbox = StoreInbox(
            *(async_store, assistants, self.worker, gatekeeper, self.pressure, metrics, tracing, FileSpool()),
            max_backlog=1000,
        )
        self.async_inbox.hands_over = True
        self.handovers = AutomaticHandovers(async_store, store.handovers, seconds=handover_seconds)
        self.handovers.accept = self.async_inbox.accept
        self.inbox = ThreadInbox(self.async_inbox, self.worker)
        self.listening = threading.Event()
        self.decided: SimpleQueue[TurnId] = SimpleQueue()
        self.worker.start()
        self.up = True

    def listen(self) -> None:
        """Starts listening for events of other processes; sets ``listening`` once it does."""
        self.worker.listen(_ListeningStore(self.store, self.listening), self.decided.put)  # type: ignore[arg-type]  # has listen() only

    def say(
        self, text: str, channel: str = "c", *, awaited: bool = False, kind: MessageKind = MessageKind.PROMPT
    ) -> TurnId:
        message = replace(self.platform.message(text, channel=channel), kind=kind)
        return self.inbox.accept(replace(message, has_waiting_caller=awaited)).turn.id

    def reload(self, configured: Configuration) -> None:
        """Puts another configuration into force."""

        async def replace() -> None:
            self.assistants.replace(configured)

        self.worker.run_coroutine(replace())

    def stored(self, turn: TurnId) -> Turn:
        """Returns a turn as it is stored, also after ``stop``."""
        found = self.store.get_turn(turn)
        assert found is not None
        return found

    def stop(self, grace: float = 10.0) -> None:
        if self.up:
            self.up = False
            self.worker.finish(grace)
            self.worker.stop()
            self.executor.shutdown()
            assert self.processor.failed == self.unforeseen


Start = Callable[..., WorkerProcess]


@contextmanager
def held(process: WorkerProcess) -> Iterator[None]:
    """Makes the worker believe that a message is being accepted."""
    accepting = process.worker.accepting()

    async def call(method: Callable[..., object], *arguments: object) -> None:
        method(*arguments)

    process.worker.run_coroutine(call(accepting.__enter__))
    yield
    process.worker.run_coroutine(call(accepting.__exit__, None, None, None))
