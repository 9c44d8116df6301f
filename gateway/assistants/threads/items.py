"""Runs, messages and steps of the Assistants API, and the events of a run's stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.assistants.attachments import base_name
from gateway.assistants.errors.error_map import Filtered, error_from_object
from gateway.assistants.json_fields import as_object, as_objects, as_text, as_usage
from gateway.assistants.replies.accumulator import ReplyAccumulator
from gateway.assistants.replies.citations import with_sources
from gateway.assistants.replies.filter import PLAIN, ReplyFilter, ReplyFilters
from gateway.assistants.replies.refusals import refusal_in
from gateway.assistants.sse import Event, Json
from gateway.assistants.tool_calls import FunctionCall, arguments_to_run
from gateway.domain.errors import AssistantError, AssistantRefused, AssistantTimedOut, AssistantUnavailable
from gateway.domain.models import RunId, Usage
from gateway.domain.run_events import PROMPT_LIMIT, RunEvent, RunStarted, TextDelta, ToolCall
from gateway.domain.sentences import sentence

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
REQUIRES_ACTION = "requires_action"
MESSAGE_END_EVENTS = frozenset({"thread.message.completed", "thread.message.incomplete"})


def is_final(run: Json) -> bool:
    return run.get("status") in FINAL_STATUSES


def is_stopped(run: Json) -> bool:
    """Returns whether the run has ended or waits for the outputs of function calls."""
    return is_final(run) or run.get("status") == REQUIRES_ACTION


def message_text(message: Json) -> str:
    """Returns the text for people of all parts of a message; a refusal counts as text."""
    return read_message(message, PLAIN).text


def read_message(message: Json, filters: ReplyFilters, file_names: Mapping[str, str] | None = None) -> ReplyFilter:
    """Returns the filter that has read the parts of a message.

    ``file_names``: names of the files that it cites, by id.
    """
    return filters.read("".join(_part_text(part, file_names or {}) for part in as_objects(message.get("content"))))


def _part_text(part: Json, file_names: Mapping[str, str]) -> str:
    text = as_object(part.get("text"))
    notes = as_objects(text.get("annotations"))
    notes = [{**note, "filename": file_names.get(_cited_file(note), "")} for note in notes]
    return with_sources(as_text(text.get("value")), notes) or as_text(part.get("refusal"))


def cited_files(message: Json) -> list[str]:
    """Returns the ids of the files that a message cites."""
    parts = as_objects(message.get("content"))
    notes = (note for part in parts for note in as_objects(as_object(part.get("text")).get("annotations")))
    return list(filter(None, map(_cited_file, notes)))


def _cited_file(note: Json) -> str:
    return as_text(as_object(note.get("file_citation")).get("file_id"))


def first_text(message: Json) -> str:
    """Returns the first text part of a user's message: the message itself; later parts come from files."""
    texts = (
        as_text(as_object(one.get("text")).get("value")) for one in as_objects(message.get("content")) if "text" in one
    )
    return next(texts, "")


def files_in(message: Json) -> dict[str, str]:
    """Returns the ids of the files that the assistant made, with their names (empty if not in the message)."""
    found: dict[str, str] = {}
    for one in as_objects(message.get("content")):
        if key := as_text(as_object(one.get("image_file")).get("file_id")):
            found.setdefault(key, "")
        for note in as_objects(as_object(one.get("text")).get("annotations")):
            if key := as_text(as_object(note.get("file_path")).get("file_id")):
                found[key] = base_name(as_text(note.get("text")), "")
    return found


def pending_calls(run: Json) -> list[FunctionCall]:
    """Returns the function calls whose outputs the run waits for."""
    action = as_object(as_object(run.get("required_action")).get("submit_tool_outputs"))
    return [
        FunctionCall(
            as_text(call.get("id")),
            as_text(as_object(call.get("function")).get("name")),
            arguments_to_run(as_object(call.get("function")).get("arguments")),
        )
        for call in as_objects(action.get("tool_calls"))
    ]


class RunExpired(AssistantTimedOut):
    """The run expired at the server."""

    default_user_message = sentence(
        "The assistant's server gave up on this message after waiting too long. Please try again."
    )


def is_cut_off(run: Json) -> bool:
    """Returns whether a run has ended at a limit of tokens. One that a filter ended names no reason."""
    return run.get("status") == "incomplete" and _incomplete_reason(run) not in {"", "content_filter"}


def limit_of(run: Json) -> str:
    """Returns at which limit a run was cut off, as RunCompleted has it."""
    return PROMPT_LIMIT if _incomplete_reason(run) == PROMPT_LIMIT else ""


def _incomplete_reason(run: Json) -> str:
    return as_text(as_object(run.get("incomplete_details")).get("reason"))


def failure_of(run: Json) -> AssistantError | None:
    """Returns the error of a run that has ended; None if it completed or was cut off."""
    status = run.get("status")
    if status == "completed" or is_cut_off(run):
        return None
    if status == "failed":
        return error_from_object(run.get("last_error"))
    if status == "expired":
        return RunExpired("the run expired at the server")
    if status == "incomplete":
        return Filtered(f"the run is incomplete: {_incomplete_reason(run)}")
    return AssistantRefused("the run was cancelled at the server", code="cancelled")


class RunEventReader:
    """Reads the events of one run, which has one more stream after each submission of tool outputs."""

    def __init__(self, accumulator: ReplyAccumulator, filters: ReplyFilters) -> None:
        self._filters = filters
        self.run: Json = {}
        """The run as last read."""
        self.complete = True
        """Whether all events were received."""
        self.files: dict[str, str] = {}
        """Files that the assistant made: ids, and names if known."""
        self.messages: list[Json] = []
        """The complete messages."""
        self._texts: dict[str, ReplyFilter] = {}
        """The text streamed so far, by message."""
        self._steps_counted: dict[str, Usage] = {}
        self._accumulator = accumulator
        self._reported_calls: set[tuple[str, bool]] = set()
        self._calls_in_progress: dict[tuple[str, Any], Json] = {}
        """Incomplete calls by step and index, as later deltas do not repeat the id."""

    @property
    def id(self) -> str:
        return as_text(self.run.get("id"))

    @property
    def is_stopped(self) -> bool:
        return is_stopped(self.run)

    @property
    def step_usage(self) -> Usage:
        """The tokens of the run's finished steps."""
        return sum(self._steps_counted.values(), Usage())

    def read_events(self, events: Iterable[Event]) -> Iterator[RunEvent]:
        """Yields the run events for events that came together, until the run has stopped.

        Raises AssistantError if one reports an error.
        """
        for name, data in events:
            yield from self._read_event(name, data)
            if self.is_stopped:
                return

    def _read_event(self, name: str, data: Json) -> list[RunEvent]:
        if name == "thread.message.delta":
            return self._message_delta(data)
        if name in MESSAGE_END_EVENTS:
            return self._message_end(data)
        if name == "thread.run.step.delta":
            return self._step_delta(
                as_text(data.get("id")), as_object(as_object(data.get("delta")).get("step_details"))
            )
        if name == "thread.run.step.completed":
            return self.read_step(data)
        if name == "error" or (not name and data.get("error")):
            raise self._stream_error(data)
        return self._read_run_event(name, data)

    def _read_run_event(self, name: str, data: Json) -> list[RunEvent]:
        if data.get("object") != "thread.run":
            return []
        if not name:
            self.mark_incomplete()
        return self.read_run(data)

    def read_run(self, run: Json) -> list[RunEvent]:
        """Reads a run object, ended or not. Returns RunStarted if it is new."""
        known, self.run = self.id, run
        return [RunStarted(RunId(self.id))] if self.id != known else []

    def mark_resumed(self) -> None:
        """Forgets the state of the run, as it continues with the next POST."""
        self.run = {"id": self.id}

    def mark_incomplete(self) -> None:
        """Notes that events are missing: messages must be fetched when the run has ended."""
        self.complete = False
        self._accumulator.stop_showing()

    def read_step(self, step: Json) -> list[RunEvent]:
        """Returns events for the hosted tools that a step used, unless already reported, and counts its tokens."""
        self._steps_counted[as_text(step.get("id"))] = as_usage(step.get("usage"))
        events: list[RunEvent] = []
        for call in as_objects(as_object(step.get("step_details")).get("tool_calls")):
            if call.get("type") != "function":
                events += self._report_call(call) + self._report_call(call, done=True)
        return events

    def _message_delta(self, data: Json) -> list[RunEvent]:
        pieces = as_objects(as_object(data.get("delta")).get("content"))
        said = "".join(as_text(as_object(one.get("text")).get("value")) for one in pieces)
        refused = "".join(as_text(one.get("refusal")) for one in pieces)
        message_id = as_text(data.get("id"))
        if message_id not in self._texts:
            self._texts[message_id] = self._filters.create()
        text = self._texts[message_id]
        shown = self._show(message_id, text.feed(said)) if said else []
        return [*shown, *self._show(message_id, text.feed(refused), is_refusal=True)] if refused else shown

    def _message_end(self, data: Json) -> list[RunEvent]:
        """Adds a complete message, or one that was cut off."""
        message_id = as_text(data.get("id"))
        rest = self._texts.pop(message_id).finish() if message_id in self._texts else ""
        shown = self._show(message_id, rest, is_refusal=bool(refusal_in(data)))
        self._accumulator.add_message(read_message(data, self._filters).text)
        self.messages.append(data)
        self.files |= files_in(data)
        return shown

    def _show(self, message_id: str, text: str, *, is_refusal: bool = False) -> list[RunEvent]:
        shown = self._accumulator.add_delta(message_id, text)
        return [TextDelta(shown, is_refusal)] if shown else []

    def _step_delta(self, step_id: str, details: Json) -> list[RunEvent]:
        """Adds deltas of calls. Code comes in deltas, so a call is reported once its output follows."""
        events: list[RunEvent] = []
        for piece in as_objects(details.get("tool_calls")):
            call = self._calls_in_progress.setdefault(
                (step_id, piece.get("index")), {"id": piece.get("id"), "type": piece.get("type")}
            )
            code = as_object(piece.get("code_interpreter"))
            written = as_text(as_object(call.get("code_interpreter")).get("input")) + as_text(code.get("input"))
            call["code_interpreter"] = {"input": written}
            if call["type"] == "file_search" or code.get("outputs"):
                events += self._report_call(call)
        return events

    def _report_call(self, call: Json, *, done: bool = False) -> list[RunEvent]:
        call_id, name = as_text(call.get("id")), as_text(call.get("type"))
        if (call_id, done) in self._reported_calls:
            return []
        self._reported_calls.add((call_id, done))
        given, came = _input_and_output(call)
        return [ToolCall(call_id, name, given, came if done else "", done)]

    def _stream_error(self, data: Json) -> AssistantError:
        error = error_from_object(data.get("error") or data)
        return (
            AssistantUnavailable(str(error)) if self.id else error
        )  # so that the caller looks up the state of the run


def _input_and_output(call: Json) -> tuple[str, str]:
    """Returns the input and output of a call; empty where the server does not say."""
    code = as_object(call.get("code_interpreter"))
    outputs = (as_text(one.get("logs")) or "[image]" for one in as_objects(code.get("outputs")))
    return as_text(code.get("input")), "\n".join(outputs)
