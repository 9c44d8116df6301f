"""Items and events of the Responses API: builds input items, reads output items and the events of a stream."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence

from gateway.assistants.attachments import Piece, Words, made, named
from gateway.assistants.error_map import CUT_SHORT, NOT_ALLOWED, complaint_in
from gateway.assistants.json_fields import part, parts, text
from gateway.assistants.reply_accumulator import Draft
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import FunctionCall
from gateway.domain.errors import AssistantError, Refused, Unavailable
from gateway.domain.models import File, RunEvent, RunId, RunStarted, TextDelta, ToolCall

OVER = frozenset({"completed", "failed", "cancelled", "incomplete"})
DELTAS = frozenset({"response.output_text.delta", "response.refusal.delta"})
OURS = frozenset({"function_call", "function_call_output", "message"})
"""Items that are not calls of hosted tools."""
CODE = "code_interpreter_call"
IMAGE = "image_generation_call"


def over(response: Json) -> bool:
    return response.get("status") in OVER


def message_text(item: Json) -> str:
    """Returns the text of all parts of a message item; a refusal counts as text."""
    return "".join(text(one.get("text")) or text(one.get("refusal")) for one in parts(item.get("content")))


def first_text(item: Json) -> str:
    """Returns the first text part of a user's message item: the message itself; later parts come from files."""
    texts = (text(one.get("text")) for one in parts(item.get("content")) if "text" in one)
    return next(texts, "")


def message(said: str, pieces: Sequence[Piece] = ()) -> Json:
    """Returns a user message item. Its first part is the text of the message, by which the item is found again.

    The parts: developers.openai.com/api/docs/guides/file-inputs and .../images-vision.
    """
    content = [{"type": "input_text", "text": said}, *map(_input_part, pieces)] if pieces else said
    return {"type": "message", "role": "user", "content": content}


def _input_part(piece: Piece) -> Json:
    if isinstance(piece, Words):
        return {"type": "input_text", "text": piece.text}
    if piece.shows:
        return {"type": "input_image", "detail": "auto", "image_url": piece.data_url}
    return {"type": "input_file", "filename": piece.name, "file_data": piece.data_url}


def output_item(call_id: str, output: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def files_in(items: Iterable[Json], origin: str) -> Iterator[File]:
    """Yields the files that the assistant made: those cited in its messages (developers.openai.com/api/docs/guides/
    tools-code-interpreter), and images, whose reference names the object ``origin`` that contains them.
    """
    for item in items:
        if item.get("type") == IMAGE and item.get("result"):
            yield made(f"image.{text(item.get('output_format')) or 'png'}", f"{origin} {text(item.get('id'))}")
        for one in parts(item.get("content")):
            for note in parts(one.get("annotations")):
                if note.get("type") == "container_file_citation":
                    name = named(text(note.get("filename")), "file")
                    yield made(name, f"container {text(note.get('container_id'))} {text(note.get('file_id'))}")


def image_of(items: Iterable[Json], name: str) -> bytes:
    """Returns the content of an image among these items. Raises AssistantRefused if there is none with this id."""
    found = (text(item.get("result")) for item in items if item.get("type") == IMAGE and item.get("id") == name)
    try:
        content = base64.b64decode(next(found, ""))
    except ValueError:
        content = b""
    if not content:
        raise Refused(f"there is no image {name[:80]!r}")
    return content


def replies(items: Iterable[Json]) -> list[str]:
    """Returns the text of each message of the assistant."""
    return [message_text(item) for item in items if item.get("type") == "message" and item.get("role") == "assistant"]


def open_calls(items: Sequence[Json]) -> list[FunctionCall]:
    """Returns the function calls that have no output among these items."""
    answered = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
    return [
        FunctionCall(text(item.get("call_id")), text(item.get("name")), text(item.get("arguments")))
        for item in items
        if item.get("type") == "function_call" and item.get("call_id") not in answered
    ]


def why_not(response: Json) -> AssistantError | None:
    """Returns the error of a finished response; None if it completed."""
    status = response.get("status")
    if status == "completed":
        return None
    if status == "failed":
        return complaint_in(response.get("error"))
    if status == "incomplete":
        reason = text(part(response.get("incomplete_details")).get("reason"))
        sentence = NOT_ALLOWED if reason == "content_filter" else CUT_SHORT
        return Refused(f"the response is incomplete: {reason}", code="incomplete", sentence=sentence)
    if response.get("background") is True:
        return Refused("the response was cancelled at the server", code="cancelled")
    return Unavailable("the response was cancelled because its connection was closed")


class Reading:
    """Reads the events of one response."""

    def __init__(self, draft: Draft, told: set[tuple[str, bool]]) -> None:
        """``reported_calls``: the calls already reported, and whether as done; shared by the responses of one turn."""
        self.id = ""
        self.response: Json = {}
        """Set when the response is finished."""
        self.detached = False
        """Whether the response runs in the background."""
        self._draft = draft
        self._told = told

    @property
    def over(self) -> bool:
        return bool(self.response)

    def take(self, name: str, data: Json) -> list[RunEvent]:
        """Returns the run events for one event of the stream. Raises AssistantError if it reports an error."""
        kind = text(data.get("type")) or name
        if kind in DELTAS:
            shown = self._draft.delta(f"{self.id}/{data.get('output_index')}", text(data.get("delta")))
            return [TextDelta(shown)] if shown else []
        if kind == "response.output_item.added":
            return self._begun(part(data.get("item")))
        if kind == "response.output_item.done":
            return self._done(part(data.get("item")))
        if kind == "response.code_interpreter_call_code.done":
            return self._tell(ToolCall(text(data.get("item_id")), "code_interpreter", text(data.get("code"))))
        if kind == "error":
            raise self._broken(data)
        return self.see(data if data.get("object") == "response" else part(data.get("response")))

    def see(self, response: Json) -> list[RunEvent]:
        """Reads a response object, finished or not. Returns the run events for what is new in it."""
        if not response:
            return []
        self.detached = response.get("background") is True
        told: list[RunEvent] = []
        if self.id != text(response.get("id")):
            self.id = text(response.get("id"))
            told.append(RunStarted(RunId(self.id)))
        if over(response):
            self.response = response
            told += [event for item in parts(response.get("output")) for event in self._done(item)]
        return told

    def _broken(self, data: Json) -> AssistantError:
        error = complaint_in(data.get("error") or data)
        return Unavailable(str(error)) if self.id else error  # so that the caller looks up the state of the response

    def _begun(self, item: Json) -> list[RunEvent]:
        if item.get("type") in OURS or item.get("type") == CODE:  # reported when its code is complete
            return []
        return self._tell(ToolCall(text(item.get("id")), _name(item)))

    def _done(self, item: Json) -> list[RunEvent]:
        if item.get("type") in OURS:
            return []
        call_id, name, given = text(item.get("id")), _name(item), _input(item)
        return [
            *self._tell(ToolCall(call_id, name, given)),
            *self._tell(ToolCall(call_id, name, given, _output(item), done=True)),
        ]

    def _tell(self, call: ToolCall) -> list[RunEvent]:
        if (call.call_id, call.done) in self._told:
            return []
        self._told.add((call.call_id, call.done))
        return [call]


def _name(item: Json) -> str:
    return text(item.get("name")) or text(item.get("type")).removesuffix("_call")


def _input(item: Json) -> str:
    action = part(item.get("action"))
    queries = item.get("queries") or action.get("queries") or [action.get("query") or action.get("url")]
    return (
        text(item.get("code"))
        or text(item.get("arguments"))
        or "\n".join(text(one) for one in (queries if isinstance(queries, list) else []))
    )


def _output(item: Json) -> str:
    found = [
        text(one.get("logs")) or _address(one) or text(one.get("text")) or text(one.get("filename"))
        for name in ("outputs", "results", "summary")
        for one in parts(item.get(name))
    ]
    return text(item.get("output")) or "\n".join(found)


def _address(output: Json) -> str:
    """Returns the URL of an output; a placeholder for a data URL, which would contain the output itself."""
    url = text(output.get("url"))
    return "[image]" if url.startswith("data:") else url
