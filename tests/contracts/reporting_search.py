"""Contract of ReportingStore: searching."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.models import ThreadId, Turn, TurnState
from gateway.ports.reporting import ConversationSummary, ReportingStore, TurnFilter
from gateway.ports.store import Store
from tests.contracts.reporting_helpers import SetTimes, answered_turn, enqueue_message, failed_turn, ids, new_message
from tests.contracts.store_helpers import PLATFORM, enqueue_one, get_turn, key, new_turn

EVERYTHING = TurnFilter()


def channels(lines: list[ConversationSummary]) -> list[str]:
    return [line.conversation.key.channel for line in lines]


def all_turns(reporting: ReportingStore, search: TurnFilter, limit: int) -> list[Turn]:
    """Reads all turns page by page."""
    found: list[Turn] = []
    while page := reporting.find_turns(search, limit=limit, before=found[-1] if found else None):
        assert len(page) <= limit
        found += page
    return found


def all_summaries(reporting: ReportingStore, search: TurnFilter, limit: int) -> list[ConversationSummary]:
    found: list[ConversationSummary] = []
    while page := reporting.find_conversations(search, limit=limit, before=found[-1] if found else None):
        assert len(page) <= limit
        found += page
    return found


class SearchingContract:
    def test_the_time_is_the_databases(self, store: Store, reporting: ReportingStore) -> None:
        turn = enqueue_message(store)
        assert turn.received_at <= reporting.now() <= turn.received_at + 60.0

    def test_all_turns_are_found_newest_first(self, store: Store, reporting: ReportingStore) -> None:
        told = [
            enqueue_message(store, "loft"),
            answered_turn(store, "roof"),
            enqueue_message(store, "loft"),
            failed_turn(store, "roof"),
        ]
        found = reporting.find_turns(EVERYTHING, limit=10)
        assert found == [get_turn(store, turn) for turn in reversed(told)]
        assert reporting.find_turns(EVERYTHING, limit=2) == found[:2]

    def test_pages_have_no_gap_between_turns_of_equal_time(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        told = [enqueue_message(store, f"{number % 3}") for number in range(7)]
        for turn in told[1:6]:
            set_times(turn, 1000.5)
        whole = reporting.find_turns(EVERYTHING, limit=10)
        assert sorted(ids(whole)) == sorted(ids(told))
        assert all_turns(reporting, EVERYTHING, 2) == whole
        enqueue_message(store, "newer")
        assert reporting.find_turns(EVERYTHING, limit=3, before=whole[3]) == whole[4:]

    @pytest.mark.parametrize(
        ("search", "wanted"),
        [
            (TurnFilter(platform="owl"), ["owl"]),
            (TurnFilter(platform="nothing"), []),
            (TurnFilter(bots_of="owl"), ["owl"]),
            (TurnFilter(bots_of="ow"), []),
            (TurnFilter(failure_codes=("other", "timed_out")), ["failed"]),
            (TurnFilter(failure_codes=("other",)), []),
            (TurnFilter(channel="roof"), ["failed", "roof"]),
            (TurnFilter(author="Bob"), ["roof"]),
            (TurnFilter(author="bob"), []),
            (TurnFilter(state=TurnState.FAILED), ["failed"]),
            (TurnFilter(state=TurnState.QUEUED), ["owl", "loft"]),
            (TurnFilter(platform=PLATFORM, state=TurnState.QUEUED, channel="loft", author="Ada"), ["loft"]),
        ],
    )
    def test_a_search_is_narrowed_down(
        self, store: Store, reporting: ReportingStore, search: TurnFilter, wanted: list[str]
    ) -> None:
        enqueue_message(store, "loft", "loft")
        answered_turn(store, "roof", "roof", author="Bob")
        enqueue_message(store, "loft", "owl", platform="owl")
        failed_turn(store, "roof", "failed")
        assert [turn.message.text for turn in reporting.find_turns(search, limit=10)] == wanted

    @pytest.mark.parametrize("text", ["GRAIN", "grain", "100%_", "Réplique", "\\", "'"])
    def test_text_is_found_in_message_and_reply_ignoring_case(
        self, store: Store, reporting: ReportingStore, text: str
    ) -> None:
        answered_turn(store, "loft", "nothing", "of it")
        told = [
            answered_turn(store, "loft", "Grain 100%_ 'réplique' \\"),
            answered_turn(store, "loft", "?", "gRAIN 100%_ 'RépliquE\\"),
        ]
        assert ids(reporting.find_turns(TurnFilter(text=text), limit=10)) == ids(told[::-1])

    def test_text_has_no_wildcards(self, store: Store, reporting: ReportingStore) -> None:
        answered_turn(store, "loft", "100 grains", "a\\b")
        for text in ("1%s", "1_0", "a\\\\b", "100 GRAINS?"):
            assert reporting.find_turns(TurnFilter(text=text), limit=10) == []

    def test_time_range_includes_start_and_excludes_end(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        for at in (10.0, 20.0, 30.0):
            set_times(enqueue_message(store, f"{at:g}"), at)
        since, until = TurnFilter(since=20.0), TurnFilter(until=20.0)
        assert [turn.received_at for turn in reporting.find_turns(since, limit=10)] == [30.0, 20.0]
        assert [turn.received_at for turn in reporting.find_turns(until, limit=10)] == [10.0]
        assert channels(all_summaries(reporting, since, 10)) == ["30", "20"]
        assert channels(all_summaries(reporting, until, 10)) == ["10"]

    def test_conversations_are_ordered_by_newest_turn(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        answered_turn(store, "loft")
        roof, newest = enqueue_message(store, "roof"), enqueue_message(store, "loft")
        # The clock may not have advanced between the two.
        set_times(roof, newest.received_at - 1.0)
        first, second = reporting.find_conversations(EVERYTHING, limit=10)
        conversation = store.find_conversation(newest.message.key)
        assert first == ConversationSummary(
            *(conversation or first.conversation, 2, 1, newest.received_at), first_text="Hello", first_author="Ada"
        )
        assert first.conversation.thread_id is not None
        assert (second.conversation.key.channel, second.turn_count, second.unfinished_count) == ("roof", 1, 1)

    def test_a_conversation_is_listed_with_its_first_words(self, store: Store, reporting: ReportingStore) -> None:
        answered_turn(store, "loft", "Ab" * 200)
        answered_turn(store, "loft", "And?", author="Ben")
        (found,) = reporting.find_conversations(EVERYTHING, limit=10)
        assert (found.first_text, found.first_author) == ("Ab" * 80, "Ada")

    def test_a_conversation_without_turns_is_not_found(self, store: Store, reporting: ReportingStore) -> None:
        store.import_thread(key(), ThreadId("thread"), "x", ())
        assert reporting.find_conversations(EVERYTHING, limit=10) == []

    def test_pages_of_conversations_have_no_gap(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        told = [enqueue_message(store, f"{number}") for number in range(7)]
        for turn in told[1:6]:
            set_times(turn, 1000.5)
        whole = reporting.find_conversations(EVERYTHING, limit=10)
        assert sorted(channels(list(whole))) == [f"{number}" for number in range(7)]
        assert all_summaries(reporting, EVERYTHING, 2) == whole

    def test_a_conversation_is_found_by_any_of_its_turns(self, store: Store, reporting: ReportingStore) -> None:
        answered_turn(store, "loft", "grain", author="Bob")
        answered_turn(store, "roof", "water", author="Bob")
        enqueue_message(store, "loft", "thanks")
        enqueue_message(store, "loft", "owl", platform="owl")
        assert channels(all_summaries(reporting, TurnFilter(text="GRAIN"), 10)) == ["loft"]
        assert channels(all_summaries(reporting, TurnFilter(author="Bob"), 1)) == ["loft", "roof"]
        assert channels(all_summaries(reporting, TurnFilter(author="Bob", text="thanks"), 1)) == []
        assert channels(all_summaries(reporting, TurnFilter(author="Bob", channel="roof"), 1)) == ["roof"]
        assert channels(all_summaries(reporting, TurnFilter(platform="owl"), 1)) == ["loft"]

    def test_conversation_is_found_by_id(self, store: Store, reporting: ReportingStore) -> None:
        turn = enqueue_one(store, replace(new_message(), text="x"), new_turn()).turn
        found = reporting.get_conversation(turn.conversation_id)
        assert found == store.find_conversation(turn.message.key)
        assert reporting.get_conversation(turn.conversation_id + 1000) is None
