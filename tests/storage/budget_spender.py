"""A process that runs turns within one person's budgets until none is left; it can be told to hang until killed.

Prints a line for each admitted turn before running it.
"""

from __future__ import annotations

import sys
import time

from gateway.domain.models import Claim, Failure, TurnId
from gateway.ports.budgets import Budget
from gateway.ports.store import Finished, Released, Settled
from storage.budgets import SqlLedger
from storage.database import Database
from storage.store import SqlStore

PLATFORM = "pigeon"
BUDGETS = (Budget("month user ann", "2026-11", hard=1000), Budget("day user ann", "2026-11-21", hard=100, alone=True))
COST = 30
LEASE_SECONDS = 1.0
EXHAUSTED = Failure("budget_exhausted", "No money left.")


class Spender:
    def __init__(self, url: str, owner: str, *, stands_still: bool) -> None:
        self._store = SqlStore(url, lease_seconds=LEASE_SECONDS)
        self._ledger = SqlLedger(Database(url))
        self._owner = owner
        self._stands_still = stands_still

    def work(self, turns: list[TurnId]) -> None:
        """Works until all of these turns are resolved, by this process or another."""
        while not all((turn := self._store.turn(each)) and turn.state.decided for each in turns):
            claims = self._store.claim(self._owner, [PLATFORM], 1)
            for claim in claims:
                self._turn(claim)
            if not claims:
                time.sleep(0.02)

    def _turn(self, claim: Claim) -> None:
        turn = claim.turn.id
        admission = self._ledger.admit(turn, BUDGETS)
        if admission.wait:
            self._store.write([Released(claim.lease, 0.02, fresh=True)])
            return
        if admission.exhausted:
            self._store.write([Settled(claim.lease, turn, failure=EXHAUSTED)])
        else:
            print(turn, flush=True)
            if self._stands_still:
                sys.stdin.read()  # until it is killed
            self._store.write([Settled(claim.lease, turn, "Hi", cost=COST)])
            self._ledger.charge(turn, COST)
        self._store.write([Finished(claim.lease, turn, keep=False)])


if __name__ == "__main__":
    Spender(sys.argv[1], sys.argv[2], stands_still=sys.argv[3] == "stands-still").work(list(map(TurnId, sys.argv[4:])))
