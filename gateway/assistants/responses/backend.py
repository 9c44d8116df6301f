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
from functools import partial

from gateway import logs
from gateway.assistants.api_client import (
    STREAM_IDLE_SECONDS,
    AssistantApiClient,
    AssistantConfig,
    check_model,
    path_segment,
)
from gateway.assistants.attachments import MAX_BYTES, missing_as_gone, unknown_reference, without_sandbox_links
from gateway.assistants.errors.error_map import (
    REFUSALS,
    BadFile,
    BadRequest,
    CallsUnmatched,
    Filtered,
    NotFound,
    ToolServerAway,
)
from gateway.assistants.history.exchanges import fit_history, with_turn
from gateway.assistants.history.new_threads import NewThreads
from gateway.assistants.history.past import FilteredExchanges, FittedSizes, PastOfTurn
from gateway.assistants.json_fields import as_objects, counted_usage
from gateway.assistants.replies.cut_off import cut_off_before_text, with_cut_off_note
from gateway.assistants.replies.filter import ReplyFilters
from gateway.assistants.requests.server_limits import Feature, ServerLimits
from gateway.assistants.requests.transcription import Transcripts
from gateway.assistants.requests.turn_options import calls_at_end, of_caller, others, refused_parameter
from gateway.assistants.responses.conversations import ServerConversations
from gateway.assistants.responses.earlier_attempts import EarlierAttempts
from gateway.assistants.responses.events import ResponseEventReader
from gateway.assistants.responses.items import image_content, output_items, written_calls
from gateway.assistants.responses.local_threads import create_local_thread, is_local
from gateway.assistants.responses.requests import ServerResponses
from gateway.assistants.responses.state import ResponseRunState
from gateway.assistants.rounds import NextRequest, RoundEvents, run_in_rounds
from gateway.assistants.server_objects import ApiServerObjects
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import check_tokens, held_calls, run_calls
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
from gateway.domain.models import RunId, ThreadId, Turn
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
        state = self._new_state(turn, thread_id, history, attachments)
        return run_in_rounds(self, state, partial(self._first_items, state))

    async def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = self._new_state(turn, thread_id, history, attachments)
        begin = partial(self._items_left, state, run_id)
        async with aclosing(run_in_rounds(self, state, begin)) as events:
            async for event in events:
                if state.may_be_late and isinstance(event, RunStarted):
                    state.may_be_late = False
                    if late := await self._earlier.late_answer(state, event.run_id):
                        break
                yield event
            else:
                return
        async with aclosing(run_in_rounds(self, late, _nothing)) as events:
            async for event in events:
                yield event

    def _new_state(
        self, turn: Turn, thread_id: ThreadId, history: HistoryLoader, attachments: AttachmentLoader
    ) -> ResponseRunState:
        transcripts = Transcripts(self._api, self._config, attachments, self._limits)
        filters = self._filters.with_tools(turn.options.function_names)
        return ResponseRunState(turn, thread_id, history, transcripts, filters, self._limits)

    async def _first_items(self, state: ResponseRunState) -> list[Json]:
        await self._prepare(state)
        return await state.message_items()

    async def _items_left(self, state: ResponseRunState, run_id: RunId | None) -> list[Json] | None:
        """Returns what an earlier attempt has not posted; None if its response goes on."""
        await self._prepare(state)
        items = await self._earlier.items_to_resume_with(state, run_id)
        state.may_be_late = bool(items) and not is_local(state.thread_id)
        return items

    async def _prepare(self, state: ResponseRunState) -> None:
        """Waits for the tools, and loads what goes before the message."""
        await self._toolbox.ready()
        turn, options = state.turn, state.turn.options
        if is_local(state.thread_id):
            known = self._filtered.without(await state.history())
            limit = self._fitted.limit(state.thread_id, self._history_chars, len(turn.message.text_with_attachments))
            state.past = PastOfTurn(fit_history(known, limit) if options.past is None else known)
        elif options.outputs:
            before = (await state.history())[-1:]
            asked = with_turn(before, turn)[-1]
            asked = asked if asked.outputs else replace(asked, outputs=options.outputs)
            state.outputs = [*(item for each in before for item in written_calls(each.calls)), *output_items(asked)]

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

    # ------------------------------------------------------------ rounds

    async def play_round(self, state: ResponseRunState, request: list[Json] | None) -> RoundEvents[list[Json] | None]:
        """Posts items, follows the response to its end, and runs what it calls. None: it is the one in ``state``.

        Raises AssistantUnavailable if it did not start or is lost.
        """
        if request is not None:
            reading = self._reader(state)
            silence = STREAM_IDLE_SECONDS if self._background_seen else None
            try:
                async with await self._responses.create(state, request, idle_seconds=silence) as stream:
                    async for events in stream:
                        for event in reading.read_events(events):
                            yield event
                        if reading.response:
                            break
            except (NotFound, BadRequest, AssistantUnavailable) as exc:
                await self._check_started(state, reading, exc)
            for event in await self._rest(reading):
                yield event
            state.response, state.said = reading.response, reading.said
        for event in state.take_results():
            yield event
        if not state.calls:
            yield await self._answer(state, ())
            return
        async with aclosing(self._handle_calls(state)) as after:
            async for each in after:
                yield each

    def _reader(self, state: ResponseRunState) -> ResponseEventReader:
        return ResponseEventReader(
            state.accumulator, state.reported_calls, state.filters, show_reasoning=self._config.show_reasoning
        )

    async def _check_started(
        self, state: ResponseRunState, reading: ResponseEventReader, error: NotFound | BadRequest | AssistantUnavailable
    ) -> None:
        """Raises the error for a response that was rejected or did not start; one that did can be polled."""
        if not isinstance(error, AssistantUnavailable):
            raise await self._rejection_error(state, error) from error
        if not reading.id:
            raise error
        log.info("response stream interrupted; polling the response", run=reading.id, error=str(error))

    async def _rest(self, reading: ResponseEventReader) -> Sequence[RunEvent]:
        """Returns the events that the stream of a response did not bring; waits for the end of the response."""
        if not reading.id:
            raise AnswerLost("the stream ended before the response started")
        self._background_seen = reading.in_background
        if reading.response:
            return ()
        try:
            return reading.read_response(await self._responses.wait_until_final(reading.id))
        except AnswerLost as exc:
            raise reading.error or exc from exc

    async def _handle_calls(self, state: ResponseRunState) -> RoundEvents[list[Json] | None]:
        """Runs the calls of the newest response. Ends the turn with those of the caller, and where people decide."""
        options, calls, outputs = state.turn.options, state.calls, dict[str, ToolResult]()
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
        else:
            yield NextRequest(state.items_with_outputs(calls, outputs))

    async def request_after(
        self, state: ResponseRunState, request: list[Json] | None, error: AssistantError
    ) -> list[Json] | None:
        state.accumulator.restart()
        if isinstance(error, CallsUnmatched) and not is_local(state.thread_id) and not state.matched_calls:
            state.matched_calls = True
            return await self._earlier.items_that_match(state, request or [], error)
        if not isinstance(error, REFUSALS):
            raise error
        items = self._reduced_items(state, error, request)
        if items is not None:
            return items
        if is_local(state.thread_id):
            raise error
        raise await self._new_threads.error_for(error, state.thread_id, state.history)

    def _reduced_items(
        self, state: ResponseRunState, error: AssistantError, items: list[Json] | None
    ) -> list[Json] | None:
        """Returns what to post after a refusal; None if there is nothing to leave out."""
        if isinstance(error, ToolServerAway) and items and self._responses.hosted_servers.leave_out(error):
            return items
        if state.past is not None and items and not state.response and not isinstance(error, BadFile):
            shorter = state.past.leave_out_filtered() if isinstance(error, Filtered) else state.past.shorten(error)
            if shorter:
                return items
        plain = None if isinstance(error, Filtered) else state.fall_back_without_files(items)
        if plain is not None:
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
        returned, used = state.returned_with(calls), (state.usage, files, state.model)
        return RunCompleted(text, *used, cut_off=state.cut_off, calls=calls, returned=returned, refusal=state.refusal)

    async def _keep_cut_off(self, state: ResponseRunState, text: str) -> None:
        """Adds the exchange to the conversation, which has no items of an incomplete response."""
        if is_local(state.thread_id):
            return
        exchange = Exchange(state.turn.message.text_with_attachments, text)
        try:
            await self._conversations.add(state.thread_id, [exchange], state.accumulator.text)
        except AssistantError as exc:
            log.warning("cut-off answer could not be added to the conversation", turn=state.turn.id, error=str(exc))

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


async def _nothing() -> None:
    """Returns what to post for a response that is there already."""
