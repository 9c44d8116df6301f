"""The backend ``chat``: chat completions, which nearly every server has. The server keeps no state.

Each request carries the gateway's own transcript, up to a size limit, so repeating a request is always safe.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial

from gateway import logs
from gateway.assistants.api_client import AssistantApiClient, AssistantConfig, check_model
from gateway.assistants.attachments import load, unknown_reference
from gateway.assistants.chat.calls import output_messages
from gateway.assistants.chat.completion import CompletionAccumulator, Ending
from gateway.assistants.chat.images import image_calls
from gateway.assistants.chat.messages import MAX_TOKENS, RequestBuilder, tool_files_message
from gateway.assistants.chat.returned import to_return
from gateway.assistants.chat.run_state import ChatRunState
from gateway.assistants.errors.error_map import REFUSALS, BadRequest, Filtered, NotFound
from gateway.assistants.history.exchanges import fit_history, truncated
from gateway.assistants.history.past import FilteredExchanges, FittedSizes, PastOfTurn
from gateway.assistants.replies.cut_off import cut_off_before_text, with_cut_off_note
from gateway.assistants.replies.filter import ReplyFilters
from gateway.assistants.requests.server_limits import Feature, ServerLimits
from gateway.assistants.requests.transcription import Transcripts
from gateway.assistants.requests.turn_options import of_caller, refused_parameter
from gateway.assistants.rounds import NextRequest, RoundEvents, run_in_rounds
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import check_tokens, held_calls, parts_for_model, ran_calls, run_calls
from gateway.domain.errors import AssistantError, AssistantMisconfigured, AssistantUnavailable
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import RunId, ThreadId, Turn
from gateway.domain.run_events import REASONING, CallsHeld, RunCompleted, RunEvent, RunStarted, TextDelta, ToolCall
from gateway.ports.assistant import AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.spool import FileWriter
from gateway.settings import OPENAI_HOST
from gateway.tools import ToolBox, ToolResult

MAX_REPEATS = 2
"""How often an answer that began and was lost is requested again: the server worked for each, and charges it."""

log = logs.get_logger(__name__)


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

        ``retry_seconds``: pause before an interrupted answer is requested again; it doubles with each.
        """
        self.model = config.model
        self.description = f"{self.name} at {api.host}, model {config.model}"
        self._api = api
        self._config = config
        self._toolbox = toolbox
        self._history_chars = history_chars
        self._retry_seconds = retry_seconds
        self._limits = ServerLimits()
        self._fitted = FittedSizes()
        self._filtered = FilteredExchanges()
        self._filters = ReplyFilters(config.model, lambda: toolbox.names)
        self._builder = RequestBuilder(
            config.model,
            config.template,
            toolbox,
            config.parameters,
            {"stream_options": _stream_options(api)} if config.stream else {},
            stream=config.stream,
            limits=self._limits,
            max_tokens=MAX_TOKENS if api.is_azure or api.host == OPENAI_HOST else "max_tokens",
        )

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:  # noqa: ARG002  # every run gets it anyway
        return ThreadId(f"chat_{secrets.token_hex(12)}")

    def run(
        self,
        turn: Turn,
        thread_id: ThreadId,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = ChatRunState(turn, thread_id, Transcripts(self._api, self._config, attachments, self._limits))
        return run_in_rounds(self, state, partial(self._load, state, history))

    def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,  # noqa: ARG002  # a completion cannot be resumed
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self.run(turn, thread_id, history, attachments)

    async def _load(self, state: ChatRunState, history: HistoryLoader) -> None:
        """Loads what the requests are made of."""
        turn = state.turn
        known = self._filtered.without(truncated(await history(), turn))
        limit = self._fitted.limit(state.thread_id, self._history_chars, len(state.message_text))
        state.past = PastOfTurn(fit_history(known, limit) if turn.options.past is None else known)
        state.message_parts = self._limits.accepted(await load(turn, state.transcripts.load))
        state.call_ids = {call.id for each in state.past.whole for call in each.calls}
        await self._toolbox.ready()

    async def play_round(self, state: ChatRunState, request: None) -> RoundEvents[None]:
        """Requests an answer, and runs what it calls. The request is made of the state."""
        number = len(state.rounds)
        async with aclosing(self._complete(state, str(number))) as events:
            async for event in events:
                yield event
        completion, state.failures = state.completion, 0
        for made in image_calls(completion.images, str(number)):
            yield made
        if counted := state.count_usage():  # after all that it paid for
            yield counted
        self._remember_what_fitted(state)
        if self._config.show_reasoning and completion.reasoning:
            yield ToolCall(f"reasoning {number}", REASONING)
            yield ToolCall(f"reasoning {number}", REASONING, output=completion.reasoning, done=True)
        state.accumulator.add_message(completion.text)
        calls = [one.call for one in completion.calls]
        if not calls or of_caller(state.turn.options, calls):
            yield _answer(state)
            return
        check_tokens(state.turn.usage + state.usage, self._config.max_turn_tokens)
        if held := held_calls(self._toolbox, calls):
            told = (completion.text, tuple(state.rounds), state.usage, completion.model)
            yield CallsHeld(held, *told, returned=to_return(completion.to_message()))
            return
        outputs: dict[str, ToolResult] = {}
        async with aclosing(run_calls(self._toolbox, calls, outputs)) as tool_events:
            async for call in tool_events:
                yield call
        self._add_round(state, outputs)
        yield NextRequest(request)

    def _add_round(self, state: ChatRunState, outputs: Mapping[str, ToolResult]) -> None:
        """Adds the calls of an answer, and what they returned, to what the next request is made of."""
        completion, called = state.completion, state.completion.to_message()
        calls = [one.call for one in completion.calls]
        state.rounds.append(ran_calls(calls, outputs, completion.text, to_return(called)))
        state.tool_messages += [called, *output_messages(completion.calls, outputs)]
        if files := self._limits.accepted(parts_for_model(outputs.values())):
            state.tool_messages.append(tool_files_message(files))

    async def request_after(self, state: ChatRunState, request: None, error: AssistantError) -> None:  # noqa: ARG002  # it is made of the state
        """Requests the answer with less if it is refused, and again if it is lost on the way."""
        error.partial_text = error.partial_text or state.completion.reasoning
        if isinstance(error, AssistantUnavailable):
            await self._pause_before_repeat(state, error)
        elif not isinstance(error, REFUSALS):
            raise error
        elif not self._adapt(state, error):
            raise self._explained(state, error)
        state.accumulator.restart()

    def _adapt(self, state: ChatRunState, error: AssistantError) -> bool:
        """Changes the next request after a refusal. Returns whether there was something to change."""
        if isinstance(error, Filtered) and state.completion.opened:
            return False  # the answer is what was filtered
        if isinstance(error, BadRequest):
            request = state.build_request(self._builder)
            if self._limits.learn(error, features=request.features, fields=request.fields):
                state.message_parts = self._limits.accepted(state.message_parts)
                if Feature.IMAGES in self._limits:
                    state.drop_tool_files()
                return True
        return state.reduce_input(error)

    def _explained(self, state: ChatRunState, error: AssistantError) -> AssistantError:
        """Returns the error for a refusal: one that names what the caller asked for, if that is what was refused."""
        sent = state.build_request(self._builder).from_caller
        return refused_parameter(state.turn.options, error, sent) or error

    async def _pause_before_repeat(self, state: ChatRunState, error: AssistantUnavailable) -> None:
        """Waits before a lost answer is requested again. Raises the error if it is not to be.

        A request that was not accepted costs nothing and goes to the caller, which repeats the whole turn; once the
        server has worked, a few repetitions are all that there is.
        """
        worked = state.completion.opened or state.accumulator.has_shown_text or state.tool_messages
        if not worked:
            raise error
        state.failures += 1
        if state.failures > MAX_REPEATS:
            unshown = "" if state.accumulator.has_shown_text else state.completion.filter.text
            raise AssistantError(
                f"no complete answer in {state.failures} requests; the last one: {error}",
                code=error.code,
                user_message=error.user_message,
                partial_text=unshown or state.completion.reasoning,
            )
        state.started = False  # the next request has an id of its own
        log.info("answer interrupted; requesting it again", turn=state.turn.id, error=str(error))
        pause = self._retry_seconds * 2 ** (state.failures - 1)
        await asyncio.sleep(pause if error.retry_after is None else error.retry_after)

    async def _complete(self, state: ChatRunState, message_key: str) -> AsyncGenerator[RunEvent, None]:
        filters = self._filters.with_tools(state.turn.options.function_names)
        completion = state.completion = CompletionAccumulator(filters.create())
        request = state.build_request(self._builder)
        try:
            async with await self._api.stream("/chat/completions", request.body) as stream:
                completion.opened = True
                async for events in stream:
                    for said in completion.add_events(events):
                        if not state.started and (completion.id or said.text):
                            state.started = True
                            yield RunStarted(RunId(completion.id or state.turn.id))
                        if shown := state.accumulator.add_delta(message_key, said.text):
                            yield TextDelta(shown, said.is_refusal)
        except NotFound as exc:
            raise AssistantMisconfigured(
                f"The server at {self._api.host} has no chat completions at this address. Check OPENAI_BASE_URL: {exc}"
            ) from exc
        except AssistantUnavailable:
            if completion.ending is Ending.BROKEN:  # else only the data after the answer was lost
                raise
        rest = completion.finish(state.call_ids)
        filters.learn(completion.filter)
        if not state.started:
            state.started = True
            yield RunStarted(RunId(state.turn.id))
        if shown := state.accumulator.add_delta(message_key, rest):
            yield TextDelta(shown, is_refusal=bool(completion.refusal))

    def _remember_what_fitted(self, state: ChatRunState) -> None:
        if state.past.too_long:
            self._fitted.note(state.thread_id, state.past.chars + len(state.message_text))
        self._filtered.add(state.past.left_out)

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        """Does nothing: an answer ends when its connection is closed."""

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> None:
        """Returns None: the server keeps no completions."""

    async def fetch_file(self, file: File, writer: FileWriter) -> None:  # noqa: ARG002  # nothing is written
        """Raises AssistantRefused: chat completions return no files."""
        raise unknown_reference(file)

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:  # noqa: ARG002  # only the gateway itself creates these threads
        return None

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        """Does nothing: every run gets the history."""

    async def delete_thread(self, thread_id: ThreadId) -> None:
        """Does nothing: the server keeps no state."""

    async def close(self) -> None:
        await self._api.close()

    async def check(self) -> Sequence[CheckResult]:
        try:
            await self._probe()
        except AssistantError as exc:
            return (CheckResult("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (CheckResult("assistant", ok=True, detail=f"{self.description}{self._limits.note_text}"),)

    async def _probe(self) -> None:
        try:
            await check_model(self._api, self._config.model)
        except NotFound:  # a server without GET /models can only be tested by a completion
            hello = [{"role": "user", "content": "Hello"}]
            body: Json = {"model": self._config.model, "messages": hello}
            try:
                await self._api.post("/chat/completions", {**body, "max_tokens": 1})
            except BadRequest as exc:
                if "max_tokens" not in f"{exc.param} {exc}":
                    raise
                await self._api.post("/chat/completions", {**body, "max_completion_tokens": 16})


def _answer(state: ChatRunState) -> RunCompleted:
    """Returns the reply. Raises AssistantRefused for one that was cut off before it had any text.

    It ends with the calls of the caller's functions. Those of the assistant's own tools beside them are not run: the
    model calls them again, if it still needs them, when it has the caller's results.
    """
    text, completion, options = state.accumulator.text, state.completion, state.turn.options
    cut_off = completion.ending is Ending.CUT_OFF
    if cut_off and not text.strip():
        raise cut_off_before_text()
    calls = of_caller(options, [one.call for one in completion.calls])
    return RunCompleted(
        with_cut_off_note(text, state.turn.message.language) if cut_off and not options.is_program else text,
        state.usage,
        model=completion.model,
        cut_off=cut_off,
        calls=calls,
        returned=to_return(completion.to_message()) if calls else "",
        refusal=completion.refusal,
    )


def _stream_options(api: AssistantApiClient) -> Json:
    options = {"include_usage": True}
    if api.host == OPENAI_HOST:
        options["include_obfuscation"] = False  # saves bytes; the connection is encrypted already
    return options
