"""Items of the Responses API: builds input items, reads output items."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence

from gateway.assistants.attachments import InlineText, MessagePart, base_name, file_made
from gateway.assistants.errors.error_map import Filtered, error_from_object
from gateway.assistants.history.exchanges import exchange_messages
from gateway.assistants.json_fields import as_object, as_objects, as_text
from gateway.assistants.replies.citations import with_sources
from gateway.assistants.replies.filter import PLAIN, ReplyFilter, ReplyFilters
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import FunctionCall, arguments_to_return, arguments_to_run, called_name
from gateway.domain.carried_reasoning import sealed_reasoning
from gateway.domain.errors import AssistantError, AssistantRefused, AssistantUnavailable
from gateway.domain.exchange import Exchange, RequestedCall
from gateway.domain.files import File

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "incomplete"})
SAID_PARTS = frozenset({"", "output_text", "text", "refusal", "input_text"})
"""Types of the parts of a message that are said to people; ``reasoning_text`` is not."""
RETURNED = frozenset({"reasoning", "message", "function_call"})
"""Types of items that are understood without what the server knows of them."""
IMAGE_ITEM = "image_generation_call"
TEXT_CALL = "call_text_"
"""How the ids of calls begin that the model wrote as text."""

ReadMessage = tuple[Json, ReplyFilter]
"""A message of the assistant, and the filter that has read its text."""


def is_final(response: Json) -> bool:
    return response.get("status") in FINAL_STATUSES


def message_text(item: Json) -> str:
    """Returns the text for people of all parts of a message item; a refusal counts as text, reasoning does not."""
    return read_message(item, PLAIN).text


def read_message(item: Json, filters: ReplyFilters) -> ReplyFilter:
    """Returns the filter that has read the parts of a message item."""
    return filters.read(text_of_parts(item))


def read_messages(items: Iterable[Json], filters: ReplyFilters) -> list[ReadMessage]:
    """Reads those of the items that are messages of the assistant."""
    return [(item, read_message(item, filters)) for item in items if is_said(item)]


def text_of_parts(item: Json) -> str:
    """Returns the text of a message item as the model wrote it, with its sources."""
    return "".join(map(_part_text, as_objects(item.get("content"))))


def _part_text(part: Json) -> str:
    if as_text(part.get("type")) not in SAID_PARTS:
        return ""
    text, notes = as_text(part.get("text")), part.get("annotations")
    return (with_sources(text, as_objects(notes)) if notes else text) or as_text(part.get("refusal"))


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
    if isinstance(message_part, InlineText):
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
    if items := items_of(exchange.returned):
        asked = [{"type": "message", "role": "user", "content": exchange.text}] if exchange.text else []
        return [*output_items(exchange), *asked, *items]
    asked, said = (
        [{"type": "message", **message} for message in exchange_messages(exchange) if message["role"] == role]
        for role in ("user", "assistant")
    )
    thought = [{"type": "reasoning", "summary": [], **each} for each in sealed_reasoning(exchange.returned)]
    return [*output_items(exchange), *asked, *thought, *said, *map(_past_call_item, exchange.calls)]


def to_return(items: Iterable[Json], calls: Sequence[RequestedCall]) -> str:
    """Returns, as JSON, the items of a response that ends with calls; "" if there is no reasoning that can go back, or
    more than what is said and these calls.
    """
    kept = [*returned_items(item for item in items if item.get("type") != "reasoning" or _is_sealed(item))]
    called = {item["call_id"] for item in kept if item.get("type") == "function_call"}
    is_whole = called == {call.id for call in calls} and all(item.get("type") in RETURNED for item in kept)
    return json.dumps({"items": kept}, ensure_ascii=False) if is_whole and any(map(_is_sealed, kept)) else ""


def _is_sealed(item: Json) -> bool:
    """Returns whether an item is reasoning that a server reads which stores none."""
    return item.get("type") == "reasoning" and bool(item.get("encrypted_content"))


def items_of(returned: str) -> list[Json]:
    """Returns the items of ``to_return``; none of what another backend wrote."""
    return as_objects(as_object(json.loads(returned)).get("items")) if returned else []


def output_items(exchange: Exchange) -> list[Json]:
    """Returns the results that an exchange begins with."""
    return [output_item(each.call_id, each.output) for each in exchange.outputs]


def written_calls(calls: Iterable[RequestedCall]) -> list[Json]:
    """Returns those of the calls that a conversation at the server has only as text, as the items that results need."""
    return [_past_call_item(call) for call in calls if call.id.startswith(TEXT_CALL)]


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
        elif not is_said(item):
            yield item
        elif message_text(item):
            yield {**item, "content": [_returned_part(part) for part in as_objects(item.get("content"))]}


def _returned_call(item: Json) -> Json:
    return {**item, "call_id": call_id_of(item), "arguments": arguments_to_return(item.get("arguments"))}


def _returned_part(part: Json) -> Json:
    return {**part, "text": PLAIN.read(as_text(part["text"])).text} if part.get("text") else part


def call_id_of(item: Json) -> str:
    """Returns the id of a function call by which its result names it."""
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


def reply_texts(items: Iterable[Json]) -> list[str]:
    """Returns the text of each message of the assistant."""
    return [reply.text for _, reply in read_messages(items, PLAIN)]


def is_said(item: Json) -> bool:
    """Returns whether an item is a message of the assistant."""
    return item.get("type") == "message" and item.get("role") == "assistant"


def with_call_ids(items: Iterable[Json]) -> list[Json]:
    """Returns the items of a response, each call with an id that no other one has."""
    used, found = set[str](), list[Json]()
    for item in items:
        found.append(_with_call_id(item, used) if item.get("type") == "function_call" else item)
    return found


def _with_call_id(call: Json, used: set[str]) -> Json:
    call_id = call_id_of(call)
    if not call_id or call_id in used:
        call_id = f"call_{secrets.token_hex(12)}"
    used.add(call_id)
    return {**call, "call_id": call_id}


def unanswered_calls(items: Sequence[Json]) -> list[FunctionCall]:
    """Returns the function calls that have no output among these items."""
    answered = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
    return [
        FunctionCall(call_id_of(item), called_name(item.get("name")), arguments_to_run(item.get("arguments")))
        for item in items
        if item.get("type") == "function_call" and call_id_of(item) not in answered
    ]


def text_calls(messages: Iterable[ReadMessage]) -> list[FunctionCall]:
    """Returns the calls that the model wrote as text."""
    found: list[FunctionCall] = []
    for item, reply in messages:
        prefix = as_text(item.get("id")) or secrets.token_hex(8)
        found += [FunctionCall(f"{TEXT_CALL}{f'{prefix}_{n}'[-50:]}", *call) for n, call in enumerate(reply.calls)]
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
