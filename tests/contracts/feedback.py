"""The contracts of FeedbackReport and BudgetReport. Subclasses set the database."""

from __future__ import annotations

from gateway.domain.models import Turn
from gateway.domain.platform_events import Feedback
from gateway.ports.budgets import Budget
from gateway.ports.feedback import FeedbackFilter, RatedTurn
from storage.store import SqlStore
from tests.contracts.reporting_helpers import DAY, SetTimes, answered_turn, failed_turn
from tests.contracts.store_helpers import PLATFORM


def place(rated: RatedTurn) -> tuple[float, str, str]:
    return rated.at, rated.turn.id, rated.author


class FeedbackReportContract:
    """Subclasses provide ``store`` without rows."""

    def test_ratings_are_listed_with_their_turns_newest_first_and_paged(self, store: SqlStore) -> None:
        rated = [answered_turn(store, f"{number}", f"question {number}") for number in range(3)]
        for turn in rated:
            for author in ("Ann", "Ben"):
                store.record_feedback(Feedback(turn.id, author, "good"))
        pages: list[RatedTurn] = []
        while page := store.feedback.find(FeedbackFilter(), limit=4, before=place(pages[-1]) if pages else None):
            pages += page
        assert {(each.turn.id, each.author) for each in pages} == {
            (turn.id, author) for turn in rated for author in ("Ann", "Ben")
        }
        assert len(pages) == 6
        assert [place(each) for each in pages] == sorted(map(place, pages), reverse=True)
        first = next(each for each in pages if each.turn.id == rated[0].id)
        assert (first.turn.message.text, first.turn.reply, first.value) == ("question 0", "Hi", "good")
        assert first.turn.message.key.channel == "0"

    def test_ratings_are_found_and_counted_by_each_criterion(self, store: SqlStore) -> None:
        turns: list[Turn] = [
            answered_turn(store),
            answered_turn(store, "roof", assistant="support"),
            answered_turn(store, platform=f"{PLATFORM}:sales"),
            answered_turn(store, platform=f"{PLATFORM}s"),
        ]
        for turn, value in zip(turns, ("good", "good", "bad", "bad"), strict=True):
            store.record_feedback(Feedback(turn.id, "Ann", value))
        now = store.now()
        for criteria, counts in (
            (FeedbackFilter(), {"good": 2, "bad": 2}),
            (FeedbackFilter("bad"), {"bad": 2}),
            (FeedbackFilter(assistant="support"), {"good": 1}),
            (FeedbackFilter(platform=PLATFORM), {"good": 2, "bad": 1}),
            (FeedbackFilter(platform=f"{PLATFORM}:sales"), {"bad": 1}),
            (FeedbackFilter("good", PLATFORM, "support"), {"good": 1}),
            (FeedbackFilter(since=now + 60), {}),
            (FeedbackFilter(until=now - 60), {}),
            (FeedbackFilter(since=now - 60, until=now + 60), {"good": 2, "bad": 2}),
        ):
            assert store.feedback.counts(criteria) == counts, criteria
            assert len(store.feedback.find(criteria, limit=9)) == sum(counts.values()), criteria


class BudgetReportContract:
    """Subclasses provide ``store`` without rows, and ``set_times``."""

    def test_what_was_spent_is_listed_by_kind_and_period_the_most_first(self, store: SqlStore) -> None:
        for scope, period, cost in (
            ("day user pigeon T1 Ada", "2026-11-30", 5),
            ("day user pigeon T1 Ben", "2026-11-30", 9),
            ("day user pigeon T1 Cy", "2026-11-30", 1),
            ("day user pigeon T1 Ben", "2026-11-29", 70),
            ("day users pigeon", "2026-11-30", 80),
            ("month user pigeon T1 Ben", "2026-11", 90),
        ):
            turn = answered_turn(store, scope.replace(" ", "-"))
            store.ledger.admit(turn.id, [Budget(scope, period, hard_limit=100)])
            store.ledger.charge(turn.id, cost)
        assert store.budget_report.spent("day user ", "2026-11-30", 2) == [
            ("day user pigeon T1 Ben", 9),
            ("day user pigeon T1 Ada", 5),
        ]
        assert store.budget_report.spent("day user ", "2026-11-28", 2) == []

    def test_refused_turns_are_counted_by_budget(self, store: SqlStore, set_times: SetTimes) -> None:
        for number in range(3):
            set_times(failed_turn(store, code="budget_exhausted"), number * DAY)
        set_times(failed_turn(store), 2 * DAY)
        answered_turn(store)
        assert store.budget_report.refused("budget_exhausted", DAY) == {"after 600 s": 2}
