"""The backend ``chat``: chat completions, which nearly every server has. The server keeps no state.

Each request carries the gateway's own transcript, up to a size limit, so repeating a request is always safe.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.api_client import AssistantApiClient, AssistantConfig, OptionalFields, check_model
from gateway.assistants.attachments import MessagePart, TextPart, load, unknown_reference, without_files
from gateway.assistants.error_map import CUT_SHORT, NOT_ALLOWED, BadRequest, InputTooLong, NotFound, error_from_object
from gateway.assistants.history import exchange_chars, fit_history
from gateway.assistants.json_fields import as_object, as_objects, as_text, as_usage
from gateway.assistants.reply_accumulator import ReplyAccumulator
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import MAX_ROUNDS, TOO_MANY_ROUNDS, FunctionCall, run_calls
from gateway.assistants.transcription import Transcripts
from gateway.domain.errors import AssistantError, AssistantMisconfigured, AssistantRefused, AssistantUnavailable
from gateway.domain.models import (
    Exchange,
    File,
    RunCompleted,
    RunEvent,
    RunId,
    RunStarted,
    TextDelta,
    ThreadId,
    Turn,
    Usage,
    UsageCounted,
)
from gateway.ports.assistant import AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.settings import OPENAI_HOST
from gateway.tools import ToolBox

MAX_RETRIES = 2
"""How often an interrupted answer is requested again before the error goes to the caller."""
BROKEN_FINISH_REASONS = frozenset({"abort", "error", "cancelled", "insufficient_system_resource"})
"""Values of ``finish_reason`` by which some servers report that the answer was interrupted."""

NO_REASONING = {"reasoning_effort": "none"}
"""OpenAI's models from gpt-5.6 on call functions in chat completions only if reasoning is switched off explicitly
(github.com/livekit/agents/pull/7169)."""

log = logs.get_logger(__name__)


class CompletionAccumulator:
    """Assembles one answer from its chunks."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.finish_reason = ""
        self.usage = Usage()
        self._text: list[str] = []
        self._tool_calls: dict[object, Json] = {}

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def tool_calls(self) -> list[FunctionCall]:
        return [
            FunctionCall(as_text(call["id"]) or f"call_{number}", as_text(call["name"]), "".join(call["arguments"]))
            for number, call in enumerate(self._tool_calls.values())
        ]

    def add_chunk(self, chunk: Json) -> str:
        """Adds a chunk. Returns the text in it. Raises AssistantError if the chunk reports an error."""
        if error := chunk.get("error"):
            raise error_from_object(error)
        self.id = self.id or as_text(chunk.get("id"))
        self.model = self.model or as_text(chunk.get("model"))
        if chunk.get("usage"):
            self.usage = as_usage(chunk["usage"])  # some servers send running totals: the last one counts
        said = ""
        for choice in as_objects(chunk.get("choices"))[:1]:
            self.finish_reason = as_text(choice.get("finish_reason")) or self.finish_reason
            delta = as_object(choice.get("delta") or choice.get("message"))
            said = _delta_text(delta.get("content")) + as_text(delta.get("refusal"))
            for place, call in enumerate(as_objects(delta.get("tool_calls"))):
                self._add_call_delta(call, place)
        self._text.append(said)
        return said

    def raise_unless_complete(self) -> None:
        """Raises AssistantError unless the answer is complete."""
        if not self.finish_reason or self.finish_reason in BROKEN_FINISH_REASONS:
            raise AssistantUnavailable(f"the answer was interrupted: {self.finish_reason or 'no reason given'}")
        if self.finish_reason == "length":
            raise AssistantRefused("the answer was cut at the length limit", code="incomplete", user_message=CUT_SHORT)
        if self.finish_reason == "content_filter":
            raise AssistantRefused("the answer was filtered", code="incomplete", user_message=NOT_ALLOWED)

    def to_message(self) -> Json:
        """Returns the message to send back to the server together with the outputs of its calls."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.tool_calls
        ]
        return {"role": "assistant", "content": self.text or None, "tool_calls": calls}

    def _add_call_delta(self, delta: Json, position: int) -> None:
        """Adds a delta of a call: its deltas share an index, or an id or position if the server sends no index."""
        key = delta.get("index")
        key = (delta.get("id") or position) if key is None else key
        call = self._tool_calls.setdefault(key, {"id": "", "name": "", "arguments": []})
        function = as_object(delta.get("function"))
        call["id"] = call["id"] or delta.get("id")
        call["name"] = call["name"] or function.get("name")
        call["arguments"].append(as_text(function.get("arguments")))


@dataclass
class ChatRunState:
    """State of one turn during one call of run or resume."""

    turn: Turn
    history: list[Exchange]
    message_parts: Sequence[MessagePart]
    """The files of the message."""
    accumulator: ReplyAccumulator = field(default_factory=ReplyAccumulator)
    usage: Usage = field(default_factory=Usage)
    tool_messages: list[Json] = field(default_factory=list)
    """Messages with function calls and their outputs, sent after the user's message."""
    completion: CompletionAccumulator = field(default_factory=CompletionAccumulator)
    started: bool = False
    history_shortened: bool = False

    def shorten_history(self) -> bool:
        """Drops half of the history, at most once. Returns whether there was something to drop."""
        if self.history_shortened or not self.history:
            return False
        self.history = fit_history(self.history, sum(map(exchange_chars, self.history)) // 2)
        self.history_shortened = True
        return True

    def reduce_input(self, error: AssistantError) -> bool:
        """Drops part of a rejected request: first history, then files. Returns whether there was something to drop."""
        if isinstance(error, InputTooLong) and self.shorten_history():
            log.info(
                "history shortened after the server rejected the input as too long",
                turn=self.turn.id,
                exchanges=len(self.history),
            )
            return True
        words = without_files(self.message_parts)
        if words is None:
            return False
        log.info("server rejected the request; repeating it without files", turn=self.turn.id, error=str(error))
        self.message_parts = words
        return True


class ChatBackend:
    """Runs turns by chat completions of one server."""

    name = "chat"
    is_metered = True
    resumes_runs = False

    def __init__(
        self,
        api: AssistantApiClient,
        config: AssistantConfig,
        toolbox: ToolBox,
        *,
        history_chars: int = 48_000,
        retry_seconds: float = 1.0,
    ) -> None:
        """``history_chars``: how many characters of history a request carries.

        ``retry_seconds``: pause before an interrupted answer is requested again.
        """
        self.model = config.model
        self.description = f"{self.name} at {api.host}, model {config.model}"
        self._api = api
        self._config = config
        self._toolbox = toolbox
        self._history_chars = history_chars
        self._retry_seconds = retry_seconds
        streamed = {"stream_options": _stream_options(api)} if config.stream else {}
        self._optional_fields = OptionalFields(streamed, on_demand=NO_REASONING)

    async def create_thread(self, history: Sequence[Exchange]) -> ThreadId:  # noqa: ARG002  # every run gets it anyway
        return ThreadId(f"chat_{secrets.token_hex(12)}")

    async def run(
        self,
        turn: Turn,
        thread_id: ThreadId,  # noqa: ARG002  # required by the port
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        past = fit_history(await history(), self._history_chars)
        transcripts = Transcripts(self._api, self._config, attachments)
        state = ChatRunState(turn, past, await load(turn, transcripts.load))
        for counted in transcripts.take_counted():
            yield counted
        for number in range(MAX_ROUNDS):
            async with aclosing(self._complete_with_retries(state, str(number))) as events:
                async for event in events:
                    yield event
            completion = state.completion
            state.usage += completion.usage
            state.accumulator.add_message(completion.text)
            if completion.usage != Usage():
                yield UsageCounted(RunId(completion.id or f"{turn.id} {number}"), completion.usage, completion.model)
            if not completion.tool_calls:
                yield RunCompleted(state.accumulator.text, state.usage, model=completion.model)
                return
            outputs: dict[str, str] = {}
            async with aclosing(run_calls(self._toolbox, completion.tool_calls, outputs)) as told:
                async for call in told:
                    yield call
            state.tool_messages += [completion.to_message(), *_tool_messages(outputs)]
        raise AssistantRefused("too many rounds of tools", code="too_many_rounds", user_message=TOO_MANY_ROUNDS)

    def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,  # noqa: ARG002  # a completion cannot be resumed
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self.run(turn, thread_id, history, attachments)

    async def _complete_with_retries(self, state: ChatRunState, message_key: str) -> AsyncGenerator[RunEvent, None]:
        """Yields one complete answer; requests it again if it is interrupted after some text was shown or tools ran."""
        failures = 0
        while True:
            try:
                async with aclosing(self._complete(state, message_key)) as events:
                    async for event in events:
                        yield event
            except (InputTooLong, BadRequest) as exc:
                if not state.reduce_input(exc):
                    raise
            except AssistantUnavailable as exc:
                failures += 1
                if failures > MAX_RETRIES or not (state.accumulator.has_shown_text or state.tool_messages):
                    raise
                log.info("answer interrupted; requesting it again", turn=state.turn.id, error=str(exc))
                await asyncio.sleep(self._retry_seconds)
            else:
                return
            state.accumulator.restart()

    async def _complete(self, state: ChatRunState, message_key: str) -> AsyncGenerator[RunEvent, None]:
        completion = state.completion = CompletionAccumulator()
        try:
            async with self._api.stream(
                "/chat/completions", self._request_body(state), self._optional_fields
            ) as events:
                async for _, chunk in events:
                    said = completion.add_chunk(chunk)
                    if not state.started:
                        state.started = True
                        yield RunStarted(RunId(completion.id or state.turn.id))
                    if shown := state.accumulator.add_delta(message_key, said):
                        yield TextDelta(shown)
        except NotFound as exc:
            raise AssistantMisconfigured(
                f"The server at {self._api.host} has no chat completions at this address. Check OPENAI_BASE_URL: {exc}"
            ) from exc
        except AssistantUnavailable:
            if not completion.finish_reason:  # else only the data after the answer was lost
                raise
        completion.raise_unless_complete()

    def _request_body(self, state: ChatRunState) -> Json:
        earlier = [message for exchange in state.history for message in _messages(exchange)]
        system = [{"role": "system", "content": self._config.instructions}] if self._config.instructions else []
        user_message = {
            "role": "user",
            "content": _content(state.turn.message.text_with_attachments, state.message_parts),
        }
        body: Json = {
            "model": self._config.model,
            "messages": [*system, *earlier, user_message, *state.tool_messages],
            "stream": self._config.stream,
        }
        if self._toolbox:
            body["tools"] = [{"type": "function", "function": schema} for schema in self._toolbox.schemas]
        return body

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        """Does nothing: an answer ends when its connection is closed."""

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> None:
        """Returns None: the server keeps no completions."""

    async def fetch_file(self, file: File) -> bytes:
        """Raises AssistantRefused: chat completions return no files."""
        raise unknown_reference(file)

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:  # noqa: ARG002  # only the gateway itself creates these threads
        return None

    async def delete_thread(self, thread_id: ThreadId) -> None:
        """Does nothing: the server keeps no state."""

    async def close(self) -> None:
        await self._api.close()

    async def check(self) -> Sequence[CheckResult]:
        try:
            await self._probe()
        except AssistantError as exc:
            return (CheckResult("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (CheckResult("assistant", ok=True, detail=self.description),)

    async def _probe(self) -> None:
        try:
            await check_model(self._api, self._config.model)
        except NotFound:  # a server without GET /models can only be tested by a completion
            hello = [{"role": "user", "content": "Hello"}]
            await self._api.post("/chat/completions", {"model": self._config.model, "messages": hello, "max_tokens": 1})


def _stream_options(api: AssistantApiClient) -> Json:
    options = {"include_usage": True}
    if api.host == OPENAI_HOST:
        options["include_obfuscation"] = False  # saves bytes; the connection is encrypted already
    return options


def _content(text_content: str, message_parts: Sequence[MessagePart]) -> str | list[Json]:
    """Returns a plain string where that is enough, as not every server accepts content parts."""
    if all(isinstance(piece, TextPart) for piece in message_parts):
        return "\n\n".join([text_content, *(piece.text for piece in message_parts if isinstance(piece, TextPart))])
    return [{"type": "text", "text": text_content}, *map(_content_part, message_parts)]


def _content_part(message_part: MessagePart) -> Json:
    """Returns the content part of the API (developers.openai.com/api/docs/guides/file-inputs and .../images-vision).

    OpenAI accepts only PDF as a file here.
    """
    if isinstance(message_part, TextPart):
        return {"type": "text", "text": message_part.text}
    if message_part.is_image:
        return {"type": "image_url", "image_url": {"url": message_part.data_url}}
    return {"type": "file", "file": {"filename": message_part.name, "file_data": message_part.data_url}}


def _messages(exchange: Exchange) -> list[Json]:
    said = (("user", exchange.text), ("assistant", exchange.reply))
    return [{"role": role, "content": content} for role, content in said if content]


def _tool_messages(outputs: dict[str, str]) -> list[Json]:
    return [{"role": "tool", "tool_call_id": call_id, "content": output} for call_id, output in outputs.items()]


def _delta_text(content: object) -> str:
    """Returns the text of a string or of content parts; some servers send their reasoning in other parts."""
    if isinstance(content, str):
        return content
    return "".join(as_text(one.get("text")) for one in as_objects(content))
