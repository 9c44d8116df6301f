"""Reads the events of a response of the Responses API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.assistants.errors.error_map import error_from_object, error_in
from gateway.assistants.json_fields import as_object, as_objects, as_text
from gateway.assistants.replies.accumulator import ReplyAccumulator
from gateway.assistants.replies.filter import ReplyFilter, ReplyFilters
from gateway.assistants.responses.items import ReadMessage, is_final, is_said, text_of_parts
from gateway.assistants.sse import DONE_MARKER, Event, Json
from gateway.domain.errors import AssistantError, AssistantUnavailable
from gateway.domain.models import RunId
from gateway.domain.run_events import REASONING, RunEvent, RunStarted, TextDelta, ToolCall

NO_TEXT = -1
"""Stands for the place of an event without text."""
REFUSAL_DELTA = "response.refusal.delta"
TEXT_DELTA_EVENTS = frozenset({"response.output_text.delta", REFUSAL_DELTA})
UNREAD_EVENTS = frozenset(
    f"response.{name}"
    for name in (
        *("queued", "in_progress"),
        *("content_part.added", "content_part.done", "output_text.annotation.added"),
        *("output_text.done", "refusal.done"),
        *("function_call_arguments.delta", "function_call_arguments.done"),
        *("mcp_call_arguments.delta", "mcp_call_arguments.done", "code_interpreter_call_code.delta"),
        *("reasoning_text.delta", "reasoning_text.done", "reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.added", "reasoning_summary_part.done", "image_generation_call.partial_image"),
    )
)
"""Events whose content comes again with their finished item, as far as it is needed, or came with the first event."""
END_EVENTS = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})
CODE_INTERPRETER_ITEM = "code_interpreter_call"
NON_TOOL_ITEMS = frozenset({"function_call", "function_call_output", "message", "mcp_list_tools"})
"""Items that are not calls of hosted tools."""


class ResponseEventReader:
    """Reads the events of one response."""

    def __init__(
        self,
        accumulator: ReplyAccumulator,
        reported_calls: set[tuple[str, bool]],
        filters: ReplyFilters,
        *,
        show_reasoning: bool = False,
    ) -> None:
        """``reported_calls``: the calls already reported, and whether as done; shared by the responses of one turn.

        ``show_reasoning``: whether reasoning is reported with its text, instead of only that there is some.
        """
        self.id = ""
        self.response: Json = {}
        """Set when the response is finished."""
        self.said: list[ReadMessage] = []
        """Its messages, then."""
        self.error: AssistantError | None = None
        """What the stream said is wrong, after the response had begun."""
        self.in_background = False
        """Whether the response runs in the background."""
        self._accumulator = accumulator
        self._filters = filters
        self._reported_calls = reported_calls
        self._show_reasoning = show_reasoning
        self._texts: dict[int, ReplyFilter] = {}
        """The text streamed so far, by the place of its item."""
        self._refused: set[int] = set()
        """The places of those that end with a refusal."""
        self._items: dict[int, Json] = {}
        """The finished items, by their place."""

    def read_events(self, events: Iterable[Event]) -> Iterator[RunEvent]:
        """Yields the run events for events that came together, up to the end of the response.

        Pieces of one text are read as one. Raises AssistantError if an event reports an error.
        """
        pieces, shown_at = list[str](), None
        for name, data in events:
            kind = name if name[:9] == "response." else as_text(data.get("type")) or name
            is_text = kind in TEXT_DELTA_EVENTS
            place = data.get("output_index") if is_text else NO_TEXT
            begins_refusal = kind == REFUSAL_DELTA and _place(place) not in self._refused
            if pieces and (place != shown_at or begins_refusal):
                yield from self._show(_place(shown_at), "".join(pieces))
                pieces = []
            if begins_refusal:
                self._refused.add(_place(place))
            if is_text:
                shown_at = place
                if isinstance(piece := data.get("delta"), str):
                    pieces.append(piece)
                continue
            yield from self._read_event(kind, data)
            if self.response:
                return
        if pieces:
            yield from self._show(_place(shown_at), "".join(pieces))

    def _read_event(self, kind: str, data: Json) -> list[RunEvent]:
        if kind == "response.output_item.added":
            return self._item_added(as_object(data.get("item")))
        if kind == "response.output_item.done":
            place, item = _place(data.get("output_index")), as_object(data.get("item"))
            self._items[place] = item
            held_back = self._show(place, "", at_end=True) if place in self._texts else []
            return [*held_back, *self._item_done(item)]
        if kind == "response.code_interpreter_call_code.done":
            return self._report_call(
                ToolCall(as_text(data.get("item_id")), "code_interpreter", as_text(data.get("code")))
            )
        if kind == "error":
            raise self._stream_error(data)
        return self._end_of_stream() if kind == DONE_MARKER else self._read_status(kind, data)

    def _read_status(self, kind: str, data: Json) -> list[RunEvent]:
        """Reads an event about the whole response, or a response or error that came without an event's name."""
        if "id" in data and "status" in data:
            return self.read_response(data)
        if not kind and (error := error_in(data)):
            raise error
        response = as_object(data.get("response"))
        if kind in END_EVENTS and not is_final(response):
            response = {**response, "status": kind.removeprefix("response.")}
        return self.read_response(response)

    def read_response(self, response: Json) -> list[RunEvent]:
        """Reads a response object, finished or not. Returns the run events for what is new in it."""
        if not response:
            return []
        self.in_background = response.get("background") is True
        events: list[RunEvent] = []
        name = as_text(response.get("id")) or self.id
        if self.id != name:
            self.id = name
            events.append(RunStarted(RunId(name)))
        if is_final(response):
            events += self._read_output(response)
        return events

    def _read_output(self, response: Json) -> list[RunEvent]:
        """Reads a finished response."""
        output = as_objects(response.get("output")) or self._streamed_output()
        self.response, self.said = {**response, "output": output}, []
        events: list[RunEvent] = []
        for place, item in enumerate(output):
            events += self._item_done(item)
            if is_said(item):
                reply = self._reply_of(place, item)
                self.said.append((item, reply))
                events += self._reasoning_in_text(place, reply)
        return events

    def _show(self, place: int, text: str, *, at_end: bool = False) -> list[RunEvent]:
        if place not in self._texts:
            self._texts[place] = self._filters.create()
        reply = self._texts[place]
        said = reply.finish() if at_end else reply.feed(text)
        shown = self._accumulator.add_delta(f"{self.id}/{place}", said)
        return [TextDelta(shown, place in self._refused)] if shown else []

    def _reply_of(self, place: int, item: Json) -> ReplyFilter:
        """Returns the filter that has read a message: that of its stream, if this brought the same text, or all."""
        text, streamed = text_of_parts(item), self._texts.get(place)
        if streamed is None or (text and not streamed.has_read(text)):
            return self._filters.read(text)
        streamed.finish()
        return streamed

    def _streamed_output(self) -> list[Json]:
        """Returns the items that were streamed: some servers leave the output of a finished response empty."""
        spoken = {
            place: _spoken_item(reply, is_refusal=place in self._refused)
            for place, reply in self._texts.items()
            if reply.text
        }
        return [item for _, item in sorted((spoken | self._items).items())]

    def _end_of_stream(self) -> list[RunEvent]:
        """Takes what was streamed for the response if the server ends the stream without it."""
        if self.response or not any(reply.text for reply in self._texts.values()):
            return []
        return self.read_response({"id": self.id, "status": "completed", "output": []})

    def _stream_error(self, data: Json) -> AssistantError:
        """Returns the error to raise; of a response that has begun, one for which the caller looks up its state."""
        error = error_from_object(data.get("error") or data)
        if not self.id:
            return error
        self.error = error
        return AssistantUnavailable(str(error))

    def _item_added(self, item: Json) -> list[RunEvent]:
        if (
            item.get("type") in NON_TOOL_ITEMS or item.get("type") == CODE_INTERPRETER_ITEM
        ):  # reported when its code is complete
            return []
        return self._report_call(ToolCall(as_text(item.get("id")), _tool_name(item)))

    def _item_done(self, item: Json) -> list[RunEvent]:
        if item.get("type") in NON_TOOL_ITEMS:
            return []
        call_id, name, given = as_text(item.get("id")), _tool_name(item), _tool_input(item)
        is_shown = self._show_reasoning or item.get("type") != "reasoning"
        output = _tool_output(item) if is_shown else ""
        return [
            *self._report_call(ToolCall(call_id, name, given)),
            *self._report_call(ToolCall(call_id, name, given, output, done=True)),
        ]

    def _reasoning_in_text(self, place: int, reply: ReplyFilter) -> list[RunEvent]:
        """Returns the events for reasoning that a server left in the text of a message, and learns how it began."""
        self._filters.learn(reply)
        if not (self._show_reasoning and reply.reasoning):
            return []
        call_id = f"reasoning {self.id} {place}"
        return [
            *self._report_call(ToolCall(call_id, REASONING)),
            *self._report_call(ToolCall(call_id, REASONING, output=reply.reasoning, done=True)),
        ]

    def _report_call(self, call: ToolCall) -> list[RunEvent]:
        if (call.call_id, call.done) in self._reported_calls:
            return []
        self._reported_calls.add((call.call_id, call.done))
        return [call]


def _place(output_index: Any) -> int:
    """Returns the place of an item; some servers write none."""
    return output_index if isinstance(output_index, int) else 0


def _spoken_item(reply: ReplyFilter, *, is_refusal: bool) -> Json:
    reply.finish()
    said: Json = {"type": "output_text", "text": reply.text, "annotations": []}
    part: Json = {"type": "refusal", "refusal": reply.text} if is_refusal else said
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _tool_name(item: Json) -> str:
    return as_text(item.get("name")) or as_text(item.get("type")).removesuffix("_call")


def _tool_input(item: Json) -> str:
    action = as_object(item.get("action"))
    queries = item.get("queries") or action.get("queries") or [action.get("query") or action.get("url")]
    return (
        as_text(item.get("code"))
        or as_text(item.get("arguments"))
        or "\n".join(as_text(one) for one in (queries if isinstance(queries, list) else []))
    )


def _tool_output(item: Json) -> str:
    found = [
        as_text(one.get("logs")) or _output_url(one) or as_text(one.get("text")) or as_text(one.get("filename"))
        for name in ("outputs", "results", "summary", "content")
        for one in as_objects(item.get(name))
    ]
    return as_text(item.get("output")) or "\n".join(found)


def _output_url(output: Json) -> str:
    """Returns the URL of an output; a placeholder for a data URL, which would contain the output itself."""
    url = as_text(output.get("url"))
    return "[image]" if url.startswith("data:") else url
