"""The contract for files of backends that use a server: attachments, and files that the assistant makes.

``FilesContract`` is for all of them, ``GeneratedFilesContract`` for those whose assistant makes files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import AssistantRefused, AssistantUnavailable
from gateway.domain.files import Attachment
from gateway.domain.run_events import UsageCounted
from gateway.ports.assistant import Assistant
from tests.contracts.assistant_online import FAULTS, WithFakeServer
from tests.contracts.assistant_session import AssistantSession, make_attachment
from tests.fakes.file_contents import file_of
from tests.fakes.openai_files import ModelInput
from tests.fakes.openai_server import CallTool, FakeOpenAI, HttpFault, MakeFile, MakeImage, Say

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PDF = b"%PDF-1.7\n\xff\xfe"
ATTACHMENTS = [
    make_attachment("plot.png", PNG, media_type="image/png"),
    make_attachment("notes.md", "# Grüße\r\n".encode()),
    make_attachment("report.pdf", PDF, media_type="application/pdf"),
    make_attachment("lost.docx", problem="The platform\ndoes not have it any more."),
]
TEXT_WITH_NAMES = "Look\n[attached: plot.png]\n[attached: notes.md]\n[attached: report.pdf]\n[attached: lost.docx]"
NOTES_INLINE = "[beginning of notes.md]\n# Grüße\r\n\n[end of notes.md]"
LOST_NOTE = "[lost.docx could not be read: The platform does not have it any more]"


def text_of_inputs(inputs: list[ModelInput]) -> str:
    """Joins the text inputs of the model."""
    return "\n".join(str(content) for kind, _, content in inputs if kind == "text")


class FilesContract(WithFakeServer):
    """The subclass creates ``assistant`` with ``fake`` and ``toolbox``, so that it can read documents."""

    @pytest.fixture
    def session(self, assistant: Assistant) -> AssistantSession:
        return AssistantSession(assistant, attachments_to_send=ATTACHMENTS)

    def model_inputs(self, fake: FakeOpenAI, session: AssistantSession) -> list[ModelInput]:
        """Returns the model's inputs from the newest message."""
        assert session.thread_id is not None
        return fake.newest_inputs(session.thread_id)

    def user_texts(self, fake: FakeOpenAI, session: AssistantSession) -> list[str]:
        """Returns the first part of each user message, oldest first."""
        raise NotImplementedError

    async def test_attachments_reach_the_model(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        await session.say("Look")
        given = self.model_inputs(fake, session)
        assert given[0] == ("text", "", TEXT_WITH_NAMES)
        rest: list[ModelInput] = [("image", "image/png", PNG), ("text", "", NOTES_INLINE), ("file", "report.pdf", PDF)]
        assert sorted(given[1:], key=str) == sorted([*rest, ("text", "", LOST_NOTE)], key=str)

    async def test_a_recording_is_transcribed(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.transcripts[b"OggS hello"] = "Hello, can you hear me?"
        voice = make_attachment("voice.ogg", b"OggS hello", media_type="audio/ogg")
        silent = make_attachment("memo.m4a", b"\0\0\0")
        session.attachments_to_send = [voice, silent]
        await session.say("Listen")
        read = text_of_inputs(self.model_inputs(fake, session))
        assert "[beginning of what is said in voice.ogg]\nHello, can you hear me?\n" in read
        assert "[memo.m4a could not be read: nothing is said in it]" in read
        assert [kind for kind, *_ in self.model_inputs(fake, session)].count("file") == 0

    async def test_a_transcription_is_counted_beside_the_run(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.transcripts[b"OggS hello"] = "Hello, can you hear me?"
        session.attachments_to_send = [make_attachment("voice.ogg", b"OggS hello", media_type="audio/ogg")]
        await session.say("")
        (heard,) = [event for event in session.events if isinstance(event, UsageCounted) and event.beside]
        assert heard.usage.tokens_in > 0
        assert heard.usage.tokens_out > 0

    @pytest.mark.parametrize(
        "fault", [HttpFault(status=404), HttpFault(status=500), HttpFault(kind="drop_before")], ids=str
    )
    async def test_a_failed_transcription_does_not_lose_the_text(
        self, fake: FakeOpenAI, session: AssistantSession, fault: HttpFault
    ) -> None:
        fake.faults.add(replace(fault, path=".*/audio/transcriptions"))
        session.attachments_to_send = [make_attachment("voice.ogg", b"OggS hello", media_type="audio/ogg")]
        await session.say("Listen")
        read = text_of_inputs(self.model_inputs(fake, session))
        assert read.startswith("Listen")
        assert "[voice.ogg could not be read: it could not be transcribed]" in read

    async def test_files_are_fetched_once(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await session.say("Look")
        assert session.attachment_loads == 1

    async def test_text_files_are_sent_as_text_parts(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        session.attachments_to_send = [ATTACHMENTS[1], ATTACHMENTS[3]]
        fake.accepts_files = False
        await session.say("Look")
        assert NOTES_INLINE in text_of_inputs(self.model_inputs(fake, session))
        assert LOST_NOTE in text_of_inputs(self.model_inputs(fake, session))
        assert len(fake.posts(self.RUN_PATH)) == 1

    @pytest.mark.parametrize("attachment", [ATTACHMENTS[0], ATTACHMENTS[2]])
    async def test_a_server_that_refuses_files_still_gets_the_text(
        self, fake: FakeOpenAI, session: AssistantSession, attachment: Attachment
    ) -> None:
        fake.accepts_files = False
        session.attachments_to_send = [attachment, ATTACHMENTS[1]]
        reply = await session.say("Look")
        assert not session.errors
        assert f"[{attachment.file.name} could not be read: the assistant's server does not take" in reply
        assert NOTES_INLINE in reply
        assert {kind for kind, _, _ in self.model_inputs(fake, session)} == {"text"}
        assert session.attachment_loads == 1
        session.attachments_to_send = ()
        await session.say("And now?")
        assert self.user_texts(fake, session) == [session.exchanges[0].text, "And now?"]

    @pytest.mark.parametrize("status", [400, 413])
    async def test_a_rejection_that_is_not_caused_by_files_is_raised(
        self, fake: FakeOpenAI, session: AssistantSession, status: int
    ) -> None:
        fake.faults.add(HttpFault(path=self.RUN_PATH, status=status, times=None, body={"error": {"message": "No."}}))
        with pytest.raises(AssistantRefused, match=r"No\."):
            await session.say("Look")
        assert len(fake.posts(self.RUN_PATH)) == 2
        session.attachments_to_send = ()
        with pytest.raises(AssistantRefused):
            await session.say("Hello")
        assert len(fake.posts(self.RUN_PATH)) == 3

    @pytest.mark.parametrize("status", [400, 404, 500])
    async def test_rejections_by_models_without_vision_are_recognised(
        self, fake: FakeOpenAI, session: AssistantSession, status: int
    ) -> None:
        error = {"message": "image input is not supported - hint: you may need to provide the mmproj", "code": status}
        fake.faults.add(HttpFault(path=self.RUN_PATH, status=status, body={"error": error}))
        assert "does not take files" in await session.say("Look")
        assert not session.errors

    @pytest.mark.parametrize("name", ["drop before acting", "drop after acting", "cut soon", "end early", "rate limit"])
    async def test_the_message_is_stored_once_despite_faults_of_the_post(
        self, fake: FakeOpenAI, session: AssistantSession, name: str
    ) -> None:
        fake.faults.add(HttpFault(path=self.RUN_PATH, **FAULTS[name]))
        assert await session.say("Look")
        session.attachments_to_send = ()
        await session.say("And now?")
        assert self.user_texts(fake, session) == [TEXT_WITH_NAMES, "And now?"]

    async def test_a_repeated_text_with_the_same_files_is_another_message(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        for number in range(2):
            fake.script(f"Reply {number}.")
            assert await session.say("Look", may_have_begun=bool(number)) == f"Reply {number}."
        assert self.user_texts(fake, session) == [TEXT_WITH_NAMES, TEXT_WITH_NAMES]

    async def test_imported_history_has_the_text_of_messages_with_files(self, session: AssistantSession) -> None:
        reply = await session.say("Look")
        past = await session.assistant.import_history(await session.open_thread())
        if past is not None:  # else the backend stores no history
            assert [(one.text, one.reply) for one in past] == [(TEXT_WITH_NAMES, reply)]


TEXT_WITH_LINKS = "Here is [the [new] plan](sandbox:/mnt/data/plan.csv), and ![a plot](sandbox:/mnt/data/plot (1).png)."


class GeneratedFilesContract(WithFakeServer):
    """The subclass creates ``assistant`` with ``fake`` and ``toolbox``, and ``another`` as a second process would."""

    @pytest.fixture
    def session(self, assistant: Assistant) -> AssistantSession:
        return AssistantSession(assistant)

    async def test_a_generated_file_comes_with_the_answer(
        self, fake: FakeOpenAI, session: AssistantSession, another: Assistant
    ) -> None:
        fake.script([MakeFile("plan.csv", b"1,2"), Say(TEXT_WITH_LINKS)])
        assert await session.say("Plan it") == "Here is the [new] plan, and a plot."
        (file,) = session.answer.files
        assert (file.name, file.media_type) == ("plan.csv", "text/csv")
        assert await file_of(another, file) == b"1,2"

    async def test_a_generated_image_comes_with_the_answer(
        self, fake: FakeOpenAI, session: AssistantSession, another: Assistant
    ) -> None:
        fake.script([MakeImage(PNG), Say("Here.")])
        assert await session.say("Paint") == "Here."
        (file,) = session.answer.files
        assert file.media_type == "image/png"
        assert file.name.endswith(".png")
        assert await file_of(another, file) == PNG

    async def test_generated_files_of_every_round_come_once(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        call = CallTool("add", {"a": 1, "b": 2})
        fake.script(
            [MakeFile("a.csv", b"1"), Say("See a."), Say("Yes, a."), call], [MakeFile("b.csv", b"2"), Say("See b.")]
        )
        await session.say("Plan it")
        assert [file.name for file in session.answer.files] == ["a.csv", "b.csv"]

    async def test_an_answer_may_be_files_only(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([MakeImage(PNG), Say("")])
        await session.open_thread()
        answer = await session.attempt(session.make_turn("Paint"), first=True)
        assert answer.text == ""
        assert len(answer.files) == 1

    @pytest.mark.parametrize("known", [True, False])
    async def test_files_of_an_earlier_attempt_are_found(
        self,
        fake: FakeOpenAI,
        session: AssistantSession,
        another: Assistant,
        known: bool,  # noqa: FBT001
    ) -> None:
        fake.script([MakeFile("plan.csv", b"1,2"), MakeImage(PNG), Say("")])
        await session.open_thread()
        turn = session.make_turn("Paint")
        await session.attempt(turn, first=True)
        session.run_id = session.run_id if known else None
        posts = len(fake.posts(self.RUN_PATH))
        answer = await session.attempt(turn, first=False)
        assert len(fake.posts(self.RUN_PATH)) == posts
        assert PNG in [await file_of(another, file) for file in answer.files]

    @pytest.mark.parametrize("kind", ["cut", "end_early", "garbage", "error_event"])
    async def test_an_interrupted_stream_loses_no_file(
        self, fake: FakeOpenAI, session: AssistantSession, kind: Any
    ) -> None:
        fake.faults.add(HttpFault(path=self.RUN_PATH, kind=kind, after=6))
        fake.script([MakeFile("plan.csv", b"1,2"), Say(TEXT_WITH_LINKS)])
        await session.say("Plan it")
        assert [file.name for file in session.answer.files] == ["plan.csv"]

    @pytest.mark.parametrize("act", [MakeFile("plan.csv", b"1,2"), MakeImage(PNG)])
    async def test_a_missing_file_is_refused_with_a_user_message(
        self, fake: FakeOpenAI, session: AssistantSession, act: MakeFile | MakeImage
    ) -> None:
        fake.script([act, Say("Here.")])
        await session.say("Make it")
        (file,) = session.answer.files
        for name in file.reference.split():
            fake.forget_object(name)
        with pytest.raises(AssistantRefused) as caught:
            await file_of(session.assistant, file)
        assert caught.value.code == "file_gone"
        assert "no longer available" in caught.value.user_message

    @pytest.mark.parametrize("act", [MakeFile("plan.csv", b"1,2"), MakeImage(PNG)])
    async def test_an_unreachable_server_does_not_mean_a_missing_file(
        self, fake: FakeOpenAI, session: AssistantSession, act: MakeFile | MakeImage
    ) -> None:
        fake.script([act, Say("Here.")])
        await session.say("Make it")
        (file,) = session.answer.files
        fake.faults.add(HttpFault(method="GET", status=503), HttpFault(method="GET", kind="cut"))
        for _ in range(2):
            with pytest.raises(AssistantUnavailable):
                await file_of(session.assistant, file)
        assert await file_of(session.assistant, file)
