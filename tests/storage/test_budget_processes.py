"""Budgets with real processes, one of which is killed while it runs a turn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.domain.models import TurnId, TurnState
from storage.budgets import SqlBudgetStore
from storage.database import Database
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue, get_turn, new_turn
from tests.storage.budget_spender import BUDGETS, COST

ROOT = Path(__file__).parents[2]


class SpenderProcesses:
    """Processes that work on the same turns."""

    def __init__(self, url: str, turns: Sequence[TurnId]) -> None:
        self._url = url
        self._turns = turns
        self.running: list[subprocess.Popen[str]] = []

    def start(self, owner: str, *, stands_still: bool = False) -> subprocess.Popen[str]:
        how = "stands-still" if stands_still else "goes-on"
        command = [sys.executable, "-m", "tests.storage.budget_spender", self._url, owner, how, *self._turns]
        self.running.append(
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return self.running[-1]

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


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
    doomed = spenders.start("doomed", stands_still=True)
    assert doomed.stdout is not None
    held = TurnId(doomed.stdout.readline().strip())
    others = [spenders.start(owner) for owner in ("one", "two")]
    doomed.kill()
    granted = [line for other in others for line in other.communicate(timeout=30)[0].split()]
    ended = [get_turn(store, turn) for turn in turns]
    answered = [turn.id for turn in ended if turn.state is not TurnState.FAILED]
    assert held in answered
    assert sorted(answered) == sorted(granted)
    assert len(answered) == 4  # the fourth one exceeds the limit
    database = Database(database_url)
    spent = SqlBudgetStore(database).usage_of(BUDGETS)
    database.close()
    assert [(each.cost, each.reserved) for each in spent] == [(4 * COST, 0)] * 2
