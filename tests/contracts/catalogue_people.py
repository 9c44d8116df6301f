"""What a catalogue promises to the people whose data it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.catalogue import Catalogue
from gateway.messages import Conversation, Exchange, ThreadId, Turn, TurnState, Verdict
from gateway.storing import Bound, Store
from tests.contracts.catalogue_words import DAY, Happened, begin, fail, names, settle, tell
from tests.contracts.store_words import PLATFORM, answer, finish, key, read


def conversation_of(store: Store, turn: Turn) -> Conversation:
    found = store.conversation(turn.message.key)
    assert found is not None
    return found


def is_empty(turn: Turn) -> bool:
    message, detail = turn.message, turn.failure.detail if turn.failure else ""
    said = (message.text, message.author, message.address, message.files, turn.reply, turn.files, turn.parts, detail)
    return not any(said) and turn.erased_at is not None


class PeopleContract:
    def test_what_a_person_said_is_read_oldest_first_and_page_by_page(
        self, store: Store, catalogue: Catalogue, happened: Happened
    ) -> None:
        told = [settle(store, f"{number % 2}") for number in range(5)]
        for turn in told[1:4]:
            happened(turn, 1000.5)
        settle(store, "0", author="Bob")
        settle(store, "owl", platform="owl")
        whole = catalogue.said_by(PLATFORM, "Ada")
        assert sorted(names(whole)) == sorted(names(told))
        assert [turn.received_at for turn in whole] == sorted(turn.received_at for turn in whole)
        assert whole[0] == read(store, whole[0])
        pages = [catalogue.said_by(PLATFORM, "Ada", limit=2)]
        while pages[-1]:
            pages.append(catalogue.said_by(PLATFORM, "Ada", after=pages[-1][-1], limit=2))
        assert [turn for page in pages for turn in page] == whole

    def test_what_waits_of_a_person_is_known(self, store: Store, catalogue: Catalogue) -> None:
        running, behind = begin(store).turn, tell(store)
        queued = tell(store, "roof")
        settle(store, "done")
        store.cancel(tell(store, "roof").id)
        tell(store, "roof", author="Bob")
        tell(store, "roof", platform="owl")
        assert catalogue.unfinished(PLATFORM, "Ada") == names([running, behind, queued])
        assert catalogue.unfinished(PLATFORM, "Eve") == []

    def test_conversations_are_shared_or_not(self, store: Store, catalogue: Catalogue) -> None:
        alone, shared, keyed = settle(store, "alone"), settle(store, "shared"), tell(store, "keyed", user="Ada")
        for author, channel in (("Bob", "shared"), ("Bob", "bobs"), ("", "nobodys")):
            settle(store, channel, author=author)
        settle(store, "alone", platform="owl", author="Bob")
        wanted = [(conversation_of(store, turn), turn is not shared) for turn in (alone, shared, keyed)]
        assert catalogue.shares(PLATFORM, "Ada") == wanted
        assert catalogue.shares(PLATFORM, "Eve") == []

    def test_what_somebody_said_before_a_thread_was_adopted_is_somebodys(
        self, store: Store, catalogue: Catalogue
    ) -> None:
        store.adopt(key(), ThreadId("thread"), "pigeons", [Exchange("a", "b", "Ada"), Exchange("c", "d")])
        ((_, alone),) = catalogue.shares(PLATFORM, "Ada")
        assert not alone

    def test_what_was_erased_is_nobodys(self, store: Store, catalogue: Catalogue, happened: Happened) -> None:
        for author in ("Bob", "Ada"):
            happened(settle(store, "shared", author=author), 1000.0)
        settle(store, "erased", author="Eve")
        happened(settle(store, "erased", author="Eve"), 1000.0)
        settle(store, "shared")
        assert catalogue.erase_before(DAY) == 3
        assert [alone for _, alone in catalogue.shares(PLATFORM, "Ada")] == [True]
        assert [alone for _, alone in catalogue.shares(PLATFORM, "Eve")] == [True]
        assert catalogue.shares(PLATFORM, "Bob") == []
        assert len(catalogue.said_by(PLATFORM, "Ada")) == 1
        assert catalogue.said_by(PLATFORM, "") == []

    def test_one_person_is_erased_from_a_conversation(self, store: Store, catalogue: Catalogue) -> None:
        told = [settle(store), fail(store), settle(store, author="Bob")]
        conversation = conversation_of(store, told[0])
        elsewhere = settle(store, "roof")
        assert catalogue.erase_person(conversation, "Ada") == 2
        first, second, third = store.transcript(conversation.id)
        assert is_empty(first)
        assert is_empty(second)
        assert third == told[2]
        assert read(store, elsewhere) == elsewhere
        assert conversation_of(store, third) == replace(conversation, thread=None, backend="")
        assert (first.state, first.usage, first.cost) == (told[0].state, told[0].usage, 50)
        assert (second.failure and second.failure.code, first.received_at) == ("timed_out", told[0].received_at)
        assert catalogue.erase_person(conversation_of(store, third), "Ada") == 0

    def test_unfinished_turns_of_an_erased_person_are_cancelled_and_the_conversation_goes_on(
        self, store: Store, catalogue: Catalogue
    ) -> None:
        claim = begin(store)
        queued, others = tell(store), tell(store, author="Bob")
        assert catalogue.erase_person(conversation_of(store, queued), "Ada") == 2
        assert [read(store, turn).state for turn in (claim.turn, queued)] == [TurnState.CANCELLED] * 2
        assert store.renew("one").cancelled == {claim.turn.id}
        store.write([answer(claim, "secret"), finish(claim, keep=False)])
        assert is_empty(read(store, claim.turn))
        (behind,) = store.claim("two", [PLATFORM], 1)
        assert (behind.turn.id, behind.conversation.thread) == (queued.id, None)
        store.write([finish(behind, keep=False)])
        (last,) = store.claim("two", [PLATFORM], 1)
        assert (last.turn.id, last.turn.message.text) == (others.id, "Hello")

    def test_a_thread_that_was_opened_meanwhile_keeps_a_person_from_being_erased(
        self, store: Store, catalogue: Catalogue
    ) -> None:
        claim = begin(store)
        seen = conversation_of(store, claim.turn)
        store.write([Bound(claim.lease, ThreadId("newer"), "pigeons")])
        assert catalogue.erase_person(seen, "Ada") is None
        assert read(store, claim.turn).message.text == "Hello"
        assert conversation_of(store, claim.turn).thread == "newer"

    @pytest.mark.parametrize("thread", [None, ThreadId("gone")])
    def test_nobody_is_erased_from_a_conversation_that_is_gone(
        self, store: Store, catalogue: Catalogue, thread: ThreadId | None
    ) -> None:
        turn = tell(store)
        assert catalogue.erase_person(Conversation(turn.conversation + 1000, key(), thread), "Ada") is None

    def test_verdicts_are_read_and_deleted_for_a_person(self, store: Store, catalogue: Catalogue) -> None:
        turn, others, elsewhere = settle(store), settle(store, author="Bob"), settle(store, platform="owl")
        for each, author in ((turn, "Ada"), (others, "Ada"), (others, "Bob"), (elsewhere, "Ada")):
            store.judge(Verdict(each.id, author, "good"))
        theirs = {Verdict(each.id, "Ada", "good") for each in (turn, others)}
        assert set(catalogue.judged_by(PLATFORM, "Ada")) == theirs
        assert catalogue.erase_verdicts(PLATFORM, "Ada") == 2
        assert catalogue.judged_by(PLATFORM, "Ada") == []
        assert [verdict.author for verdict in store.verdicts(others.id)] == ["Bob"]
        assert store.verdicts(elsewhere.id) != []
