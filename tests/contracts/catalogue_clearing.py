"""What a catalogue promises to those who want nothing kept for good."""

from __future__ import annotations

import pytest

from gateway.catalogue import Catalogue
from gateway.messages import Verdict
from gateway.storing import Brought, Rate, Store
from tests.contracts.catalogue_people import is_empty
from tests.contracts.catalogue_words import DAY, PICTURE, Happened, begin, fail, settle, tell
from tests.contracts.store_words import PLATFORM, Elapse, answer, finish, read

LONG_AGO = 1000.0


class ClearingContract:
    def test_what_was_said_long_ago_is_erased(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        old, failed, new = settle(store), fail(store), settle(store)
        store.judge(Verdict(old.id, "Ada", "good"))
        for turn in (old, failed):
            happened(turn, catalogue.now() - DAY - 1)
        happened(new, catalogue.now() - DAY + 60)
        before = read(store, failed)
        assert (old.message.files, old.files) == ((PICTURE,), (PICTURE,))
        assert catalogue.erase_before(DAY) == 2
        assert is_empty(read(store, old))
        assert is_empty(read(store, failed))
        assert store.verdicts(old.id) == []
        after = read(store, failed)
        assert after.failure is not None
        assert after.failure.code == "timed_out"
        kept = "state", "attempts", "received_at", "started_at", "answered_at", "delivered_at", "usage", "cost", "trail"
        assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
        assert read(store, new).message.text == "Hello"
        assert catalogue.erase_before(DAY) == 0

    def test_much_is_erased_batch_by_batch(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        for number in range(5):
            happened(settle(store, f"{number}"), LONG_AGO + number // 2)
        assert [catalogue.erase_before(DAY, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_unfinished_turns_are_left_until_they_are_finished(
        self, store: Store, catalogue: Catalogue, happened: Happened
    ) -> None:
        claim, queued = begin(store), tell(store)
        store.write([answer(claim), Brought(claim.lease, claim.turn.id, ("1",))])
        cancelled = tell(store, "roof")
        store.cancel(cancelled.id)
        for turn in (claim.turn, queued, cancelled):
            happened(turn, LONG_AGO)
        assert catalogue.erase_before(DAY) == 0
        assert read(store, claim.turn).reply == "Hi"
        assert read(store, cancelled).message.address == {"roof": "left"}
        store.write([finish(claim, keep=False)])
        for each in store.claim("two", [PLATFORM], 5):
            store.write([answer(each), finish(each, keep=False)])
        assert catalogue.erase_before(DAY) == 3
        assert all(is_empty(read(store, turn)) for turn in (claim.turn, queued, cancelled))

    def test_unfinished_turns_hold_nothing_else_up(
        self, store: Store, catalogue: Catalogue, happened: Happened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.clearing.MOST_LEFT", 2)
        waiting = [tell(store, f"{number}") for number in range(4)]
        for number, turn in enumerate(waiting):
            happened(turn, LONG_AGO + number)
            happened(settle(store, f"done {number}"), LONG_AGO + number)
        assert [catalogue.erase_before(DAY, limit=3) for _ in range(3)] == [3, 1, 0]
        for claim in store.claim("one", [PLATFORM], 10):
            store.write([answer(claim), finish(claim, keep=False)])
        assert [catalogue.erase_before(DAY), catalogue.erase_before(DAY)] == [4, 0]
        assert all(is_empty(read(store, turn)) for turn in waiting)

    def test_what_waited_and_is_forgotten_is_missed_by_nobody(
        self, store: Store, catalogue: Catalogue, happened: Happened
    ) -> None:
        waiting = tell(store)
        happened(waiting, LONG_AGO)
        assert catalogue.erase_before(DAY) == 0
        store.forget(waiting.conversation)
        assert catalogue.erase_before(DAY) == 0

    def test_a_clock_that_was_ahead_for_a_while_keeps_nothing_from_being_erased(
        self, store: Store, catalogue: Catalogue, happened: Happened
    ) -> None:
        assert catalogue.erase_before(-30 * DAY) == 0  # as if it was a month later by now
        turn = settle(store)
        happened(turn, catalogue.now() - 10 * DAY)
        assert catalogue.erase_before(20 * DAY) == 0
        assert catalogue.erase_before(5 * DAY) == 1

    def test_an_erased_turn_is_no_history_and_keeps_its_place(
        self, store: Store, catalogue: Catalogue, happened: Happened
    ) -> None:
        old, new = settle(store), settle(store)
        happened(old, LONG_AGO)
        catalogue.erase_before(DAY)
        first, second = store.transcript(old.conversation)
        assert (first.id, first.reply or first.files, second) == (old.id, (), new)
        assert not store.record(old.message, new.id).new

    def test_places_and_leases_that_ran_out_long_ago_are_tidied_away(
        self, store: Store, catalogue: Catalogue, elapse: Elapse
    ) -> None:
        rate = Rate(every=10.0, burst=1)
        for name in ("old", "older"):
            store.reserve(name, rate, 0.0)
            store.lease(name, "one", 10.0)
        elapse(3700.0)
        store.reserve("new", rate, 0.0)
        store.lease("new", "one", 10.0)
        catalogue.tidy()
        assert self.names_kept(store) == {"limits": ["new"], "leases": ["new"]}
        assert store.reserve("new", rate, 0.0) is None
        assert not store.lease("new", "two", 10.0)

    def names_kept(self, store: Store) -> dict[str, list[str]]:
        """What places and leases there are."""
        raise NotImplementedError
