"""What a catalogue promises to those who count."""

from __future__ import annotations

from gateway.catalogue import TIMES, Catalogue, Tally
from gateway.messages import Exchange, Failure, ThreadId
from gateway.storing import Finished, Store
from tests.contracts.catalogue_words import DAY, Happened, begin, fail, settle, tell
from tests.contracts.store_words import PLATFORM, answer, key

MONDAY = 20_000 * DAY


def within(*slots: int) -> tuple[int, ...]:
    """Times of one turn in each of these slots."""
    return tuple(slots.count(slot) for slot in range(len(TIMES) + 1))


class CountingContract:
    def test_nothing_received_is_no_tally(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        happened(settle(store), MONDAY)
        assert catalogue.tally(MONDAY + 1, MONDAY + DAY, span=60.0) == []

    def test_each_outcome_is_counted(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        happened(settle(store), MONDAY, 0.1)
        happened(settle(store), MONDAY + 1, 0.11)
        happened(fail(store), MONDAY + 2, 100.0)
        happened(fail(store), MONDAY + 3, 100.0)
        happened(fail(store, code="refused"), MONDAY + 4, 100.0)
        waiting, cancelled = tell(store), tell(store)
        store.cancel(cancelled.id)
        happened(waiting, MONDAY + 5)
        happened(cancelled, MONDAY + 6)
        (tally,) = catalogue.tally(MONDAY, MONDAY + DAY, span=DAY)
        failures = {"timed_out": 2, "refused": 1}
        assert tally == Tally(PLATFORM, MONDAY, 7, 2, 1, failures, within(0, 1), 6, 8, 100)

    def test_a_reply_on_its_way_is_an_answer_and_an_undeliverable_one_a_failure(
        self, store: Store, catalogue: Catalogue, happened: Happened
    ) -> None:
        for claim in (begin(store), begin(store, "roof")):
            store.write([answer(claim)])
            happened(claim.turn, MONDAY)
        store.write([Finished(claim.lease, claim.turn.id, Failure("undeliverable", "It could not be brought."))])
        (tally,) = catalogue.tally(MONDAY, MONDAY + 1, span=60.0)
        assert (tally.received, tally.answered, tally.failures) == (2, 1, {"undeliverable": 1})

    def test_every_time_has_its_slot(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        for number, took in enumerate((0.0, 0.25, 0.26, 600.0, 601.0)):
            happened(settle(store, f"{number}"), 1024.0, took)
        (tally,) = catalogue.tally(0.0, 2000.0, span=2048.0)
        assert tally.times == within(0, 1, 2, len(TIMES) - 1, len(TIMES))

    def test_spans_begin_at_multiples_of_their_length(
        self, store: Store, catalogue: Catalogue, happened: Happened
    ) -> None:
        for number, at in enumerate((0.0, 59.9, 60.0, 179.5, 180.0)):
            happened(tell(store, f"{number}"), MONDAY + at)
        tallies = catalogue.tally(MONDAY + 59, MONDAY + 180, span=60.0)
        assert [(tally.since - MONDAY, tally.received) for tally in tallies] == [(0.0, 1), (60.0, 1), (120.0, 1)]

    def test_platforms_are_counted_apart(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        for platform in ("owl", PLATFORM):
            happened(settle(store, platform=platform), MONDAY)
        happened(settle(store, platform="owl"), MONDAY + 60)
        tallies = catalogue.tally(MONDAY, MONDAY + 61, span=60.0)
        assert [(tally.platform, tally.since - MONDAY) for tally in tallies] == [
            ("owl", 0.0),
            (PLATFORM, 0.0),
            ("owl", 60.0),
        ]

    def test_the_past_of_an_adopted_thread_was_not_said_here(self, store: Store, catalogue: Catalogue) -> None:
        store.adopt(key(), ThreadId("thread"), "x", [Exchange("Hello", "Hi")])
        tell(store, "roof")
        now = catalogue.now()
        assert sum(tally.received for tally in catalogue.tally(now - 60, now + 60, span=60.0)) == 1

    def test_erased_turns_count(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        happened(settle(store), MONDAY)
        before = catalogue.tally(MONDAY, MONDAY + 1, span=60.0)
        assert catalogue.erase_before(DAY) == 1
        assert catalogue.tally(MONDAY, MONDAY + 1, span=60.0) == before
