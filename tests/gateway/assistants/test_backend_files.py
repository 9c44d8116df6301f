"""Files with every backend that uses a server: the contracts, and the behaviour specific to each."""

from __future__ import annotations

from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.responses import backend
from gateway.assistants.responses.backend import ResponsesBackend
from gateway.assistants.threads.backend import BETA_HEADERS, ThreadsBackend
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import AssistantRefused
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.tools import ToolBox
from tests.contracts.assistant_files import ATTACHMENTS, PNG, TEXT_WITH_NAMES, FilesContract, GeneratedFilesContract
from tests.contracts.assistant_session import AssistantSession, make_attachment
from tests.fakes.file_contents import file_of
from tests.fakes.openai_files import ModelInput, model_inputs
from tests.fakes.openai_server import CallTool, Fail, FakeOpenAI, HttpFault, MakeFile, MakeImage, Say
from tests.fakes.raw_server import RawServer
from tests.fakes.shared_values import MemorySharedValues

CONFIG = AssistantConfig("gpt-4o", poll_seconds=0.01, transcription_model="gpt-4o-mini-transcribe")
CHAT = "/chat/completions"
RESPONSES = "/responses"
RUNS_PATH = "/threads/[^/]+/runs"


def make_threads_backend(
    client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemorySharedValues, *tools: str, name: str | None = None
) -> ThreadsBackend:
    """Creates a backend with these tools for documents; ``name``: the id of a configured assistant."""
    api, setup = (
        AssistantApiClient(client, BETA_HEADERS),
        replace(CONFIG, hosted_tools=tuple({"type": tool} for tool in tools)),
    )
    return ThreadsBackend(api, setup, toolbox, ServerAssistant(api, setup, toolbox, facts, name))


class TestChatFiles(FilesContract):
    RUN_PATH = CHAT

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> ChatBackend:
        return ChatBackend(AssistantApiClient(client), CONFIG, toolbox, retry_seconds=0.01)

    def model_inputs(self, fake: FakeOpenAI, session: AssistantSession) -> list[ModelInput]:
        newest = [one for one in fake.posts(CHAT)[-1].body["messages"] if one["role"] == "user"][-1]
        return model_inputs(newest["content"])

    def user_texts(self, fake: FakeOpenAI, session: AssistantSession) -> list[str]:
        asked = [one["content"] for one in fake.posts(CHAT)[-1].body["messages"] if one["role"] == "user"]
        texts = (content if isinstance(content, str) else content[0]["text"] for content in asked)
        return [text.partition("\n\n")[0] for text in texts]

    async def test_text_parts_are_joined_to_one_string(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        session.attachments_to_send = [
            make_attachment("a.txt", b"A"),
            make_attachment("b.txt", problem="It is too large."),
        ]
        await session.say("Look")
        (message,) = fake.posts(CHAT)[-1].body["messages"]
        assert message["content"] == (
            "Look\n[attached: a.txt]\n[attached: b.txt]\n\n[beginning of a.txt]\nA\n[end of a.txt]\n\n"
            "[b.txt could not be read: It is too large]"
        )

    async def test_history_is_shortened_before_files_are_dropped(
        self, fake: FakeOpenAI, assistant: ChatBackend
    ) -> None:
        error = {"message": "maximum context length", "code": "context_length_exceeded"}
        fake.faults.add(HttpFault(path=CHAT, times=2, status=400, body={"error": error}))
        past = [Exchange(f"Q{number}", "A") for number in range(4)]
        session = AssistantSession(
            assistant,
            exchanges=past,
            attachments_to_send=[make_attachment("a.pdf", b"%PDF", media_type="application/pdf")],
        )
        await session.say("Look")
        messages = [seen.body["messages"] for seen in fake.posts(CHAT)]
        assert [len(one) for one in messages] == [9, 1, 1]
        assert [isinstance(one[-1]["content"], list) for one in messages] == [True, True, False]

    async def test_any_file_type_is_sent_first(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        session.attachments_to_send = [make_attachment("a.docx", b"PK\3\4")]
        assert "[a.docx could not be read: the assistant's server does not take" in await session.say("Look")
        part = fake.posts(CHAT)[0].body["messages"][-1]["content"][1]
        assert part["file"]["file_data"].startswith("data:application/vnd.openxml")


class TestResponsesFiles(FilesContract):
    RUN_PATH = RESPONSES

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> ResponsesBackend:
        return ResponsesBackend(AssistantApiClient(client), CONFIG, toolbox)

    def user_texts(self, fake: FakeOpenAI, session: AssistantSession) -> list[str]:
        items = fake.conversations[session.thread_id or ""]
        return [item["content"][0]["text"] for item in items if item.get("role") == "user"]

    @pytest.mark.parametrize("code", ["invalid_image", "image_too_large", "unsupported_image_media_type"])
    @pytest.mark.parametrize("begun", [False, True])
    async def test_an_image_that_fails_the_run_is_dropped(
        self,
        fake: FakeOpenAI,
        session: AssistantSession,
        code: str,
        begun: bool,  # noqa: FBT001
    ) -> None:
        fake.script(*[Fail(code, "The image cannot be used.")] * (2 if begun else 1))
        if begun:
            await session.begin_and_abandon("Look")
        assert "does not take files" in await session.say("Look", may_have_begun=begun)
        assert not session.errors
        assert self.user_texts(fake, session) == [TEXT_WITH_NAMES]

    async def test_rejected_outputs_do_not_repeat_the_message(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        fake.faults.add(HttpFault(path=RESPONSES, skip=1, status=400))
        with pytest.raises(AssistantRefused):
            await session.say("Look")
        assert len(fake.posts(RESPONSES)) == 2

    async def test_an_image_that_violates_the_policy_is_an_error(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(Fail("image_content_policy_violation", "Not this."))
        with pytest.raises(AssistantRefused) as caught:
            await session.say("Look")
        assert caught.value.code == "not_allowed"


class TestResponsesMaking(GeneratedFilesContract):
    RUN_PATH = RESPONSES

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> ResponsesBackend:
        return ResponsesBackend(AssistantApiClient(client), CONFIG, toolbox)

    @pytest.fixture
    def another(self, client: openai.AsyncOpenAI) -> ResponsesBackend:
        return ResponsesBackend(AssistantApiClient(client), CONFIG, ToolBox([]))

    async def test_a_file_that_is_too_large_is_refused_with_a_user_message(
        self, fake: FakeOpenAI, session: AssistantSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backend, "MAX_BYTES", 3)
        fake.script([MakeFile("a.csv", b"123"), MakeFile("b.csv", b"1234"), Say("Here.")])
        await session.say("Make them")
        small, large = session.answer.files
        assert await file_of(session.assistant, small) == b"123"
        with pytest.raises(AssistantRefused) as caught:
            await file_of(session.assistant, large)
        assert caught.value.code == "file_too_large"
        assert "too large" in caught.value.user_message

    async def test_a_truncated_image_is_an_error(self, raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
        raw.add_response(b'{"output": [{"type": "image_generation_call", "id": "ig_1", "result": "iVBOR"}]}')
        with pytest.raises(AssistantRefused) as caught:
            await file_of(
                ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([])),
                File("image.png", "response resp_1 ig_1"),
            )
        assert caught.value.code == "file_gone"


class TestThreadsFiles(FilesContract):
    RUN_PATH = RUNS_PATH

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemorySharedValues) -> ThreadsBackend:
        return make_threads_backend(client, toolbox, facts, "code_interpreter", "file_search")

    def user_texts(self, fake: FakeOpenAI, session: AssistantSession) -> list[str]:
        messages = fake.threads[session.thread_id or ""]
        return [one.content[0]["text"]["value"] for one in messages if one.role == "user"]

    @pytest.mark.parametrize("name", ["report.pdf", "data.xlsx"])
    async def test_a_document_goes_to_the_tools_that_read_it(
        self, fake: FakeOpenAI, session: AssistantSession, name: str
    ) -> None:
        session.attachments_to_send = [make_attachment(name, b"PK\3\4\xff")]
        await session.say("Look")
        (upload,) = fake.uploads.values()
        assert (upload.name, upload.purpose) == (name, "assistants")
        (document,) = fake.threads[await session.open_thread()][0].attachments
        kinds = [tool["type"] for tool in document["tools"]]
        assert kinds == (["code_interpreter", "file_search"] if name == "report.pdf" else ["code_interpreter"])

    @pytest.mark.parametrize("given", [False, True])
    async def test_an_assistant_without_file_tools_gets_a_note(
        self,
        fake: FakeOpenAI,
        client: openai.AsyncOpenAI,
        facts: MemorySharedValues,
        given: bool,  # noqa: FBT001
    ) -> None:
        session = AssistantSession(
            make_threads_backend(client, ToolBox([]), facts, name=fake.assistant_id if given else None),
            attachments_to_send=ATTACHMENTS,
        )
        reply = await session.say("Look")
        assert "[report.pdf could not be read: the assistant has no tool that reads such files]" in reply
        assert [upload.purpose for upload in fake.uploads.values()] == ["vision"]

    async def test_a_rejected_message_with_uploads_is_sent_as_text(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        error = {"message": "Files with extensions [.pdf] are not supported for retrieval.", "code": "unsupported_file"}
        fake.faults.add(HttpFault(path=self.RUN_PATH, status=400, body={"error": error}))
        assert "[plot.png could not be read" in await session.say("Look")
        assert self.user_texts(fake, session) == [TEXT_WITH_NAMES]

    async def test_rejected_outputs_do_not_repeat_the_message(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        fake.faults.add(HttpFault(path="/threads/.*/submit_tool_outputs", status=400))
        with pytest.raises(AssistantRefused):
            await session.say("Look")
        assert len(fake.posts(RUNS_PATH)) == len(fake.posts(".*/submit_tool_outputs")) == 1

    async def test_a_failed_upload_is_retried(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.faults.add(HttpFault(path="/files", status=503), HttpFault(path="/files", kind="drop_after"))
        await session.say("Look")
        assert len(session.errors) == 2
        assert {kind for kind, _, _ in self.model_inputs(fake, session)} == {"text", "image", "file"}


class TestThreadsMaking(GeneratedFilesContract):
    RUN_PATH = RUNS_PATH

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemorySharedValues) -> ThreadsBackend:
        return make_threads_backend(client, toolbox, facts)

    @pytest.fixture
    def another(self, client: openai.AsyncOpenAI, facts: MemorySharedValues) -> ThreadsBackend:
        return make_threads_backend(client, ToolBox([]), facts)

    async def test_an_image_has_the_name_from_the_server_or_a_default(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        names = []
        for told in (True, False):
            fake.script([MakeImage(PNG), Say("Here.")])
            if not told:
                fake.faults.add(HttpFault(method="GET", path="/files/[^/]+", status=500))
            await session.say("Paint")
            names += [file.name for file in session.answer.files]
        assert names == ["plot.png", "image.png"]
