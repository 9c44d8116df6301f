"""One process's worth of gateway, with everything around the core in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from queue import SimpleQueue

from gateway.coordination.async_store import Journal
from gateway.coordination.backpressure import Pressure
from gateway.coordination.rate_limiter import Limits
from gateway.domain.models import TurnId
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.admission import Gatekeeper
from gateway.policy.prices import Prices
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.store import Notice
from gateway.worker.assistant_runner import Conversations
from gateway.worker.delivery_context import CoreOutbox
from gateway.worker.inbox import CoreInbox
from gateway.worker.turn_processor import Working
from gateway.worker.worker import Engine
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant
from tests.fakes.platform import FakePlatform


def open_gate(store: SqlStore, journal: Journal, **settings: str) -> Gatekeeper:
    """A gatekeeper with these rules, and nothing in anybody's way without any."""
    rules = Rules.of(AdmissionSettings(_env_file=None, **settings))  # type: ignore[arg-type,call-arg]  # its own way
    return Gatekeeper(rules, Prices({}), store.ledger, journal, patience=30.0)


class _Heard:
    """Sees the first notice, which comes as soon as the store listens."""

    def __init__(self, store: SqlStore, listening: threading.Event) -> None:
        self._store = store
        self._listening = listening

    def listen(self, hear: Callable[[Notice], None], stopped: threading.Event) -> None:
        def heard(notice: Notice) -> None:
            hear(notice)
            self._listening.set()

        self._store.listen(heard, stopped)


class Process:
    """One gateway process: engine and inbox over a store, an assistant and a platform that several may share."""

    def __init__(
        self,
        store: SqlStore,
        assistant: FakeAssistant,
        *,
        owner: str = "one",
        room: int = 50,
        lease_seconds: float = 0.6,
        sweep_seconds: float = 0.05,
    ) -> None:
        self.store = store
        self.assistant = assistant
        self.platform = FakePlatform()
        self.executor = ThreadPoolExecutor(4)
        self.pressure = Pressure(most=2000, most_of_one=1500)
        journal, metrics, tracing = Journal(store, self.executor), Metrics(), Tracing.off()
        conversations = Conversations(journal, assistant, metrics, timeout=30.0, retries=2, pause=0.001)
        outbox_of = partial(CoreOutbox, journal, Limits(journal, shared=store.shared), assistant)
        platforms = {self.platform.name: self.platform}
        gate = open_gate(store, journal)
        self.engine = Engine(
            journal,
            Working(journal, conversations, platforms, outbox_of, gate, metrics, tracing),
            tuple(platforms),
            metrics,
            owner=owner,
            room=room,
            lease_seconds=lease_seconds,
            sweep_seconds=sweep_seconds,
        )
        self.inbox = CoreInbox(store, assistant, self.engine, gate, self.pressure, metrics, tracing, backlog=1000)
        self.listening = threading.Event()
        self.decided: SimpleQueue[TurnId] = SimpleQueue()
        self.engine.start()
        self.up = True

    def listen(self) -> None:
        """Hear what other processes do; ``listening`` is set once it does."""
        self.engine.listen(_Heard(self.store, self.listening), self.decided.put)  # type: ignore[arg-type]  # a part

    def say(self, text: str, channel: str = "c", *, awaited: bool = False) -> TurnId:
        message = self.platform.message(text, channel=channel)
        return self.inbox.accept(replace(message, awaited=awaited)).turn.id

    def stop(self, grace: float = 10.0) -> None:
        if self.up:
            self.up = False
            self.engine.finish(grace)
            self.engine.stop()
            self.executor.shutdown()


Start = Callable[..., Process]
