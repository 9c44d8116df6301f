"""What adapters may rely on when they ask the core, whichever core it is."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from gateway.errors import Conflict, ThreadNotFound, TurnNotFound
from gateway.messages import ConversationKey, Exchange, Message, ThreadId, Turn, TurnState
from gateway.ports import Inbox
from tests.fakes.platform import FakePlatform

KEY = ConversationKey("fake", workspace="w", channel="thr_1")


def message(text: str, message_id: str, key: ConversationKey = KEY) -> Message:
    return Message(key, message_id, text, "ann", {"where": "here"})


class InboxContract:
    """Give ``inbox``, working on the turns of ``platform`` by answering "You said: …", and a way to hold it up."""

    inbox: Inbox
    platform: FakePlatform

    def hold(self) -> threading.Event:
        """No turn that starts from now on is answered before the event is set."""
        raise NotImplementedError

    def know(self, thread: ThreadId, past: Exchange) -> None:
        """Let the backend have a thread that the core has never seen."""
        raise NotImplementedError

    def finished(self, turn: Turn) -> Turn:
        deadline = time.monotonic() + 20
        while (now := self.inbox.turn(turn.id)).state in (TurnState.QUEUED, TurnState.RUNNING, TurnState.ANSWERED):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return now

    def test_a_message_becomes_a_turn_with_the_name_it_was_given_and_is_answered(self) -> None:
        name = self.inbox.new_turn()
        accepted = self.inbox.accept(message("hi", "m1"), name)
        assert (accepted.turn.id, accepted.new, accepted.turn.message) == (name, True, message("hi", "m1"))
        (delivered,) = self.platform.wait_for(1)
        assert (delivered.id, delivered.reply) == (name, "You said: hi")
        turn = self.finished(accepted.turn)
        assert (turn.state, turn.reply) == (TurnState.DELIVERED, "You said: hi")

    def test_the_same_message_is_the_same_turn_whatever_its_conversation(self) -> None:
        first = self.inbox.accept(message("hi", "m1"))
        other = replace(KEY, channel="thr_2")
        again = self.inbox.accept(message("hi", "m1", other), self.inbox.new_turn(), opening=False)
        assert (again.turn.id, again.new) == (first.turn.id, False)
        with pytest.raises(ThreadNotFound):
            self.inbox.accept(message("ho", "m2", other), opening=False)

    def test_turns_of_a_conversation_come_in_order(self) -> None:
        opened = self.hold()
        turns = [self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(3)]
        opened.set()
        assert [turn.id for turn in self.platform.wait_for(3)] == [turn.id for turn in turns]
        transcript = self.inbox.transcript(self.inbox.locate(KEY))
        assert [(turn.seq, turn.message.text) for turn in transcript] == [(1, "0"), (2, "1"), (3, "2")]

    def test_a_conversation_is_located_by_its_key_and_by_its_thread_but_not_by_others(self) -> None:
        self.finished(self.inbox.accept(message("hi", "m1")).turn)
        found = self.inbox.locate(KEY)
        assert found.thread is not None
        assert self.inbox.locate(replace(KEY, channel=found.thread)) == found
        for stranger in (replace(KEY, workspace="v"), replace(KEY, platform="other"), replace(KEY, workspace="")):
            for name in (found.thread, KEY.channel):
                with pytest.raises(ThreadNotFound):
                    self.inbox.locate(replace(stranger, channel=name))

    def test_a_thread_that_only_the_backend_knows_is_adopted_by_the_first_who_names_it(self) -> None:
        self.know(ThreadId("conv_old"), Exchange("before", "long ago"))
        key = replace(KEY, channel="conv_old")
        adopted = self.inbox.locate(key)
        assert self.inbox.locate(key) == adopted
        (turn,) = self.inbox.transcript(adopted)
        assert (turn.message.text, turn.reply, turn.state) == ("before", "long ago", TurnState.DELIVERED)
        with pytest.raises(ThreadNotFound):
            self.inbox.locate(replace(key, workspace="v"))

    def test_a_turn_can_be_cancelled_until_it_is_decided(self) -> None:
        opened = self.hold()
        running, queued = (self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(2))
        for turn in (queued, running):
            assert self.inbox.cancel(turn.id).state is TurnState.CANCELLED
            assert self.inbox.cancel(turn.id).state is TurnState.CANCELLED
        opened.set()
        outcomes = self.platform.wait_for(2)
        assert {turn.state for turn in outcomes} == {TurnState.CANCELLED}
        done = self.finished(self.inbox.accept(message("next", "m3")).turn)
        with pytest.raises(Conflict) as caught:
            self.inbox.cancel(done.id)
        assert caught.value.code == "turn_finished"

    def test_what_is_forgotten_is_gone(self) -> None:
        turn = self.finished(self.inbox.accept(message("hi", "m1")).turn)
        found = self.inbox.locate(KEY)
        self.inbox.forget(found)
        with pytest.raises(TurnNotFound):
            self.inbox.turn(turn.id)
        for name in (KEY.channel, found.thread or ""):
            with pytest.raises(ThreadNotFound):
                self.inbox.locate(replace(KEY, channel=name))

    def test_what_was_still_to_be_answered_is_cancelled_when_it_is_forgotten_and_told(self) -> None:
        opened = self.hold()
        turns = [self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(2)]
        cancelled = self.inbox.forget(self.inbox.locate(KEY))
        assert [(turn.id, turn.state) for turn in cancelled] == [(turn.id, TurnState.CANCELLED) for turn in turns]
        opened.set()

    def test_there_is_no_turn_that_nobody_accepted(self) -> None:
        with pytest.raises(TurnNotFound):
            self.inbox.turn(self.inbox.new_turn())
        with pytest.raises(TurnNotFound):
            self.inbox.cancel(self.inbox.new_turn())
