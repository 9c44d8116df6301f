"""Contract of ReportingStore: usage buckets."""

from __future__ import annotations

from gateway.domain.exchange import Exchange
from gateway.domain.models import Failure, ThreadId
from gateway.ports.leased_writes import FinishTurn
from gateway.ports.reporting import LATENCY_BOUNDS, AssistantUsage, ReportingStore, UsageBucket
from gateway.ports.store import Store
from tests.contracts.reporting_helpers import (
    DAY,
    SetTimes,
    answered_turn,
    enqueue_and_claim,
    enqueue_message,
    failed_turn,
)
from tests.contracts.store_helpers import PLATFORM, answer, key

MONDAY = 20_000 * DAY


def within(*slots: int) -> tuple[int, ...]:
    """Returns latency counts with one turn in each of these buckets."""
    return tuple(slots.count(slot) for slot in range(len(LATENCY_BOUNDS) + 1))


class UsageBucketsContract:
    def test_no_turns_give_no_bucket(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        set_times(answered_turn(store), MONDAY)
        assert reporting.usage_buckets(MONDAY + 1, MONDAY + DAY, bucket_seconds=60.0) == []

    def test_each_outcome_is_counted(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        set_times(answered_turn(store), MONDAY, 0.1)
        set_times(answered_turn(store), MONDAY + 1, 0.11)
        set_times(failed_turn(store), MONDAY + 2, 100.0)
        set_times(failed_turn(store), MONDAY + 3, 100.0)
        set_times(failed_turn(store, code="refused"), MONDAY + 4, 100.0)
        waiting, cancelled = enqueue_message(store), enqueue_message(store)
        store.cancel_turn(cancelled.id)
        set_times(waiting, MONDAY + 5)
        set_times(cancelled, MONDAY + 6)
        (tally,) = reporting.usage_buckets(MONDAY, MONDAY + DAY, bucket_seconds=DAY)
        failures = {"timed_out": 2, "refused": 1}
        assert tally == UsageBucket(PLATFORM, MONDAY, 7, 2, 1, failures, within(0, 1), 6, 8, 100)

    def test_undelivered_reply_counts_as_answered_and_undeliverable_as_failed(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        for claim in (enqueue_and_claim(store), enqueue_and_claim(store, "roof")):
            store.apply_writes([answer(claim)])
            set_times(claim.turn, MONDAY)
        store.apply_writes([FinishTurn(claim.lease, claim.turn, Failure("undeliverable", "It could not be brought."))])
        (tally,) = reporting.usage_buckets(MONDAY, MONDAY + 1, bucket_seconds=60.0)
        assert (tally.received, tally.answered, tally.failures) == (2, 1, {"undeliverable": 1})

    def test_every_latency_has_its_bucket(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        for number, took in enumerate((0.0, 0.25, 0.26, 600.0, 601.0)):
            set_times(answered_turn(store, f"{number}"), 1024.0, took)
        (tally,) = reporting.usage_buckets(0.0, 2000.0, bucket_seconds=2048.0)
        assert tally.latency_counts == within(0, 1, 2, len(LATENCY_BOUNDS) - 1, len(LATENCY_BOUNDS))

    def test_spans_begin_at_multiples_of_their_length(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        for number, at in enumerate((0.0, 59.9, 60.0, 179.5, 180.0)):
            set_times(enqueue_message(store, f"{number}"), MONDAY + at)
        tallies = reporting.usage_buckets(MONDAY + 59, MONDAY + 180, bucket_seconds=60.0)
        assert [(tally.start - MONDAY, tally.received) for tally in tallies] == [(0.0, 1), (60.0, 1), (120.0, 1)]

    def test_platforms_are_counted_apart(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        for platform in ("owl", PLATFORM):
            set_times(answered_turn(store, platform=platform), MONDAY)
        set_times(answered_turn(store, platform="owl"), MONDAY + 60)
        tallies = reporting.usage_buckets(MONDAY, MONDAY + 61, bucket_seconds=60.0)
        assert [(tally.platform, tally.start - MONDAY) for tally in tallies] == [
            ("owl", 0.0),
            (PLATFORM, 0.0),
            ("owl", 60.0),
        ]

    def test_history_of_imported_thread_is_not_counted(self, store: Store, reporting: ReportingStore) -> None:
        store.import_thread(key(), ThreadId("thread"), "x", [Exchange("Hello", "Hi")])
        enqueue_message(store, "roof")
        now = reporting.now()
        assert sum(tally.received for tally in reporting.usage_buckets(now - 60, now + 60, bucket_seconds=60.0)) == 1

    def test_assistants_are_counted_apart(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        assert reporting.usage_by_assistant(MONDAY, MONDAY + DAY) == []
        set_times(answered_turn(store), MONDAY)
        set_times(answered_turn(store, assistant="support"), MONDAY)
        set_times(failed_turn(store, "roof", assistant="support"), MONDAY + DAY - 1)
        set_times(answered_turn(store, "roof", assistant="support"), MONDAY + DAY)
        store.import_thread(key(), ThreadId("thread"), "x", [Exchange("Hello", "Hi")])
        assert reporting.usage_by_assistant(MONDAY, MONDAY + DAY) == [
            AssistantUsage("default", 1, 0, 50),
            AssistantUsage("support", 2, 1, 50),
        ]

    def test_erased_turns_count(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        set_times(answered_turn(store), MONDAY)
        before = reporting.usage_buckets(MONDAY, MONDAY + 1, bucket_seconds=60.0)
        assert reporting.erase_older_than(DAY) == 1
        assert reporting.usage_buckets(MONDAY, MONDAY + 1, bucket_seconds=60.0) == before
