"""The contract of BudgetStore. Subclasses set the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from gateway.domain.conversations import Claim
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import AWAITS_OUTPUTS, TurnId, Usage
from gateway.ports.budgets import Budget, BudgetStore, Expense
from gateway.ports.leased_writes import ParkTurn, RecordOutcome, ReleaseLease
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from gateway.ports.token_buckets import Rate
from tests.contracts.store_helpers import apply_write, claim_one, enqueue_and_claim, new_turn, run_concurrently

DAY, MONTH = "2026-11-21", "2026-11"
HARD = 100
ANN = Budget("day user ann", DAY, hard_limit=HARD)
ANN_SERIALISED = Budget("day user ann", DAY, hard_limit=HARD, serialised=True)
ANN_MONTH = Budget("month user ann", MONTH, hard_limit=250)
SPENT = Expense(Usage(3, 4), "m", 30, is_estimate=True)
EVERYBODY = Budget("day platform", DAY, soft_limit=50)


def running_turn(store: Store) -> TurnId:
    """Returns a running turn in a conversation of its own."""
    return enqueue_and_claim(store, new_turn()).turn.id


def record_outcome(store: Store, claim: Claim, cost: int) -> None:
    apply_write(store, RecordOutcome(claim.lease, claim.turn, "Hi", cost=cost))


def run_turn(store: Store, budget_store: BudgetStore, cost: int, *budgets: Budget) -> None:
    """Runs a turn from admission to charge."""
    claim = enqueue_and_claim(store, new_turn())
    assert budget_store.admit(claim.turn.id, budgets).is_granted
    record_outcome(store, claim, cost)
    budget_store.charge(claim.turn.id, cost)


def end(store: Store, claim: Claim, ending: str) -> None:
    """Ends a turn from outside while it runs."""
    if ending == "deleted":
        store.delete_conversation(claim.conversation.id)
    else:
        store.cancel_turn(claim.turn.id)


def cost_of(budget_store: BudgetStore, budget: Budget) -> tuple[int, int]:
    (spent,) = budget_store.usage_of([budget])
    return spent.cost, spent.reserved


class ChargingContract:
    """Spending is counted, once per turn."""

    def test_nothing_is_spent_at_first(self, budget_store: BudgetStore) -> None:
        assert [(each.budget, each.cost, each.reserved) for each in budget_store.usage_of([ANN, EVERYBODY])] == [
            (ANN, 0, 0),
            (EVERYBODY, 0, 0),
        ]
        assert budget_store.usage_of([]) == []

    def test_a_turn_is_charged_to_each_of_its_budgets(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        run_turn(store, budget_store, 30, ANN, EVERYBODY, ANN_MONTH)
        run_turn(store, peer, 5, ANN)
        assert [each.cost for each in budget_store.usage_of([EVERYBODY, ANN_MONTH, ANN])] == [30, 30, 35]

    def test_spending_of_past_months_is_purged(
        self, store: Store, budget_store: BudgetStore, reporting: ReportingStore
    ) -> None:
        today = f"{datetime.fromtimestamp(reporting.now(), UTC):%Y-%m-%d}"
        before = [Budget("of then", "2025-12-31", hard_limit=HARD), Budget("of then", "2025-12", hard_limit=HARD)]
        now = [Budget("of now", today, hard_limit=HARD), Budget("of now", today[:7], hard_limit=HARD)]
        run_turn(store, budget_store, 30, *before, *now)
        reporting.purge_expired()
        assert [each.cost for each in budget_store.usage_of([*before, *now])] == [0, 0, 30, 30]

    def test_a_turn_is_charged_once(self, store: Store, budget_store: BudgetStore, peer: BudgetStore) -> None:
        turn = running_turn(store)
        budget_store.admit(turn, [ANN])
        run_concurrently([partial((budget_store, peer)[number % 2].charge, turn, 30) for number in range(4)])
        peer.charge(turn, 30)
        assert cost_of(budget_store, ANN) == (30, 0)

    def test_a_turn_that_was_not_admitted_is_not_charged(self, store: Store, budget_store: BudgetStore) -> None:
        budget_store.charge(running_turn(store), 30)
        assert cost_of(budget_store, ANN) == (0, 0)

    def test_each_period_is_counted_by_itself(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, HARD, ANN)
        assert budget_store.admit(running_turn(store), [Budget(ANN.scope, "2026-11-22", hard_limit=HARD)]).is_granted

    def test_large_amounts_are_exact(self, store: Store, budget_store: BudgetStore) -> None:
        huge = Budget("huge", DAY, hard_limit=2**60)
        run_turn(store, budget_store, 2**50 + 1, huge)
        run_turn(store, budget_store, 2**50 + 1, huge)
        assert cost_of(budget_store, huge) == (2**51 + 2, 0)


class AdmissionContract:
    """Which turns are admitted."""

    def test_last_turn_may_exceed_the_limit(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, HARD - 1, ANN)
        run_turn(store, budget_store, 70, ANN)
        refused = budget_store.admit(running_turn(store), [ANN])
        assert (refused.exhausted_budget, refused.must_wait, refused.is_granted) == (ANN, False, False)
        assert cost_of(budget_store, ANN) == (HARD + 69, 0)

    def test_first_exhausted_budget_is_named(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, 300, ANN, ANN_MONTH)
        assert budget_store.admit(running_turn(store), [EVERYBODY, ANN_MONTH, ANN]).exhausted_budget == ANN_MONTH

    def test_denied_turn_reserves_nothing(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, 300, ANN_MONTH)
        assert not budget_store.admit(running_turn(store), [ANN, ANN_MONTH]).is_granted
        assert cost_of(budget_store, ANN) == (0, 0)

    def test_first_turn_of_a_budget_reserves_everything(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        assert budget_store.admit(running_turn(store), [ANN]).is_granted
        waiting = peer.admit(running_turn(store), [ANN])
        assert (waiting.must_wait, waiting.exhausted_budget, waiting.is_granted) == (True, None, False)
        assert [(each.cost, each.reserved) for each in waiting.usage] == [(0, HARD)]

    def test_concurrent_turns_are_limited_by_expected_cost(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, 30, ANN)
        asked = [budget_store.admit(running_turn(store), [ANN]) for _ in range(4)]
        assert [admission.is_granted for admission in asked] == [True, True, False, False]

    def test_serialised_budget_runs_one_turn_at_a_time(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, 1, ANN_SERIALISED)
        first = running_turn(store)
        assert budget_store.admit(first, [ANN_SERIALISED]).is_granted
        assert budget_store.admit(running_turn(store), [ANN_SERIALISED]).must_wait
        budget_store.charge(first, 1)
        assert budget_store.admit(running_turn(store), [ANN_SERIALISED]).is_granted

    def test_a_turn_that_did_not_run_leaves_nothing(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        postponed = running_turn(store)
        assert budget_store.admit(postponed, [ANN]).is_granted
        budget_store.charge(postponed, None)
        assert cost_of(budget_store, ANN) == (0, 0)
        assert budget_store.admit(running_turn(store), [ANN]).is_granted
        assert peer.admit(postponed, [ANN]).must_wait

    def test_free_turns_are_not_delayed(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, 0, ANN)
        assert all(budget_store.admit(running_turn(store), [ANN]).is_granted for _ in range(3))

    def test_soft_limit_denies_nothing(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, 500, EVERYBODY)
        admissions = [budget_store.admit(running_turn(store), [EVERYBODY]) for _ in range(2)]
        assert [(each.is_granted, each.usage[0].cost) for each in admissions] == [(True, 500), (True, 500)]

    def test_new_period_starts_from_last_maximum(self, store: Store, budget_store: BudgetStore) -> None:
        run_turn(store, budget_store, 60, ANN)
        tomorrow = Budget(ANN.scope, "2026-11-22", hard_limit=HARD)
        asked = [budget_store.admit(running_turn(store), [tomorrow]) for _ in range(4)]
        assert [admission.is_granted for admission in asked] == [True, True, True, False]

    def test_admitted_turn_stays_admitted(self, store: Store, budget_store: BudgetStore, peer: BudgetStore) -> None:
        """Also when its process died and another claims it after other turns have used up the budget."""
        turn = running_turn(store)
        budget_store.admit(turn, [ANN])
        run_turn(store, budget_store, 300, EVERYBODY)
        exhausted = Budget(ANN.scope, ANN.period, hard_limit=0)
        assert peer.admit(turn, [exhausted]).is_granted
        assert cost_of(budget_store, ANN) == (0, HARD)

    def test_turn_admitted_to_other_budgets_releases_the_first(self, store: Store, budget_store: BudgetStore) -> None:
        turn = running_turn(store)
        budget_store.admit(turn, [ANN, EVERYBODY])
        assert budget_store.admit(turn, [ANN_MONTH, ANN]).is_granted
        budget_store.charge(turn, 7)
        assert [each.cost for each in budget_store.usage_of([ANN, ANN_MONTH, EVERYBODY])] == [7, 7, 0]

    def test_turn_denied_by_other_budgets_releases_the_first(self, store: Store, budget_store: BudgetStore) -> None:
        turn = running_turn(store)
        budget_store.admit(turn, [ANN])
        assert budget_store.admit(turn, [ANN, Budget("nothing", DAY, hard_limit=0)]).exhausted_budget is not None
        assert cost_of(budget_store, ANN) == (0, 0)

    def test_concurrent_requests_do_not_exceed_the_limit(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        run_turn(store, budget_store, 25, ANN, ANN_MONTH)  # three more of them use up the budget of the day
        budgets = ([ANN, ANN_MONTH], [ANN_MONTH, ANN])
        asked = [partial((budget_store, peer)[n % 2].admit, running_turn(store), budgets[n // 2 % 2]) for n in range(8)]
        assert [each.is_granted for each in run_concurrently(asked)].count(True) == 3


class ReservationReleaseContract:
    """What happens to the reservations of a turn that is not charged."""

    @pytest.mark.parametrize("ending", ["cancelled", "deleted"])
    def test_turn_that_ends_while_it_runs_keeps_its_reservation_until_it_is_charged(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore, ending: str
    ) -> None:
        claim = enqueue_and_claim(store)
        budget_store.admit(claim.turn.id, [ANN_SERIALISED])
        end(store, claim, ending)
        assert cost_of(peer, ANN) == (0, HARD)
        assert peer.admit(running_turn(store), [ANN_SERIALISED]).must_wait
        assert budget_store.charge_ended(claim.turn.id, SPENT)
        assert cost_of(peer, ANN) == (30, 0)
        assert peer.admit(running_turn(store), [ANN_SERIALISED]).is_granted

    def test_expense_of_a_cancelled_turn_is_stored_with_it_once(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        claim = enqueue_and_claim(store)
        budget_store.admit(claim.turn.id, [ANN])
        store.cancel_turn(claim.turn.id)
        charges = [partial((budget_store, peer)[n % 2].charge_ended, claim.turn.id, SPENT) for n in range(4)]
        assert run_concurrently(charges).count(True) == 1
        assert not peer.charge_ended(claim.turn.id, replace(SPENT, cost=99))
        turn = store.get_turn(claim.turn.id)
        assert turn is not None
        assert (turn.usage, turn.model, turn.cost, turn.cost_is_estimate) == (Usage(3, 4), "m", 30, True)
        assert cost_of(peer, ANN) == (30, 0)

    def test_expense_of_a_cancelled_turn_is_added_to_what_it_had_used_before_it_waited(
        self, store: Store, budget_store: BudgetStore
    ) -> None:
        claim = enqueue_and_claim(store)
        asked = CallRound((RequestedCall("c1", "look", "{}"),))
        before = Expense(Usage(10, 20), "n", 7)
        used = {"usage": before.usage, "model": before.model, "cost": before.cost}
        apply_write(store, ParkTurn(claim.lease, claim.turn, AWAITS_OUTPUTS, 0.0, 60.0, round=asked, **used))  # type: ignore[arg-type]  # of many types
        claim_one(store)
        budget_store.admit(claim.turn.id, [ANN])
        store.cancel_turn(claim.turn.id)
        assert budget_store.charge_ended(claim.turn.id, SPENT, before)
        assert not budget_store.charge_ended(claim.turn.id, SPENT, before)
        turn = store.get_turn(claim.turn.id)
        assert turn is not None
        assert Expense.of(turn) == Expense(Usage(13, 24), "m", 37, is_estimate=True)
        assert cost_of(budget_store, ANN) == (30, 0)

    def test_expense_of_a_cancelled_turn_is_stored_without_budgets(
        self, store: Store, budget_store: BudgetStore
    ) -> None:
        turn = running_turn(store)
        store.cancel_turn(turn)
        assert budget_store.charge_ended(turn, SPENT)
        found = store.get_turn(turn)
        assert found is not None
        assert found.cost == 30

    def test_turn_that_goes_on_is_not_charged_as_ended(self, store: Store, budget_store: BudgetStore) -> None:
        claim = enqueue_and_claim(store)
        budget_store.admit(claim.turn.id, [ANN])
        assert not budget_store.charge_ended(claim.turn.id, SPENT)
        record_outcome(store, claim, 80)
        assert not budget_store.charge_ended(claim.turn.id, SPENT)
        budget_store.charge(claim.turn.id, 80)
        assert cost_of(budget_store, ANN) == (80, 0)

    @pytest.mark.parametrize("ending", ["cancelled", "deleted"])
    def test_ended_turn_is_abandoned_when_nobody_has_charged_it_for_a_while(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore, ending: str
    ) -> None:
        claim = enqueue_and_claim(store)
        budget_store.admit(claim.turn.id, [ANN, ANN_MONTH])
        budget_store.admit(running_turn(store), [EVERYBODY])
        assert budget_store.abandoned(0.0, 10) == []
        end(store, claim, ending)
        assert budget_store.abandoned(0.0, 10) == []
        assert peer.abandoned(60.0, 10) == []
        assert peer.abandoned(0.0, 10) == [claim.turn.id]
        peer.charge_ended(claim.turn.id, SPENT)
        assert peer.abandoned(0.0, 10) == []

    def test_turn_of_unknown_expense_costs_as_much_as_the_most_expensive_one(
        self, store: Store, budget_store: BudgetStore
    ) -> None:
        run_turn(store, budget_store, 30, ANN)
        claim = enqueue_and_claim(store)
        budget_store.admit(claim.turn.id, [ANN, ANN_MONTH])
        end(store, claim, "deleted")
        assert budget_store.charge_ended(claim.turn.id, None)
        assert cost_of(budget_store, ANN) == (60, 0)
        assert cost_of(budget_store, ANN_MONTH) == (250, 0)

    def test_turn_deleted_before_admission_reserves_nothing(self, store: Store, budget_store: BudgetStore) -> None:
        claim = enqueue_and_claim(store)
        store.delete_conversation(claim.conversation.id)
        budget_store.admit(claim.turn.id, [ANN])
        assert cost_of(budget_store, ANN) == (0, 0)

    def test_turn_of_dead_process_is_charged_by_the_next(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        claim = enqueue_and_claim(store)
        budget_store.admit(claim.turn.id, [ANN, ANN_MONTH])
        record_outcome(store, claim, 80)
        assert cost_of(peer, ANN) == (80, 0)
        run_turn(store, peer, 30, ANN)
        budget_store.charge(claim.turn.id, 80)
        assert cost_of(peer, ANN) == (110, 0)
        assert cost_of(peer, ANN_MONTH) == (80, 0)

    def test_charge_stays_when_the_turn_is_deleted(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore
    ) -> None:
        claim = enqueue_and_claim(store)
        budget_store.admit(claim.turn.id, [ANN])
        record_outcome(store, claim, 80)
        peer.admit(running_turn(store), [ANN])
        store.delete_conversation(claim.conversation.id)
        assert cost_of(peer, ANN)[0] == 80

    @pytest.mark.parametrize("fresh", [False, True])
    def test_turn_waiting_to_be_claimed_again_keeps_its_reservation(
        self, store: Store, budget_store: BudgetStore, peer: BudgetStore, *, fresh: bool
    ) -> None:
        claim = enqueue_and_claim(store, "loft")
        budget_store.admit(claim.turn.id, [ANN])
        apply_write(store, ReleaseLease(claim.lease, not_started=fresh))
        assert peer.admit(running_turn(store), [ANN]).must_wait
        again = claim_one(store, "two")
        assert peer.admit(again.turn.id, [ANN]).is_granted
        peer.charge(again.turn.id, 10)
        assert cost_of(budget_store, ANN) == (10, 0)


class TokenTimeContract:
    def test_seconds_until_token_takes_no_token(self, store: Store, budget_store: BudgetStore) -> None:
        rate = Rate(1000.0, burst=2)
        assert budget_store.seconds_until_token("ann") == 0.0
        store.take_token("ann", rate, 0.0)
        assert budget_store.seconds_until_token("ann") == 0.0
        store.take_token("ann", rate, 0.0)
        assert [budget_store.seconds_until_token("ann") for _ in range(2)] == [pytest.approx(1000.0, abs=100.0)] * 2
        assert store.take_token("ann", rate, 0.0) is None


class BudgetStoreContract(ChargingContract, AdmissionContract, ReservationReleaseContract, TokenTimeContract):
    """Subclasses provide ``store``, ``budget_store``, and ``peer`` (a BudgetStore of another process)."""
