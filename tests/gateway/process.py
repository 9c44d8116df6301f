"""One process's worth of gateway, with everything around the core in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from gateway.conversations import Conversations
from gateway.engine import Engine
from gateway.inbox import CoreInbox
from gateway.journal import Journal
from gateway.limits import Limits
from gateway.messages import TurnId
from gateway.outbox import CoreOutbox
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant
from tests.fakes.platform import FakePlatform


class Process:
    """One gateway process: engine and inbox over a store, an assistant and a platform that several may share."""

    def __init__(self, store: SqlStore, assistant: FakeAssistant, *, owner: str = "one", room: int = 50) -> None:
        self.store = store
        self.assistant = assistant
        self.platform = FakePlatform()
        self.executor = ThreadPoolExecutor(4)
        journal = Journal(store, self.executor)
        conversations = Conversations(journal, assistant, timeout=30.0, retries=2, pause=0.001)
        self.engine = Engine(
            journal,
            conversations,
            [self.platform],
            partial(CoreOutbox, journal, Limits(journal, shared=store.shared), assistant),
            owner=owner,
            room=room,
            lease_seconds=0.6,
            sweep_seconds=0.05,
        )
        self.inbox = CoreInbox(store, assistant, self.engine, backlog=1000)
        self.engine.start()
        self.up = True

    def say(self, text: str, channel: str = "c") -> TurnId:
        return self.inbox.accept(self.platform.message(text, channel=channel)).turn.id

    def stop(self, grace: float = 10.0) -> None:
        if self.up:
            self.up = False
            self.engine.finish(grace)
            self.engine.stop()
            self.executor.shutdown()


Start = Callable[..., Process]
