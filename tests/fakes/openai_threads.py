"""Routes for assistants, threads and messages of the Assistants API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_files import PartValidator
from tests.fakes.openai_messages import (
    ApiError,
    ApiRequest,
    ApiResponse,
    Json,
    bad_request,
    check_metadata,
    list_page,
)
from tests.fakes.openai_script import PromptMessage
from tests.fakes.openai_state import FakeOpenAIState, ObjectStore, timestamp

ASSISTANT_ID = "asst_fake"
ACTIVE_STATUSES = frozenset({"queued", "in_progress", "requires_action", "cancelling"})
MAX_TEXT = 256_000
MAX_TOOLS = 128
PART_TYPES = frozenset({"text", "image_url", "image_file"})


@dataclass
class StoredMessage:
    """One message of a thread, as the server stores it."""

    id: str
    thread_id: str
    role: str
    content: list[Json]
    created_at: int
    metadata: dict[str, str] = field(default_factory=dict)
    attachments: list[Json] = field(default_factory=list)
    run_id: str | None = None
    assistant_id: str | None = None
    status: str = "completed"
    completed_at: int | None = None
    incomplete_at: int | None = None
    incomplete_reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(part["text"]["value"] for part in self.content if part["type"] == "text")

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "object": "thread.message",
            "created_at": self.created_at,
            "assistant_id": self.assistant_id,
            "thread_id": self.thread_id,
            "run_id": self.run_id,
            "role": self.role,
            "status": self.status,
            "completed_at": self.completed_at,
            "incomplete_at": self.incomplete_at,
            "incomplete_details": {"reason": self.incomplete_reason} if self.incomplete_reason else None,
            "content": self.content,
            "attachments": self.attachments,
            "metadata": self.metadata,
        }


@dataclass
class StoredThread:
    id: str
    created_at: int
    metadata: dict[str, str]
    tool_resources: Json
    messages: list[StoredMessage] = field(default_factory=list)
    active_run: str | None = None

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    @property
    def prompt(self) -> list[PromptMessage]:
        return [PromptMessage(message.role, message.text) for message in self.messages]

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "object": "thread",
            "created_at": self.created_at,
            "metadata": self.metadata,
            "tool_resources": self.tool_resources,
        }


class FakeThreadRoutes:
    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state
        self._part_validator = PartValidator(state)
        self.threads: ObjectStore[StoredThread] = ObjectStore(state, lambda name: _not_found("thread", name))
        self.assistants: ObjectStore[Json] = ObjectStore(state, lambda name: _not_found("assistant", name))
        self.assistants[ASSISTANT_ID] = _assistant_json(ASSISTANT_ID, {"model": "gpt-4o", "name": "Fake"})

    def routes(self) -> dict[str, Any]:
        return {
            "POST /assistants": self.create_assistant,
            "GET /assistants": self.list_assistants,
            "GET /assistants/{}": self.retrieve_assistant,
            "POST /assistants/{}": self.update_assistant,
            "DELETE /assistants/{}": self.delete_assistant,
            "POST /threads": self.create_thread,
            "GET /threads/{}": self.retrieve_thread,
            "POST /threads/{}": self.update_thread,
            "DELETE /threads/{}": self.delete_thread,
            "POST /threads/{}/messages": self.create_message,
            "GET /threads/{}/messages": self.list_messages,
            "GET /threads/{}/messages/{}": self.retrieve_message,
            "POST /threads/{}/messages/{}": self.update_message,
            "DELETE /threads/{}/messages/{}": self.delete_message,
        }

    # ------------------------------------------------------------ assistants

    async def create_assistant(self, request: ApiRequest) -> ApiResponse:
        request.require("model")
        self._state.check_model(request.body["model"])
        request.metadata()
        check_tools(request.body.get("tools"))
        name = self._state.new_id("asst")
        self.assistants[name] = _assistant_json(name, request.body)
        return ApiResponse(self.assistants[name])

    async def list_assistants(self, request: ApiRequest) -> ApiResponse:
        return list_page(request.recorded, self.assistants.all())

    async def retrieve_assistant(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self.assistants[request.ids[0]])

    async def update_assistant(self, request: ApiRequest) -> ApiResponse:
        assistant = self.assistants[request.ids[0]]
        check_tools(request.body.get("tools"))
        assistant.update({key: value for key, value in request.body.items() if key in assistant})
        return ApiResponse(assistant)

    async def delete_assistant(self, request: ApiRequest) -> ApiResponse:
        name = self.assistants[request.ids[0]]["id"]
        del self.assistants[name]
        return ApiResponse({"id": name, "object": "assistant.deleted", "deleted": True})

    # ------------------------------------------------------------ threads

    async def create_thread(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self.add_thread(request.body).to_json())

    def add_thread(self, body: Json) -> StoredThread:
        """Creates a thread with the messages of the request body."""
        metadata = check_metadata(body.get("metadata"))
        thread = StoredThread(self._state.new_id("thread"), timestamp(), metadata, body.get("tool_resources") or {})
        thread.messages = self.read_messages(thread.id, body.get("messages"), "messages")
        self.threads[thread.id] = thread
        return thread

    async def retrieve_thread(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self.threads[request.ids[0]].to_json())

    async def update_thread(self, request: ApiRequest) -> ApiResponse:
        thread = self.threads[request.ids[0]]
        thread.metadata = request.metadata()
        return ApiResponse(thread.to_json())

    async def delete_thread(self, request: ApiRequest) -> ApiResponse:
        name = self.threads[request.ids[0]].id
        del self.threads[name]
        return ApiResponse({"id": name, "object": "thread.deleted", "deleted": True})

    # ------------------------------------------------------------ messages

    async def create_message(self, request: ApiRequest) -> ApiResponse:
        thread = self.threads[request.ids[0]]
        request.require("role", "content")
        message = self.read_message(thread.id, request.body, "")
        if thread.active_run:
            raise bad_request(f"Can't add messages to {thread.id} while a run {thread.active_run} is active.")
        thread.messages.append(message)
        return ApiResponse(message.to_json())

    async def list_messages(self, request: ApiRequest) -> ApiResponse:
        run_id = request.recorded.query.get("run_id")
        messages = self.threads[request.ids[0]].messages
        return list_page(request.recorded, [one.to_json() for one in messages if run_id in (None, one.run_id)])

    async def retrieve_message(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self._get_message(request).to_json())

    async def update_message(self, request: ApiRequest) -> ApiResponse:
        message = self._get_message(request)
        message.metadata = request.metadata()
        return ApiResponse(message.to_json())

    async def delete_message(self, request: ApiRequest) -> ApiResponse:
        message = self._get_message(request)
        self.threads[message.thread_id].messages.remove(message)
        return ApiResponse({"id": message.id, "object": "thread.message.deleted", "deleted": True})

    def _get_message(self, request: ApiRequest) -> StoredMessage:
        thread_id, message_id = request.ids
        for message in self.threads[thread_id].messages:
            if message.id == message_id:
                return message
        raise _not_found("message", message_id)

    def read_messages(self, thread_id: str, messages_given: Any, param: str) -> list[StoredMessage]:
        """Returns the messages of a request, not yet added to the thread."""
        if messages_given is None:
            return []
        if not isinstance(messages_given, list):
            raise bad_request(
                f"Invalid type for '{param}': expected an array of objects.", param=param, code="invalid_type"
            )
        return [self.read_message(thread_id, one, f"{param}[{index}].") for index, one in enumerate(messages_given)]

    def read_message(self, thread_id: str, message_given: Json, where: str) -> StoredMessage:
        role = message_given.get("role")
        if role not in {"user", "assistant"}:
            message = f"Invalid value: '{role}'. Supported values are: 'user' and 'assistant'."
            raise bad_request(message, param=f"{where}role", code="invalid_value")
        return StoredMessage(
            id=self._state.new_id("msg"),
            thread_id=thread_id,
            role=role,
            content=self._content_parts(message_given.get("content"), f"{where}content"),
            created_at=timestamp(),
            metadata=check_metadata(message_given.get("metadata")),
            attachments=self._part_validator.check_attachments(message_given.get("attachments"), f"{where}attachments"),
        )

    def _content_parts(self, content: Any, param: str) -> list[Json]:
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list) or not content:
            raise bad_request(
                f"Invalid type for '{param}': expected a string or an array.", param=param, code="invalid_type"
            )
        for index, part in enumerate(content):
            if part.get("type") == "image_file":
                self._part_validator.check_image_file(part, f"{param}[{index}]")
        return [_content_part(part, param) for part in content]


def _content_part(part: Json, param: str) -> Json:
    if part.get("type") not in PART_TYPES:
        raise bad_request(f"Invalid value: '{part.get('type')}'.", param=param, code="invalid_value")
    if part["type"] != "text":
        return part
    text = part.get("text")
    if not isinstance(text, str) or not text:
        raise bad_request("Message content must be non-empty.", param=param)
    if len(text) > MAX_TEXT:
        message = f"Invalid '{param}': string too long. Expected a string with maximum length {MAX_TEXT}, but got "
        raise bad_request(
            f"{message}a string with length {len(text)} instead.", param=param, code="string_above_max_length"
        )
    return {"type": "text", "text": {"value": text, "annotations": []}}


def check_tools(tools: Any) -> list[Json]:
    """Validates tools in the form of threads and chat: a function is a nested object."""
    for index, tool in enumerate(tools or []):
        if not isinstance(tool.get("type"), str):
            raise bad_request(f"Missing required parameter: 'tools[{index}].type'.", param=f"tools[{index}].type")
        if tool["type"] == "function" and not tool.get("function", {}).get("name"):
            name = f"tools[{index}].function"
            raise bad_request(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if len(tools or []) > MAX_TOOLS:
        raise bad_request("Invalid 'tools': array too long.", param="tools", code="array_above_max_length")
    return list(tools or [])


def _assistant_json(name: str, body: Json) -> Json:
    return {
        "id": name,
        "object": "assistant",
        "created_at": timestamp(),
        "name": body.get("name"),
        "description": body.get("description"),
        "model": body["model"],
        "instructions": body.get("instructions"),
        "tools": body.get("tools") or [],
        "tool_resources": body.get("tool_resources") or {},
        "metadata": body.get("metadata") or {},
        "temperature": body.get("temperature", 1.0),
        "top_p": body.get("top_p", 1.0),
        "response_format": body.get("response_format", "auto"),
    }


def _not_found(what: str, name: str) -> ApiError:
    return ApiError(404, f"No {what} found with id '{name}'.")
