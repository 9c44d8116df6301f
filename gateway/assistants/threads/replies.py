"""What a run that has ended says: its messages, the reasoning and the calls in their text, and its files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from gateway.assistants.api_client import AssistantConfig, path_segment
from gateway.assistants.attachments import without_sandbox_links
from gateway.assistants.json_fields import as_text
from gateway.assistants.replies.cut_off import cut_off_before_text, with_cut_off_note
from gateway.assistants.replies.filter import ReplyFilters
from gateway.assistants.replies.refusals import deltas_of, refusal_in
from gateway.assistants.sse import Json
from gateway.assistants.threads.files import ThreadFiles
from gateway.assistants.threads.items import (
    cited_files,
    failure_of,
    files_in,
    is_cut_off,
    is_final,
    limit_of,
    message_text,
    read_message,
)
from gateway.assistants.threads.state import ThreadRunState
from gateway.assistants.tool_calls import FunctionCall
from gateway.domain.errors import AssistantError
from gateway.domain.models import ThreadId
from gateway.domain.run_events import REASONING, RunCompleted, RunEvent, ToolCall

PAGE_SIZE = 100

ListReader = Callable[[ThreadId, str, Json], AsyncIterator[Json]]
"""Yields the objects of a list of a thread, by its path below the thread. Raises ThreadMissing."""


class ThreadReplies:
    """Reads the replies of one server's runs."""

    def __init__(self, config: AssistantConfig, filters: ReplyFilters, files: ThreadFiles, read: ListReader) -> None:
        self._config = config
        self._filters = filters
        self._files = files
        self._read = read

    async def read_stopped_run(self, state: ThreadRunState) -> list[RunEvent]:
        """Returns the events of a run that has stopped that its stream did not bring.

        Of one that has ended it notes its text and the calls in it in ``state``. Raises AssistantError if it failed.
        """
        if is_final(state.reader.run):
            return await self._final_events(state)
        return [] if state.reader.complete else await self._read_steps(state)

    async def _final_events(self, state: ThreadRunState) -> list[RunEvent]:
        reading = state.reader
        if error := failure_of(reading.run):
            raise error
        events: list[RunEvent] = []
        if not (reading.complete and reading.messages):
            events += await self._read_steps(state)
            await self._fetch_messages(state)
        names = await self._files.names(cited for one in reading.messages for cited in cited_files(one))
        for message in reading.messages:
            events += self._read_message(state, message, names)
        state.accumulator.replace_messages(state.said)
        return [*events, *deltas_of(state.accumulator.take_unshown(), state.refusal)]

    async def text_so_far(self, state: ThreadRunState) -> str:
        """Returns what was said by a run that waits for outputs."""
        if not is_final(state.reader.run):
            await self._fetch_messages(state)
            state.accumulator.replace_messages([*state.said, *map(message_text, state.reader.messages)])
        return without_sandbox_links(state.accumulator.text)

    async def answer(self, state: ThreadRunState) -> RunCompleted:
        """Returns the reply. Raises AssistantRefused for one that was cut off before it had any text."""
        run, text = state.reader.run, without_sandbox_links(state.accumulator.text)
        cut_off, limit, turn = is_cut_off(run), limit_of(run), state.turn
        if cut_off and not text.strip():
            raise cut_off_before_text(limit)
        files = await self._files.to_files(state.reader.files)
        said = with_cut_off_note(text, turn.message.language) if cut_off and not turn.options.is_program else text
        model, refusal = as_text(run.get("model")), state.refusal
        return RunCompleted(said, state.usage, files, model, cut_off=cut_off, limit=limit, refusal=refusal)

    async def _read_steps(self, state: ThreadRunState) -> list[RunEvent]:
        """Reads the run's steps. Ends early on an error, as they are only for display and for counting."""
        events: list[RunEvent] = []
        with suppress(AssistantError):
            path = f"runs/{path_segment(state.reader.id)}/steps"
            async for step in self._read(state.thread_id, path, {"limit": PAGE_SIZE, "order": "asc"}):
                events += state.reader.read_step(step)
        return events

    async def _fetch_messages(self, state: ThreadRunState) -> None:
        reading = state.reader
        query = {"run_id": reading.id, "limit": PAGE_SIZE, "order": "asc"}
        messages = [one async for one in self._read(state.thread_id, "messages", query)]
        reading.messages = [one for one in messages if _is_reply_of(one, reading.id)]
        for one in reading.messages:
            reading.files |= files_in(one)

    def _read_message(self, state: ThreadRunState, message: Json, names: dict[str, str]) -> list[RunEvent]:
        reply, message_id = read_message(message, self._filters, names), as_text(message.get("id"))
        self._filters.learn(reply)
        state.said.append(reply.text)
        state.refusal = refusal_in(message)
        if not is_cut_off(state.reader.run):  # else the last call may lack an argument
            calls = enumerate(reply.calls)
            state.text_calls += [FunctionCall(f"call_{message_id}_{n}"[-64:], *call) for n, call in calls]
        if not (self._config.show_reasoning and reply.reasoning):
            return []
        call_id = f"reasoning {message_id}"
        return [ToolCall(call_id, REASONING), ToolCall(call_id, REASONING, output=reply.reasoning, done=True)]


def _is_reply_of(message: Json, run_id: str) -> bool:
    return message.get("role") == "assistant" and message.get("run_id") == run_id
