"""What adapters may rely on when they ask the core, whichever core it is."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from gateway.domain.errors import Conflict, ThreadNotFound, TurnNotFound
from gateway.domain.models import (
    ConversationKey,
    Edit,
    Exchange,
    File,
    Kind,
    Message,
    ThreadId,
    Turn,
    TurnState,
    Verdict,
    Withdrawal,
)
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Receipt
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
        again = self.inbox.accept(replace(message("hi", "m1", other), opens=False), self.inbox.new_turn())
        assert (again.turn.id, again.new) == (first.turn.id, False)
        with pytest.raises(ThreadNotFound):
            self.inbox.accept(replace(message("ho", "m2", other), opens=False))

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

    def test_a_stop_cancels_what_waits_before_it_and_says_so_in_its_turn(self) -> None:
        opened = self.hold()
        asked = [self.inbox.accept(message(f"{n}", f"m{n}")).turn for n in range(2)]
        stop = replace(message("stop", "m2"), kind=Kind.STOP, opens=False)
        self.inbox.take(Receipt((stop, stop)))
        *cancelled, said = self.platform.wait_for(3)
        assert [(turn.id, turn.state) for turn in cancelled] == [(turn.id, TurnState.CANCELLED) for turn in asked]
        assert (said.message.message_id, said.reply) == ("m2", "Stopped.")
        opened.set()
        self.inbox.take(Receipt((replace(stop, message_id="m3"),)))
        assert self.platform.wait_for(4)[3].reply == "There is nothing to stop."

    def test_a_reset_is_told(self) -> None:
        self.inbox.take(Receipt((replace(message("reset", "m1"), kind=Kind.RESET),)))
        (told,) = self.platform.wait_for(1)
        assert told.reply.startswith("A new conversation begins.")
        assert told.id not in self.platform.shown

    def test_a_message_that_opens_nothing_and_finds_nothing_is_dropped(self) -> None:
        self.inbox.take(Receipt((replace(message("hi", "m1"), opens=False),)))
        with pytest.raises(ThreadNotFound):
            self.inbox.locate(KEY)

    def test_an_edit_changes_what_waits_and_nothing_that_has_begun(self) -> None:
        opened = self.hold()
        self.inbox.take(Receipt((message("one", "m1"), message("two", "m2"))))
        self.inbox.take(Receipt(changes=(Edit("fake", "m1", "1"), Edit("fake", "m2", "2"), Edit("fake", "m9", "9"))))
        opened.set()
        assert [turn.reply for turn in self.platform.wait_for(2)] == ["You said: one", "You said: 2"]

    def test_a_withdrawal_cancels_what_is_not_answered_and_nothing_else(self) -> None:
        opened = self.hold()
        self.inbox.take(Receipt((message("one", "m1"), message("two", "m2"))))
        self.inbox.take(Receipt(changes=(Withdrawal("fake", "m2"), Withdrawal("fake", "m9"))))
        opened.set()
        one, two = self.platform.wait_for(2)
        assert (one.reply, two.state) == ("You said: one", TurnState.CANCELLED)
        self.inbox.take(Receipt(changes=(Withdrawal("fake", "m1"), Verdict(one.id, "ann", "good"))))
        assert self.finished(one).state is TurnState.DELIVERED

    def test_a_picture_of_an_album_joins_the_others_or_comes_as_a_message_of_its_own(self) -> None:
        opened = self.hold()
        before = self.inbox.accept(message("wait", "m1")).turn
        first, second, third = (
            replace(message("", "album"), files=(File(f"{n}.jpg", f"{n}"),), piece=f"{n}", wait=60.0) for n in range(3)
        )
        alone = replace(first, message_id="another", opens=False)
        self.inbox.take(Receipt((alone, first, replace(second, opens=False), second)))
        opened.set()
        _, album = self.platform.wait_for(2)
        self.inbox.take(Receipt((second, third)))
        assert [file.name for file in album.message.files] == ["0.jpg", "1.jpg"]
        turns = self.inbox.transcript(self.inbox.locate(KEY))
        names = [[file.name for file in turn.message.files] for turn in turns]
        assert (turns[0].id, names) == (before.id, [[], ["0.jpg", "1.jpg"], ["2.jpg"]])

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
