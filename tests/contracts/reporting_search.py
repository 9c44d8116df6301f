"""Contract of ReportingStore: searching."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.models import ThreadId, Turn, TurnState
from gateway.ports.reporting import Catalogue, Line, Search
from gateway.ports.store import Store
from tests.contracts.reporting_helpers import Happened, fail, names, saying, settle, tell
from tests.contracts.store_helpers import PLATFORM, key, new_turn, read

ALL = Search()


def channels(lines: list[Line]) -> list[str]:
    return [line.conversation.key.channel for line in lines]


def all_turns(reporting: Catalogue, search: Search, limit: int) -> list[Turn]:
    """Reads all turns page by page."""
    found: list[Turn] = []
    while page := reporting.find(search, limit=limit, before=found[-1] if found else None):
        assert len(page) <= limit
        found += page
    return found


def all_lines(reporting: Catalogue, search: Search, limit: int) -> list[Line]:
    found: list[Line] = []
    while page := reporting.find_conversations(search, limit=limit, before=found[-1] if found else None):
        assert len(page) <= limit
        found += page
    return found


class SearchingContract:
    def test_the_time_is_the_databases(self, store: Store, reporting: Catalogue) -> None:
        turn = tell(store)
        assert turn.received_at <= reporting.now() <= turn.received_at + 60.0

    def test_all_turns_are_found_newest_first(self, store: Store, reporting: Catalogue) -> None:
        told = [tell(store, "loft"), settle(store, "roof"), tell(store, "loft"), fail(store, "roof")]
        found = reporting.find(ALL, limit=10)
        assert found == [read(store, turn) for turn in reversed(told)]
        assert reporting.find(ALL, limit=2) == found[:2]

    def test_pages_have_no_gap_between_turns_of_equal_time(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        told = [tell(store, f"{number % 3}") for number in range(7)]
        for turn in told[1:6]:
            set_times(turn, 1000.5)
        whole = reporting.find(ALL, limit=10)
        assert sorted(names(whole)) == sorted(names(told))
        assert all_turns(reporting, ALL, 2) == whole
        tell(store, "newer")
        assert reporting.find(ALL, limit=3, before=whole[3]) == whole[4:]

    @pytest.mark.parametrize(
        ("search", "wanted"),
        [
            (Search(platform="owl"), ["owl"]),
            (Search(platform="nothing"), []),
            (Search(channel="roof"), ["failed", "roof"]),
            (Search(user="Bob"), ["roof"]),
            (Search(user="bob"), []),
            (Search(state=TurnState.FAILED), ["failed"]),
            (Search(state=TurnState.QUEUED), ["owl", "loft"]),
            (Search(platform=PLATFORM, state=TurnState.QUEUED, channel="loft", user="Ada"), ["loft"]),
        ],
    )
    def test_a_search_is_narrowed_down(
        self, store: Store, reporting: Catalogue, search: Search, wanted: list[str]
    ) -> None:
        tell(store, "loft", "loft")
        settle(store, "roof", "roof", author="Bob")
        tell(store, "loft", "owl", platform="owl")
        fail(store, "roof", "failed")
        assert [turn.message.text for turn in reporting.find(search, limit=10)] == wanted

    @pytest.mark.parametrize("text", ["GRAIN", "grain", "100%_", "Réplique", "\\", "'"])
    def test_text_is_found_in_message_and_reply_ignoring_case(
        self, store: Store, reporting: Catalogue, text: str
    ) -> None:
        settle(store, "loft", "nothing", "of it")
        told = [
            settle(store, "loft", "Grain 100%_ 'réplique' \\"),
            settle(store, "loft", "?", "gRAIN 100%_ 'RépliquE\\"),
        ]
        assert names(reporting.find(Search(text=text), limit=10)) == names(told[::-1])

    def test_text_has_no_wildcards(self, store: Store, reporting: Catalogue) -> None:
        settle(store, "loft", "100 grains", "a\\b")
        for text in ("1%s", "1_0", "a\\\\b", "100 GRAINS?"):
            assert reporting.find(Search(text=text), limit=10) == []

    def test_time_range_includes_start_and_excludes_end(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        for at in (10.0, 20.0, 30.0):
            set_times(tell(store, f"{at:g}"), at)
        since, until = Search(since=20.0), Search(until=20.0)
        assert [turn.received_at for turn in reporting.find(since, limit=10)] == [30.0, 20.0]
        assert [turn.received_at for turn in reporting.find(until, limit=10)] == [10.0]
        assert channels(all_lines(reporting, since, 10)) == ["30", "20"]
        assert channels(all_lines(reporting, until, 10)) == ["10"]

    def test_conversations_are_ordered_by_newest_turn(self, store: Store, reporting: Catalogue) -> None:
        settle(store, "loft")
        tell(store, "roof")
        newest = tell(store, "loft")
        first, second = reporting.find_conversations(ALL, limit=10)
        conversation = store.conversation(newest.message.key)
        assert first == Line(conversation or first.conversation, turns=2, waiting=1, last_at=newest.received_at)
        assert first.conversation.thread is not None
        assert (second.conversation.key.channel, second.turns, second.waiting) == ("roof", 1, 1)

    def test_a_conversation_without_turns_is_not_found(self, store: Store, reporting: Catalogue) -> None:
        store.adopt(key(), ThreadId("thread"), "x", ())
        assert reporting.find_conversations(ALL, limit=10) == []

    def test_pages_of_conversations_have_no_gap(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        told = [tell(store, f"{number}") for number in range(7)]
        for turn in told[1:6]:
            set_times(turn, 1000.5)
        whole = reporting.find_conversations(ALL, limit=10)
        assert sorted(channels(list(whole))) == [f"{number}" for number in range(7)]
        assert all_lines(reporting, ALL, 2) == whole

    def test_a_conversation_is_found_by_any_of_its_turns(self, store: Store, reporting: Catalogue) -> None:
        settle(store, "loft", "grain", author="Bob")
        settle(store, "roof", "water", author="Bob")
        tell(store, "loft", "thanks")
        tell(store, "loft", "owl", platform="owl")
        assert channels(all_lines(reporting, Search(text="GRAIN"), 10)) == ["loft"]
        assert channels(all_lines(reporting, Search(user="Bob"), 1)) == ["loft", "roof"]
        assert channels(all_lines(reporting, Search(user="Bob", text="thanks"), 1)) == []
        assert channels(all_lines(reporting, Search(user="Bob", channel="roof"), 1)) == ["roof"]
        assert channels(all_lines(reporting, Search(platform="owl"), 1)) == ["loft"]

    def test_conversation_is_found_by_id(self, store: Store, reporting: Catalogue) -> None:
        turn = store.record(replace(saying(), text="x"), new_turn()).turn
        found = reporting.conversation_by_id(turn.conversation)
        assert found == store.conversation(turn.message.key)
        assert reporting.conversation_by_id(turn.conversation + 1000) is None
