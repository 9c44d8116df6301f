"""The contract for files of backends that use a server: attachments, and files that the assistant makes.

``FilesContract`` is for all of them, ``GeneratedFilesContract`` for those whose assistant makes files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import Refused, Unavailable
from gateway.domain.models import Attachment
from gateway.ports.assistant import Assistant
from tests.contracts.assistant_online import BREAKS, Served
from tests.contracts.assistant_session import Room, attached
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
    """Joins the text inputs of the model."""
    return "\n".join(str(content) for kind, _, content in given if kind == "text")


class FilesContract(Served):
    """The subclass creates ``assistant`` with ``fake`` and ``toolbox``, so that it can read documents."""

    @pytest.fixture
    def session(self, assistant: Assistant) -> Room:
        return Room(assistant, attached=ALL)

    def given(self, fake: FakeOpenAI, session: Room) -> list[Given]:
        """Returns the model's inputs from the newest message."""
        assert session.thread is not None
        return fake.newest(session.thread)

    def said(self, fake: FakeOpenAI, session: Room) -> list[str]:
        """Returns the first part of each user message, oldest first."""
        raise NotImplementedError

    async def test_attachments_reach_the_model(self, fake: FakeOpenAI, session: Room) -> None:
        await session.say("Look")
        given = self.given(fake, session)
        assert given[0] == ("text", "", SAID)
        rest: list[Given] = [("image", "image/png", PNG), ("text", "", NOTES), ("file", "report.pdf", PDF)]
        assert sorted(given[1:], key=str) == sorted([*rest, ("text", "", LOST)], key=str)

    async def test_a_recording_is_transcribed(self, fake: FakeOpenAI, session: Room) -> None:
        fake.transcripts[b"OggS hello"] = "Hello, can you hear me?"
        voice = attached("voice.ogg", b"OggS hello", media_type="audio/ogg")
        silent = attached("memo.m4a", b"\0\0\0")
        session.attached = [voice, silent]
        await session.say("Listen")
        read = words(self.given(fake, session))
        assert "[beginning of what is said in voice.ogg]\nHello, can you hear me?\n" in read
        assert "[memo.m4a could not be read: nothing is said in it]" in read
        assert [kind for kind, *_ in self.given(fake, session)].count("file") == 0

    @pytest.mark.parametrize("fault", [Fault(status=404), Fault(status=500), Fault(kind="drop_before")], ids=str)
    async def test_a_failed_transcription_does_not_lose_the_text(
        self, fake: FakeOpenAI, session: Room, fault: Fault
    ) -> None:
        fake.faults.add(replace(fault, path=".*/audio/transcriptions"))
        session.attached = [attached("voice.ogg", b"OggS hello", media_type="audio/ogg")]
        await session.say("Listen")
        read = words(self.given(fake, session))
        assert read.startswith("Listen")
        assert "[voice.ogg could not be read: it could not be transcribed]" in read

    async def test_files_are_fetched_once(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await session.say("Look")
        assert session.fetches == 1

    async def test_text_files_are_sent_as_text_parts(self, fake: FakeOpenAI, session: Room) -> None:
        session.attached = [ALL[1], ALL[3]]
        fake.takes_files = False
        await session.say("Look")
        assert NOTES in words(self.given(fake, session))
        assert LOST in words(self.given(fake, session))
        assert len(fake.posts(self.RUNS)) == 1

    @pytest.mark.parametrize("attachment", [ALL[0], ALL[2]])
    async def test_a_server_that_refuses_files_still_gets_the_text(
        self, fake: FakeOpenAI, session: Room, attachment: Attachment
    ) -> None:
        fake.takes_files = False
        session.attached = [attachment, ALL[1]]
        reply = await session.say("Look")
        assert not session.troubles
        assert f"[{attachment.file.name} could not be read: the assistant's server does not take" in reply
        assert NOTES in reply
        assert {kind for kind, _, _ in self.given(fake, session)} == {"text"}
        assert session.fetches == 1
        session.attached = ()
        await session.say("And now?")
        assert self.said(fake, session) == [session.past[0].text, "And now?"]

    @pytest.mark.parametrize("status", [400, 413])
    async def test_a_rejection_that_is_not_caused_by_files_is_raised(
        self, fake: FakeOpenAI, session: Room, status: int
    ) -> None:
        fake.faults.add(Fault(path=self.RUNS, status=status, times=None, body={"error": {"message": "No."}}))
        with pytest.raises(Refused, match=r"No\."):
            await session.say("Look")
        assert len(fake.posts(self.RUNS)) == 2
        session.attached = ()
        with pytest.raises(Refused):
            await session.say("Hello")
        assert len(fake.posts(self.RUNS)) == 3

    @pytest.mark.parametrize("status", [400, 404, 500])
    async def test_rejections_by_models_without_vision_are_recognised(
        self, fake: FakeOpenAI, session: Room, status: int
    ) -> None:
        error = {"message": "image input is not supported - hint: you may need to provide the mmproj", "code": status}
        fake.faults.add(Fault(path=self.RUNS, status=status, body={"error": error}))
        assert "does not take files" in await session.say("Look")
        assert not session.troubles

    @pytest.mark.parametrize("name", ["drop before acting", "drop after acting", "cut soon", "end early", "rate limit"])
    async def test_the_message_is_stored_once_despite_faults_of_the_post(
        self, fake: FakeOpenAI, session: Room, name: str
    ) -> None:
        fake.faults.add(Fault(path=self.RUNS, **BREAKS[name]))
        assert await session.say("Look")
        session.attached = ()
        await session.say("And now?")
        assert self.said(fake, session) == [SAID, "And now?"]

    async def test_a_repeated_text_with_the_same_files_is_another_message(
        self, fake: FakeOpenAI, session: Room
    ) -> None:
        for number in range(2):
            fake.script(f"Reply {number}.")
            assert await session.say("Look", begun=bool(number)) == f"Reply {number}."
        assert self.said(fake, session) == [SAID, SAID]

    async def test_imported_history_has_the_text_of_messages_with_files(self, session: Room) -> None:
        reply = await session.say("Look")
        past = await session.assistant.recall(await session.open())
        if past is not None:  # else the backend stores no history
            assert [(one.text, one.reply) for one in past] == [(SAID, reply)]


LINKED = "Here is [the [new] plan](sandbox:/mnt/data/plan.csv), and ![a plot](sandbox:/mnt/data/plot (1).png)."


class MakingContract(Served):
    """The subclass creates ``assistant`` with ``fake`` and ``toolbox``, and ``another`` as a second process would."""

    @pytest.fixture
    def session(self, assistant: Assistant) -> Room:
        return Room(assistant)

    async def test_a_generated_file_comes_with_the_answer(
        self, fake: FakeOpenAI, session: Room, another: Assistant
    ) -> None:
        fake.script([MakeFile("plan.csv", b"1,2"), Say(LINKED)])
        assert await session.say("Plan it") == "Here is the [new] plan, and a plot."
        (file,) = session.answer.files
        assert (file.name, file.media_type) == ("plan.csv", "text/csv")
        assert await another.fetch(file) == b"1,2"

    async def test_a_generated_image_comes_with_the_answer(
        self, fake: FakeOpenAI, session: Room, another: Assistant
    ) -> None:
        fake.script([MakeImage(PNG), Say("Here.")])
        assert await session.say("Paint") == "Here."
        (file,) = session.answer.files
        assert file.media_type == "image/png"
        assert file.name.endswith(".png")
        assert await another.fetch(file) == PNG

    async def test_generated_files_of_every_round_come_once(self, fake: FakeOpenAI, session: Room) -> None:
        call = CallTool("add", {"a": 1, "b": 2})
        fake.script(
            [MakeFile("a.csv", b"1"), Say("See a."), Say("Yes, a."), call], [MakeFile("b.csv", b"2"), Say("See b.")]
        )
        await session.say("Plan it")
        assert [file.name for file in session.answer.files] == ["a.csv", "b.csv"]

    async def test_an_answer_may_be_files_only(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script([MakeImage(PNG), Say("")])
        await session.open()
        answer = await session.attempt(session.turn("Paint"), posting=True)
        assert answer.text == ""
        assert len(answer.files) == 1

    @pytest.mark.parametrize("known", [True, False])
    async def test_files_of_an_earlier_attempt_are_found(
        self,
        fake: FakeOpenAI,
        session: Room,
        another: Assistant,
        known: bool,  # noqa: FBT001
    ) -> None:
        fake.script([MakeFile("plan.csv", b"1,2"), MakeImage(PNG), Say("")])
        await session.open()
        turn = session.turn("Paint")
        await session.attempt(turn, posting=True)
        session.run_id = session.run_id if known else None
        posts = len(fake.posts(self.RUNS))
        answer = await session.attempt(turn, posting=False)
        assert len(fake.posts(self.RUNS)) == posts
        assert PNG in [await another.fetch(file) for file in answer.files]

    @pytest.mark.parametrize("kind", ["cut", "end_early", "garbage", "error_event"])
    async def test_an_interrupted_stream_loses_no_file(self, fake: FakeOpenAI, session: Room, kind: Any) -> None:
        fake.faults.add(Fault(path=self.RUNS, kind=kind, after=6))
        fake.script([MakeFile("plan.csv", b"1,2"), Say(LINKED)])
        await session.say("Plan it")
        assert [file.name for file in session.answer.files] == ["plan.csv"]

    @pytest.mark.parametrize("act", [MakeFile("plan.csv", b"1,2"), MakeImage(PNG)])
    async def test_a_missing_file_is_refused_with_a_user_message(
        self, fake: FakeOpenAI, session: Room, act: MakeFile | MakeImage
    ) -> None:
        fake.script([act, Say("Here.")])
        await session.say("Make it")
        (file,) = session.answer.files
        for name in file.reference.split():
            fake.lose(name)
        with pytest.raises(Refused) as caught:
            await session.assistant.fetch(file)
        assert caught.value.code == "file_gone"
        assert "no longer available" in caught.value.sentence

    @pytest.mark.parametrize("act", [MakeFile("plan.csv", b"1,2"), MakeImage(PNG)])
    async def test_an_unreachable_server_does_not_mean_a_missing_file(
        self, fake: FakeOpenAI, session: Room, act: MakeFile | MakeImage
    ) -> None:
        fake.script([act, Say("Here.")])
        await session.say("Make it")
        (file,) = session.answer.files
        fake.faults.add(Fault(method="GET", status=503), Fault(method="GET", kind="cut"))
        for _ in range(2):
            with pytest.raises(Unavailable):
                await session.assistant.fetch(file)
        assert await session.assistant.fetch(file)
