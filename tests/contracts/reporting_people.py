"""Contract of ReportingStore: personal data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.models import Conversation, Exchange, ThreadId, Turn, TurnState, Verdict
from gateway.ports.reporting import Catalogue
from gateway.ports.store import Bound, Store
from tests.contracts.reporting_helpers import DAY, Happened, begin, fail, names, settle, tell
from tests.contracts.store_helpers import PLATFORM, answer, finish, key, read


def conversation_of(store: Store, turn: Turn) -> Conversation:
    found = store.conversation(turn.message.key)
    assert found is not None
    return found


def is_empty(turn: Turn) -> bool:
    message, detail = turn.message, turn.failure.detail if turn.failure else ""
    said = (message.text, message.author, message.address, message.files, turn.reply, turn.files, turn.parts, detail)
    return not any(said) and turn.erased_at is not None


class PeopleContract:
    def test_turns_of_a_person_are_read_oldest_first_in_pages(
        self, store: Store, reporting: Catalogue, set_times: Happened
    ) -> None:
        told = [settle(store, f"{number % 2}") for number in range(5)]
        for turn in told[1:4]:
            set_times(turn, 1000.5)
        settle(store, "0", author="Bob")
        settle(store, "owl", platform="owl")
        whole = reporting.said_by(PLATFORM, "Ada")
        assert sorted(names(whole)) == sorted(names(told))
        assert [turn.received_at for turn in whole] == sorted(turn.received_at for turn in whole)
        assert whole[0] == read(store, whole[0])
        pages = [reporting.said_by(PLATFORM, "Ada", limit=2)]
        while pages[-1]:
            pages.append(reporting.said_by(PLATFORM, "Ada", after=pages[-1][-1], limit=2))
        assert [turn for page in pages for turn in page] == whole

    def test_unfinished_turns_of_a_person_are_listed(self, store: Store, reporting: Catalogue) -> None:
        running, behind = begin(store).turn, tell(store)
        queued = tell(store, "roof")
        settle(store, "done")
        store.cancel(tell(store, "roof").id)
        tell(store, "roof", author="Bob")
        tell(store, "roof", platform="owl")
        assert reporting.unfinished(PLATFORM, "Ada") == names([running, behind, queued])
        assert reporting.unfinished(PLATFORM, "Eve") == []

    def test_conversations_are_shared_or_exclusive(self, store: Store, reporting: Catalogue) -> None:
        alone, shared, keyed = settle(store, "alone"), settle(store, "shared"), tell(store, "keyed", user="Ada")
        for author, channel in (("Bob", "shared"), ("Bob", "bobs"), ("", "nobodys")):
            settle(store, channel, author=author)
        settle(store, "alone", platform="owl", author="Bob")
        wanted = [(conversation_of(store, turn), turn is not shared) for turn in (alone, shared, keyed)]
        assert reporting.shares(PLATFORM, "Ada") == wanted
        assert reporting.shares(PLATFORM, "Eve") == []

    def test_authors_in_imported_history_count(self, store: Store, reporting: Catalogue) -> None:
        store.adopt(key(), ThreadId("thread"), "pigeons", [Exchange("a", "b", "Ada"), Exchange("c", "d")])
        ((_, alone),) = reporting.shares(PLATFORM, "Ada")
        assert not alone

    def test_erased_turns_belong_to_nobody(self, store: Store, reporting: Catalogue, set_times: Happened) -> None:
        for author in ("Bob", "Ada"):
            set_times(settle(store, "shared", author=author), 1000.0)
        settle(store, "erased", author="Eve")
        set_times(settle(store, "erased", author="Eve"), 1000.0)
        settle(store, "shared")
        assert reporting.erase_before(DAY) == 3
        assert [alone for _, alone in reporting.shares(PLATFORM, "Ada")] == [True]
        assert [alone for _, alone in reporting.shares(PLATFORM, "Eve")] == [True]
        assert reporting.shares(PLATFORM, "Bob") == []
        assert len(reporting.said_by(PLATFORM, "Ada")) == 1
        assert reporting.said_by(PLATFORM, "") == []

    def test_one_person_is_erased_from_a_conversation(self, store: Store, reporting: Catalogue) -> None:
        told = [settle(store), fail(store), settle(store, author="Bob")]
        conversation = conversation_of(store, told[0])
        elsewhere = settle(store, "roof")
        assert reporting.erase_person(conversation, "Ada") == 2
        first, second, third = store.transcript(conversation.id)
        assert is_empty(first)
        assert is_empty(second)
        assert third == told[2]
        assert read(store, elsewhere) == elsewhere
        assert conversation_of(store, third) == replace(conversation, thread=None, backend="")
        assert (first.state, first.usage, first.cost) == (told[0].state, told[0].usage, 50)
        assert (second.failure and second.failure.code, first.received_at) == ("timed_out", told[0].received_at)
        assert reporting.erase_person(conversation_of(store, third), "Ada") == 0

    def test_unfinished_turns_of_erased_person_are_cancelled_and_others_proceed(
        self, store: Store, reporting: Catalogue
    ) -> None:
        claim = begin(store)
        queued, others = tell(store), tell(store, author="Bob")
        assert reporting.erase_person(conversation_of(store, queued), "Ada") == 2
        assert [read(store, turn).state for turn in (claim.turn, queued)] == [TurnState.CANCELLED] * 2
        assert store.renew("one").cancelled == {claim.turn.id}
        store.write([answer(claim, "secret"), finish(claim, keep=False)])
        assert is_empty(read(store, claim.turn))
        (behind,) = store.claim("two", [PLATFORM], 1)
        assert (behind.turn.id, behind.conversation.thread) == (queued.id, None)
        store.write([finish(behind, keep=False)])
        (last,) = store.claim("two", [PLATFORM], 1)
        assert (last.turn.id, last.turn.message.text) == (others.id, "Hello")

    def test_person_is_not_erased_if_the_thread_changed_meanwhile(self, store: Store, reporting: Catalogue) -> None:
        claim = begin(store)
        seen = conversation_of(store, claim.turn)
        store.write([Bound(claim.lease, ThreadId("newer"), "pigeons")])
        assert reporting.erase_person(seen, "Ada") is None
        assert read(store, claim.turn).message.text == "Hello"
        assert conversation_of(store, claim.turn).thread == "newer"

    @pytest.mark.parametrize("thread", [None, ThreadId("gone")])
    def test_person_is_not_erased_from_deleted_conversation(
        self, store: Store, reporting: Catalogue, thread: ThreadId | None
    ) -> None:
        turn = tell(store)
        assert reporting.erase_person(Conversation(turn.conversation + 1000, key(), thread), "Ada") is None

    def test_feedback_of_a_person_is_read_and_deleted(self, store: Store, reporting: Catalogue) -> None:
        turn, others, elsewhere = settle(store), settle(store, author="Bob"), settle(store, platform="owl")
        for each, author in ((turn, "Ada"), (others, "Ada"), (others, "Bob"), (elsewhere, "Ada")):
            store.judge(Verdict(each.id, author, "good"))
        theirs = {Verdict(each.id, "Ada", "good") for each in (turn, others)}
        assert set(reporting.judged_by(PLATFORM, "Ada")) == theirs
        assert reporting.erase_verdicts(PLATFORM, "Ada") == 2
        assert reporting.judged_by(PLATFORM, "Ada") == []
        assert [verdict.author for verdict in store.verdicts(others.id)] == ["Bob"]
        assert store.verdicts(elsewhere.id) != []
