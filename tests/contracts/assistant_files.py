"""What backends that speak to a server must do with files: those that people attach, and those that come back.

``FilesContract`` is for all of them, ``MakingContract`` for those whose assistant makes files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Refused, Unavailable
from gateway.messages import Attachment
from gateway.ports import Assistant
from tests.contracts.assistant_online import BREAKS, Served
from tests.contracts.assistant_room import Room, attached
from tests.fakes.openai_files import Given
from tests.fakes.openai_server import CallTool, FakeOpenAI, Fault, MakeFile, MakeImage, Say

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PDF = b"%PDF-1.7\n\xff\xfe"
ALL = [
    attached("plot.png", PNG, media_type="image/png"),
    attached("notes.md", "# Grüße\r\n".encode()),
    attached("report.pdf", PDF, media_type="application/pdf"),
    attached("lost.docx", problem="The platform\ndoes not have it any more."),
]
SAID = "Look\n[attached: plot.png]\n[attached: notes.md]\n[attached: report.pdf]\n[attached: lost.docx]"
NOTES = "[beginning of notes.md]\n# Grüße\r\n\n[end of notes.md]"
LOST = "[lost.docx could not be read: The platform does not have it any more]"


def words(given: list[Given]) -> str:
    """All that the model reads."""
    return "\n".join(str(content) for kind, _, content in given if kind == "text")


class FilesContract(Served):
    """The subclass makes ``assistant`` with ``fake`` and ``toolbox``, so that it can read documents."""

    @pytest.fixture
    def room(self, assistant: Assistant) -> Room:
        return Room(assistant, attached=ALL)

    def given(self, fake: FakeOpenAI, room: Room) -> list[Given]:
        """What the model got of the newest message."""
        assert room.thread is not None
        return fake.newest(room.thread)

    def said(self, fake: FakeOpenAI, room: Room) -> list[str]:
        """The first part of each message of the person's, oldest first."""
        raise NotImplementedError

    async def test_what_is_attached_reaches_the_model(self, fake: FakeOpenAI, room: Room) -> None:
        await room.say("Look")
        given = self.given(fake, room)
        assert given[0] == ("text", "", SAID)
        rest: list[Given] = [("image", "image/png", PNG), ("text", "", NOTES), ("file", "report.pdf", PDF)]
        assert sorted(given[1:], key=str) == sorted([*rest, ("text", "", LOST)], key=str)

    async def test_what_is_said_in_a_recording_is_read(self, fake: FakeOpenAI, room: Room) -> None:
        fake.transcripts[b"OggS hello"] = "Hello, can you hear me?"
        voice = attached("voice.ogg", b"OggS hello", media_type="audio/ogg")
        silent = attached("memo.m4a", b"\0\0\0")
        room.attached = [voice, silent]
        await room.say("Listen")
        read = words(self.given(fake, room))
        assert "[beginning of what is said in voice.ogg]\nHello, can you hear me?\n" in read
        assert "[memo.m4a could not be read: nothing is said in it]" in read
        assert [kind for kind, *_ in self.given(fake, room)].count("file") == 0

    @pytest.mark.parametrize("fault", [Fault(status=404), Fault(status=500), Fault(kind="drop_before")], ids=str)
    async def test_a_recording_that_nobody_hears_does_not_lose_the_text(
        self, fake: FakeOpenAI, room: Room, fault: Fault
    ) -> None:
        fake.faults.add(replace(fault, path=".*/audio/transcriptions"))
        room.attached = [attached("voice.ogg", b"OggS hello", media_type="audio/ogg")]
        await room.say("Listen")
        read = words(self.given(fake, room))
        assert read.startswith("Listen")
        assert "[voice.ogg could not be read: nobody could turn what is said in it into text]" in read

    async def test_files_are_fetched_once(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await room.say("Look")
        assert room.fetches == 1

    async def test_what_is_read_for_the_model_needs_no_parts_of_files(self, fake: FakeOpenAI, room: Room) -> None:
        room.attached = [ALL[1], ALL[3]]
        fake.takes_files = False
        await room.say("Look")
        assert NOTES in words(self.given(fake, room))
        assert LOST in words(self.given(fake, room))
        assert len(fake.posts(self.RUNS)) == 1

    @pytest.mark.parametrize("attachment", [ALL[0], ALL[2]])
    async def test_a_server_that_refuses_files_still_gets_the_text(
        self, fake: FakeOpenAI, room: Room, attachment: Attachment
    ) -> None:
        fake.takes_files = False
        room.attached = [attachment, ALL[1]]
        reply = await room.say("Look")
        assert not room.troubles
        assert f"[{attachment.file.name} could not be read: the assistant's server does not take" in reply
        assert NOTES in reply
        assert {kind for kind, _, _ in self.given(fake, room)} == {"text"}
        assert room.fetches == 1
        room.attached = ()
        await room.say("And now?")
        assert self.said(fake, room) == [room.past[0].text, "And now?"]

    @pytest.mark.parametrize("status", [400, 413])
    async def test_a_refusal_that_files_are_not_to_blame_for_is_one(
        self, fake: FakeOpenAI, room: Room, status: int
    ) -> None:
        fake.faults.add(Fault(path=self.RUNS, status=status, times=None, body={"error": {"message": "No."}}))
        with pytest.raises(Refused, match=r"No\."):
            await room.say("Look")
        assert len(fake.posts(self.RUNS)) == 2
        room.attached = ()
        with pytest.raises(Refused):
            await room.say("Hello")
        assert len(fake.posts(self.RUNS)) == 3

    @pytest.mark.parametrize("status", [400, 404, 500])
    async def test_a_model_that_cannot_see_says_so_in_many_ways(
        self, fake: FakeOpenAI, room: Room, status: int
    ) -> None:
        error = {"message": "image input is not supported - hint: you may need to provide the mmproj", "code": status}
        fake.faults.add(Fault(path=self.RUNS, status=status, body={"error": error}))
        assert "does not take files" in await room.say("Look")
        assert not room.troubles

    @pytest.mark.parametrize("name", ["drop before acting", "drop after acting", "cut soon", "end early", "rate limit"])
    async def test_whatever_happens_to_the_post_the_message_stands_there_once(
        self, fake: FakeOpenAI, room: Room, name: str
    ) -> None:
        fake.faults.add(Fault(path=self.RUNS, **BREAKS[name]))
        assert await room.say("Look")
        room.attached = ()
        await room.say("And now?")
        assert self.said(fake, room) == [SAID, "And now?"]

    async def test_the_same_files_with_the_same_words_are_another_message(self, fake: FakeOpenAI, room: Room) -> None:
        for number in range(2):
            fake.script(f"Reply {number}.")
            assert await room.say("Look", begun=bool(number)) == f"Reply {number}."
        assert self.said(fake, room) == [SAID, SAID]

    async def test_of_a_message_with_files_what_was_said_is_recalled(self, room: Room) -> None:
        reply = await room.say("Look")
        past = await room.assistant.recall(await room.open())
        if past is not None:  # else it does not remember
            assert [(one.text, one.reply) for one in past] == [(SAID, reply)]


LINKED = "Here is [the [new] plan](sandbox:/mnt/data/plan.csv), and ![a plot](sandbox:/mnt/data/plot (1).png)."


class MakingContract(Served):
    """The subclass makes ``assistant`` with ``fake`` and ``toolbox``; and ``another``, as another process would."""

    @pytest.fixture
    def room(self, assistant: Assistant) -> Room:
        return Room(assistant)

    async def test_a_file_that_was_made_comes_with_the_answer(
        self, fake: FakeOpenAI, room: Room, another: Assistant
    ) -> None:
        fake.script([MakeFile("plan.csv", b"1,2"), Say(LINKED)])
        assert await room.say("Plan it") == "Here is the [new] plan, and a plot."
        (file,) = room.answer.files
        assert (file.name, file.media_type) == ("plan.csv", "text/csv")
        assert await another.fetch(file) == b"1,2"

    async def test_an_image_that_was_made_comes_with_the_answer(
        self, fake: FakeOpenAI, room: Room, another: Assistant
    ) -> None:
        fake.script([MakeImage(PNG), Say("Here.")])
        assert await room.say("Paint") == "Here."
        (file,) = room.answer.files
        assert file.media_type == "image/png"
        assert file.name.endswith(".png")
        assert await another.fetch(file) == PNG

    async def test_each_file_that_was_made_comes_once_whichever_round_it_is_of(
        self, fake: FakeOpenAI, room: Room
    ) -> None:
        call = CallTool("add", {"a": 1, "b": 2})
        fake.script(
            [MakeFile("a.csv", b"1"), Say("See a."), Say("Yes, a."), call], [MakeFile("b.csv", b"2"), Say("See b.")]
        )
        await room.say("Plan it")
        assert [file.name for file in room.answer.files] == ["a.csv", "b.csv"]

    async def test_an_answer_may_be_files_only(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script([MakeImage(PNG), Say("")])
        await room.open()
        answer = await room.attempt(room.turn("Paint"), posting=True)
        assert answer.text == ""
        assert len(answer.files) == 1

    @pytest.mark.parametrize("known", [True, False])
    async def test_what_an_earlier_attempt_made_is_found(
        self,
        fake: FakeOpenAI,
        room: Room,
        another: Assistant,
        known: bool,  # noqa: FBT001
    ) -> None:
        fake.script([MakeFile("plan.csv", b"1,2"), MakeImage(PNG), Say("")])
        await room.open()
        turn = room.turn("Paint")
        await room.attempt(turn, posting=True)
        room.run_id = room.run_id if known else None
        posts = len(fake.posts(self.RUNS))
        answer = await room.attempt(turn, posting=False)
        assert len(fake.posts(self.RUNS)) == posts
        assert PNG in [await another.fetch(file) for file in answer.files]

    @pytest.mark.parametrize("kind", ["cut", "end_early", "garbage", "error_event"])
    async def test_a_stream_that_breaks_loses_no_file(self, fake: FakeOpenAI, room: Room, kind: Any) -> None:
        fake.faults.add(Fault(path=self.RUNS, kind=kind, after=6))
        fake.script([MakeFile("plan.csv", b"1,2"), Say(LINKED)])
        await room.say("Plan it")
        assert [file.name for file in room.answer.files] == ["plan.csv"]

    @pytest.mark.parametrize("act", [MakeFile("plan.csv", b"1,2"), MakeImage(PNG)])
    async def test_a_file_that_is_gone_is_refused_in_a_sentence(
        self, fake: FakeOpenAI, room: Room, act: MakeFile | MakeImage
    ) -> None:
        fake.script([act, Say("Here.")])
        await room.say("Make it")
        (file,) = room.answer.files
        for name in file.reference.split():
            fake.lose(name)
        with pytest.raises(Refused) as caught:
            await room.assistant.fetch(file)
        assert caught.value.code == "file_gone"
        assert "not there any more" in caught.value.sentence

    @pytest.mark.parametrize("act", [MakeFile("plan.csv", b"1,2"), MakeImage(PNG)])
    async def test_a_server_that_is_away_is_not_a_file_that_is_gone(
        self, fake: FakeOpenAI, room: Room, act: MakeFile | MakeImage
    ) -> None:
        fake.script([act, Say("Here.")])
        await room.say("Make it")
        (file,) = room.answer.files
        fake.faults.add(Fault(method="GET", status=503), Fault(method="GET", kind="cut"))
        for _ in range(2):
            with pytest.raises(Unavailable):
                await room.assistant.fetch(file)
        assert await room.assistant.fetch(file)
