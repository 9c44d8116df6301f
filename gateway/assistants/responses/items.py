"""Items and events of the Responses API: builds input items, reads output items and the events of a stream."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence

from gateway.assistants.attachments import MessagePart, TextPart, base_name, file_made
from gateway.assistants.citations import with_sources
from gateway.assistants.error_map import Filtered, error_from_object, error_in
from gateway.assistants.history import exchange_messages
from gateway.assistants.json_fields import as_object, as_objects, as_text
from gateway.assistants.reply_accumulator import ReplyAccumulator
from gateway.assistants.reply_filter import PLAIN, ReplyFilter, ReplyFilters
from gateway.assistants.sse import DONE_MARKER, Json
from gateway.assistants.tool_calls import FunctionCall, arguments_to_return, arguments_to_run
from gateway.domain.errors import AssistantError, AssistantRefused, AssistantUnavailable
from gateway.domain.exchange import Exchange, RequestedCall
from gateway.domain.files import File
from gateway.domain.models import RunId
from gateway.domain.run_events import REASONING, RunEvent, RunStarted, TextDelta, ToolCall

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "incomplete"})
TEXT_DELTA_EVENTS = frozenset({"response.output_text.delta", "response.refusal.delta"})
TEXT_END_EVENTS = frozenset({"response.output_text.done", "response.refusal.done"})
SAID_PARTS = frozenset({"", "output_text", "text", "refusal", "input_text"})
"""Types of the parts of a message that are said to people; ``reasoning_text`` is not."""
NON_TOOL_ITEMS = frozenset({"function_call", "function_call_output", "message", "mcp_list_tools"})
"""Items that are not calls of hosted tools."""
CODE_INTERPRETER_ITEM = "code_interpreter_call"
IMAGE_ITEM = "image_generation_call"


def is_final(response: Json) -> bool:
    return response.get("status") in FINAL_STATUSES


def message_text(item: Json, filters: ReplyFilters = PLAIN) -> str:
    """Returns the text for people of all parts of a message item; a refusal counts as text, reasoning does not."""
    return read_message(item, filters).text


def read_message(item: Json, filters: ReplyFilters) -> ReplyFilter:
    """Returns the filter that has read the parts of a message item."""
    return filters.read("".join(map(_part_text, as_objects(item.get("content")))))


def _part_text(part: Json) -> str:
    if as_text(part.get("type")) not in SAID_PARTS:
        return ""
    annotated = with_sources(as_text(part.get("text")), as_objects(part.get("annotations")))
    return annotated or as_text(part.get("refusal"))


def first_text(item: Json) -> str:
    """Returns the first text part of a user's message item: the message itself; later parts come from files."""
    texts = (as_text(one.get("text")) for one in as_objects(item.get("content")) if "text" in one)
    return next(texts, "")


def message_item(user_text: str, message_parts: Sequence[MessagePart] = ()) -> Json:
    """Returns a user message item. Its first part is the text of the message, by which the item is found again.

    The parts: developers.openai.com/api/docs/guides/file-inputs and .../images-vision.
    """
    content = (
        [{"type": "input_text", "text": user_text}, *map(_input_part, message_parts)] if message_parts else user_text
    )
    return {"type": "message", "role": "user", "content": content}


def _input_part(message_part: MessagePart) -> Json:
    if isinstance(message_part, TextPart):
        return {"type": "input_text", "text": message_part.text}
    if message_part.is_image:
        return {"type": "input_image", "detail": "auto", "image_url": message_part.data_url}
    return {"type": "input_file", "filename": message_part.name, "file_data": message_part.data_url}


def with_head(items: Sequence[Json], text: str) -> list[Json]:
    """Returns input items with a text at the head of the first message of a user."""
    place = next((place for place, item in enumerate(items) if item.get("role") == "user"), None)
    if place is None:
        return [message_item(text), *items]
    content = items[place].get("content")
    if isinstance(content, str):
        headed: str | list[Json] = f"{text}\n\n{content}"
    else:
        headed = [{"type": "input_text", "text": text}, *as_objects(content)]
    return [*items[:place], {**items[place], "content": headed}, *items[place + 1 :]]


def exchange_items(exchange: Exchange) -> list[Json]:
    """Returns an exchange as input items, with the calls of the caller's functions and their results."""
    messages = [{"type": "message", **message} for message in exchange_messages(exchange)]
    return [*output_items(exchange), *messages, *map(_past_call_item, exchange.calls)]


def output_items(exchange: Exchange) -> list[Json]:
    """Returns the results that an exchange begins with."""
    return [output_item(each.call_id, each.output) for each in exchange.outputs]


def _past_call_item(call: RequestedCall) -> Json:
    return call_item(FunctionCall(call.id, call.name, arguments_to_return(call.arguments)))


def call_item(call: FunctionCall) -> Json:
    """Returns a call that a model wrote as text as the item that its output needs."""
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def returned_items(items: Iterable[Json]) -> Iterator[Json]:
    """Yields the items of a response as they go back: as they came, but a call with an id and JSON arguments.

    A message goes back without the reasoning and the marks in its text, and not at all if it is nothing else.
    """
    for item in items:
        if item.get("type") == "function_call":
            yield _returned_call(item)
        elif not _is_said(item):
            yield item
        elif message_text(item):
            yield {**item, "content": [_returned_part(part) for part in as_objects(item.get("content"))]}


def _returned_call(item: Json) -> Json:
    return {**item, "call_id": _call_id(item), "arguments": arguments_to_return(item.get("arguments"))}


def _returned_part(part: Json) -> Json:
    return {**part, "text": PLAIN.read(as_text(part["text"])).text} if part.get("text") else part


def _call_id(item: Json) -> str:
    return as_text(item.get("call_id")) or as_text(item.get("id"))


def output_item(call_id: str, text: str, parts: Sequence[MessagePart] = ()) -> Json:
    """Returns the item with what a function returned: text, and files (developers.openai.com/api/docs/guides/
    function-calling, "Formatting results").
    """
    output = [{"type": "input_text", "text": text}, *map(_input_part, parts)] if parts else text
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def without_output_files(items: Sequence[Json]) -> list[Json]:
    """Returns the items with the outputs of functions as text alone."""
    return [{**item, "output": first_text({"content": item["output"]})} if _has_files(item) else item for item in items]


def _has_files(item: Json) -> bool:
    return item.get("type") == "function_call_output" and isinstance(item.get("output"), list)


def files_in(items: Iterable[Json], origin: str) -> Iterator[File]:
    """Yields the files that the assistant made: those cited in its messages (developers.openai.com/api/docs/guides/
    tools-code-interpreter), and images, whose reference names the object ``origin`` that contains them.
    """
    for item in items:
        if item.get("type") == IMAGE_ITEM and item.get("result"):
            yield file_made(
                f"image.{as_text(item.get('output_format')) or 'png'}", f"{origin} {as_text(item.get('id'))}"
            )
        for one in as_objects(item.get("content")):
            for note in as_objects(one.get("annotations")):
                if note.get("type") == "container_file_citation":
                    name = base_name(as_text(note.get("filename")), "file")
                    yield file_made(
                        name, f"container {as_text(note.get('container_id'))} {as_text(note.get('file_id'))}"
                    )


def image_content(items: Iterable[Json], item_id: str) -> bytes:
    """Returns the content of an image among these items. Raises AssistantRefused if there is none with this id."""
    found = (
        as_text(item.get("result")) for item in items if item.get("type") == IMAGE_ITEM and item.get("id") == item_id
    )
    try:
        content = base64.b64decode(next(found, ""))
    except ValueError:
        content = b""
    if not content:
        raise AssistantRefused(f"there is no image {item_id[:80]!r}")
    return content


def reply_texts(items: Iterable[Json], filters: ReplyFilters = PLAIN) -> list[str]:
    """Returns the text of each message of the assistant."""
    return [message_text(item, filters) for item in items if _is_said(item)]


def _is_said(item: Json) -> bool:
    return item.get("type") == "message" and item.get("role") == "assistant"


def unanswered_calls(items: Sequence[Json]) -> list[FunctionCall]:
    """Returns the function calls that have no output among these items."""
    answered = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
    return [
        FunctionCall(_call_id(item), as_text(item.get("name")), arguments_to_run(item.get("arguments")))
        for item in items
        if item.get("type") == "function_call" and _call_id(item) not in answered
    ]


def text_calls(items: Sequence[Json], filters: ReplyFilters) -> list[FunctionCall]:
    """Returns the calls that the model wrote as text."""
    found: list[FunctionCall] = []
    for item in filter(_is_said, items):
        prefix, calls = as_text(item.get("id")) or "text", read_message(item, filters).calls
        found += [FunctionCall(f"call_{prefix}_{n}"[-64:], *call) for n, call in enumerate(calls)]
    return found


def is_cut_off(response: Json) -> bool:
    """Returns whether a finished response ends at a limit; an answer that a filter stopped does not."""
    return response.get("status") == "incomplete" and _incomplete_reason(response) != "content_filter"


def _incomplete_reason(response: Json) -> str:
    return as_text(as_object(response.get("incomplete_details")).get("reason"))


def failure_of(response: Json) -> AssistantError | None:
    """Returns the error of a finished response; None if it completed or was cut off."""
    status = response.get("status")
    if status == "completed" or is_cut_off(response):
        return None
    if status == "failed":
        return error_from_object(response.get("error"))
    if status == "incomplete":
        return Filtered(f"the response is incomplete: {_incomplete_reason(response)}")
    if response.get("background") is True:
        return AssistantRefused("the response was cancelled at the server", code="cancelled")
    return AssistantUnavailable("the response was cancelled because its connection was closed")


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
        self.in_background = False
        """Whether the response runs in the background."""
        self._accumulator = accumulator
        self._filters = filters
        self._reported_calls = reported_calls
        self._show_reasoning = show_reasoning
        self._texts: dict[int, ReplyFilter] = {}
        """The text streamed so far, by the place of its item."""
        self._items: dict[int, Json] = {}
        """The finished items, by their place."""

    @property
    def is_final(self) -> bool:
        return bool(self.response)

    def read_event(self, name: str, data: Json) -> list[RunEvent]:
        """Returns the run events for one event of the stream. Raises AssistantError if it reports an error."""
        kind = as_text(data.get("type")) or name
        if kind in TEXT_DELTA_EVENTS:
            return self._show(data, as_text(data.get("delta")))
        if kind in TEXT_END_EVENTS:
            return self._show(data, "", at_end=True)
        if kind == "response.output_item.added":
            return self._item_added(as_object(data.get("item")))
        if kind == "response.output_item.done":
            self._items[_output_index(data)] = as_object(data.get("item"))
            return self._item_done(as_object(data.get("item")))
        if kind == "response.code_interpreter_call_code.done":
            return self._report_call(
                ToolCall(as_text(data.get("item_id")), "code_interpreter", as_text(data.get("code")))
            )
        if kind == "error":
            raise self._stream_error(data)
        return self._end_of_stream() if kind == DONE_MARKER else self._read_status(kind, data)

    def _read_status(self, kind: str, data: Json) -> list[RunEvent]:
        """Reads an event about the whole response, or a response or error that came without an event's name."""
        is_response = "id" in data and "status" in data
        if not kind and not is_response and (error := error_in(data)):
            raise error
        return self.read_response(data if is_response else as_object(data.get("response")))

    def read_response(self, response: Json) -> list[RunEvent]:
        """Reads a response object, finished or not. Returns the run events for what is new in it."""
        if not response:
            return []
        self.in_background = response.get("background") is True
        events: list[RunEvent] = []
        if self.id != as_text(response.get("id")):
            self.id = as_text(response.get("id"))
            events.append(RunStarted(RunId(self.id)))
        if is_final(response):
            self.response = response = self._with_streamed_output(response)
            for place, item in enumerate(as_objects(response.get("output"))):
                events += self._item_done(item) + self._reasoning_in_text(place, item)
        return events

    def _show(self, data: Json, text: str, *, at_end: bool = False) -> list[RunEvent]:
        place = _output_index(data)
        reply = self._texts.setdefault(place, self._filters.create())
        said = reply.finish() if at_end else reply.feed(text)
        shown = self._accumulator.add_delta(f"{self.id}/{place}", said)
        return [TextDelta(shown)] if shown else []

    def _with_streamed_output(self, response: Json) -> Json:
        """Returns a finished response with what was streamed, if its own output is empty, as some servers leave it."""
        if as_objects(response.get("output")) or not (self._items or self._texts):
            return response
        spoken = {place: _spoken_item(reply) for place, reply in self._texts.items() if reply.text}
        return {**response, "output": [item for _, item in sorted((spoken | self._items).items())]}

    def _end_of_stream(self) -> list[RunEvent]:
        """Takes what was streamed for the response if the server ends the stream without it."""
        if self.is_final or not any(reply.text for reply in self._texts.values()):
            return []
        return self.read_response({"id": self.id, "status": "completed", "output": []})

    def _stream_error(self, data: Json) -> AssistantError:
        error = error_from_object(data.get("error") or data)
        return (
            AssistantUnavailable(str(error)) if self.id else error
        )  # so that the caller looks up the state of the response

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

    def _reasoning_in_text(self, place: int, item: Json) -> list[RunEvent]:
        """Returns the events for reasoning that a server left in the text of a message, and learns how it began."""
        if not _is_said(item):
            return []
        reply = read_message(item, self._filters)
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


def _output_index(data: Json) -> int:
    index = data.get("output_index")
    return index if isinstance(index, int) else 0


def _spoken_item(reply: ReplyFilter) -> Json:
    reply.finish()
    content = [{"type": "output_text", "text": reply.text, "annotations": []}]
    return {"type": "message", "role": "assistant", "status": "completed", "content": content}


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
