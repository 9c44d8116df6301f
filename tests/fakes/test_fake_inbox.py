"""The in-memory inbox passes the contract of the real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from gateway.domain.exchange import Exchange
from gateway.domain.models import ThreadId, Turn
from tests.contracts.inbox import InboxContract
from tests.fakes.inbox import FakeInbox, InboxStep, ScriptGate, echo
from tests.fakes.platform import FakePlatform


class TestFakeInbox(InboxContract):
    inbox: FakeInbox

    @pytest.fixture(autouse=True)
    def core(self) -> Iterator[None]:
        self.platform = FakePlatform()
        self.inbox = FakeInbox(self.platform)
        yield
        self.inbox.close()

    def hold(self) -> threading.Event:
        gate = ScriptGate()

        def held(turn: Turn) -> Sequence[InboxStep]:
            return (gate, *echo(turn))

        self.inbox.script = held
        return _GateEvent(gate)

    def add_backend_thread(self, thread: ThreadId, past: Exchange) -> None:
        self.inbox.at_backend[thread] = (past,)


class _GateEvent(threading.Event):
    def __init__(self, gate: ScriptGate) -> None:
        super().__init__()
        self._gate = gate

    def set(self) -> None:
        super().set()
        self._gate.open()
