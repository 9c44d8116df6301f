"""The channel of the staff: each conversation that is handed over is a topic, in which people answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gateway.domain.errors import Blocked, DeliveryError, SettingsError
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import ConversationKey, MessageKind, Turn, TurnState
from gateway.domain.passed_files import source_of
from gateway.handover import HandoverSettings, looking_back, staff_channel
from gateway.handover.looking_back import refusals
from gateway.handover.staff_channel import CLOSED, HOW_TO, StaffChannel, StaffPlace
from gateway.ports.handovers import Handovers, OpenHandover
from gateway.ports.people import PersonId
from gateway.wiring.platforms import staff_place
from tests.fakes.platform import FakePlatform
from tests.gateway.handover.test_handover import answer, conversation_of, take_over
from tests.gateway.worker_process import WorkerProcess
from tests.waiting import until

STAFF = ConversationKey("fake", channel="staff")


def open_channel(process: WorkerProcess, owner: str = "one") -> StaffChannel:
    place = StaffPlace(STAFF, process.platform)
    inbox = process.async_inbox
    staff = StaffChannel(inbox._store, process.store.handovers, place, inbox.accept, owner=owner, most=1000)
    inbox.as_answer = staff.as_answer
    return staff


def relay(process: WorkerProcess, staff: StaffChannel) -> None:
    process.worker.run_coroutine(staff.relay())


def in_channel(process: WorkerProcess, count: int) -> Sequence[Turn]:
    """Waits for so many turns that are delivered in the channel; returns them."""

    def found() -> list[Turn]:
        return [turn for turn in process.platform.delivered if turn.message.key.channel == STAFF.channel]

    until(lambda: len(found()) >= count and process.stored(found()[-1].id).delivered_at is not None)
    return found()


def write(process: WorkerProcess, topic: str, text: str, kind: MessageKind = MessageKind.PROMPT) -> Turn:
    said = process.platform.message(text, channel=STAFF.channel, message_id=f"staff:{text}")
    key = replace(said.key, topic=topic)
    message = replace(said, key=key, author="eve", kind=kind, may_start_conversation=False)
    return process.inbox.accept(message).turn


def test_a_conversation_is_a_topic_in_which_the_staff_answers(process: WorkerProcess) -> None:
    staff = open_channel(process)
    take_over(process, "a hard case")
    process.say("two")
    process.platform.wait_for(3)
    relay(process, staff)
    (root,) = in_channel(process, 1)
    assert "handed over by staff Eve: a hard case" in root.reply
    assert "> **person:** one\n> **assistant:** You said: one" in root.reply
    assert root.reply.endswith(HOW_TO)
    topic = process.platform.topic_below(process.stored(root.id))
    for channel in (staff, open_channel(process)):  # another process knows nothing of it
        relay(process, channel)
    _, brought = in_channel(process, 2)
    assert (brought.reply, brought.message.key.topic) == ("**ann:** two", topic)
    answered = write(process, topic, "Hello, Eve here.")
    assert (answered.reply, answered.message.key.channel, answered.message.sender) == (
        "Hello, Eve here.",
        "c",
        "staff eve",
    )
    assert write(process, topic, "Hello, Eve here.").id == answered.id
    answer(process, "And from the pages.")
    until(lambda: any(turn.reply == "And from the pages." for turn in process.platform.delivered))
    relay(process, staff)
    assert in_channel(process, 3)[2].reply == "_staff Eve_ answered: And from the pages."
    given = write(process, topic, "resume", MessageKind.RESUME)
    assert (given.message.kind, given.message.key.channel) == (MessageKind.RESUME, "c")
    until(lambda: process.store.handovers.count_open() == 0)
    assert write(process, topic, "resume", MessageKind.RESUME).id == given.id  # the platform sends it again
    assert write(process, topic, "Hello, Eve here.").id == answered.id
    late = write(process, topic, "One more thing")
    assert (late.reply, late.message.key.topic) == (CLOSED, topic)


def test_a_conversation_behind_any_number_of_others_is_shown_and_answered(
    process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking_back, "PAGE", 1)
    staff = open_channel(process)
    for channel in ("first", "second", "c"):
        process.say("one", channel=channel)
        take_over(process, f"in {channel}", channel=channel)
    process.platform.wait_for(6)
    relay(process, staff)
    root = in_channel(process, 3)[2]
    assert "in c" in root.reply
    for text in ("two", "three"):
        process.say(text)
    until(lambda: len(process.platform.delivered) == 11)
    relay(process, staff)
    assert [each.reply for each in in_channel(process, 5)[3:]] == ["**ann:** two", "**ann:** three"]
    answered = write(process, process.platform.topic_below(process.stored(root.id)), "Hello")
    assert (answered.reply, answered.message.key.channel) == ("Hello", "c")


def test_only_one_process_at_a_time_looks_for_what_to_bring(process: WorkerProcess) -> None:
    first, second = open_channel(process), open_channel(process, "two")
    relay(process, first)
    take_over(process)
    relay(process, second)
    process.platform.wait_for(2)
    assert [turn.message.key.channel for turn in process.platform.delivered] == ["c", "c"]


class WatchedHandovers:
    """Handovers that tell when somebody has looked for the topics."""

    def __init__(self, handovers: Handovers) -> None:
        self._handovers = handovers
        self.looked = threading.Event()

    def introduced(self, platform: str) -> Sequence[tuple[OpenHandover, Turn]]:
        found = self._handovers.introduced(platform)
        self.looked.set()
        return found


def test_what_is_written_before_the_beginning_of_the_topic_is_saved_is_an_answer(process: WorkerProcess) -> None:
    staff = open_channel(process)
    take_over(process)
    process.platform.wait_for(2)
    process.platform.holds_back = True
    relay(process, staff)
    root = process.platform.wait_for(3)[2]
    watched = WatchedHandovers(process.store.handovers)
    staff._handovers = watched  # type: ignore[assignment]  # all that an answer needs
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(write, process, f"below {root.message.message_id}", "Hello")
        assert watched.looked.wait(20.0)
        process.platform.is_saved.set()
        answered = said.result(20.0)
    assert (answered.reply, answered.message.key.channel) == ("Hello", "c")


def test_a_topic_that_the_platform_refuses_is_begun_again(
    process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = open_channel(process)
    take_over(process)
    process.platform.wait_for(2)
    process.platform.refusals += [DeliveryError("channel_not_found")] * 2
    monkeypatch.setattr(staff_channel, "MAX_RETRY_SECONDS", 0.0)
    for tries in (1, 2):
        relay(process, staff)
        wait_for_refusals(process, tries)
        assert set(refusals(process.store.handovers.introduced("fake")).values()) == {"channel_not_found"}
    process.say("two")
    relay(process, staff)
    (root,) = in_channel(process, 1)
    relay(process, open_channel(process))
    topic = process.platform.topic_below(process.stored(root.id))
    assert in_channel(process, 2)[1].message.key.topic == topic
    assert write(process, topic, "Hello").message.key.channel == "c"
    assert refusals(process.store.handovers.introduced("fake")) == {}


def test_a_topic_that_the_platform_refused_just_now_waits(process: WorkerProcess) -> None:
    staff = open_channel(process)
    take_over(process)
    process.platform.wait_for(2)
    process.platform.refusals.append(DeliveryError("channel_not_found"))
    relay(process, staff)
    wait_for_refusals(process, 1)
    relay(process, staff)
    assert len(process.store.handovers.introduced("fake")) == 1


def wait_for_refusals(process: WorkerProcess, count: int) -> None:
    """Waits until the platform has refused the beginnings of so many topics."""

    def refused() -> int:
        begun = process.store.handovers.introduced("fake")
        return sum(root.state is TurnState.FAILED for _, root in begun)

    until(lambda: refused() == count)


def test_who_is_blocked_does_not_answer(process: WorkerProcess) -> None:
    staff = open_channel(process)
    take_over(process)
    process.platform.wait_for(2)
    relay(process, staff)
    (root,) = in_channel(process, 1)
    process.store.blocks.add(PersonId("fake", "eve"), "an operator")
    process.async_inbox._admission.block_list.refresh(process.store.blocks)
    with pytest.raises(Blocked):
        write(process, process.platform.topic_below(process.stored(root.id)), "Hello")


@pytest.mark.parametrize("is_whole", [True, False], ids=["the conversation is deleted", "its author is forgotten"])
def test_what_is_deleted_is_deleted_in_the_channel_too(process: WorkerProcess, *, is_whole: bool) -> None:
    staff, said = open_channel(process), process.platform.message("Two")
    take_over(process)
    process.inbox.accept(said)
    process.inbox.accept(replace(said, message_id="bobs", text="Three", author="bob"))
    process.platform.wait_for(4)
    relay(process, staff)
    (root,) = in_channel(process, 1)
    relay(process, staff)
    shown = in_channel(process, 3)
    conversation = conversation_of(process)
    if is_whole:
        process.store.delete_conversation(conversation.id)
    else:
        process.store.erase_author(conversation, "ann")
    kept = [process.stored(turn.id).reply for turn in shown]
    assert kept == ["", "", "" if is_whole else "**bob:** Three"]
    assert process.platform.topic_below(process.stored(root.id))  # answers still find their way


def test_what_is_written_elsewhere_is_for_the_assistant(process: WorkerProcess) -> None:
    staff = open_channel(process)
    told = process.platform.message("hi", channel=STAFF.channel)
    topic = replace(told.key, topic="another")
    for message in (told, replace(told, key=topic), replace(told, key=replace(topic, channel="c"))):
        assert process.worker.run_coroutine(staff.as_answer(message)) is None


def test_what_cannot_be_sent_is_said_in_the_topic(process: WorkerProcess) -> None:
    staff = open_channel(process)
    take_over(process)
    process.platform.wait_for(2)
    relay(process, staff)
    (root,) = in_channel(process, 1)
    topic = process.platform.topic_below(process.stored(root.id))
    refused = write(process, topic, "x" * 1001)
    assert (refused.reply, refused.message.key.topic) == (
        "Not sent. An answer must have at most 1000 characters.",
        topic,
    )


@pytest.mark.parametrize("text", ["Here it is", ""])
def test_a_file_is_not_passed_on_which_is_said_in_the_topic(process: WorkerProcess, text: str) -> None:
    staff = open_channel(process)
    take_over(process)
    process.platform.wait_for(2)
    relay(process, staff)
    (root,) = in_channel(process, 1)
    topic = process.platform.topic_below(process.stored(root.id))
    said = process.platform.message(text, channel=STAFF.channel, message_id="with a file")
    file = File("invoice.pdf", "F1", "application/pdf", 3)
    process.inbox.accept(replace(said, key=replace(said.key, topic=topic), author="eve", files=(file,)))
    _, told = in_channel(process, 2)
    assert told.message.key.topic == topic
    assert "Files are not passed on to where this conversation is" in told.reply
    assert "invoice.pdf" in told.reply
    expected = 4 if text else 3  # what was said, the notice, and the answer; what is told in the topic
    until(lambda: len(process.platform.delivered) == expected + 1)
    sent = [turn.reply for turn in process.platform.delivered if turn.message.key.channel == "c"]
    assert sent[2:] == [text] * bool(text)


@pytest.mark.parametrize(("text", "sent"), [("Here it is", "Here it is"), ("", "[attached: invoice.pdf]")])
def test_a_file_is_passed_on_where_it_can_be_posted(process: WorkerProcess, text: str, sent: str) -> None:
    staff = open_channel(process)
    staff._place = replace(staff._place, passes_files_to=frozenset({"fake"}))
    take_over(process)
    process.platform.wait_for(2)
    relay(process, staff)
    (root,) = in_channel(process, 1)
    key = replace(STAFF, topic=process.platform.topic_below(process.stored(root.id)))
    file = File("invoice.pdf", "F1", "application/pdf", 3)
    process.platform.posts_files = True
    process.platform.attachments = [Attachment(file, BytesContent(b"PDF"))]
    said = process.platform.message(text, message_id="with a file")
    answered = process.inbox.accept(replace(said, key=key, author="eve", files=(file,))).turn
    until(lambda: process.stored(answered.id).delivered_at is not None)
    stored = process.stored(answered.id)
    assert (stored.reply, stored.message.key.channel, stored.message.files) == (sent, "c", ())
    assert [(each.name, each.size) for each in stored.reply_files] == [("invoice.pdf", 3)]
    source = source_of(stored.reply_files[0])
    assert source is not None
    assert (source.key, source.files) == (key, (file,))
    assert process.platform.files_posted == [b"PDF"]


def test_files_are_passed_on_to_platforms_that_post_them() -> None:
    staff, other = FakePlatform(posts_files=True), FakePlatform("owl")
    place = staff_place(settings(handover_channel="fake:/staff"), [staff, other])
    assert place is not None
    assert place.passes_files_to == {"fake"}


@pytest.mark.parametrize(
    ("place", "platform", "problem"),
    [
        ("owl:/staff", FakePlatform(), "on owl. Platforms set up here where they can: fake"),
        ("fake:/nowhere", FakePlatform(), "HANDOVER_CHANNEL: `channel` must be somewhere"),
    ],
)
def test_a_channel_that_cannot_be_used_stops_the_start(place: str, platform: FakePlatform, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        staff_place(settings(handover_channel=place), [platform])


def test_a_channel_is_written_as_a_place() -> None:
    assert settings().place is None
    assert settings(handover_channel="slack:T0123/C0123").place == ConversationKey("slack", "T0123", "C0123")
    assert settings(handover_channel="slack:sales:T0123/C0123").place == ConversationKey(
        "slack:sales", "T0123", "C0123"
    )
    with pytest.raises(ValueError, match="platform:workspace/channel"):
        settings(handover_channel="C0123")


@pytest.mark.parametrize(
    ("given", "has_staff", "allowed"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"handover_channel": "fake:/staff"}, False, True),
        ({"handover_command": False}, True, False),
        ({"handover_command": True}, False, True),
    ],
)
def test_people_may_ask_for_a_person_where_one_can_answer(
    given: dict[str, object], *, has_staff: bool, allowed: bool
) -> None:
    assert settings(**given).allows_command(has_staff=has_staff) is allowed


def settings(**given: object) -> HandoverSettings:
    return HandoverSettings(_env_file=None, **given)  # type: ignore[call-arg,arg-type]  # pydantic-settings takes it
