"""Items and events of the Responses API: builds input items, reads output items and the events of a stream."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence

from gateway.assistants.attachments import MessagePart, TextPart, base_name, file_made
from gateway.assistants.error_map import CUT_SHORT, NOT_ALLOWED, error_from_object
from gateway.assistants.json_fields import as_object, as_objects, as_text
from gateway.assistants.reply_accumulator import ReplyAccumulator
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import FunctionCall
from gateway.domain.errors import AssistantError, AssistantRefused, AssistantUnavailable
from gateway.domain.models import File, RunEvent, RunId, RunStarted, TextDelta, ToolCall

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "incomplete"})
TEXT_DELTA_EVENTS = frozenset({"response.output_text.delta", "response.refusal.delta"})
NON_TOOL_ITEMS = frozenset({"function_call", "function_call_output", "message"})
"""Items that are not calls of hosted tools."""
CODE_INTERPRETER_ITEM = "code_interpreter_call"
IMAGE_ITEM = "image_generation_call"


def is_final(response: Json) -> bool:
    return response.get("status") in FINAL_STATUSES


def message_text(item: Json) -> str:
    """Returns the text of all parts of a message item; a refusal counts as text."""
    return "".join(as_text(one.get("text")) or as_text(one.get("refusal")) for one in as_objects(item.get("content")))


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


def output_item(call_id: str, output: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


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


def reply_texts(items: Iterable[Json]) -> list[str]:
    """Returns the text of each message of the assistant."""
    return [message_text(item) for item in items if item.get("type") == "message" and item.get("role") == "assistant"]


def unanswered_calls(items: Sequence[Json]) -> list[FunctionCall]:
    """Returns the function calls that have no output among these items."""
    answered = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
    return [
        FunctionCall(as_text(item.get("call_id")), as_text(item.get("name")), as_text(item.get("arguments")))
        for item in items
        if item.get("type") == "function_call" and item.get("call_id") not in answered
    ]


def failure_of(response: Json) -> AssistantError | None:
    """Returns the error of a finished response; None if it completed."""
    status = response.get("status")
    if status == "completed":
        return None
    if status == "failed":
        return error_from_object(response.get("error"))
    if status == "incomplete":
        reason = as_text(as_object(response.get("incomplete_details")).get("reason"))
        sentence = NOT_ALLOWED if reason == "content_filter" else CUT_SHORT
        return AssistantRefused(f"the response is incomplete: {reason}", code="incomplete", user_message=sentence)
    if response.get("background") is True:
        return AssistantRefused("the response was cancelled at the server", code="cancelled")
    return AssistantUnavailable("the response was cancelled because its connection was closed")


class ResponseEventReader:
    """Reads the events of one response."""

    def __init__(self, accumulator: ReplyAccumulator, reported_calls: set[tuple[str, bool]]) -> None:
        """``reported_calls``: the calls already reported, and whether as done; shared by the responses of one turn."""
        self.id = ""
        self.response: Json = {}
        """Set when the response is finished."""
        self.in_background = False
        """Whether the response runs in the background."""
        self._accumulator = accumulator
        self._reported_calls = reported_calls

    @property
    def is_final(self) -> bool:
        return bool(self.response)

    def read_event(self, name: str, data: Json) -> list[RunEvent]:
        """Returns the run events for one event of the stream. Raises AssistantError if it reports an error."""
        kind = as_text(data.get("type")) or name
        if kind in TEXT_DELTA_EVENTS:
            shown = self._accumulator.add_delta(f"{self.id}/{data.get('output_index')}", as_text(data.get("delta")))
            return [TextDelta(shown)] if shown else []
        if kind == "response.output_item.added":
            return self._item_added(as_object(data.get("item")))
        if kind == "response.output_item.done":
            return self._item_done(as_object(data.get("item")))
        if kind == "response.code_interpreter_call_code.done":
            return self._report_call(
                ToolCall(as_text(data.get("item_id")), "code_interpreter", as_text(data.get("code")))
            )
        if kind == "error":
            raise self._stream_error(data)
        return self.read_response(data if data.get("object") == "response" else as_object(data.get("response")))

    def read_response(self, response: Json) -> list[RunEvent]:
        """Reads a response object, finished or not. Returns the run events for what is new in it."""
        if not response:
            return []
        self.in_background = response.get("background") is True
        told: list[RunEvent] = []
        if self.id != as_text(response.get("id")):
            self.id = as_text(response.get("id"))
            told.append(RunStarted(RunId(self.id)))
        if is_final(response):
            self.response = response
            told += [event for item in as_objects(response.get("output")) for event in self._item_done(item)]
        return told

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
        return [
            *self._report_call(ToolCall(call_id, name, given)),
            *self._report_call(ToolCall(call_id, name, given, _tool_output(item), done=True)),
        ]

    def _report_call(self, call: ToolCall) -> list[RunEvent]:
        if (call.call_id, call.done) in self._reported_calls:
            return []
        self._reported_calls.add((call.call_id, call.done))
        return [call]


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
        for name in ("outputs", "results", "summary")
        for one in as_objects(item.get(name))
    ]
    return as_text(item.get("output")) or "\n".join(found)


def _output_url(output: Json) -> str:
    """Returns the URL of an output; a placeholder for a data URL, which would contain the output itself."""
    url = as_text(output.get("url"))
    return "[image]" if url.startswith("data:") else url
