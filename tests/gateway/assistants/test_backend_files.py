"""Files with every backend that uses a server: the contracts, and the behaviour specific to each."""

from __future__ import annotations

from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import Setup, Wire
from gateway.assistants.chat.backend import Chat
from gateway.assistants.responses import backend
from gateway.assistants.responses.backend import Responses
from gateway.assistants.threads.backend import BETA, Threads
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import Refused
from gateway.domain.models import Exchange, File
from gateway.tools import ToolBox
from tests.contracts.assistant_files import ALL, PNG, SAID, FilesContract, MakingContract
from tests.contracts.assistant_session import Room, attached
from tests.fakes.openai_files import Given, given
from tests.fakes.openai_server import CallTool, Fail, FakeOpenAI, Fault, MakeFile, MakeImage, Say
from tests.fakes.raw_server import RawServer
from tests.fakes.shared_values import MemoryFacts

SETUP = Setup("gpt-4o", poll_seconds=0.01, transcription_model="gpt-4o-mini-transcribe")
CHAT = "/chat/completions"
RESPONSES = "/responses"
RUNS = "/threads/[^/]+/runs"


def threads(
    client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemoryFacts, *tools: str, name: str | None = None
) -> Threads:
    """Creates a backend with these tools for documents; ``name``: the id of a configured assistant."""
    api, setup = Wire(client, BETA), replace(SETUP, hosted=tuple({"type": tool} for tool in tools))
    return Threads(api, setup, toolbox, ServerAssistant(api, setup, toolbox, facts, name))


class TestChatFiles(FilesContract):
    RUNS = CHAT

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> Chat:
        return Chat(Wire(client), SETUP, toolbox, pause=0.01)

    def given(self, fake: FakeOpenAI, session: Room) -> list[Given]:
        newest = [one for one in fake.posts(CHAT)[-1].body["messages"] if one["role"] == "user"][-1]
        return given(newest["content"])

    def said(self, fake: FakeOpenAI, session: Room) -> list[str]:
        asked = [one["content"] for one in fake.posts(CHAT)[-1].body["messages"] if one["role"] == "user"]
        texts = (content if isinstance(content, str) else content[0]["text"] for content in asked)
        return [text.partition("\n\n")[0] for text in texts]

    async def test_text_parts_are_joined_to_one_string(self, fake: FakeOpenAI, session: Room) -> None:
        session.attached = [attached("a.txt", b"A"), attached("b.txt", problem="It is too large.")]
        await session.say("Look")
        (message,) = fake.posts(CHAT)[-1].body["messages"]
        assert message["content"] == (
            "Look\n[attached: a.txt]\n[attached: b.txt]\n\n[beginning of a.txt]\nA\n[end of a.txt]\n\n"
            "[b.txt could not be read: It is too large]"
        )

    async def test_history_is_shortened_before_files_are_dropped(self, fake: FakeOpenAI, assistant: Chat) -> None:
        error = {"message": "maximum context length", "code": "context_length_exceeded"}
        fake.faults.add(Fault(path=CHAT, times=2, status=400, body={"error": error}))
        past = [Exchange(f"Q{number}", "A") for number in range(4)]
        session = Room(assistant, past=past, attached=[attached("a.pdf", b"%PDF", media_type="application/pdf")])
        await session.say("Look")
        messages = [seen.body["messages"] for seen in fake.posts(CHAT)]
        assert [len(one) for one in messages] == [9, 5, 5]
        assert [isinstance(one[-1]["content"], list) for one in messages] == [True, True, False]

    async def test_any_file_type_is_sent_first(self, fake: FakeOpenAI, session: Room) -> None:
        session.attached = [attached("a.docx", b"PK\3\4")]
        assert "[a.docx could not be read: the assistant's server does not take" in await session.say("Look")
        part = fake.posts(CHAT)[0].body["messages"][-1]["content"][1]
        assert part["file"]["file_data"].startswith("data:application/vnd.openxml")


class TestResponsesFiles(FilesContract):
    RUNS = RESPONSES

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> Responses:
        return Responses(Wire(client), SETUP, toolbox)

    def said(self, fake: FakeOpenAI, session: Room) -> list[str]:
        items = fake.conversations[session.thread or ""]
        return [item["content"][0]["text"] for item in items if item.get("role") == "user"]

    @pytest.mark.parametrize("code", ["invalid_image", "image_too_large", "unsupported_image_media_type"])
    @pytest.mark.parametrize("begun", [False, True])
    async def test_an_image_that_fails_the_run_is_dropped(
        self,
        fake: FakeOpenAI,
        session: Room,
        code: str,
        begun: bool,  # noqa: FBT001
    ) -> None:
        fake.script(*[Fail(code, "The image cannot be used.")] * (2 if begun else 1))
        if begun:
            await session.begin("Look")
        assert "does not take files" in await session.say("Look", begun=begun)
        assert not session.troubles
        assert self.said(fake, session) == [SAID]

    async def test_rejected_outputs_do_not_repeat_the_message(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        fake.faults.add(Fault(path=RESPONSES, skip=1, status=400))
        with pytest.raises(Refused):
            await session.say("Look")
        assert len(fake.posts(RESPONSES)) == 2

    async def test_an_image_that_violates_the_policy_is_an_error(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(Fail("image_content_policy_violation", "Not this."))
        with pytest.raises(Refused) as caught:
            await session.say("Look")
        assert caught.value.code == "not_allowed"


class TestResponsesMaking(MakingContract):
    RUNS = RESPONSES

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> Responses:
        return Responses(Wire(client), SETUP, toolbox)

    @pytest.fixture
    def another(self, client: openai.AsyncOpenAI) -> Responses:
        return Responses(Wire(client), SETUP, ToolBox([]))

    async def test_a_file_that_is_too_large_is_refused_with_a_user_message(
        self, fake: FakeOpenAI, session: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backend, "MOST_BYTES", 3)
        fake.script([MakeFile("a.csv", b"123"), MakeFile("b.csv", b"1234"), Say("Here.")])
        await session.say("Make them")
        small, large = session.answer.files
        assert await session.assistant.fetch(small) == b"123"
        with pytest.raises(Refused) as caught:
            await session.assistant.fetch(large)
        assert caught.value.code == "file_too_large"
        assert "too large" in caught.value.sentence

    async def test_a_truncated_image_is_an_error(self, raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
        raw.say(b'{"output": [{"type": "image_generation_call", "id": "ig_1", "result": "iVBOR"}]}')
        with pytest.raises(Refused) as caught:
            await Responses(Wire(raw_client), SETUP, ToolBox([])).fetch(File("image.png", "response resp_1 ig_1"))
        assert caught.value.code == "file_gone"


class TestThreadsFiles(FilesContract):
    RUNS = RUNS

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemoryFacts) -> Threads:
        return threads(client, toolbox, facts, "code_interpreter", "file_search")

    def said(self, fake: FakeOpenAI, session: Room) -> list[str]:
        messages = fake.threads[session.thread or ""]
        return [one.content[0]["text"]["value"] for one in messages if one.role == "user"]

    @pytest.mark.parametrize("name", ["report.pdf", "data.xlsx"])
    async def test_a_document_goes_to_the_tools_that_read_it(self, fake: FakeOpenAI, session: Room, name: str) -> None:
        session.attached = [attached(name, b"PK\3\4\xff")]
        await session.say("Look")
        (upload,) = fake.uploads.values()
        assert (upload.name, upload.purpose) == (name, "assistants")
        (document,) = fake.threads[await session.open()][0].attachments
        kinds = [tool["type"] for tool in document["tools"]]
        assert kinds == (["code_interpreter", "file_search"] if name == "report.pdf" else ["code_interpreter"])

    @pytest.mark.parametrize("given", [False, True])
    async def test_an_assistant_without_file_tools_gets_a_note(
        self,
        fake: FakeOpenAI,
        client: openai.AsyncOpenAI,
        facts: MemoryFacts,
        given: bool,  # noqa: FBT001
    ) -> None:
        session = Room(threads(client, ToolBox([]), facts, name=fake.assistant_id if given else None), attached=ALL)
        reply = await session.say("Look")
        assert "[report.pdf could not be read: the assistant has no tool that reads such files]" in reply
        assert [upload.purpose for upload in fake.uploads.values()] == ["vision"]

    async def test_a_rejected_message_with_uploads_is_sent_as_text(self, fake: FakeOpenAI, session: Room) -> None:
        error = {"message": "Files with extensions [.pdf] are not supported for retrieval.", "code": "unsupported_file"}
        fake.faults.add(Fault(path=self.RUNS, status=400, body={"error": error}))
        assert "[plot.png could not be read" in await session.say("Look")
        assert self.said(fake, session) == [SAID]

    async def test_rejected_outputs_do_not_repeat_the_message(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        fake.faults.add(Fault(path="/threads/.*/submit_tool_outputs", status=400))
        with pytest.raises(Refused):
            await session.say("Look")
        assert len(fake.posts(RUNS)) == len(fake.posts(".*/submit_tool_outputs")) == 1

    async def test_a_failed_upload_is_retried(self, fake: FakeOpenAI, session: Room) -> None:
        fake.faults.add(Fault(path="/files", status=503), Fault(path="/files", kind="drop_after"))
        await session.say("Look")
        assert len(session.troubles) == 2
        assert {kind for kind, _, _ in self.given(fake, session)} == {"text", "image", "file"}


class TestThreadsMaking(MakingContract):
    RUNS = RUNS

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemoryFacts) -> Threads:
        return threads(client, toolbox, facts)

    @pytest.fixture
    def another(self, client: openai.AsyncOpenAI, facts: MemoryFacts) -> Threads:
        return threads(client, ToolBox([]), facts)

    async def test_an_image_has_the_name_from_the_server_or_a_default(self, fake: FakeOpenAI, session: Room) -> None:
        names = []
        for told in (True, False):
            fake.script([MakeImage(PNG), Say("Here.")])
            if not told:
                fake.faults.add(Fault(method="GET", path="/files/[^/]+", status=500))
            await session.say("Paint")
            names += [file.name for file in session.answer.files]
        assert names == ["plot.png", "image.png"]
