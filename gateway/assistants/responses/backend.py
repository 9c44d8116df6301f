"""The backend ``responses`` (Responses API): a conversation is the thread, a response is the run.

One POST per turn. A background response, if the server supports it, outlives its connection and its process and is
found again by its id; a plain one ends with its connection. In both cases the items of a run are added to the
conversation when it completes, and not before: so results of an earlier attempt are looked up in the conversation. At
a server without conversations each request carries the gateway's own transcript.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import NoReturn

from gateway import logs
from gateway.assistants.api_client import (
    STREAM_IDLE_SECONDS,
    AssistantApiClient,
    AssistantConfig,
    check_model,
    path_segment,
)
from gateway.assistants.attachments import MAX_BYTES, missing_as_gone, unknown_reference, without_sandbox_links
from gateway.assistants.cut_off import cut_off_before_text, with_cut_off_note
from gateway.assistants.error_map import BadFile, BadRequest, Filtered, InputTooLong, NotFound, ToolServerAway
from gateway.assistants.history import fit_history, with_turn
from gateway.assistants.json_fields import as_objects, counted_usage
from gateway.assistants.new_threads import NewThreads
from gateway.assistants.past import FilteredExchanges, FittedSizes, PastOfTurn
from gateway.assistants.reply_filter import ReplyFilters
from gateway.assistants.responses.conversations import ServerConversations
from gateway.assistants.responses.earlier_attempts import EarlierAttempts
from gateway.assistants.responses.events import ResponseEventReader
from gateway.assistants.responses.items import image_content, output_items, written_calls
from gateway.assistants.responses.local_threads import create_local_thread, is_local
from gateway.assistants.responses.requests import ServerResponses
from gateway.assistants.responses.state import ResponseRunState
from gateway.assistants.server_limits import Feature, ServerLimits
from gateway.assistants.server_objects import ApiServerObjects
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import (
    MAX_ROUNDS,
    check_tokens,
    held_calls,
    run_calls,
    too_many_rounds,
)
from gateway.assistants.transcription import Transcripts
from gateway.assistants.turn_options import calls_at_end, of_caller, others, refused_parameter
from gateway.domain.errors import (
    AnswerLost,
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantUnavailable,
    ThreadMissing,
)
from gateway.domain.exchange import Exchange, RequestedCall
from gateway.domain.files import File
from gateway.domain.models import RunId, ThreadId, Turn, Usage
from gateway.domain.run_events import CallsHeld, RunCompleted, RunEvent, RunStarted, UsageCounted
from gateway.ports.assistant import AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.spool import FileWriter
from gateway.tools import ToolBox, ToolResult

DEFAULT_MODEL = "gpt-6-luna"
"""OpenAI's low-cost model of the newest generation, which it recommends for what gpt-4o and gpt-4.1 did; those end on
2027-01-14 (developers.openai.com/api/docs/deprecations)."""
CONVERSATION = "conversation"

log = logs.get_logger(__name__)


class ResponsesBackend:
    """Runs turns by conversations and responses of one server."""

    name = "responses"
    is_metered = True
    resumes_runs = True

    def __init__(
        self, api: AssistantApiClient, config: AssistantConfig, toolbox: ToolBox, *, history_chars: int = 48_000
    ) -> None:
        """``history_chars``: how many characters of history a request carries where the server keeps none."""
        self.model = config.model
        self.description = f"{self.name} at {api.host}, model {config.model}"
        self._api = api
        self.server_objects = ApiServerObjects(api)
        self._config = config
        self._toolbox = toolbox
        self._history_chars = history_chars
        self._limits = ServerLimits()
        self._filters = ReplyFilters(config.model, lambda: toolbox.names)
        self._conversations = ServerConversations(api)
        self._responses = ServerResponses(api, config, toolbox, self._limits)
        self._earlier = EarlierAttempts(self._responses, self._conversations)
        self._new_threads = NewThreads()
        self._fitted = FittedSizes()
        self._filtered = FilteredExchanges()
        self._background_seen = False
        """Whether the newest response of the server ran in the background."""

    # ------------------------------------------------------------ threads

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:
        past = self._new_threads.history_for(history)
        if not is_kept or CONVERSATION in self._limits or Feature.STORED in self._limits:
            return create_local_thread()
        try:
            thread = await self._conversations.create(past)
        except (NotFound, BadRequest) as exc:
            self._limits.note(CONVERSATION, exc)
            return create_local_thread()
        except AssistantMisconfigured as exc:  # whether it is only about conversations, the response will show
            log.warning("no conversation could be created; the history is sent along instead", error=str(exc))
            return create_local_thread()
        self._new_threads.created(thread, past)
        return thread

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:
        return None if is_local(thread_id) else await self._conversations.import_history(thread_id)

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        if not is_local(thread_id):
            await self._conversations.add(thread_id, [*before, Exchange("", turn.reply)], turn.reply)

    async def delete_thread(self, thread_id: ThreadId) -> None:
        if not is_local(thread_id):
            await self._conversations.delete(thread_id)

    # ------------------------------------------------------------ runs

    def run(
        self,
        turn: Turn,
        thread_id: ThreadId,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self._run_until_answered(self._new_state(turn, thread_id, attachments), None, history, is_new=True)

    async def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = self._new_state(turn, thread_id, attachments)
        await self._prepare(state, history)
        left = await self._earlier.items_to_resume_with(state, run_id, history)
        async with aclosing(self._run_until_answered(state, left, history)) as events:
            async for event in events:
                if left and not is_local(thread_id) and isinstance(event, RunStarted):
                    left = None
                    state = await self._earlier.check_for_late_answer(state, event.run_id, history)
                    if state.response:
                        break
                yield event
            else:
                return
        async with aclosing(self._run_until_answered(state, None, history)) as events:
            async for event in events:
                yield event

    def _new_state(self, turn: Turn, thread_id: ThreadId, attachments: AttachmentLoader) -> ResponseRunState:
        transcripts = Transcripts(self._api, self._config, attachments, self._limits)
        filters = self._filters.with_tools(turn.options.function_names)
        return ResponseRunState(turn, thread_id, transcripts, filters, self._limits)

    async def _prepare(self, state: ResponseRunState, history: HistoryLoader) -> None:
        """Waits for the tools, and loads what goes before the message."""
        await self._toolbox.ready()
        turn, options = state.turn, state.turn.options
        if is_local(state.thread_id):
            known = self._filtered.without(await history())
            limit = self._fitted.limit(state.thread_id, self._history_chars, len(turn.message.text_with_attachments))
            state.past = PastOfTurn(fit_history(known, limit) if options.past is None else known)
        elif options.outputs:
            before = (await history())[-1:]
            asked = with_turn(before, turn)[-1]
            asked = asked if asked.outputs else replace(asked, outputs=options.outputs)
            state.outputs = [*(item for each in before for item in written_calls(each.calls)), *output_items(asked)]

    async def _first_items(self, state: ResponseRunState, history: HistoryLoader) -> list[Json]:
        await self._prepare(state, history)
        return await state.message_items()

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:  # noqa: ARG002  # required by the port
        if run_id is not None:
            await self._responses.cancel(run_id)

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> UsageCounted | None:  # noqa: ARG002  # required by the port
        try:
            return counted_usage(await self._responses.wait_until_final(run_id))
        except (AnswerLost, AssistantRateLimited):  # it is lost, or never started
            return None

    async def fetch_file(self, file: File, writer: FileWriter) -> None:
        """Downloads "container <id> <file id>", "response <id> <item id>" or "conversation <id> <item id>"."""
        kind, _, rest = file.reference.partition(" ")
        where, _, name = rest.partition(" ")
        with missing_as_gone(file):
            if kind == "container":
                path = f"/containers/{path_segment(where)}/files/{path_segment(name)}/content"
                await self._api.download(path, writer, MAX_BYTES)
            elif kind == "response":
                await writer.write(image_content(as_objects((await self._responses.get(where)).get("output")), name))
            elif kind == "conversation":
                await writer.write(image_content([await self._conversations.get_item(where, name)], name))
            else:
                raise unknown_reference(file)

    async def _run_until_answered(
        self, state: ResponseRunState, items: list[Json] | None, history: HistoryLoader, *, is_new: bool = False
    ) -> AsyncGenerator[RunEvent, None]:
        """Posts items (None: starts with the response in ``state``) and runs tools until there is an answer.

        ``is_new``: posts the message. An error says what it cost, and whether a new thread may help.
        """
        items = await self._first_items(state, history) if is_new else items
        for heard in state.transcripts.take_counted():
            yield heard
        try:
            for _ in range(MAX_ROUNDS):
                try:
                    async with aclosing(self._respond(state, items)) as events:
                        async for event in events:
                            yield event
                except (BadRequest, InputTooLong, Filtered) as exc:
                    items = self._reduced_items(state, exc, items)
                    continue
                if not state.calls:
                    yield await self._answer(state, ())
                    return
                async with aclosing(self._handle_calls(state)) as events:
                    async for event in events:
                        yield event
                items = state.next_items
                if items is None:
                    return
            raise too_many_rounds()
        except AssistantError as exc:
            if counted := state.count_usage():
                yield counted
            await self._raise_explained(state, exc, history)

    async def _raise_explained(self, state: ResponseRunState, exc: AssistantError, history: HistoryLoader) -> NoReturn:
        """Raises the error for a turn that ends with this one."""
        error = exc
        if isinstance(exc, BadRequest | InputTooLong | Filtered) and not is_local(state.thread_id):
            error = await self._new_threads.error_for(exc, state.thread_id, history)
        error.usage, error.model = None if state.usage == Usage() else state.usage, state.model
        if error is exc:
            raise exc
        raise error from exc

    async def _handle_calls(self, state: ResponseRunState) -> AsyncGenerator[RunEvent, None]:
        """Runs the calls of the newest response. Ends the turn with those of the caller, and where people decide."""
        options, calls, outputs = state.turn.options, state.calls, dict[str, ToolResult]()
        state.next_items = None
        ends = bool(of_caller(options, calls))
        own = () if ends and is_local(state.thread_id) else others(options, calls)
        if not ends:
            check_tokens(state.turn.usage + state.usage, self._config.max_turn_tokens)
            if held := held_calls(self._toolbox, calls):
                yield CallsHeld(held, state.take_said(), tuple(state.rounds), state.usage, state.model)
                return
        async with aclosing(run_calls(self._toolbox, own, outputs)) as tool_events:
            async for call in tool_events:
                yield call
        if ends:
            yield await self._answer(state, calls_at_end(options, calls, outputs))
            return
        state.next_items = state.items_with_outputs(calls, outputs)

    def _reduced_items(self, state: ResponseRunState, error: AssistantError, items: list[Json] | None) -> list[Json]:
        """Returns what to post after a refusal. Raises the error if there is nothing to leave out."""
        state.accumulator.restart()
        if isinstance(error, ToolServerAway) and items and self._responses.hosted_servers.leave_out(error):
            return items
        if state.past is not None and items and not state.response and not isinstance(error, BadFile):
            shorter = state.past.leave_out_filtered() if isinstance(error, Filtered) else state.past.shorten(error)
            if shorter:
                return items
        plain = None if isinstance(error, Filtered) else state.fall_back_without_files(items)
        if plain is None:
            raise error
        log.info("server rejected the request; repeating it without files", turn=state.turn.id, error=str(error))
        return plain

    async def _answer(self, state: ResponseRunState, calls: tuple[RequestedCall, ...]) -> RunCompleted:
        """Returns the reply. Raises AssistantRefused for one that was cut off before it had any text."""
        text = without_sandbox_links(state.accumulator.text)
        if state.cut_off:
            if not text.strip():
                raise cut_off_before_text()
            turn = state.turn
            text = text if turn.options.is_program else with_cut_off_note(text, turn.message.language)
            await self._keep_cut_off(state, text)
        self._new_threads.answered(state.thread_id)
        if state.past is not None:
            if state.past.too_long:
                size = state.past.chars + len(state.turn.message.text_with_attachments)
                self._fitted.note(state.thread_id, size)
            self._filtered.add(state.past.left_out)
        files = tuple(state.files.values())
        return RunCompleted(text, state.usage, files, state.model, cut_off=state.cut_off, calls=calls)

    async def _keep_cut_off(self, state: ResponseRunState, text: str) -> None:
        """Adds the exchange to the conversation, which has no items of an incomplete response."""
        if is_local(state.thread_id):
            return
        exchange = Exchange(state.turn.message.text_with_attachments, text)
        try:
            await self._conversations.add(state.thread_id, [exchange], state.accumulator.text)
        except AssistantError as exc:
            log.warning("cut-off answer could not be added to the conversation", turn=state.turn.id, error=str(exc))

    async def _respond(self, state: ResponseRunState, items: list[Json] | None) -> AsyncGenerator[RunEvent, None]:
        """Creates a response, follows it to its end and takes its results. None: takes those of the one in ``state``.

        Raises AssistantUnavailable if it did not start or is lost.
        """
        if items is not None:
            reading = ResponseEventReader(
                state.accumulator, state.reported_calls, state.filters, show_reasoning=self._config.show_reasoning
            )
            silence = STREAM_IDLE_SECONDS if self._background_seen else None
            try:
                async with await self._responses.create(state, items, idle_seconds=silence) as stream:
                    async for events in stream:
                        for event in reading.read_events(events):
                            yield event
                        if reading.response:
                            break
            except (NotFound, BadRequest) as exc:
                raise await self._rejection_error(state, exc) from exc
            except AssistantUnavailable as exc:
                if not reading.id:
                    raise
                log.info("response stream interrupted; polling the response", run=reading.id, error=str(exc))
            for event in await self._rest(reading):
                yield event
            state.response, state.said = reading.response, reading.said
        for event in state.take_results():
            yield event

    async def _rest(self, reading: ResponseEventReader) -> Sequence[RunEvent]:
        """Returns the events that the stream of a response did not bring; waits for the end of the response."""
        if not reading.id:
            raise AnswerLost("the stream ended before the response started")
        self._background_seen = reading.in_background
        if reading.response:
            return ()
        return reading.read_response(await self._responses.wait_until_final(reading.id))

    # ------------------------------------------------------------ the server

    async def close(self) -> None:
        await self._api.close()

    async def check(self) -> Sequence[CheckResult]:
        try:
            with suppress(NotFound):
                await check_model(self._api, self._config.model)
            if not await self._conversations.are_served():
                self._limits.note(CONVERSATION, "no conversations")
        except AssistantError as exc:
            return (CheckResult("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (CheckResult("assistant", ok=True, detail=f"{self.description}{self._limits.note_text}"),)

    async def _rejection_error(self, state: ResponseRunState, error: NotFound | BadRequest) -> AssistantError:
        """Returns the error for a rejected response."""
        sent, thread_id = self._responses.from_caller(state.turn), state.thread_id
        if refused := refused_parameter(state.turn.options, error, sent):
            return refused
        if isinstance(error, BadRequest):
            features, unknown = (Feature.STORED,), (CONVERSATION,)
            if not is_local(thread_id) and self._limits.learn(error, features=features, unknown_fields=unknown):
                return ThreadMissing(str(error))
            return ThreadMissing(str(error)) if error.param == CONVERSATION else error
        if not is_local(thread_id) and not await self._conversations.exists(thread_id):
            return ThreadMissing(str(error))
        return AssistantMisconfigured(
            f"The server at {self._api.host} has no Responses API. Set ASSISTANT_BACKEND=chat: {error}"
        )
