"""A process that runs turns within one person's budgets until none is left; it can be told to hang until killed.

Sends each turn that it is admitted to before it runs it.
"""

from __future__ import annotations

import signal
import time
from multiprocessing.connection import Connection

from gateway.domain.conversations import Claim
from gateway.domain.models import Failure, TurnId
from gateway.ports.budgets import Budget
from gateway.ports.leased_writes import FinishTurn, RecordOutcome, ReleaseLease
from storage.budgets import SqlBudgetStore
from storage.connecting.database import Database
from storage.store import SqlStore

PLATFORM = "pigeon"
BUDGETS = (
    Budget("month user ann", "2026-11", hard_limit=1000),
    Budget("day user ann", "2026-11-21", hard_limit=100, serialised=True),
)
COST = 30
LEASE_SECONDS = 1.0
EXHAUSTED = Failure("budget_exhausted", "No money left.")


class BudgetSpender:
    def __init__(self, url: str, owner: str, granted: Connection, *, hangs: bool) -> None:
        self._store = SqlStore(url, lease_seconds=LEASE_SECONDS)
        self._budgets = SqlBudgetStore(Database(url))
        self._owner = owner
        self._granted = granted
        self._hangs = hangs

    def work(self, turns: list[TurnId]) -> None:
        """Works until all of these turns are resolved, by this process or another."""
        while not all((turn := self._store.get_turn(each)) and turn.state.is_resolved for each in turns):
            claims = self._store.claim(self._owner, [PLATFORM], 1)
            for claim in claims:
                self._process(claim)
            if not claims:
                time.sleep(0.02)

    def _process(self, claim: Claim) -> None:
        turn = claim.turn.id
        admission = self._budgets.admit(turn, BUDGETS)
        if admission.must_wait:
            self._store.apply_writes([ReleaseLease(claim.lease, 0.02, not_started=True)])
            return
        if admission.exhausted_budget:
            self._store.apply_writes([RecordOutcome(claim.lease, claim.turn, failure=EXHAUSTED)])
        else:
            self._granted.send(turn)
            if self._hangs:
                signal.pause()  # until it is killed
            self._store.apply_writes([RecordOutcome(claim.lease, claim.turn, "Hi", cost=COST)])
            self._budgets.charge(turn, COST)
        self._store.apply_writes([FinishTurn(claim.lease, claim.turn, claim_next=False)])


def spend(url: str, owner: str, turns: list[TurnId], granted: Connection, hangs: bool) -> None:  # noqa: FBT001  # the arguments of a process
    """Main function of the process."""
    BudgetSpender(url, owner, granted, hangs=hangs).work(turns)
