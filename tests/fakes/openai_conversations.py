"""Conversations and their items: the state of the Responses API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_files import PartValidator
from tests.fakes.openai_messages import ApiError, ApiRequest, ApiResponse, Json, bad_request, list_page
from tests.fakes.openai_state import FakeOpenAIState, ObjectStore, timestamp

MAX_ITEMS = 20
"""Limit for the items of one request."""
ID_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "web_search_call": "ws",
    "file_search_call": "fs",
}
ROLES = frozenset({"user", "assistant", "system", "developer"})
CALL_ITEMS = frozenset({"function_call", "function_call_output"})


@dataclass
class FakeConversation:
    id: str
    created_at: int
    metadata: dict[str, str]
    items: list[Json] = field(default_factory=list)
    locked_by: str | None = None
    """Id of the running response."""

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "object": "conversation",
            "created_at": self.created_at,
            "metadata": self.metadata,
        }


class FakeConversationRoutes:
    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state
        self._part_validator = PartValidator(state)
        self.conversations: ObjectStore[FakeConversation] = ObjectStore(state, _not_found)

    def routes(self) -> dict[str, Any]:
        return {
            "POST /conversations": self.create,
            "GET /conversations/{}": self.retrieve,
            "POST /conversations/{}": self.update,
            "DELETE /conversations/{}": self.delete,
            "POST /conversations/{}/items": self.add_items,
            "GET /conversations/{}/items": self.list_items,
            "GET /conversations/{}/items/{}": self.retrieve_item,
            "DELETE /conversations/{}/items/{}": self.delete_item,
        }

    async def create(self, request: ApiRequest) -> ApiResponse:
        items = self._read_limited(request.body.get("items") or [])
        conversation = FakeConversation(self._state.new_id("conv"), timestamp(), request.metadata(), items)
        self.conversations[conversation.id] = conversation
        return ApiResponse(conversation.to_json())

    async def retrieve(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self.conversations[request.ids[0]].to_json())

    async def update(self, request: ApiRequest) -> ApiResponse:
        conversation = self.conversations[request.ids[0]]
        if "metadata" not in request.body:
            raise bad_request(
                "Missing required parameter: 'metadata'.", param="metadata", code="missing_required_parameter"
            )
        conversation.metadata = request.metadata()
        return ApiResponse(conversation.to_json())

    async def delete(self, request: ApiRequest) -> ApiResponse:
        name = self.conversations[request.ids[0]].id
        del self.conversations[name]
        return ApiResponse({"id": name, "object": "conversation.deleted", "deleted": True})

    async def add_items(self, request: ApiRequest) -> ApiResponse:
        conversation = self.conversations[request.ids[0]]
        request.require("items")
        items = self._read_limited(request.body["items"])
        if not items:
            raise bad_request(
                "Invalid 'items': empty array. Expected at least one item.", param="items", code="empty_array"
            )
        check_duplicates(conversation.items, items)
        conversation.items += items
        return ApiResponse(
            {
                "object": "list",
                "data": items,
                "first_id": items[0]["id"],
                "last_id": items[-1]["id"],
                "has_more": False,
            }
        )

    async def list_items(self, request: ApiRequest) -> ApiResponse:
        answer = list_page(request.recorded, self.conversations[request.ids[0]].items)
        # the SDK's type has no null here
        answer.body.update({key: answer.body[key] or "" for key in ("first_id", "last_id")})
        return answer

    async def retrieve_item(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self._item(request))

    async def delete_item(self, request: ApiRequest) -> ApiResponse:
        conversation = self.conversations[request.ids[0]]
        conversation.items.remove(self._item(request))
        return ApiResponse(conversation.to_json())

    def _item(self, request: ApiRequest) -> Json:
        conversation_id, item_id = request.ids
        for item in self.conversations[conversation_id].items:
            if item["id"] == item_id:
                return item
        raise ApiError(404, f"Item with id '{item_id}' not found in conversation '{conversation_id}'.")

    def _read_limited(self, items_given: Any) -> list[Json]:
        items = self.read_items(items_given, "items")
        if len(items) > MAX_ITEMS:
            message = f"Invalid 'items': array too long. Expected an array with maximum length {MAX_ITEMS}, but got an "
            message += f"array with length {len(items)} instead."
            raise bad_request(message, param="items", code="array_above_max_length")
        return items

    def read_items(self, items_given: Any, param: str) -> list[Json]:
        """Returns the items of a request as they will be stored, each with an id."""
        if not isinstance(items_given, list):
            raise bad_request(f"Invalid type for '{param}': expected an array.", param=param, code="invalid_type")
        return [self._read_item(item, f"{param}[{index}]") for index, item in enumerate(items_given)]

    def _read_item(self, item: Any, param: str) -> Json:
        if not isinstance(item, dict):
            raise bad_request(f"Invalid type for '{param}': expected an object.", param=param, code="invalid_type")
        kind = item.get("type", "message")
        if kind not in ID_PREFIXES:
            raise bad_request(f"Invalid value: '{kind}'.", param=f"{param}.type", code="invalid_value")
        head = {"id": item.get("id") or self._state.new_id(ID_PREFIXES[kind]), "type": kind, "status": "completed"}
        if kind == "message":
            return {**head, **_message_fields(item, param, self._part_validator)}
        if kind in CALL_ITEMS:
            _check_call_item(item, param)
        return {**head, **{key: value for key, value in item.items() if value is not None}}


def _message_fields(item: Json, param: str, part_validator: PartValidator) -> Json:
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        raise bad_request(f"Invalid value: '{role}'.", param=f"{param}.role", code="invalid_value")
    if isinstance(content, str):
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    if not isinstance(content, list):
        raise bad_request(f"Missing required parameter: '{param}.content'.", param=f"{param}.content")
    wanted = {"output_text", "refusal"} if role == "assistant" else {"input_text", "input_image", "input_file"}
    for index, part in enumerate(content):
        if part.get("type") not in wanted:
            supported = " and ".join(f"'{one}'" for one in sorted(wanted))
            message = f"Invalid value: '{part.get('type')}'. Supported values are: {supported}."
            raise bad_request(message, param=f"{param}.content[{index}].type", code="invalid_value")
        part_validator.check_input(part, f"{param}.content[{index}]")
    return {"role": role, "content": [_stored_part(part) for part in content]}


def _stored_part(part: Json) -> Json:
    if part["type"] == "output_text":
        return {"annotations": [], "logprobs": [], **part}
    return part


def _check_call_item(item: Json, param: str) -> None:
    needed = ("call_id", "output") if item["type"] == "function_call_output" else ("call_id", "name", "arguments")
    for name in needed:
        if item.get(name) is None:
            where = f"{param}.{name}"
            raise bad_request(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")


def text_of(item: Json) -> str:
    """Returns the text of a message item."""
    return "".join(part.get("text", "") for part in item.get("content") or [])


def check_duplicates(past: list[Json], added: list[Json]) -> None:
    """Raises ApiError if an id, or an output for the same call, exists already."""
    ids = {item["id"] for item in past}
    answered = {item["call_id"] for item in past if item["type"] == "function_call_output"}
    for item in added:
        if item["id"] in ids:
            message = (
                f"Duplicate item found with id {item['id']}. Remove duplicate items from your input and try again."
            )
            raise bad_request(message, param="input")
        ids.add(item["id"])
        if item["type"] == "function_call_output":
            if item["call_id"] in answered:
                raise bad_request(f"Duplicate tool output found for function call {item['call_id']}.", param="input")
            answered.add(item["call_id"])


def check_calls(items: list[Json]) -> None:
    """Raises ApiError if a function call has no output, or an output has no call."""
    called = {item["call_id"] for item in items if item["type"] == "function_call"}
    answered = {item["call_id"] for item in items if item["type"] == "function_call_output"}
    for item in items:
        if item["type"] == "function_call_output" and item["call_id"] not in called:
            message = f"No tool call found for function call output with call_id {item['call_id']}."
            raise bad_request(message, param="input")
        if item["type"] == "function_call" and item["call_id"] not in answered:
            raise bad_request(f"No tool output found for function call {item['call_id']}.", param="input")


def _not_found(name: str) -> ApiError:
    return ApiError(404, f"Conversation with id '{name}' not found.")
