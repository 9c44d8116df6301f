"""State-machine test of BudgetStore: in any order of calls every turn is charged once and no limit is exceeded."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.domain.conversations import Claim
from gateway.ports.budgets import Budget, BudgetDecision, BudgetStore, Expense
from gateway.ports.leased_writes import RecordOutcome
from gateway.ports.store import Store
from tests.contracts.store_helpers import apply_write, enqueue_and_claim, new_turn
from tests.examples import examples

HARD = 100
SIDES = st.integers(0, 1)
NUMBERS = st.integers(0, 100)
COSTS = st.integers(0, 150)


@dataclass
class ExpectedSpender:
    """The expected state of a running turn."""

    claim: Claim
    budgets: Sequence[Budget]
    admitted: bool = False


@dataclass
class ExpectedBudget:
    """The expected state of a budget."""

    budget: Budget
    costs: list[int] = field(default_factory=list)

    @property
    def is_exhausted(self) -> bool:
        return self.budget.hard_limit is not None and sum(self.costs) >= self.budget.hard_limit


class BudgetMachine(RuleBasedStateMachine):
    """Random sequences of calls by several processes, some of which die in between."""

    def __init__(self, store: Store, ledgers: tuple[BudgetStore, BudgetStore]) -> None:
        super().__init__()
        self.store = store
        self.budget_stores = ledgers
        name = uuid.uuid4().hex  # examples share a database
        alone, shared = (
            Budget(f"a {name}", "1", hard_limit=HARD, serialised=True),
            Budget(f"b {name}", "1", hard_limit=3 * HARD),
        )
        self.budgets = [ExpectedBudget(each) for each in (alone, shared, Budget(f"c {name}", "1", soft_limit=1))]
        self.turns: list[ExpectedSpender] = []
        self.cancelled: list[ExpectedSpender] = []
        """Those that are not charged yet."""

    def budgets_of(self, turn: ExpectedSpender) -> list[ExpectedBudget]:
        return [account for account in self.budgets if account.budget in turn.budgets]

    def other_turns(self, turn: ExpectedSpender, account: ExpectedBudget) -> list[ExpectedSpender]:
        running = [each for each in self.turns if each.admitted and each is not turn]
        return [each for each in (*running, *self.cancelled) if account.budget in each.budgets]

    @rule(which=st.sets(st.integers(0, 2), min_size=1))
    def begin(self, which: set[int]) -> None:
        claim = enqueue_and_claim(self.store, new_turn())
        self.turns.append(ExpectedSpender(claim, [self.budgets[number].budget for number in sorted(which)]))

    @precondition(lambda self: self.turns)
    @rule(side=SIDES, number=NUMBERS)
    def admit(self, side: int, number: int) -> None:
        """Asks for admission, possibly from another process than before."""
        turn = self.turns[number % len(self.turns)]
        admission = self.budget_stores[side].admit(turn.claim.turn.id, turn.budgets)
        self.check(turn, admission)
        turn.admitted = admission.is_granted

    def check(self, turn: ExpectedSpender, admission: BudgetDecision) -> None:
        exhausted = [account.budget for account in self.budgets_of(turn) if account.is_exhausted]
        if turn.admitted:
            assert admission.is_granted
            return
        assert admission.exhausted_budget == (exhausted[0] if exhausted else None)
        for account in self.budgets_of(turn):
            others = self.other_turns(turn, account)
            assert not (admission.is_granted and account.budget.serialised and others)
        if not any(self.other_turns(turn, account) for account in self.budgets_of(turn)):
            assert not admission.must_wait

    @precondition(lambda self: any(turn.admitted for turn in self.turns))
    @rule(side=SIDES, number=NUMBERS, cost=COSTS, times=st.integers(0, 2))
    def settle(self, side: int, number: int, cost: int, times: int) -> None:
        """``times``: how often the turn is charged; 0 if the process dies before."""
        admitted = [turn for turn in self.turns if turn.admitted]
        turn = admitted[number % len(admitted)]
        apply_write(self.store, RecordOutcome(turn.claim.lease, turn.claim.turn, "Hi", cost=cost))
        for time in range(times):
            self.budget_stores[(side + time) % 2].charge(turn.claim.turn.id, cost)
        self.turns.remove(turn)
        for account in self.budgets_of(turn):
            account.costs.append(cost)

    @precondition(lambda self: self.turns)
    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        turn = self.turns.pop(number % len(self.turns))
        self.store.cancel_turn(turn.claim.turn.id)
        if turn.admitted:
            self.cancelled.append(turn)

    @precondition(lambda self: self.cancelled)
    @rule(side=SIDES, number=NUMBERS, cost=COSTS, times=st.integers(1, 2))
    def settle_cancelled(self, side: int, number: int, cost: int, times: int) -> None:
        turn = self.cancelled.pop(number % len(self.cancelled))
        for time in range(times):
            self.budget_stores[(side + time) % 2].charge_ended(turn.claim.turn.id, Expense(cost=cost))
        for account in self.budgets_of(turn):
            account.costs.append(cost)

    @invariant()
    def every_cost_is_counted_once(self) -> None:
        spent = self.budget_stores[0].usage_of([account.budget for account in self.budgets])
        assert [each.cost for each in spent] == [sum(account.costs) for account in self.budgets]

    @invariant()
    def one_turn_at_the_most_goes_beyond_the_limit(self) -> None:
        costs = self.budgets[0].costs
        assert sum(costs) < HARD + max(costs, default=0)

    @invariant()
    def nothing_is_kept_free_for_nobody(self) -> None:
        if not self.cancelled and not any(turn.admitted for turn in self.turns):
            spent = self.budget_stores[1].usage_of([account.budget for account in self.budgets])
            assert [each.reserved for each in spent] == [0, 0, 0]


class RandomBudgetOrderContract:
    """Subclasses provide ``store``, ``budget_store``, and ``peer`` (a BudgetStore of another process)."""

    @pytest.mark.hypothesis
    def test_any_order_of_calls_counts_every_turn_once(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        thorough = settings(
            max_examples=examples(6), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(lambda: BudgetMachine(store, (budget_store, peer)), settings=thorough)  # type: ignore[arg-type]  # any factory will do
