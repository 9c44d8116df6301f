"""Runs, messages and steps of the Assistants API, and the events of a run's stream."""

from __future__ import annotations

from typing import Any

from gateway.assistants.attachments import named
from gateway.assistants.error_map import CUT_SHORT, NOT_ALLOWED, complaint_in
from gateway.assistants.json_fields import part, parts, text
from gateway.assistants.reply_accumulator import Draft
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import FunctionCall
from gateway.domain.errors import AssistantError, Refused, TimedOut, Unavailable
from gateway.domain.models import RunEvent, RunId, RunStarted, TextDelta, ToolCall

ENDED = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
WAITING = "requires_action"


def ended(run: Json) -> bool:
    return run.get("status") in ENDED


def halted(run: Json) -> bool:
    """Returns whether the run has ended or waits for the outputs of function calls."""
    return ended(run) or run.get("status") == WAITING


def message_text(message: Json) -> str:
    """Returns the text of all parts of a message; a refusal counts as text."""
    return "".join(
        text(part(one.get("text")).get("value")) or text(one.get("refusal")) for one in parts(message.get("content"))
    )


def first_text(message: Json) -> str:
    """Returns the first text part of a user's message: the message itself; later parts come from files."""
    texts = (text(part(one.get("text")).get("value")) for one in parts(message.get("content")) if "text" in one)
    return next(texts, "")


def files_in(message: Json) -> dict[str, str]:
    """Returns the ids of the files that the assistant made, with their names (empty if not in the message)."""
    found: dict[str, str] = {}
    for one in parts(message.get("content")):
        if key := text(part(one.get("image_file")).get("file_id")):
            found.setdefault(key, "")
        for note in parts(part(one.get("text")).get("annotations")):
            if key := text(part(note.get("file_path")).get("file_id")):
                found[key] = named(text(note.get("text")), "")
    return found


def pending_calls(run: Json) -> list[FunctionCall]:
    """Returns the function calls whose outputs the run waits for."""
    action = part(part(run.get("required_action")).get("submit_tool_outputs"))
    return [
        FunctionCall(
            text(call.get("id")),
            text(part(call.get("function")).get("name")),
            text(part(call.get("function")).get("arguments")),
        )
        for call in parts(action.get("tool_calls"))
    ]


def why_not(run: Json) -> AssistantError | None:
    """Returns the error of a run that has ended; None if it completed."""
    status = run.get("status")
    if status == "completed":
        return None
    if status == "failed":
        return complaint_in(run.get("last_error"))
    if status == "expired":
        return TimedOut("the run expired at the server")
    if status == "incomplete":
        reason = text(part(run.get("incomplete_details")).get("reason"))
        sentence = CUT_SHORT if reason.startswith("max_") else NOT_ALLOWED
        return Refused(f"the run is incomplete: {reason}", code="incomplete", sentence=sentence)
    return Refused("the run was cancelled at the server", code="cancelled")


class Reading:
    """Reads the events of one run, which has one more stream after each submission of tool outputs."""

    def __init__(self, draft: Draft) -> None:
        self.run: Json = {}
        """The run as last read."""
        self.whole = True
        """Whether all events were received."""
        self.files: dict[str, str] = {}
        """Files that the assistant made: ids, and names if known."""
        self._draft = draft
        self._told: set[tuple[str, bool]] = set()
        self._open: dict[tuple[str, Any], Json] = {}
        """Incomplete calls by step and index, as later deltas do not repeat the id."""

    @property
    def id(self) -> str:
        return text(self.run.get("id"))

    @property
    def halted(self) -> bool:
        return halted(self.run)

    def take(self, name: str, data: Json) -> list[RunEvent]:
        """Returns the run events for one event of the stream. Raises AssistantError if it reports an error."""
        if name == "thread.message.delta":
            return self._more(data)
        if name == "thread.message.completed":
            self._draft.whole(message_text(data))
            self.files |= files_in(data)
        elif name == "thread.run.step.delta":
            return self._piece(text(data.get("id")), part(part(data.get("delta")).get("step_details")))
        elif name == "thread.run.step.completed":
            return self.used(data)
        elif name == "error":
            raise self._broken(data)
        elif data.get("object") == "thread.run":
            if not name:
                self.miss()
            return self.see(data)
        return []

    def see(self, run: Json) -> list[RunEvent]:
        """Reads a run object, ended or not. Returns RunStarted if it is new."""
        known, self.run = self.id, run
        return [RunStarted(RunId(self.id))] if self.id != known else []

    def go_on(self) -> None:
        """Forgets the state of the run, as it continues with the next POST."""
        self.run = {"id": self.id}

    def miss(self) -> None:
        """Notes that events are missing: messages must be fetched when the run has ended."""
        self.whole = False
        self._draft.mute()

    def used(self, step: Json) -> list[RunEvent]:
        """Returns events for the hosted tools that a step used, unless already reported."""
        told: list[RunEvent] = []
        for call in parts(part(step.get("step_details")).get("tool_calls")):
            if call.get("type") != "function":
                told += self._tell(call) + self._tell(call, done=True)
        return told

    def _more(self, data: Json) -> list[RunEvent]:
        pieces = parts(part(data.get("delta")).get("content"))
        said = "".join(text(part(one.get("text")).get("value")) or text(one.get("refusal")) for one in pieces)
        shown = self._draft.delta(text(data.get("id")), said)
        return [TextDelta(shown)] if shown else []

    def _piece(self, step: str, details: Json) -> list[RunEvent]:
        """Adds deltas of calls. Code comes in deltas, so a call is reported once its output follows."""
        told: list[RunEvent] = []
        for piece in parts(details.get("tool_calls")):
            call = self._open.setdefault((step, piece.get("index")), {"id": piece.get("id"), "type": piece.get("type")})
            code = part(piece.get("code_interpreter"))
            written = text(part(call.get("code_interpreter")).get("input")) + text(code.get("input"))
            call["code_interpreter"] = {"input": written}
            if call["type"] == "file_search" or code.get("outputs"):
                told += self._tell(call)
        return told

    def _tell(self, call: Json, *, done: bool = False) -> list[RunEvent]:
        call_id, name = text(call.get("id")), text(call.get("type"))
        if (call_id, done) in self._told:
            return []
        self._told.add((call_id, done))
        given, came = _code(call)
        return [ToolCall(call_id, name, given, came if done else "", done)]

    def _broken(self, data: Json) -> AssistantError:
        error = complaint_in(data.get("error") or data)
        return Unavailable(str(error)) if self.id else error  # so that the caller looks up the state of the run


def _code(call: Json) -> tuple[str, str]:
    """Returns the input and output of a call; empty where the server does not say."""
    code = part(call.get("code_interpreter"))
    outputs = (text(one.get("logs")) or "[image]" for one in parts(code.get("outputs")))
    return text(code.get("input")), "\n".join(outputs)
