"""Contract of ReportingStore: retention."""

from __future__ import annotations

import pytest

from gateway.domain.models import Verdict
from gateway.ports.reporting import Catalogue
from gateway.ports.store import Brought, Rate, Store
from tests.contracts.reporting_helpers import DAY, PICTURE, Happened, begin, fail, settle, tell
from tests.contracts.reporting_people import is_empty
from tests.contracts.store_helpers import PLATFORM, Elapse, answer, finish, read

LONG_AGO = 1000.0


class ClearingContract:
    def test_old_turns_are_erased(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        old, failed, new = settle(store), fail(store), settle(store)
        store.judge(Verdict(old.id, "Ada", "good"))
        for turn in (old, failed):
            set_times(turn, reporting.now() - DAY - 1)
        set_times(new, reporting.now() - DAY + 60)
        before = read(store, failed)
        assert (old.message.files, old.files) == ((PICTURE,), (PICTURE,))
        assert reporting.erase_before(DAY) == 2
        assert is_empty(read(store, old))
        assert is_empty(read(store, failed))
        assert store.verdicts(old.id) == []
        after = read(store, failed)
        assert after.failure is not None
        assert after.failure.code == "timed_out"
        kept = "state", "attempts", "received_at", "started_at", "answered_at", "delivered_at", "usage", "cost", "trail"
        assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
        assert read(store, new).message.text == "Hello"
        assert reporting.erase_before(DAY) == 0

    def test_many_turns_are_erased_in_batches(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        for number in range(5):
            set_times(settle(store, f"{number}"), LONG_AGO + number // 2)
        assert [reporting.erase_before(DAY, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_unfinished_turns_are_erased_once_finished(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        claim, queued = begin(store), tell(store)
        store.write([answer(claim), Brought(claim.lease, claim.turn.id, ("1",))])
        cancelled = tell(store, "roof")
        store.cancel(cancelled.id)
        for turn in (claim.turn, queued, cancelled):
            set_times(turn, LONG_AGO)
        assert reporting.erase_before(DAY) == 0
        assert read(store, claim.turn).reply == "Hi"
        assert read(store, cancelled).message.address == {"roof": "left"}
        store.write([finish(claim, keep=False)])
        for each in store.claim("two", [PLATFORM], 5):
            store.write([answer(each), finish(each, keep=False)])
        assert reporting.erase_before(DAY) == 3
        assert all(is_empty(read(store, turn)) for turn in (claim.turn, queued, cancelled))

    def test_unfinished_turns_do_not_delay_others(
        self, store: Store, reporting: Catalogue, set_times: Happened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.retention.MOST_LEFT", 2)
        waiting = [tell(store, f"{number}") for number in range(4)]
        for number, turn in enumerate(waiting):
            set_times(turn, LONG_AGO + number)
            set_times(settle(store, f"done {number}"), LONG_AGO + number)
        assert [reporting.erase_before(DAY, limit=3) for _ in range(3)] == [3, 1, 0]
        for claim in store.claim("one", [PLATFORM], 10):
            store.write([answer(claim), finish(claim, keep=False)])
        assert [reporting.erase_before(DAY), reporting.erase_before(DAY)] == [4, 0]
        assert all(is_empty(read(store, turn)) for turn in waiting)

    def test_deleted_unfinished_turn_causes_no_error(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        waiting = tell(store)
        set_times(waiting, LONG_AGO)
        assert reporting.erase_before(DAY) == 0
        store.forget(waiting.conversation)
        assert reporting.erase_before(DAY) == 0

    def test_turns_are_erased_after_a_clock_was_ahead(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        assert reporting.erase_before(-30 * DAY) == 0  # as if a month had passed
        turn = settle(store)
        set_times(turn, reporting.now() - 10 * DAY)
        assert reporting.erase_before(20 * DAY) == 0
        assert reporting.erase_before(5 * DAY) == 1

    def test_erased_turn_is_not_in_history_and_keeps_its_seq(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        old, new = settle(store), settle(store)
        set_times(old, LONG_AGO)
        reporting.erase_before(DAY)
        first, second = store.transcript(old.conversation)
        assert (first.id, first.reply or first.files, second) == (old.id, (), new)
        assert not store.record(old.message, new.id).new

    def test_expired_buckets_and_locks_are_purged(
        self, store: Store, reporting: Catalogue, let_time_pass: Elapse
    ) -> None:
        rate = Rate(every=10.0, burst=1)
        for name in ("old", "older"):
            store.reserve(name, rate, 0.0)
            store.lease(name, "one", 10.0)
        let_time_pass(3700.0)
        store.reserve("new", rate, 0.0)
        store.lease("new", "one", 10.0)
        reporting.tidy()
        assert self.names_kept(store) == {"limits": ["new"], "leases": ["new"]}
        assert store.reserve("new", rate, 0.0) is None
        assert not store.lease("new", "two", 10.0)

    def names_kept(self, store: Store) -> dict[str, list[str]]:
        """Returns the names of stored token buckets and locks, by table."""
        raise NotImplementedError
