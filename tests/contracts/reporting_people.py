"""Contract of ReportingStore: personal data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.context import ChatContext, Label, Quote
from gateway.domain.conversations import Conversation
from gateway.domain.exchange import Exchange
from gateway.domain.models import ThreadId, Turn, TurnState
from gateway.domain.platform_events import Feedback
from gateway.ports.leased_writes import SetContext, SetThread
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from tests.contracts.reporting_helpers import (
    DAY,
    SetTimes,
    answered_turn,
    enqueue_and_claim,
    enqueue_message,
    failed_turn,
    ids,
)
from tests.contracts.store_helpers import PLATFORM, answer, finish, get_turn, key

ADA = Label("@Ada", "Ada L", "Ada")


def conversation_of(store: Store, turn: Turn) -> Conversation:
    found = store.find_conversation(turn.message.key)
    assert found is not None
    return found


def is_erased(turn: Turn) -> bool:
    message, detail = turn.message, turn.failure.detail if turn.failure else ""
    said = (
        message.text,
        message.author,
        message.address,
        message.files,
        turn.reply,
        turn.reply_files,
        turn.refusal,
        turn.posted_messages,
        detail,
    )
    return not any(said) and turn.erased_at is not None


class PersonContract:
    def test_turns_of_a_person_are_read_oldest_first_in_pages(
        self, store: Store, reporting: ReportingStore, set_times: SetTimes
    ) -> None:
        told = [answered_turn(store, f"{number % 2}") for number in range(5)]
        for turn in told[1:4]:
            set_times(turn, 1000.5)
        answered_turn(store, "0", author="Bob")
        answered_turn(store, "owl", platform="owl")
        whole = reporting.turns_by_author(PLATFORM, "Ada")
        assert sorted(ids(whole)) == sorted(ids(told))
        assert [turn.received_at for turn in whole] == sorted(turn.received_at for turn in whole)
        assert whole[0] == get_turn(store, whole[0])
        pages = [reporting.turns_by_author(PLATFORM, "Ada", limit=2)]
        while pages[-1]:
            pages.append(reporting.turns_by_author(PLATFORM, "Ada", after=pages[-1][-1], limit=2))
        assert [turn for page in pages for turn in page] == whole

    def test_unfinished_turns_of_a_person_are_listed(self, store: Store, reporting: ReportingStore) -> None:
        running, behind = enqueue_and_claim(store).turn, enqueue_message(store)
        queued = enqueue_message(store, "roof")
        answered_turn(store, "done")
        store.cancel_turn(enqueue_message(store, "roof").id)
        enqueue_message(store, "roof", author="Bob")
        enqueue_message(store, "roof", platform="owl")
        assert reporting.unfinished_turns_by(PLATFORM, "Ada") == ids([running, behind, queued])
        assert reporting.unfinished_turns_by(PLATFORM, "Eve") == []

    def test_a_person_is_the_same_for_all_bots_of_a_platform(self, store: Store, reporting: ReportingStore) -> None:
        bots = (PLATFORM, f"{PLATFORM}:sales")
        answered = [answered_turn(store, platform=each) for each in (*bots, f"{PLATFORM}s", f"{PLATFORM}s:sales")][:2]
        queued = [enqueue_message(store, "roof", platform=each) for each in bots]
        assert ids(reporting.turns_by_author(PLATFORM, "Ada")) == ids([*answered, *queued])
        assert ids(reporting.turns_by_author(bots[1], "Ada")) == ids([answered[1], queued[1]])
        assert reporting.unfinished_turns_by(PLATFORM, "Ada") == ids(queued)
        found = [conversation.key.platform for conversation, _ in reporting.conversations_of(PLATFORM, "Ada")]
        assert found == [*bots, *bots]

    def test_conversations_are_shared_or_exclusive(self, store: Store, reporting: ReportingStore) -> None:
        alone, shared, keyed = (
            answered_turn(store, "alone"),
            answered_turn(store, "shared"),
            enqueue_message(store, "keyed", user="Ada"),
        )
        for author, channel in (("Bob", "shared"), ("Bob", "bobs"), ("", "nobodys")):
            answered_turn(store, channel, author=author)
        answered_turn(store, "alone", platform="owl", author="Bob")
        wanted = [(conversation_of(store, turn), turn is not shared) for turn in (alone, shared, keyed)]
        assert reporting.conversations_of(PLATFORM, "Ada") == wanted
        assert reporting.conversations_of(PLATFORM, "Eve") == []

    def test_authors_in_imported_history_count(self, store: Store, reporting: ReportingStore) -> None:
        store.import_thread(key(), ThreadId("thread"), "pigeons", [Exchange("a", "b", "Ada"), Exchange("c", "d")])
        ((_, alone),) = reporting.conversations_of(PLATFORM, "Ada")
        assert not alone

    def test_erased_turns_belong_to_nobody(self, store: Store, reporting: ReportingStore, set_times: SetTimes) -> None:
        for author in ("Bob", "Ada"):
            set_times(answered_turn(store, "shared", author=author), 1000.0)
        answered_turn(store, "erased", author="Eve")
        set_times(answered_turn(store, "erased", author="Eve"), 1000.0)
        answered_turn(store, "shared")
        assert reporting.erase_older_than(DAY) == 3
        assert [alone for _, alone in reporting.conversations_of(PLATFORM, "Ada")] == [True]
        assert [alone for _, alone in reporting.conversations_of(PLATFORM, "Eve")] == [True]
        assert reporting.conversations_of(PLATFORM, "Bob") == []
        assert len(reporting.turns_by_author(PLATFORM, "Ada")) == 1
        assert reporting.turns_by_author(PLATFORM, "") == []

    def test_one_person_is_erased_from_a_conversation(self, store: Store, reporting: ReportingStore) -> None:
        told = [answered_turn(store), failed_turn(store), answered_turn(store, author="Bob")]
        conversation = conversation_of(store, told[0])
        elsewhere = answered_turn(store, "roof")
        assert reporting.erase_author(conversation, "Ada") == 2
        first, second, third = store.transcript(conversation.id)
        assert is_erased(first)
        assert is_erased(second)
        assert third == told[2]
        assert get_turn(store, elsewhere) == elsewhere
        assert conversation_of(store, third) == replace(conversation, thread_id=None, backend="")
        assert (first.state, first.usage, first.cost) == (told[0].state, told[0].usage, 50)
        assert (second.failure and second.failure.code, first.received_at) == ("timed_out", told[0].received_at)
        assert reporting.erase_author(conversation_of(store, third), "Ada") == 0

    def test_what_was_quoted_of_a_person_is_erased_from_the_turns_of_others(
        self, store: Store, reporting: ReportingStore
    ) -> None:
        quotes = (Quote("secret", "Ada L", "Ada"), Quote("not hers", "Bob R", "Bob"))
        claim = enqueue_and_claim(store, author="Eve")
        store.apply_writes([SetContext(claim.lease, claim.turn, ChatContext("Eve E", (ADA,), quotes))])
        answered_turn(store, "roof", author="Adam")
        shared = [(conversation_of(store, claim.turn), False)]
        assert reporting.conversations_of(PLATFORM, "Ada") == shared
        assert reporting.quotes_of(PLATFORM, "Ada") == [(claim.turn.id, quotes[0])]
        assert reporting.erase_author(shared[0][0], "Ada") == 0
        assert reporting.quotes_of(PLATFORM, "Ada") == []
        kept = get_turn(store, claim.turn).message
        assert kept.context == ChatContext("Eve E", (), quotes[1:])
        assert kept.text == "Hello"
        assert reporting.conversations_of(PLATFORM, "Ada") == []
        assert reporting.erase_author(conversation_of(store, claim.turn), "Eve") == 1
        assert get_turn(store, claim.turn).message.context is None

    def test_unfinished_turns_of_erased_person_are_cancelled_and_others_proceed(
        self, store: Store, reporting: ReportingStore
    ) -> None:
        claim = enqueue_and_claim(store)
        queued, others = enqueue_message(store), enqueue_message(store, author="Bob")
        assert reporting.erase_author(conversation_of(store, queued), "Ada") == 2
        assert [get_turn(store, turn).state for turn in (claim.turn, queued)] == [TurnState.CANCELLED] * 2
        assert store.renew_leases("one").cancelled_turns == {claim.turn.id}
        store.apply_writes([answer(claim, "secret"), finish(claim, keep=False)])
        assert is_erased(get_turn(store, claim.turn))
        (behind,) = store.claim("two", [PLATFORM], 1)
        assert (behind.turn.id, behind.conversation.thread_id) == (queued.id, None)
        store.apply_writes([finish(behind, keep=False)])
        (last,) = store.claim("two", [PLATFORM], 1)
        assert (last.turn.id, last.turn.message.text) == (others.id, "Hello")

    def test_person_is_not_erased_if_the_thread_changed_meanwhile(
        self, store: Store, reporting: ReportingStore
    ) -> None:
        claim = enqueue_and_claim(store)
        seen = conversation_of(store, claim.turn)
        store.apply_writes([SetThread(claim.lease, ThreadId("newer"), "pigeons")])
        assert reporting.erase_author(seen, "Ada") is None
        assert get_turn(store, claim.turn).message.text == "Hello"
        assert conversation_of(store, claim.turn).thread_id == "newer"

    @pytest.mark.parametrize("thread", [None, ThreadId("gone")])
    def test_person_is_not_erased_from_deleted_conversation(
        self, store: Store, reporting: ReportingStore, thread: ThreadId | None
    ) -> None:
        turn = enqueue_message(store)
        assert reporting.erase_author(Conversation(turn.conversation_id + 1000, key(), thread), "Ada") is None

    def test_feedback_of_a_person_is_read_and_deleted(self, store: Store, reporting: ReportingStore) -> None:
        turn, others, elsewhere = (
            answered_turn(store),
            answered_turn(store, author="Bob"),
            answered_turn(store, platform="owl"),
        )
        for each, author in ((turn, "Ada"), (others, "Ada"), (others, "Bob"), (elsewhere, "Ada")):
            store.record_feedback(Feedback(each.id, author, "good"))
        theirs = {Feedback(each.id, "Ada", "good") for each in (turn, others)}
        assert set(reporting.feedback_by(PLATFORM, "Ada")) == theirs
        assert reporting.erase_feedback_by(PLATFORM, "Ada") == 2
        assert reporting.feedback_by(PLATFORM, "Ada") == []
        assert [verdict.author for verdict in store.feedback_on(others.id)] == ["Bob"]
        assert store.feedback_on(elsewhere.id) != []
