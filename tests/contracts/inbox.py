"""The contract of ``gateway.ports.inbox.Inbox``, for the real inbox and the fake."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from gateway.domain.errors import Conflict, ThreadNotFound, TurnNotFound
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, MessageKind, ThreadId, Turn, TurnState
from gateway.domain.platform_events import Feedback, MessageDeleted, MessageEdited
from gateway.ports.inbox import Inbox
from gateway.ports.platform import ParsedUpdate
from tests.fakes.platform import FakePlatform
from tests.waiting import until

KEY = ConversationKey("fake", workspace="w", channel="thr_1")


def message(text: str, message_id: str, key: ConversationKey = KEY) -> Message:
    return Message(key, message_id, text, "ann", {"where": "here"})


class InboxContract:
    """Subclasses set ``inbox``, which answers the turns of ``platform`` with "You said: …", and implement ``hold``."""

    inbox: Inbox
    platform: FakePlatform

    def hold(self) -> threading.Event:
        """Makes turns that start from now on wait for the returned event before they are answered."""
        raise NotImplementedError

    def add_backend_thread(self, thread: ThreadId, past: Exchange) -> None:
        """Adds a thread to the backend that the core does not know."""
        raise NotImplementedError

    def finished(self, turn: Turn) -> Turn:
        """Waits until a turn is finished; returns it."""
        unfinished = (TurnState.QUEUED, TurnState.RUNNING, TurnState.ANSWERED)
        until(lambda: self.inbox.get_turn(turn.id).state not in unfinished)
        return self.inbox.get_turn(turn.id)

    def test_a_message_becomes_a_turn_with_the_given_id_and_is_answered(self) -> None:
        turn_id = self.inbox.new_turn_id()
        accepted = self.inbox.accept(message("hi", "m1"), turn_id)
        assert (accepted.turn.id, accepted.is_new, accepted.turn.message) == (turn_id, True, message("hi", "m1"))
        (delivered,) = self.platform.wait_for(1)
        assert (delivered.id, delivered.reply) == (turn_id, "You said: hi")
        turn = self.finished(accepted.turn)
        assert (turn.state, turn.reply) == (TurnState.DELIVERED, "You said: hi")

    def test_a_repeated_message_returns_its_turn_even_for_another_conversation(self) -> None:
        first = self.inbox.accept(message("hi", "m1"))
        other = replace(KEY, channel="thr_2")
        again = self.inbox.accept(
            replace(message("hi", "m1", other), may_start_conversation=False), self.inbox.new_turn_id()
        )
        assert (again.turn.id, again.is_new) == (first.turn.id, False)
        with pytest.raises(ThreadNotFound):
            self.inbox.accept(replace(message("ho", "m2", other), may_start_conversation=False))

    def test_turns_of_a_conversation_are_delivered_in_order(self) -> None:
        release = self.hold()
        turns = [self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(3)]
        release.set()
        assert [turn.id for turn in self.platform.wait_for(3)] == [turn.id for turn in turns]
        transcript = self.inbox.transcript(self.inbox.resolve_conversation(KEY))
        assert [(turn.seq, turn.message.text) for turn in transcript] == [(1, "0"), (2, "1"), (3, "2")]

    def test_a_conversation_is_found_by_its_key_or_thread_but_not_from_another_workspace(self) -> None:
        self.finished(self.inbox.accept(message("hi", "m1")).turn)
        found = self.inbox.resolve_conversation(KEY)
        assert found.thread_id is not None
        assert self.inbox.resolve_conversation(replace(KEY, channel=found.thread_id)) == found
        for stranger in (replace(KEY, workspace="v"), replace(KEY, platform="other"), replace(KEY, workspace="")):
            for name in (found.thread_id, KEY.channel):
                with pytest.raises(ThreadNotFound):
                    self.inbox.resolve_conversation(replace(stranger, channel=name))

    def test_a_thread_that_only_the_backend_knows_is_imported_by_the_first_request(self) -> None:
        self.add_backend_thread(ThreadId("conv_old"), Exchange("before", "long ago"))
        key = replace(KEY, channel="conv_old")
        imported = self.inbox.resolve_conversation(key)
        assert self.inbox.resolve_conversation(key) == imported
        (turn,) = self.inbox.transcript(imported)
        assert (turn.message.text, turn.reply, turn.state) == ("before", "long ago", TurnState.DELIVERED)
        with pytest.raises(ThreadNotFound):
            self.inbox.resolve_conversation(replace(key, workspace="v"))

    def test_a_turn_can_be_cancelled_until_it_is_resolved(self) -> None:
        release = self.hold()
        running, queued = (self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(2))
        for turn in (queued, running):
            assert self.inbox.cancel_turn(turn.id).state is TurnState.CANCELLED
            assert self.inbox.cancel_turn(turn.id).state is TurnState.CANCELLED
        release.set()
        outcomes = self.platform.wait_for(2)
        assert {turn.state for turn in outcomes} == {TurnState.CANCELLED}
        done = self.finished(self.inbox.accept(message("next", "m3")).turn)
        with pytest.raises(Conflict) as caught:
            self.inbox.cancel_turn(done.id)
        assert caught.value.code == "turn_finished"

    def test_a_stop_cancels_the_turns_before_it_and_replies_in_its_own(self) -> None:
        release = self.hold()
        asked = [self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(2)]
        stop = replace(message("stop", "m2"), kind=MessageKind.STOP, may_start_conversation=False)
        self.inbox.accept_all(ParsedUpdate((stop, stop)))
        *cancelled, stopped = self.platform.wait_for(3)
        assert [(turn.id, turn.state) for turn in cancelled] == [(turn.id, TurnState.CANCELLED) for turn in asked]
        assert (stopped.message.message_id, stopped.reply) == ("m2", "Stopped.")
        release.set()
        self.inbox.accept_all(ParsedUpdate((replace(stop, message_id="m3"),)))
        assert self.platform.wait_for(4)[3].reply == "There is nothing to stop."

    def test_a_reset_is_confirmed_without_a_preview(self) -> None:
        self.inbox.accept_all(ParsedUpdate((replace(message("reset", "m1"), kind=MessageKind.RESET),)))
        (reset,) = self.platform.wait_for(1)
        assert reset.reply.startswith("A new conversation begins.")
        assert reset.id not in self.platform.shown

    def test_a_message_that_may_not_start_a_conversation_is_dropped_without_one(self) -> None:
        self.inbox.accept_all(ParsedUpdate((replace(message("hi", "m1"), may_start_conversation=False),)))
        with pytest.raises(ThreadNotFound):
            self.inbox.resolve_conversation(KEY)

    def test_an_edit_changes_a_queued_turn_and_no_started_one(self) -> None:
        release = self.hold()
        self.inbox.accept_all(ParsedUpdate((message("one", "m1"), message("two", "m2"))))
        self.inbox.accept_all(
            ParsedUpdate(
                events=(
                    MessageEdited("fake", "m1", "1"),
                    MessageEdited("fake", "m2", "2"),
                    MessageEdited("fake", "m9", "9"),
                )
            )
        )
        release.set()
        assert [turn.reply for turn in self.platform.wait_for(2)] == ["You said: one", "You said: 2"]

    def test_deleting_a_message_cancels_its_unresolved_turn_and_no_other(self) -> None:
        release = self.hold()
        self.inbox.accept_all(ParsedUpdate((message("one", "m1"), message("two", "m2"))))
        self.inbox.accept_all(ParsedUpdate(events=(MessageDeleted("fake", "m2"), MessageDeleted("fake", "m9"))))
        release.set()
        one, two = self.platform.wait_for(2)
        assert (one.reply, two.state) == ("You said: one", TurnState.CANCELLED)
        self.inbox.accept_all(ParsedUpdate(events=(MessageDeleted("fake", "m1"), Feedback(one.id, "ann", "good"))))
        assert self.finished(one).state is TurnState.DELIVERED

    def test_an_album_item_joins_the_queued_turn_or_becomes_a_turn_of_its_own(self) -> None:
        release = self.hold()
        before = self.inbox.accept(message("wait", "m1")).turn
        first, second, third = (
            replace(
                message("", "album"), files=(File(f"{n}.jpg", f"{n}"),), album_item_id=f"{n}", debounce_seconds=60.0
            )
            for n in range(3)
        )
        alone = replace(first, message_id="another", may_start_conversation=False)
        self.inbox.accept_all(ParsedUpdate((alone, first, replace(second, may_start_conversation=False), second)))
        release.set()
        _, album = self.platform.wait_for(2)
        self.inbox.accept_all(ParsedUpdate((second, third)))
        assert [file.name for file in album.message.files] == ["0.jpg", "1.jpg"]
        turns = self.inbox.transcript(self.inbox.resolve_conversation(KEY))
        names = [[file.name for file in turn.message.files] for turn in turns]
        assert (turns[0].id, names) == (before.id, [[], ["0.jpg", "1.jpg"], ["2.jpg"]])

    def test_a_deleted_conversation_and_its_turns_are_not_found(self) -> None:
        turn = self.finished(self.inbox.accept(message("hi", "m1")).turn)
        found = self.inbox.resolve_conversation(KEY)
        self.inbox.delete_conversation(found)
        with pytest.raises(TurnNotFound):
            self.inbox.get_turn(turn.id)
        for name in (KEY.channel, found.thread_id or ""):
            with pytest.raises(ThreadNotFound):
                self.inbox.resolve_conversation(replace(KEY, channel=name))

    def test_deleting_a_conversation_returns_the_turns_it_cancelled(self) -> None:
        release = self.hold()
        turns = [self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(2)]
        cancelled = self.inbox.delete_conversation(self.inbox.resolve_conversation(KEY))
        assert [(turn.id, turn.state) for turn in cancelled] == [(turn.id, TurnState.CANCELLED) for turn in turns]
        release.set()

    def test_a_turn_id_without_an_accepted_message_is_not_found(self) -> None:
        with pytest.raises(TurnNotFound):
            self.inbox.get_turn(self.inbox.new_turn_id())
        with pytest.raises(TurnNotFound):
            self.inbox.cancel_turn(self.inbox.new_turn_id())
