"""Contract of ReportingStore: usage buckets."""

from __future__ import annotations

from gateway.domain.models import Exchange, Failure, ThreadId
from gateway.ports.reporting import TIMES, Catalogue, Tally
from gateway.ports.store import Finished, Store
from tests.contracts.reporting_helpers import DAY, Happened, begin, fail, settle, tell
from tests.contracts.store_helpers import PLATFORM, answer, key

MONDAY = 20_000 * DAY


def within(*slots: int) -> tuple[int, ...]:
    """Returns latency counts with one turn in each of these buckets."""
    return tuple(slots.count(slot) for slot in range(len(TIMES) + 1))


class CountingContract:
    def test_no_turns_give_no_bucket(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        set_times(settle(store), MONDAY)
        assert reporting.tally(MONDAY + 1, MONDAY + DAY, span=60.0) == []

    def test_each_outcome_is_counted(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        set_times(settle(store), MONDAY, 0.1)
        set_times(settle(store), MONDAY + 1, 0.11)
        set_times(fail(store), MONDAY + 2, 100.0)
        set_times(fail(store), MONDAY + 3, 100.0)
        set_times(fail(store, code="refused"), MONDAY + 4, 100.0)
        waiting, cancelled = tell(store), tell(store)
        store.cancel(cancelled.id)
        set_times(waiting, MONDAY + 5)
        set_times(cancelled, MONDAY + 6)
        (tally,) = reporting.tally(MONDAY, MONDAY + DAY, span=DAY)
        failures = {"timed_out": 2, "refused": 1}
        assert tally == Tally(PLATFORM, MONDAY, 7, 2, 1, failures, within(0, 1), 6, 8, 100)

    def test_undelivered_reply_counts_as_answered_and_undeliverable_as_failed(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        for claim in (begin(store), begin(store, "roof")):
            store.write([answer(claim)])
            set_times(claim.turn, MONDAY)
        store.write([Finished(claim.lease, claim.turn.id, Failure("undeliverable", "It could not be brought."))])
        (tally,) = reporting.tally(MONDAY, MONDAY + 1, span=60.0)
        assert (tally.received, tally.answered, tally.failures) == (2, 1, {"undeliverable": 1})

    def test_every_latency_has_its_bucket(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        for number, took in enumerate((0.0, 0.25, 0.26, 600.0, 601.0)):
            set_times(settle(store, f"{number}"), 1024.0, took)
        (tally,) = reporting.tally(0.0, 2000.0, span=2048.0)
        assert tally.times == within(0, 1, 2, len(TIMES) - 1, len(TIMES))

    def test_spans_begin_at_multiples_of_their_length(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        for number, at in enumerate((0.0, 59.9, 60.0, 179.5, 180.0)):
            set_times(tell(store, f"{number}"), MONDAY + at)
        tallies = reporting.tally(MONDAY + 59, MONDAY + 180, span=60.0)
        assert [(tally.since - MONDAY, tally.received) for tally in tallies] == [(0.0, 1), (60.0, 1), (120.0, 1)]

    def test_platforms_are_counted_apart(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        for platform in ("owl", PLATFORM):
            set_times(settle(store, platform=platform), MONDAY)
        set_times(settle(store, platform="owl"), MONDAY + 60)
        tallies = reporting.tally(MONDAY, MONDAY + 61, span=60.0)
        assert [(tally.platform, tally.since - MONDAY) for tally in tallies] == [
            ("owl", 0.0),
            (PLATFORM, 0.0),
            ("owl", 60.0),
        ]

    def test_history_of_imported_thread_is_not_counted(self, store: Store, reporting: Catalogue) -> None:
        store.adopt(key(), ThreadId("thread"), "x", [Exchange("Hello", "Hi")])
        tell(store, "roof")
        now = reporting.now()
        assert sum(tally.received for tally in reporting.tally(now - 60, now + 60, span=60.0)) == 1

    def test_erased_turns_count(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        set_times(settle(store), MONDAY)
        before = reporting.tally(MONDAY, MONDAY + 1, span=60.0)
        assert reporting.erase_before(DAY) == 1
        assert reporting.tally(MONDAY, MONDAY + 1, span=60.0) == before
