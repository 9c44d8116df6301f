"""Contract of Store: a person takes a conversation over, and gives it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.conversations import Claim
from gateway.domain.files import File
from gateway.domain.handover import HandoverPart
from gateway.domain.models import ConversationKey, Failure, MessageKind, Turn, TurnState
from gateway.domain.sentences import sentence
from gateway.ports.enqueue import EnqueueRequest, EnqueueResult
from gateway.ports.handovers import BROUGHT, Handovers, OpenHandover, introduction_name, said_name
from gateway.ports.leased_writes import GiveBack, HoldTurn, ParkTurn
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    ExpireLease,
    answer,
    apply_write,
    claim_one,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    finish,
    get_turn,
    key,
    message,
    new_turn,
    remembered,
)

HANDED_OVER = {"kind": MessageKind.HAND_OVER, "caller": "push staff Eve"}
RESUMED = {"kind": MessageKind.RESUME, "caller": "push staff Eve"}


class HandoverStore(Store, ReportingStore):
    """A store with its handovers."""

    handovers: Handovers


def take_over(store: Store, text: str = "angry", author: str = "Ada", **more: object) -> Turn:
    said = message(text=text, **HANDED_OVER | more)  # type: ignore[arg-type]  # of many types
    return enqueue_one(store, replace(said, author=author), new_turn()).turn


def give_back(store: Store, author: str = "Ada", **more: object) -> Turn:
    said = message(text="/resume", **RESUMED | more)  # type: ignore[arg-type]  # likewise
    return enqueue_one(store, replace(said, author=author), new_turn()).turn


def held(store: Store, claim: Claim) -> tuple[Turn, Claim | None]:
    """Holds a turn and finishes it; returns it, and the claim on the next one."""
    turn = apply_write(store, HoldTurn(claim.lease, claim.turn))
    assert isinstance(turn, Turn)
    following = apply_write(store, finish(replace(claim, turn=turn)))
    assert following is None or isinstance(following, Claim)
    return turn, following


def handled(store: Store) -> Claim | None:
    """Answers and finishes the next turn; returns the claim on the one after it."""
    claim = claim_one(store)
    turn = apply_write(store, answer(claim))
    assert isinstance(turn, Turn)
    following = apply_write(store, finish(replace(claim, turn=turn)))
    assert following is None or isinstance(following, Claim)
    return following


def enqueue_answered(store: Store, name: str) -> Turn:
    brought = replace(message("attic", ""), message_id=name, author="", caller="push handover", given_reply="words")
    return store.enqueue_answered(brought, new_turn()).turn


def enqueue_refused_introduction(store: Store, taken: Turn, platform: str) -> None:
    """Stores what a platform refused of a handover that a turn began: the beginning of a topic."""
    name = f"{BROUGHT}{introduction_name(taken.conversation_id, taken.seq)}"
    place = replace(message("staff"), message_id=name, key=ConversationKey(platform, channel="staff"))
    failure = Failure("undeliverable", sentence("No."), detail="channel_not_found")
    assert store.enqueue_failed(place, new_turn(), failure) is not None


class HandoverContract:
    def test_a_conversation_is_handed_over_with_the_commit_of_the_message(
        self, store: HandoverStore, peer: HandoverStore
    ) -> None:
        taken = take_over(store)
        assert get_turn(peer, taken).message.kind is MessageKind.HAND_OVER
        conversation = peer.find_conversation(key())
        assert conversation is not None
        assert conversation.handover is not None
        assert (conversation.handover.seq, conversation.handover.since) == (1, taken.received_at)
        (found,) = peer.handovers.of_conversation(conversation.id)
        assert (found.by, found.reason, found.seq, found.ended_at) == ("staff Eve", "angry", 1, None)
        assert peer.handovers.count_open() == 1
        assert [each.conversation for each in peer.handovers.listed_open(10)] == [conversation]
        assert peer.handovers.listed_open(10, older_than=60.0) == []

    def test_what_was_brought_to_the_staff_is_erased_with_what_it_shows(self, store: HandoverStore) -> None:
        taken = take_over(store)
        said = enqueue(store).turn
        shown = [
            enqueue_answered(store, f"{BROUGHT}{introduction_name(taken.conversation_id, taken.seq)}"),
            enqueue_answered(store, f"{BROUGHT}{said_name(said.id)}"),
            enqueue_answered(store, f"{BROUGHT}{said_name('another')}"),
        ]
        conversation = store.find_conversation(key())
        assert conversation is not None
        store.erase_author(conversation, said.message.author)
        assert [get_turn(store, each).reply for each in shown] == ["", "", "words"]
        last = enqueue_answered(store, f"{BROUGHT}{introduction_name(taken.conversation_id, taken.seq)} again")
        store.delete_conversation(taken.conversation_id)
        assert get_turn(store, last).reply == "words"

    def test_open_handovers_are_read_page_by_page(self, store: HandoverStore) -> None:
        numbers = [take_over(store, channel=f"{number}").conversation_id for number in range(5)]
        found: list[OpenHandover] = []
        while page := store.handovers.listed_open(2, after=found[-1] if found else None):
            assert len(page) <= 2
            found += page
        assert [each.conversation.id for each in found] == numbers
        assert [each.newest_seq for each in found] == [1] * 5

    def test_those_that_have_begun_a_topic_are_found_with_it(self, store: HandoverStore) -> None:
        taken = [take_over(store, channel=f"{number}") for number in range(4)]
        roots = [
            enqueue_answered(store, f"{BROUGHT}{introduction_name(each.conversation_id, each.seq)}")
            for each in taken[1:]
        ]
        found = store.handovers.introduced(PLATFORM)
        assert [(each.conversation.id, root) for each, root in found] == [
            (turn.conversation_id, get_turn(store, root)) for turn, root in zip(taken[1:], roots, strict=True)
        ]
        assert store.handovers.introduced("owl") == []

    def test_whoever_claims_knows_of_it(self, store: HandoverStore, peer: HandoverStore) -> None:
        running = enqueue_and_claim(store)
        enqueue(store)
        taken = take_over(peer)
        assert running.conversation.handover is None
        turn = apply_write(store, answer(running))
        assert isinstance(turn, Turn)
        waiting = apply_write(store, finish(replace(running, turn=turn)))
        assert isinstance(waiting, Claim)
        assert waiting.conversation.handover is not None
        assert waiting.conversation.handover.seq == taken.seq
        assert waiting.first_attempt
        _, following = held(store, waiting)
        assert following is not None
        assert following.turn.message.kind is MessageKind.HAND_OVER
        assert following.conversation.handover == waiting.conversation.handover

    def test_the_claim_of_a_new_message_knows_of_it(self, store: HandoverStore) -> None:
        take_over(store)
        assert handled(store) is None
        assert enqueue_and_claim(store).conversation.handover is not None
        first, second = store.enqueue_all(
            [
                EnqueueRequest(message("attic"), new_turn(), "one"),
                EnqueueRequest(message("attic", **HANDED_OVER), new_turn()),
            ]
        )
        assert isinstance(first, EnqueueResult)
        assert isinstance(second, EnqueueResult)
        assert first.claim is not None
        assert first.claim.conversation.handover is not None

    def test_a_held_turn_is_answered_without_a_reply(self, store: HandoverStore, peer: HandoverStore) -> None:
        take_over(store)
        handled(store)
        turn, following = held(store, enqueue_and_claim(store))
        assert following is None
        assert (turn.state, turn.reply, turn.handover) == (TurnState.ANSWERED, "", HandoverPart.HELD)
        stored = get_turn(peer, turn)
        assert (stored.state, stored.is_held, stored.cost) == (TurnState.DELIVERED, True, 0)
        assert stored.message.text == "Hello"
        assert store.past_turns(replace(stored, seq=stored.seq + 1), 1) == [remembered(stored)]

    def test_a_turn_that_was_cancelled_is_not_held(self, store: HandoverStore) -> None:
        take_over(store)
        handled(store)
        claim = enqueue_and_claim(store)
        store.cancel_turn(claim.turn.id)
        turn = apply_write(store, HoldTurn(claim.lease, claim.turn))
        assert isinstance(turn, Turn)
        assert (turn.state, turn.is_held) == (TurnState.CANCELLED, False)

    def test_a_lost_lease_holds_nothing_and_gives_nothing_back(
        self, store: HandoverStore, peer: HandoverStore, expire_lease: ExpireLease
    ) -> None:
        take_over(store)
        handled(store)
        give_back(store)
        claim = claim_one(store)
        expire_lease(claim.conversation.id)
        again = claim_one(peer, "two")
        for write in (HoldTurn(claim.lease, claim.turn), GiveBack(claim.lease, claim.turn)):
            assert isinstance(apply_write(store, write), Exception)
        assert get_turn(store, claim.turn) == again.turn
        assert store.handovers.count_open() == 1

    def test_giving_back_and_asking_are_one_transaction(self, store: HandoverStore, peer: HandoverStore) -> None:
        take_over(store)
        handled(store)
        give_back(store)
        claim = claim_one(store)
        question = message(text="Where\0 is it?", files=(File("a.png", "F1", "image/png", 3),))
        turn = apply_write(store, GiveBack(claim.lease, claim.turn, question))
        assert isinstance(turn, Turn)
        assert turn == get_turn(peer, turn)
        said = turn.message
        assert (said.kind, said.text, said.files) == (MessageKind.PROMPT, "Where\ufffd is it?", question.files)
        assert (turn.state, turn.handover, said.caller) == (
            TurnState.RUNNING,
            HandoverPart.RESUMED,
            "push staff Eve",
        )
        conversation = peer.find_conversation(key())
        assert conversation is not None
        assert conversation.handover is None
        (found,) = peer.handovers.of_conversation(conversation.id)
        assert (found.ended_by, found.ended_at is None) == ("staff Eve", False)
        assert apply_write(store, GiveBack(claim.lease, turn, replace(question, text="Again"))) == turn

    def test_without_a_question_the_turn_stays_a_command(self, store: HandoverStore) -> None:
        take_over(store)
        handled(store)
        given = give_back(store)
        claim = claim_one(store)
        turn = apply_write(store, GiveBack(claim.lease, claim.turn))
        assert isinstance(turn, Turn)
        assert (turn.id, turn.message.kind) == (given.id, MessageKind.RESUME)
        assert get_turn(store, turn) == turn
        assert store.handovers.count_open() == 0

    def test_what_was_cancelled_meanwhile_gives_nothing_back(self, store: HandoverStore) -> None:
        take_over(store)
        handled(store)
        give_back(store)
        claim = claim_one(store)
        store.cancel_turn(claim.turn.id)
        turn = apply_write(store, GiveBack(claim.lease, claim.turn, message(text="Hello?")))
        assert isinstance(turn, Turn)
        assert (turn.state, turn.message.kind) == (TurnState.CANCELLED, MessageKind.RESUME)
        assert store.handovers.count_open() == 1

    def test_who_takes_over_behind_is_not_ended_by_what_was_before(self, store: HandoverStore) -> None:
        first = take_over(store)
        handled(store)
        give_back(store)
        take_over(store, text="again")
        claim = claim_one(store)
        turn = apply_write(store, GiveBack(claim.lease, claim.turn, message(text="Hello?")))
        assert isinstance(turn, Turn)
        assert turn.message.kind is MessageKind.RESUME
        conversation = store.find_conversation(key())
        assert conversation is not None
        assert conversation.handover is not None
        assert (conversation.handover.seq, conversation.handover.since) == (3, first.received_at)
        assert [each.seq for each in store.handovers.of_conversation(conversation.id)] == [1]

    def test_a_conversation_is_taken_over_again_later(self, store: HandoverStore) -> None:
        take_over(store)
        handled(store)
        give_back(store)
        claim = claim_one(store)
        apply_write(store, GiveBack(claim.lease, claim.turn))
        handled_by = apply_write(store, answer(claim))
        assert isinstance(handled_by, Turn)
        apply_write(store, finish(replace(claim, turn=handled_by)))
        again = take_over(store)
        found = store.handovers.of_conversation(again.conversation_id)
        assert [(each.seq, each.ended_at is None) for each in found] == [(3, True), (1, False)]

    @pytest.mark.parametrize(("taken", "kind"), [(True, MessageKind.RESUME), (False, MessageKind.PROMPT)])
    def test_a_word_that_gives_back_is_a_prompt_where_there_is_nothing_to_give_back(
        self, store: HandoverStore, *, taken: bool, kind: MessageKind
    ) -> None:
        if taken:
            take_over(store)
        assert give_back(store, only_if_running=True).message.kind is kind

    def test_a_parked_turn_is_woken_to_be_held(self, store: HandoverStore) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, ParkTurn(claim.lease, claim.turn, "budget", 30.0, 60.0))
        assert store.claim("one", [PLATFORM], 1) == ()
        take_over(store)
        woken = claim_one(store)
        assert (woken.turn.id, woken.first_attempt) == (claim.turn.id, True)
        assert woken.conversation.handover is not None

    def test_a_full_conversation_can_be_taken_over(self, store: HandoverStore) -> None:
        enqueue_one(store, message(), new_turn(), max_backlog=1)
        taken = message(**HANDED_OVER)
        assert enqueue_one(store, taken, new_turn(), max_backlog=1).is_new

    def test_a_message_that_comes_again_takes_over_once(self, store: HandoverStore) -> None:
        first = take_over(store, name="once")
        assert take_over(store, name="once").id == first.id
        handled(store)
        claim = claim_one_of(store, give_back(store))
        apply_write(store, GiveBack(claim.lease, claim.turn))
        assert take_over(store, name="once").id == first.id
        assert store.handovers.count_open() == 0

    # ------------------------------------------------------------ what is kept

    def test_what_a_person_is_said_to_be_goes_with_them(self, store: HandoverStore) -> None:
        taken = take_over(store, caller="", text="/human")
        conversation = store.find_conversation(key())
        assert conversation is not None
        assert store.handovers.of_conversation(conversation.id)[0].by == taken.message.author == "Ada"
        assert store.erase_author(conversation, "Ada") == 1
        (left,) = store.handovers.of_conversation(conversation.id)
        assert (left.by, left.reason) == ("", "")
        store.delete_conversation(conversation.id)
        assert store.handovers.of_conversation(conversation.id) == []
        assert store.handovers.count_open() == 0

    def test_what_others_were_told_of_a_person_goes_with_them(self, store: HandoverStore) -> None:
        taken = take_over(store, text="Ada wants her money", author="Bob")
        enqueue(store)
        conversation = store.find_conversation(key())
        assert conversation is not None
        assert store.erase_author(conversation, "Ada") == 1
        kept = get_turn(store, taken)
        assert (kept.message.text, kept.message.author, kept.message.kind) == ("/human", "Bob", MessageKind.HAND_OVER)
        assert kept.erased_at is None

    def test_what_was_asked_again_is_erased_with_everybody_who_had_written_it(self, store: HandoverStore) -> None:
        asked = list[Turn]()
        for authors in (("Ada", "Bob"), ("Bob",)):
            take_over(store, author="Eve")
            handled(store)
            for author in authors:
                enqueue_one(store, replace(message(text=f"{author}'s"), author=author), new_turn())
                held(store, claim_one(store))
            give_back(store, author="")
            claim = claim_one(store)
            question = replace(message(text="\n".join(f"{each}'s" for each in authors)), author="Bob")
            turn = apply_write(store, GiveBack(claim.lease, claim.turn, question))
            assert isinstance(turn, Turn)
            replied = apply_write(store, answer(replace(claim, turn=turn)))
            assert isinstance(replied, Turn)
            apply_write(store, finish(replace(claim, turn=replied)))
            asked.append(replied)
        conversation = store.find_conversation(key())
        assert conversation is not None
        assert store.erase_author(conversation, "Ada") == 2
        first, second = (get_turn(store, each) for each in asked)
        assert (first.message.text, first.reply, first.erased_at is None) == ("", "", False)
        assert (second.message.text, second.message.author, second.reply) == ("Bob's", "Bob", asked[1].reply)

    def test_reasons_are_kept_as_long_as_messages(self, store: HandoverStore) -> None:
        taken = take_over(store)
        store.erase_older_than(60.0)
        assert store.handovers.of_conversation(taken.conversation_id)[0].reason == "angry"
        store.erase_older_than(-60.0)
        assert store.handovers.of_conversation(taken.conversation_id)[0].reason == ""


def claim_one_of(store: Store, turn: Turn) -> Claim:
    claim = claim_one(store)
    assert claim.turn.id == turn.id
    return claim
