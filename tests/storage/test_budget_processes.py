"""Budgets with real processes, one of which is killed while it runs a turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import pytest

from gateway.domain.models import TurnId, TurnState
from storage.budgets import SqlBudgetStore
from storage.connecting.database import Database
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue, get_turn, new_turn
from tests.faults.crashing_process import fork_context
from tests.storage.budget_spender import BUDGETS, COST, spend


class SpenderProcesses:
    """Processes that work on the same turns."""

    def __init__(self, url: str, turns: Sequence[TurnId]) -> None:
        self._url = url
        self._turns = turns
        self.running: list[BaseProcess] = []

    def start(self, owner: str, *, hangs: bool = False) -> Connection:
        """Returns what the process sends: the turns that it is admitted to, and then nothing more."""
        ours, theirs = fork_context.Pipe(duplex=False)
        process = fork_context.Process(target=spend, args=(self._url, owner, list(self._turns), theirs, hangs))
        process.start()
        theirs.close()
        self.running.append(process)
        return ours

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.join()


def received(granted: Connection) -> Iterator[TurnId]:
    """Yields what a process sends until it ends."""
    with granted, suppress(EOFError):
        while granted.poll(30):
            yield granted.recv()


@pytest.fixture
def turns(store: SqlStore) -> list[TurnId]:
    return [enqueue(store, new_turn()).turn.id for _ in range(8)]


@pytest.fixture
def spenders(database_url: str, turns: list[TurnId]) -> Iterator[SpenderProcesses]:
    spenders = SpenderProcesses(database_url, turns)
    yield spenders
    spenders.stop()


def test_killed_process_neither_blocks_nor_exceeds_a_budget(
    database_url: str, store: SqlStore, turns: list[TurnId], spenders: SpenderProcesses
) -> None:
    """It has reserved all that is left when it dies. Two others wait, claim its turn, and stop at the limit."""
    with spenders.start("doomed", hangs=True) as doomed:
        held = doomed.recv()
    others = [spenders.start(owner) for owner in ("one", "two")]
    spenders.running[0].kill()
    granted = [turn for other in others for turn in received(other)]
    ended = [get_turn(store, turn) for turn in turns]
    answered = [turn.id for turn in ended if turn.state is not TurnState.FAILED]
    assert held in answered
    assert sorted(answered) == sorted(granted)
    assert len(answered) == 4  # the fourth one exceeds the limit
    database = Database(database_url)
    spent = SqlBudgetStore(database).usage_of(BUDGETS)
    database.close()
    assert [(each.cost, each.reserved) for each in spent] == [(4 * COST, 0)] * 2
