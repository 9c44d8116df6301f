"""Contract of ReportingStore: retention."""

from __future__ import annotations

import pytest

from gateway.domain.platform_events import Feedback
from gateway.ports.leased_writes import SetPostedMessages
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from gateway.ports.token_buckets import Rate
from tests.contracts.reporting_helpers import (
    DAY,
    PICTURE,
    SetTimes,
    answered_turn,
    enqueue_and_claim,
    enqueue_message,
    failed_turn,
)
from tests.contracts.reporting_people import is_erased
from tests.contracts.store_helpers import PLATFORM, LetTimePass, answer, enqueue_one, finish, get_turn

LONG_AGO = 1000.0


class RetentionContract:
    def test_old_turns_are_erased(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        old, failed, new = answered_turn(store), failed_turn(store), answered_turn(store)
        store.record_feedback(Feedback(old.id, "Ada", "good"))
        for turn in (old, failed):
            set_times(turn, reporting.now() - DAY - 1)
        set_times(new, reporting.now() - DAY + 60)
        before = get_turn(store, failed)
        assert (old.message.files, old.reply_files) == ((PICTURE,), (PICTURE,))
        assert reporting.erase_older_than(DAY) == 2
        assert is_erased(get_turn(store, old))
        assert is_erased(get_turn(store, failed))
        assert store.feedback_on(old.id) == []
        after = get_turn(store, failed)
        assert after.failure is not None
        assert after.failure.code == "timed_out"
        kept = (
            "state",
            "attempts",
            "received_at",
            "started_at",
            "answered_at",
            "delivered_at",
            "usage",
            "cost",
            "audit_log",
        )
        assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
        assert get_turn(store, new).message.text == "Hello"
        assert reporting.erase_older_than(DAY) == 0

    def test_many_turns_are_erased_in_batches(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        for number in range(5):
            set_times(answered_turn(store, f"{number}"), LONG_AGO + number // 2)
        assert [reporting.erase_older_than(DAY, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_unfinished_turns_are_erased_once_finished(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        claim, queued = enqueue_and_claim(store), enqueue_message(store)
        store.apply_writes([answer(claim), SetPostedMessages(claim.lease, claim.turn, ("1",))])
        cancelled = enqueue_message(store, "roof")
        store.cancel_turn(cancelled.id)
        for turn in (claim.turn, queued, cancelled):
            set_times(turn, LONG_AGO)
        assert reporting.erase_older_than(DAY) == 0
        assert get_turn(store, claim.turn).reply == "Hi"
        assert get_turn(store, cancelled).message.address == {"roof": "left"}
        store.apply_writes([finish(claim, keep=False)])
        for each in store.claim("two", [PLATFORM], 5):
            store.apply_writes([answer(each), finish(each, keep=False)])
        assert reporting.erase_older_than(DAY) == 3
        assert all(is_erased(get_turn(store, turn)) for turn in (claim.turn, queued, cancelled))

    def test_unfinished_turns_do_not_delay_others(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.retention.MAX_UNFINISHED", 2)
        waiting = [enqueue_message(store, f"{number}") for number in range(4)]
        for number, turn in enumerate(waiting):
            set_times(turn, LONG_AGO + number)
            set_times(answered_turn(store, f"done {number}"), LONG_AGO + number)
        assert [reporting.erase_older_than(DAY, limit=3) for _ in range(3)] == [3, 1, 0]
        for claim in store.claim("one", [PLATFORM], 10):
            store.apply_writes([answer(claim), finish(claim, keep=False)])
        assert [reporting.erase_older_than(DAY), reporting.erase_older_than(DAY)] == [4, 0]
        assert all(is_erased(get_turn(store, turn)) for turn in waiting)

    def test_deleted_unfinished_turn_causes_no_error(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        waiting = enqueue_message(store)
        set_times(waiting, LONG_AGO)
        assert reporting.erase_older_than(DAY) == 0
        store.delete_conversation(waiting.conversation_id)
        assert reporting.erase_older_than(DAY) == 0

    def test_turns_are_erased_after_a_clock_was_ahead(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        assert reporting.erase_older_than(-30 * DAY) == 0  # as if a month had passed
        turn = answered_turn(store)
        set_times(turn, reporting.now() - 10 * DAY)
        assert reporting.erase_older_than(20 * DAY) == 0
        assert reporting.erase_older_than(5 * DAY) == 1

    def test_erased_turn_is_not_in_history_and_keeps_its_seq(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        old, new = answered_turn(store), answered_turn(store)
        set_times(old, LONG_AGO)
        reporting.erase_older_than(DAY)
        first, second = store.transcript(old.conversation_id)
        assert (first.id, first.reply or first.reply_files, second) == (old.id, (), new)
        assert not enqueue_one(store, old.message, new.id).is_new

    def test_expired_buckets_and_locks_are_purged(
        self, store: Store, reporting: ReportingStore, let_time_pass: LetTimePass
    ) -> None:
        rate = Rate(interval=10.0, burst=1)
        for name in ("old", "older"):
            store.take_token(name, rate, 0.0)
            store.try_lock(name, "one", 10.0)
        let_time_pass(3700.0)
        store.take_token("new", rate, 0.0)
        store.try_lock("new", "one", 10.0)
        reporting.purge_expired()
        assert self.stored_names(store) == {"limits": ["new"], "leases": ["new"]}
        assert store.take_token("new", rate, 0.0) is None
        assert not store.try_lock("new", "two", 10.0)

    def stored_names(self, store: Store) -> dict[str, list[str]]:
        """Returns the names of stored token buckets and locks, by table."""
        raise NotImplementedError
