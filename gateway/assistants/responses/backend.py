"""The backend ``responses`` (Responses API): a conversation is the thread, a response is the run.

One POST per turn. A background response, if the server supports it, outlives its connection and its process and is
found again by its id; a plain one ends with its connection. In both cases the items of a run are added to the
conversation when it completes, and not before: so results of an earlier attempt are looked up in the conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.api_client import (
    STREAM_IDLE_SECONDS,
    AssistantApiClient,
    AssistantConfig,
    OptionalFields,
    check_model,
    path_segment,
)
from gateway.assistants.attachments import (
    MAX_BYTES,
    load,
    missing_as_gone,
    unknown_reference,
    without_files,
    without_sandbox_links,
)
from gateway.assistants.error_map import BadFile, BadRequest, InputTooLong, NotFound
from gateway.assistants.json_fields import as_objects, as_text, as_usage
from gateway.assistants.reply_accumulator import ReplyAccumulator
from gateway.assistants.responses.conversations import ServerConversations
from gateway.assistants.responses.items import (
    ResponseEventReader,
    failure_of,
    files_in,
    first_text,
    image_content,
    is_final,
    message_item,
    output_item,
    reply_texts,
    unanswered_calls,
)
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import MAX_ROUNDS, TOO_MANY_ROUNDS, FunctionCall, run_calls
from gateway.assistants.transcription import Transcripts
from gateway.domain.errors import (
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
    ThreadMissing,
)
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
from gateway.tools import ToolBox

DEFAULT_MODEL = "gpt-6-luna"
"""OpenAI's low-cost model of the newest generation, which it recommends for what gpt-4o and gpt-4.1 did; those end on
2027-01-14 (developers.openai.com/api/docs/deprecations)."""
MAX_QUEUED_SECONDS = 120.0

log = logs.get_logger(__name__)


@dataclass
class ResponseRunState:
    """State of one turn during one call of run or resume."""

    turn: Turn
    thread_id: ThreadId
    transcripts: Transcripts
    message_without_files: Json | None = None
    """The message without its files, as long as the server may still reject them."""
    accumulator: ReplyAccumulator = field(default_factory=ReplyAccumulator)
    reported_calls: set[tuple[str, bool]] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    """The model that answered, as the server names it."""
    response: Json = field(default_factory=dict)
    """The newest finished response."""
    files: dict[str, File] = field(default_factory=dict)
    """Files that the assistant made, by reference."""

    def apply_response(self) -> list[FunctionCall]:
        """Adds the results of the response. Returns the calls it waits for. Raises AssistantError if it failed."""
        if error := failure_of(self.response):
            raise error
        items = as_objects(self.response.get("output"))
        self.usage += as_usage(self.response.get("usage"))
        self.model = as_text(self.response.get("model")) or self.model
        for reply in reply_texts(items):
            self.accumulator.add_message(reply)
        name = as_text(self.response.get("id"))
        origin = f"response {name}" if name else f"conversation {self.thread_id}"
        self.files |= {file.reference: file for file in files_in(items, origin)}
        self.message_without_files = None
        return unanswered_calls(items)

    def fall_back_without_files(self, error: AssistantRefused) -> list[Json]:
        """Returns the items to post after a rejection: without files. Raises ``error`` if there were none."""
        if self.message_without_files is None:
            raise error
        log.info("server rejected the request; repeating it without files", turn=self.turn.id, error=str(error))
        self.accumulator.restart()
        plain, self.message_without_files = self.message_without_files, None
        return [plain]


class ResponsesBackend:
    """Runs turns by conversations and responses of one server."""

    name = "responses"
    is_metered = True
    resumes_runs = True

    def __init__(self, api: AssistantApiClient, config: AssistantConfig, toolbox: ToolBox) -> None:
        self.model = config.model
        self.description = f"{self.name} at {api.host}, model {config.model}"
        self._api = api
        self._config = config
        self._toolbox = toolbox
        functions = ({"type": "function", **schema, "strict": False} for schema in toolbox.schemas)
        self._tools = [*config.hosted_tools, *functions]
        self._optional_fields = OptionalFields(_optional_fields(config))
        self._conversations = ServerConversations(api)
        self._background_seen = False
        """Whether the newest response of the server ran in the background."""

    # ------------------------------------------------------------ threads

    async def create_thread(self, history: Sequence[Exchange]) -> ThreadId:
        return await self._conversations.create(history)

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:
        return await self._conversations.import_history(thread_id)

    async def delete_thread(self, thread_id: ThreadId) -> None:
        await self._conversations.delete(thread_id)

    # ------------------------------------------------------------ runs

    async def run(
        self,
        turn: Turn,
        thread_id: ThreadId,
        history: HistoryLoader,  # noqa: ARG002  # required by the port
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = self._new_state(turn, thread_id, attachments)
        items = await _message_items(state)
        for heard in state.transcripts.take_counted():
            yield heard
        async with aclosing(self._run_until_answered(state, items)) as events:
            async for event in events:
                yield event

    async def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = self._new_state(turn, thread_id, attachments)
        left = await self._items_to_resume_with(state, run_id, history)
        for heard in state.transcripts.take_counted():
            yield heard
        async with aclosing(self._run_until_answered(state, left)) as events:
            async for event in events:
                if left and isinstance(event, RunStarted):
                    left = None
                    state = await self._check_for_late_answer(state, event.run_id, history)
                    if state.response:
                        break
                yield event
            else:
                return
        async with aclosing(self._run_until_answered(state, None)) as events:
            async for event in events:
                yield event

    def _new_state(self, turn: Turn, thread_id: ThreadId, attachments: AttachmentLoader) -> ResponseRunState:
        return ResponseRunState(turn, thread_id, Transcripts(self._api, self._config, attachments))

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:  # noqa: ARG002  # required by the port
        if run_id is not None:
            await self._cancel_response(run_id)

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> UsageCounted | None:  # noqa: ARG002  # required by the port
        try:
            response = await self._wait_until_final(run_id)
        except (AssistantUnavailable, AssistantRateLimited):  # it is lost, or never started
            return None
        return _counted(response)

    async def fetch_file(self, file: File) -> bytes:
        """Downloads "container <id> <file id>", "response <id> <item id>" or "conversation <id> <item id>"."""
        kind, _, rest = file.reference.partition(" ")
        where, _, name = rest.partition(" ")
        with missing_as_gone(file):
            if kind == "container":
                path = f"/containers/{path_segment(where)}/files/{path_segment(name)}/content"
                return await self._api.download(path, MAX_BYTES)
            if kind == "response":
                return image_content(as_objects((await self._api.get(_response_path(where))).get("output")), name)
            if kind == "conversation":
                return image_content([await self._conversations.get_item(where, name)], name)
        raise unknown_reference(file)

    async def _run_until_answered(
        self, state: ResponseRunState, items: list[Json] | None
    ) -> AsyncGenerator[RunEvent, None]:
        """Posts items (None: starts with the response in ``state``) and runs tools until there is an answer."""
        for _ in range(MAX_ROUNDS):
            try:
                if items is not None:
                    async with aclosing(self._post_response(state, items)) as events:
                        async for event in events:
                            yield event
                calls = state.apply_response()
            except (BadRequest, InputTooLong) as exc:
                items = state.fall_back_without_files(exc)
                continue
            if counted := _counted(state.response):
                yield counted
            if rest := state.accumulator.take_unshown():
                yield TextDelta(rest)
            if not calls:
                files = tuple(state.files.values())
                yield RunCompleted(without_sandbox_links(state.accumulator.text), state.usage, files, state.model)
                return
            outputs: dict[str, str] = {}
            async with aclosing(run_calls(self._toolbox, calls, outputs)) as told:
                async for call in told:
                    yield call
            items = [output_item(call_id, output) for call_id, output in outputs.items()]
        raise AssistantRefused("too many rounds of tools", code="too_many_rounds", user_message=TOO_MANY_ROUNDS)

    async def _post_response(self, state: ResponseRunState, items: list[Json]) -> AsyncGenerator[RunEvent, None]:
        """Creates a response and follows it to its end. Raises AssistantUnavailable if it did not start or is lost."""
        reading = ResponseEventReader(state.accumulator, state.reported_calls)
        silence = STREAM_IDLE_SECONDS if self._background_seen else None
        try:
            async with self._api.stream(
                "/responses", self._request_body(state, items), self._optional_fields, idle_seconds=silence
            ) as events:
                async for name, data in events:
                    for event in reading.read_event(name, data):
                        yield event
                    del data  # not kept while the next is waited for
                    if reading.is_final:
                        break
        except (NotFound, BadRequest) as exc:
            raise await self._rejection_error(exc, state.thread_id) from exc
        except AssistantUnavailable as exc:
            if not reading.id:
                raise
            log.info("response stream interrupted; polling the response", run=reading.id, error=str(exc))
        if not reading.id:
            raise AssistantUnavailable("the stream ended before the response started")
        self._background_seen = reading.in_background
        if not reading.is_final:
            for event in reading.read_response(await self._wait_until_final(reading.id)):
                yield event
        state.response = reading.response

    async def _wait_until_final(self, run_id: str) -> Json:
        """Polls a response until it is finished. Raises AssistantUnavailable if the server no longer has it.

        Now and then a response whose caller disconnects at once stays queued for ever
        (community.openai.com/t/1382584): it is cancelled, and AssistantRateLimited raised, as it never started.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + MAX_QUEUED_SECONDS

        def settled(response: Json) -> bool:
            return is_final(response) or (response.get("status") == "queued" and loop.time() >= deadline)

        try:
            response = await self._api.poll_until(
                _response_path(run_id), settled, interval_seconds=self._config.poll_seconds
            )
        except NotFound as exc:
            raise AssistantUnavailable(f"the response is lost: {exc}") from exc
        if not is_final(response):
            await self._cancel_response(run_id)
            raise AssistantRateLimited(f"the response was still queued after {MAX_QUEUED_SECONDS:g} s", retry_after=0.0)
        return response

    async def _cancel_response(self, run_id: str) -> None:
        with suppress(NotFound, BadRequest):  # finished, or not in background: ends with its connection
            await self._api.post(f"{_response_path(run_id)}/cancel", {})

    def _request_body(self, state: ResponseRunState, items: list[Json]) -> Json:
        body: Json = {
            "model": self._config.model,
            "conversation": state.thread_id,
            "input": items,
            "store": True,
            "stream": self._config.stream,
            "metadata": {"turn_id": state.turn.id},
        }
        if self._config.instructions:
            body["instructions"] = self._config.instructions  # a conversation does not store them
        if self._tools:
            body["tools"] = self._tools
        return body

    # ------------------------------------------------------------ results of an earlier attempt

    async def _items_to_resume_with(
        self, state: ResponseRunState, run_id: RunId | None, history: HistoryLoader
    ) -> list[Json] | None:
        """Returns the items still to post; None if ``state.response`` was found and is to be continued."""
        if run_id is not None:
            with suppress(AssistantUnavailable):  # lost: then the conversation shows whether it completed
                response = await self._wait_until_final(run_id)
                if not isinstance(failure_of(response), AssistantUnavailable | AssistantRateLimited | BadFile):
                    return await self._continue_from_response(state, response)
        items = await self._items_after_message(state, history)
        return await _message_items(state) if items is None else _use_as_response(state, items)

    async def _continue_from_response(self, state: ResponseRunState, response: Json) -> list[Json] | None:
        """Continues from a finished response; from later items if the outputs of its calls were posted already."""
        calls = {call.id for call in unanswered_calls(as_objects(response.get("output")))}
        behind: list[Json] = []
        if calls:
            async with aclosing(self._conversations.items_newest_first(state.thread_id)) as items:
                async for item in items:
                    if item.get("type") == "function_call_output" and item.get("call_id") in calls:
                        return _use_as_response(state, behind[::-1])
                    if item.get("call_id") in calls or item.get("role") == "user":
                        break
                    behind.append(item)
        state.response = response
        return None

    async def _items_after_message(self, state: ResponseRunState, history: HistoryLoader) -> list[Json] | None:
        """Returns the items after the turn's message, oldest first; None if the conversation does not have it.

        Items carry no id of the gateway. So the newest user message must have the turn's text; if the user sent the
        same text several times in a row, it must occur once more than in the turns before.
        """
        mine = state.turn.message.text_with_attachments.strip()
        behind: list[Json] = []
        same = 0
        async with aclosing(self._conversations.items_newest_first(state.thread_id)) as items:
            async for item in items:
                if item.get("type") == "message" and item.get("role") == "user":
                    if first_text(item).strip() != mine:
                        break
                    same += 1
                elif not same:
                    behind.append(item)
        return behind[::-1] if same and same > await _count_trailing_repeats(mine, history) else None

    async def _check_for_late_answer(
        self, state: ResponseRunState, run_id: RunId, history: HistoryLoader
    ) -> ResponseRunState:
        """Looks for an answer again, as an earlier attempt may have completed between the lookup and the post.

        Now the new run has the conversation locked. If there is an answer, cancels the new run and returns a state
        with that answer; else returns ``state``.
        """
        late = ResponseRunState(state.turn, state.thread_id, state.transcripts)
        items = await self._items_after_message(state, history)
        if not items or _use_as_response(late, items) is not None:
            return state
        log.info("earlier run has answered; cancelling the new run", run=run_id)
        await self._cancel_response(run_id)
        return late

    # ------------------------------------------------------------ the server

    async def close(self) -> None:
        await self._api.close()

    async def check(self) -> Sequence[CheckResult]:
        try:
            with suppress(NotFound):
                await check_model(self._api, self._config.model)
            await self._conversations.probe()
        except AssistantError as exc:
            return (CheckResult("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (CheckResult("assistant", ok=True, detail=self.description),)

    async def _rejection_error(self, error: NotFound | BadRequest, thread_id: ThreadId) -> AssistantError:
        """Returns the error for a rejected response."""
        if isinstance(error, BadRequest):
            return ThreadMissing(str(error)) if error.param == "conversation" else error
        if not await self._conversations.exists(thread_id):
            return ThreadMissing(str(error))
        return AssistantMisconfigured(
            f"The server at {self._api.host} has no Responses API. Set ASSISTANT_BACKEND=chat: {error}"
        )


def _response_path(run_id: str) -> str:
    return f"/responses/{path_segment(run_id)}"


async def _message_items(state: ResponseRunState) -> list[Json]:
    said, pieces = state.turn.message.text_with_attachments, await load(state.turn, state.transcripts.load)
    words = without_files(pieces)
    state.message_without_files = None if words is None else message_item(said, words)
    return [message_item(said, pieces)]


def _counted(response: Json) -> UsageCounted | None:
    """Returns what the server counted for a response; None if it says nothing."""
    run_id, usage = as_text(response.get("id")), as_usage(response.get("usage"))
    return UsageCounted(RunId(run_id), usage, as_text(response.get("model"))) if run_id and usage != Usage() else None


def _optional_fields(config: AssistantConfig) -> Json:
    extras: Json = {"background": True, "truncation": "auto"}
    if config.stream:
        extras["stream_options"] = {"include_obfuscation": False}  # saves bytes; the connection is encrypted already
    if any(tool.get("type") == "code_interpreter" for tool in config.hosted_tools):
        extras["include"] = ["code_interpreter_call.outputs"]
    return extras


def _use_as_response(state: ResponseRunState, items: list[Json]) -> list[Json] | None:
    """Uses items of the conversation as the response. Returns [] (post without a message) if they have no results."""
    if not any(reply_texts(items)) and not unanswered_calls(items) and not any(files_in(items, "")):
        return []
    state.response = {"status": "completed", "output": items}
    return None


async def _count_trailing_repeats(message_text: str, history: HistoryLoader) -> int:
    """Counts how many exchanges directly before the turn have its text."""
    times = 0
    for exchange in reversed(await history()):
        if exchange.text.strip() != message_text:
            break
        times += 1
    return times
