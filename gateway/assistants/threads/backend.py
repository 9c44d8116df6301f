"""The backend ``threads`` (Assistants API), for servers that still have it: its threads are the gateway's threads.

Message and run are created by one POST, and both carry the turn's id as metadata, by which they are found again. A
run continues without its stream, so after an interrupted stream the run is polled.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from functools import partial

from gateway import logs
from gateway.assistants.api_client import STREAM_IDLE_SECONDS, AssistantApiClient, AssistantConfig
from gateway.assistants.errors.error_map import REFUSALS, BadRequest, Filtered, NotFound
from gateway.assistants.history.exchanges import exchange_messages, pair_exchanges
from gateway.assistants.history.new_threads import NewThreads
from gateway.assistants.json_fields import as_object, as_objects, as_text, counted_usage
from gateway.assistants.replies.filter import ReplyFilters
from gateway.assistants.requests.server_limits import ServerLimits
from gateway.assistants.requests.transcription import Transcripts
from gateway.assistants.rounds import NextRequest, RoundEvents, run_in_rounds
from gateway.assistants.sse import Json
from gateway.assistants.threads.files import ThreadFiles
from gateway.assistants.threads.items import (
    REQUIRES_ACTION,
    failure_of,
    first_text,
    is_final,
    is_stopped,
    message_text,
    pending_calls,
)
from gateway.assistants.threads.replies import PAGE_SIZE, ThreadReplies
from gateway.assistants.threads.requests import NAME, RunRequests, run_path, thread_path
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.assistants.threads.state import PostRequest, ThreadRunState
from gateway.assistants.tool_calls import check_tokens, held_calls, run_calls
from gateway.domain.errors import (
    AssistantError,
    AssistantRateLimited,
    AssistantUnavailable,
    ThreadBusy,
    ThreadMissing,
)
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import RunId, ThreadId, Turn
from gateway.domain.run_events import CallsHeld, RunCompleted, RunEvent, RunStarted, UsageCounted
from gateway.ports.assistant import AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.spool import FileWriter
from gateway.tools import ToolBox

BETA_HEADERS = {"OpenAI-Beta": "assistants=v2"}
MESSAGES_PER_POST = 32
"""Messages that a thread is created with; each further one takes its own request."""
NEWEST_QUERY = {"limit": 20, "order": "desc"}
"""Query to look up a turn's run or message: one page is enough, as a thread has one turn at a time."""
MAX_IMPORTED_EXCHANGES = 100
"""Limit for imported history."""

log = logs.get_logger(__name__)


class ThreadsBackend:
    """Runs turns by threads and runs of one server."""

    name = NAME
    is_metered = True
    resumes_runs = True

    def __init__(
        self, api: AssistantApiClient, config: AssistantConfig, toolbox: ToolBox, assistant: ServerAssistant
    ) -> None:
        self.model = config.model
        self.description = f"{self.name} at {api.host}, {assistant.name}"
        self._api = api
        self._config = config
        self._toolbox = toolbox
        self._assistant = assistant
        self._limits = ServerLimits()
        self._files = ThreadFiles(api, assistant, self._limits)
        self._filters = ReplyFilters(config.model, lambda: toolbox.names)
        self._replies = ThreadReplies(config, self._filters, self._files, self._iterate_list)
        self._requests = RunRequests(config, toolbox, assistant, self._files)
        self._new_threads = NewThreads()

    # ------------------------------------------------------------ threads

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:  # noqa: ARG002  # a run needs one
        history = self._new_threads.history_for(history)
        messages = [message for exchange in history for message in exchange_messages(exchange)]
        first, more = messages[:MESSAGES_PER_POST], messages[MESSAGES_PER_POST:]
        try:
            created = await self._api.post("/threads", {"messages": first} if first else {})
        except NotFound as exc:
            raise self._assistant.protocol_removed_error() from exc
        thread = ThreadId(as_text(created.get("id")))
        try:
            for message in more:
                await self._api.post(f"{thread_path(thread)}/messages", message)
        except AssistantError:
            with suppress(AssistantError):
                await self.delete_thread(thread)
            raise
        self._new_threads.created(thread, history)
        return thread

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:
        said: list[tuple[str, str]] = []
        try:
            async with aclosing(
                self._iterate_list(thread_id, "messages", {"limit": PAGE_SIZE, "order": "desc"})
            ) as messages:
                async for message in messages:
                    role = as_text(message.get("role"))
                    said.append((role, first_text(message) if role == "user" else message_text(message)))
                    if sum(role == "user" for role, _ in said) == MAX_IMPORTED_EXCHANGES:
                        break
        except (ThreadMissing, BadRequest):  # BadRequest: not a valid thread id
            return None
        return pair_exchanges(reversed(said))

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        added = [as_object(one.get("metadata")) for one in await self._newest_page(thread_id, "messages")]
        messages = [("user", each.text, {"before": f"{turn.id} {number}"}) for number, each in enumerate(before)]
        for role, content, metadata in (*messages, ("assistant", turn.reply, {"turn_id": turn.id})):
            if metadata not in added:
                message = {"role": role, "content": content, "metadata": metadata}
                await self._api.post(f"{thread_path(thread_id)}/messages", message)

    async def delete_thread(self, thread_id: ThreadId) -> None:
        with suppress(NotFound, BadRequest):
            await self._api.delete(thread_path(thread_id))

    # ------------------------------------------------------------ runs

    def run(
        self,
        turn: Turn,
        thread_id: ThreadId,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = self._new_state(turn, thread_id, history, attachments)
        return run_in_rounds(self, state, partial(self._first_request, state))

    async def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        state = self._new_state(turn, thread_id, history, attachments)
        if run_id is None and (found := await self._find_newest(state, "runs")):
            run_id = RunId(as_text(found.get("id")))
            yield RunStarted(run_id)
        async with aclosing(run_in_rounds(self, state, partial(self._request_left, state, run_id))) as events:
            async for event in events:
                yield event

    def _new_state(
        self, turn: Turn, thread_id: ThreadId, history: HistoryLoader, attachments: AttachmentLoader
    ) -> ThreadRunState:
        transcripts = Transcripts(self._api, self._config, attachments, self._limits)
        return ThreadRunState(turn, thread_id, history, transcripts, self._filters)

    async def _first_request(self, state: ThreadRunState) -> PostRequest:
        if state.turn.rounds:
            await self._end_waiting_runs(state.thread_id)
        return await self._requests.create(state)

    async def fetch_file(self, file: File, writer: FileWriter) -> None:
        await self._files.download(file, writer)

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        with suppress(NotFound, BadRequest, ThreadMissing):  # already ended, or gone
            if run_id is None:
                active = (run for run in await self._newest_page(thread_id, "runs") if not is_final(run))
                run_id = next((RunId(as_text(run.get("id"))) for run in active), None)
            if run_id is not None:
                await self._api.post(f"{run_path(thread_id, run_id)}/cancel", {})

    async def _end_waiting_runs(self, thread_id: ThreadId) -> None:
        """Cancels the run whose calls people were asked about: its thread takes no other one before it has ended."""
        for run in await self._newest_page(thread_id, "runs"):
            if not is_final(run):
                await self._end_run(thread_id, RunId(as_text(run.get("id"))))

    async def _end_run(self, thread_id: ThreadId, run_id: RunId) -> None:
        await self.cancel_run(thread_id, run_id)
        await self._api.poll_until(run_path(thread_id, run_id), is_final, interval_seconds=self._config.poll_seconds)

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> UsageCounted | None:
        try:
            return counted_usage(await self._wait_until_stopped(thread_id, run_id))
        except (ThreadMissing, AssistantUnavailable):
            return None

    # ------------------------------------------------------------ rounds

    async def play_round(self, state: ThreadRunState, request: PostRequest | None) -> RoundEvents[PostRequest | None]:
        """POSTs, follows the run until it stops, and runs what it calls. None: it is the one in ``state``."""
        if request is not None:
            async with aclosing(self._post_and_follow(state, *request)) as events:
                async for event in events:
                    yield event
            state.message_without_files = None
        if counted := state.count_usage():
            yield counted
        if state.may_run_again():
            log.warning("the run expired at the server; starting another", turn=state.turn.id, run=state.reader.id)
            yield NextRequest(await self._requests.create(state, with_message=False))
            return
        for event in await self._replies.read_stopped_run(state):
            yield event
        if end := await self._end(state):
            yield end
            return
        calls = state.text_calls or pending_calls(state.reader.run)
        async with aclosing(run_calls(self._toolbox, calls, state.outputs)) as tool_events:
            async for call in tool_events:
                yield call
        yield NextRequest(await self._requests.outputs(state, calls))

    async def request_after(
        self, state: ThreadRunState, request: PostRequest | None, error: AssistantError
    ) -> PostRequest | None:
        if isinstance(error, ThreadBusy) and await self._end_runs_of_others(state):
            return request
        if not isinstance(error, REFUSALS):
            raise error
        is_filtered = isinstance(error, Filtered)
        if request is not None and not is_filtered and (plain := state.fall_back_without_files(request, error)):
            return plain
        raise await self._new_threads.error_for(error, state.thread_id, state.history)

    async def _end_runs_of_others(self, state: ThreadRunState) -> bool:
        """Ends runs of other turns that wait for outputs, which nobody will bring. Returns whether there were any.

        They were posted late, after their turns were answered or given up. Called once, as each may take its time.
        """
        if state.ended_others:
            return False
        state.ended_others = True
        left = [run for run in await self._newest_page(state.thread_id, "runs") if _waits_for_nobody(run, state)]
        for run in left:
            await self._end_run(state.thread_id, RunId(as_text(run.get("id"))))
        return bool(left)

    async def _end(self, state: ThreadRunState) -> RunCompleted | CallsHeld | None:
        """Returns the reply of a run that has ended, or its calls if people have to approve one; else None."""
        run = state.reader.run
        if is_final(run) and not state.text_calls:
            self._new_threads.answered(state.thread_id)
            return await self._replies.answer(state)
        check_tokens(state.turn.usage + state.tokens_used, self._config.max_turn_tokens)
        held = held_calls(self._toolbox, state.text_calls or pending_calls(run))
        if not held:
            return None
        text, model = await self._replies.text_so_far(state), as_text(run.get("model"))
        return CallsHeld(held, text, (), state.tokens_used, model, leaves_run=not is_final(run))

    async def _post_and_follow(self, state: ThreadRunState, path: str, body: Json) -> AsyncGenerator[RunEvent, None]:
        """POSTs and follows the run until it stops. Raises AssistantUnavailable if the run did not start."""
        reading, refusal = state.reader, None
        waited_for = pending_calls(reading.run)
        reading.mark_resumed()
        try:
            async with await self._api.stream(path, body, idle_seconds=STREAM_IDLE_SECONDS) as stream:
                async for events in stream:
                    for event in reading.read_events(events):
                        yield event
                    if reading.is_stopped:
                        break
        except NotFound as exc:
            raise await self._rejection_error(exc, state.thread_id, run_id=reading.id) from exc
        except (AssistantUnavailable, BadRequest) as exc:
            if not reading.id:
                raise
            log.info("run stream interrupted; polling the run", run=reading.id, error=str(exc))
            refusal = exc if isinstance(exc, BadRequest) else None  # maybe because the outputs were already submitted
        if not reading.is_stopped:
            reading.mark_incomplete()
            reading.read_run(await self._wait_until_stopped(state.thread_id, reading.id))
        if refusal is not None and pending_calls(reading.run) == waited_for:
            raise refusal

    async def _wait_until_stopped(self, thread_id: ThreadId, run_id: str) -> Json:
        """Polls a run until it stops. Raises ThreadMissing if the server does not have it."""
        if not run_id:
            raise AssistantUnavailable("the stream ended before the run started")
        try:
            return await self._api.poll_until(
                run_path(thread_id, run_id), is_stopped, interval_seconds=self._config.poll_seconds
            )
        except NotFound as exc:
            raise await self._missing_thread_error(exc) from exc

    # ------------------------------------------------------------ results of an earlier attempt

    async def _request_left(self, state: ThreadRunState, run_id: RunId | None) -> PostRequest | None:
        """Returns what an earlier attempt has not posted; None if its run is to be continued."""
        if run_id is None and state.turn.rounds:
            await self._end_waiting_runs(state.thread_id)
        run = await self._wait_until_stopped(state.thread_id, run_id) if run_id else None
        if run is None:
            posted = await self._find_newest(state, "messages")
            return await self._requests.create(state, with_message=posted is None)
        if is_final(run) and isinstance(failure_of(run), AssistantRateLimited | AssistantUnavailable):
            return await self._requests.create(state, with_message=False)
        state.reader.mark_incomplete()
        state.reader.read_run(run)
        return None

    async def _find_newest(self, state: ThreadRunState, kind: str) -> Json | None:
        """Returns the turn's newest run or message; ``kind`` is ``runs`` or ``messages``."""
        page = await self._newest_page(state.thread_id, kind)
        matching = (one for one in page if as_object(one.get("metadata")).get("turn_id") == state.marker)
        return next(matching, None)

    async def _newest_page(self, thread_id: ThreadId, kind: str) -> list[Json]:
        try:
            return as_objects((await self._api.get(f"{thread_path(thread_id)}/{kind}", NEWEST_QUERY)).get("data"))
        except NotFound as exc:
            raise await self._missing_thread_error(exc) from exc

    async def _iterate_list(self, thread_id: ThreadId, subpath: str, query: Json) -> AsyncGenerator[Json, None]:
        """Yields the objects of a list of the thread. Raises ThreadMissing."""
        try:
            async with aclosing(self._api.iterate_list(f"{thread_path(thread_id)}/{subpath}", query)) as found:
                async for one in found:
                    yield one
        except NotFound as exc:
            raise await self._missing_thread_error(exc) from exc

    # ------------------------------------------------------------ the server

    async def close(self) -> None:
        await self._api.close()

    async def check(self) -> Sequence[CheckResult]:
        try:
            await self._assistant.probe()
        except AssistantError as exc:
            return (CheckResult("assistant", ok=False, detail=f"{self.description}: {exc}"),)
        return (CheckResult("assistant", ok=True, detail=f"{self.description}{self._limits.note_text}"),)

    async def _rejection_error(self, error: NotFound, thread_id: ThreadId, *, run_id: str) -> AssistantError:
        """Returns the error for a POST answered with 404: to a run, or (no ``run_id``) to create one."""
        try:
            await self._api.get(thread_path(thread_id))
        except NotFound as exc:
            return await self._missing_thread_error(exc)
        if run_id:
            return AssistantRateLimited(f"the run is looked up again: {error}", retry_after=0.0)
        return self._assistant.run_rejected(error)

    async def _missing_thread_error(self, error: NotFound) -> AssistantError:
        """Returns the error for a missing thread: the thread itself, or the whole API, is gone."""
        if re.search("no thread found", str(error), re.IGNORECASE) or await self._assistant.is_protocol_served():
            return ThreadMissing(str(error))
        return self._assistant.protocol_removed_error()


def _waits_for_nobody(run: Json, state: ThreadRunState) -> bool:
    """Returns whether a run waits for outputs and is of another turn."""
    turn_id = as_text(as_object(run.get("metadata")).get("turn_id"))
    return run.get("status") == REQUIRES_ACTION and turn_id not in {"", state.marker}
