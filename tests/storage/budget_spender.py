"""A process that runs turns within one person's budgets until none is left; it can be told to hang until killed.

Prints a line for each admitted turn before running it.
"""

from __future__ import annotations

import sys
import time

from gateway.domain.models import Claim, Failure, TurnId
from gateway.ports.budgets import Budget
from gateway.ports.store import FinishTurn, RecordOutcome, ReleaseLease
from storage.budgets import SqlBudgetStore
from storage.database import Database
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
    def __init__(self, url: str, owner: str, *, hangs: bool) -> None:
        self._store = SqlStore(url, lease_seconds=LEASE_SECONDS)
        self._budgets = SqlBudgetStore(Database(url))
        self._owner = owner
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
            print(turn, flush=True)
            if self._hangs:
                sys.stdin.read()  # until it is killed
            self._store.apply_writes([RecordOutcome(claim.lease, claim.turn, "Hi", cost=COST)])
            self._budgets.charge(turn, COST)
        self._store.apply_writes([FinishTurn(claim.lease, claim.turn, claim_next=False)])


if __name__ == "__main__":
    BudgetSpender(sys.argv[1], sys.argv[2], hangs=sys.argv[3] == "stands-still").work(list(map(TurnId, sys.argv[4:])))
