"""What every ledger must do. Subclass, say which database, and the promises of gateway.ledger.Ledger are checked."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from gateway.catalogue import Catalogue
from gateway.ledger import Budget, Ledger
from gateway.messages import Claim, TurnId
from gateway.storing import Rate, Released, Settled, Store
from tests.contracts.store_words import at_once, begin, claim_one, new_turn, write

DAY, MONTH = "2026-11-21", "2026-11"
HARD = 100
ANN = Budget("day user ann", DAY, hard=HARD)
ANN_ALONE = Budget("day user ann", DAY, hard=HARD, alone=True)
ANN_MONTH = Budget("month user ann", MONTH, hard=250)
EVERYBODY = Budget("day platform", DAY, soft=50)


def running(store: Store) -> TurnId:
    """A turn that is being worked on, in a conversation of its own."""
    return begin(store, new_turn()).turn.id


def settle(store: Store, claim: Claim, cost: int) -> None:
    write(store, Settled(claim.lease, claim.turn.id, "Hi", cost=cost))


def spend(store: Store, ledger: Ledger, cost: int, *budgets: Budget) -> None:
    """A whole turn."""
    claim = begin(store, new_turn())
    assert ledger.admit(claim.turn.id, budgets).granted
    settle(store, claim, cost)
    ledger.charge(claim.turn.id, cost)


def cost_of(ledger: Ledger, budget: Budget) -> tuple[int, int]:
    (spent,) = ledger.spent([budget])
    return spent.cost, spent.held


class ChargingContract:
    """What is spent, and that it is counted once."""

    def test_nothing_is_spent_at_first(self, ledger: Ledger) -> None:
        assert [(each.budget, each.cost, each.held) for each in ledger.spent([ANN, EVERYBODY])] == [
            (ANN, 0, 0),
            (EVERYBODY, 0, 0),
        ]
        assert ledger.spent([]) == []

    def test_a_turn_is_charged_to_each_of_its_budgets(self, store: Store, ledger: Ledger, peer: Ledger) -> None:
        spend(store, ledger, 30, ANN, EVERYBODY, ANN_MONTH)
        spend(store, peer, 5, ANN)
        assert [each.cost for each in ledger.spent([EVERYBODY, ANN_MONTH, ANN])] == [30, 30, 35]

    def test_what_was_spent_in_months_gone_by_is_tidied_away(
        self, store: Store, ledger: Ledger, catalogue: Catalogue
    ) -> None:
        today = f"{datetime.fromtimestamp(catalogue.now(), UTC):%Y-%m-%d}"
        before = [Budget("of then", "2025-12-31", hard=HARD), Budget("of then", "2025-12", hard=HARD)]
        now = [Budget("of now", today, hard=HARD), Budget("of now", today[:7], hard=HARD)]
        spend(store, ledger, 30, *before, *now)
        catalogue.tidy()
        assert [each.cost for each in ledger.spent([*before, *now])] == [0, 0, 30, 30]

    def test_a_turn_is_charged_once(self, store: Store, ledger: Ledger, peer: Ledger) -> None:
        turn = running(store)
        ledger.admit(turn, [ANN])
        at_once([partial((ledger, peer)[number % 2].charge, turn, 30) for number in range(4)])
        peer.charge(turn, 30)
        assert cost_of(ledger, ANN) == (30, 0)

    def test_a_turn_that_was_not_admitted_is_not_charged(self, store: Store, ledger: Ledger) -> None:
        ledger.charge(running(store), 30)
        assert cost_of(ledger, ANN) == (0, 0)

    def test_each_period_is_counted_by_itself(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, HARD, ANN)
        assert ledger.admit(running(store), [Budget(ANN.scope, "2026-11-22", hard=HARD)]).granted

    def test_large_amounts_are_exact(self, store: Store, ledger: Ledger) -> None:
        huge = Budget("huge", DAY, hard=2**60)
        spend(store, ledger, 2**50 + 1, huge)
        spend(store, ledger, 2**50 + 1, huge)
        assert cost_of(ledger, huge) == (2**51 + 2, 0)


class AdmittingContract:
    """Who may run."""

    def test_what_is_left_may_be_passed_by_the_last_turn(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, HARD - 1, ANN)
        spend(store, ledger, 70, ANN)
        refused = ledger.admit(running(store), [ANN])
        assert (refused.exhausted, refused.wait, refused.granted) == (ANN, False, False)
        assert cost_of(ledger, ANN) == (HARD + 69, 0)

    def test_the_first_budget_that_is_used_up_is_named(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, 300, ANN, ANN_MONTH)
        assert ledger.admit(running(store), [EVERYBODY, ANN_MONTH, ANN]).exhausted == ANN_MONTH

    def test_a_turn_that_is_refused_keeps_nothing_free(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, 300, ANN_MONTH)
        assert not ledger.admit(running(store), [ANN, ANN_MONTH]).granted
        assert cost_of(ledger, ANN) == (0, 0)

    def test_while_no_turn_is_known_one_has_all_that_is_left(self, store: Store, ledger: Ledger, peer: Ledger) -> None:
        assert ledger.admit(running(store), [ANN]).granted
        waiting = peer.admit(running(store), [ANN])
        assert (waiting.wait, waiting.exhausted, waiting.granted) == (True, None, False)
        assert [(each.cost, each.held) for each in waiting.spent] == [(0, HARD)]

    def test_as_many_run_at_once_as_there_is_money_for(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, 30, ANN)
        asked = [ledger.admit(running(store), [ANN]) for _ in range(4)]
        assert [admission.granted for admission in asked] == [True, True, False, False]

    def test_where_turns_run_alone_there_is_one_at_a_time(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, 1, ANN_ALONE)
        first = running(store)
        assert ledger.admit(first, [ANN_ALONE]).granted
        assert ledger.admit(running(store), [ANN_ALONE]).wait
        ledger.charge(first, 1)
        assert ledger.admit(running(store), [ANN_ALONE]).granted

    def test_turns_that_cost_nothing_are_not_held_up(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, 0, ANN)
        assert all(ledger.admit(running(store), [ANN]).granted for _ in range(3))

    def test_a_soft_limit_stops_nobody(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, 500, EVERYBODY)
        admissions = [ledger.admit(running(store), [EVERYBODY]) for _ in range(2)]
        assert [(each.granted, each.spent[0].cost) for each in admissions] == [(True, 500), (True, 500)]

    def test_a_new_day_begins_with_what_the_last_one_has_taught(self, store: Store, ledger: Ledger) -> None:
        spend(store, ledger, 60, ANN)
        tomorrow = Budget(ANN.scope, "2026-11-22", hard=HARD)
        asked = [ledger.admit(running(store), [tomorrow]) for _ in range(4)]
        assert [admission.granted for admission in asked] == [True, True, True, False]

    def test_a_turn_that_was_admitted_stays_so(self, store: Store, ledger: Ledger, peer: Ledger) -> None:
        """Its process died, and another one takes it up after others have used up what was left."""
        turn = running(store)
        ledger.admit(turn, [ANN])
        spend(store, ledger, 300, EVERYBODY)
        exhausted = Budget(ANN.scope, ANN.period, hard=0)
        assert peer.admit(turn, [exhausted]).granted
        assert cost_of(ledger, ANN) == (0, HARD)

    def test_a_turn_that_is_admitted_to_other_budgets_lets_go_of_the_first(self, store: Store, ledger: Ledger) -> None:
        turn = running(store)
        ledger.admit(turn, [ANN, EVERYBODY])
        assert ledger.admit(turn, [ANN_MONTH, ANN]).granted
        ledger.charge(turn, 7)
        assert [each.cost for each in ledger.spent([ANN, ANN_MONTH, EVERYBODY])] == [7, 7, 0]

    def test_a_turn_that_is_refused_by_other_budgets_lets_go_of_the_first(self, store: Store, ledger: Ledger) -> None:
        turn = running(store)
        ledger.admit(turn, [ANN])
        assert ledger.admit(turn, [ANN, Budget("nothing", DAY, hard=0)]).exhausted is not None
        assert cost_of(ledger, ANN) == (0, 0)

    def test_of_many_that_ask_at_once_no_more_are_granted(self, store: Store, ledger: Ledger, peer: Ledger) -> None:
        spend(store, ledger, 30, ANN, ANN_MONTH)
        budgets = ([ANN, ANN_MONTH], [ANN_MONTH, ANN])
        asked = [partial((ledger, peer)[n % 2].admit, running(store), budgets[n // 2 % 2]) for n in range(8)]
        assert [each.granted for each in at_once(asked)].count(True) == 2


class LeavingContract:
    """What becomes of what a turn holds when nobody charges it."""

    def test_a_cancelled_turn_keeps_nothing_free(self, store: Store, ledger: Ledger) -> None:
        turn = running(store)
        ledger.admit(turn, [ANN])
        store.cancel(turn)
        assert cost_of(ledger, ANN) == (0, 0)
        assert ledger.admit(running(store), [ANN]).granted

    def test_a_forgotten_turn_keeps_nothing_free(self, store: Store, ledger: Ledger) -> None:
        claim = begin(store)
        ledger.admit(claim.turn.id, [ANN])
        store.forget(claim.conversation.id)
        assert cost_of(ledger, ANN) == (0, 0)
        assert ledger.admit(running(store), [ANN]).granted

    def test_a_turn_that_is_forgotten_before_it_asks_holds_nothing(self, store: Store, ledger: Ledger) -> None:
        claim = begin(store)
        store.forget(claim.conversation.id)
        ledger.admit(claim.turn.id, [ANN])
        assert cost_of(ledger, ANN) == (0, 0)

    def test_what_a_dead_process_did_not_charge_is_charged_by_the_next(
        self, store: Store, ledger: Ledger, peer: Ledger
    ) -> None:
        claim = begin(store)
        ledger.admit(claim.turn.id, [ANN, ANN_MONTH])
        settle(store, claim, 80)
        assert cost_of(peer, ANN) == (80, 0)
        spend(store, peer, 30, ANN)
        ledger.charge(claim.turn.id, 80)
        assert cost_of(peer, ANN) == (110, 0)
        assert cost_of(peer, ANN_MONTH) == (80, 0)

    def test_what_was_charged_stays_when_the_turn_is_forgotten(
        self, store: Store, ledger: Ledger, peer: Ledger
    ) -> None:
        claim = begin(store)
        ledger.admit(claim.turn.id, [ANN])
        settle(store, claim, 80)
        peer.admit(running(store), [ANN])
        store.forget(claim.conversation.id)
        assert cost_of(peer, ANN)[0] == 80

    @pytest.mark.parametrize("fresh", [False, True])
    def test_a_turn_that_waits_to_be_taken_up_again_holds_on(
        self, store: Store, ledger: Ledger, peer: Ledger, *, fresh: bool
    ) -> None:
        claim = begin(store, "loft")
        ledger.admit(claim.turn.id, [ANN])
        write(store, Released(claim.lease, fresh=fresh))
        assert peer.admit(running(store), [ANN]).wait
        again = claim_one(store, "two")
        assert peer.admit(again.turn.id, [ANN]).granted
        peer.charge(again.turn.id, 10)
        assert cost_of(ledger, ANN) == (10, 0)


class LookingContract:
    def test_to_look_when_a_place_comes_free_takes_none(self, store: Store, ledger: Ledger) -> None:
        rate = Rate(1000.0, burst=2)
        assert ledger.free_in("ann") == 0.0
        store.reserve("ann", rate, 0.0)
        assert ledger.free_in("ann") == 0.0
        store.reserve("ann", rate, 0.0)
        assert [ledger.free_in("ann") for _ in range(2)] == [pytest.approx(1000.0, abs=100.0)] * 2
        assert store.reserve("ann", rate, 0.0) is None


class LedgerContract(ChargingContract, AdmittingContract, LeavingContract, LookingContract):
    """Subclasses give ``store``, and ``ledger`` and ``peer`` (the same, as another process has it)."""
