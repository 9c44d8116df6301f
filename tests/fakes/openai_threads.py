"""Routes for assistants, threads and messages of the Assistants API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_files import Parts
from tests.fakes.openai_messages import Answer, ApiError, Call, Json, bad, check_metadata, page
from tests.fakes.openai_script import Heard
from tests.fakes.openai_state import Shelf, World, now

ASSISTANT_ID = "asst_fake"
ACTIVE = frozenset({"queued", "in_progress", "requires_action", "cancelling"})
MAX_TEXT = 256_000
MAX_TOOLS = 128
PARTS = frozenset({"text", "image_url", "image_file"})


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

    def shown(self) -> Json:
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
class Thread:
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
    def heard(self) -> list[Heard]:
        return [Heard(message.role, message.text) for message in self.messages]

    def shown(self) -> Json:
        return {
            "id": self.id,
            "object": "thread",
            "created_at": self.created_at,
            "metadata": self.metadata,
            "tool_resources": self.tool_resources,
        }


class ThreadRoom:
    def __init__(self, world: World) -> None:
        self._world = world
        self._file_parts = Parts(world)
        self.threads: Shelf[Thread] = Shelf(world, lambda name: _unknown("thread", name))
        self.assistants: Shelf[Json] = Shelf(world, lambda name: _unknown("assistant", name))
        self.assistants[ASSISTANT_ID] = _assistant(ASSISTANT_ID, {"model": "gpt-4o", "name": "Fake"})

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

    async def create_assistant(self, call: Call) -> Answer:
        call.required("model")
        self._world.check_model(call.body["model"])
        call.metadata()
        check_tools(call.body.get("tools"))
        name = self._world.new_id("asst")
        self.assistants[name] = _assistant(name, call.body)
        return Answer(self.assistants[name])

    async def list_assistants(self, call: Call) -> Answer:
        return page(call.seen, self.assistants.all())

    async def retrieve_assistant(self, call: Call) -> Answer:
        return Answer(self.assistants[call.ids[0]])

    async def update_assistant(self, call: Call) -> Answer:
        assistant = self.assistants[call.ids[0]]
        check_tools(call.body.get("tools"))
        assistant.update({key: value for key, value in call.body.items() if key in assistant})
        return Answer(assistant)

    async def delete_assistant(self, call: Call) -> Answer:
        name = self.assistants[call.ids[0]]["id"]
        del self.assistants[name]
        return Answer({"id": name, "object": "assistant.deleted", "deleted": True})

    # ------------------------------------------------------------ threads

    async def create_thread(self, call: Call) -> Answer:
        return Answer(self.open(call.body).shown())

    def open(self, body: Json) -> Thread:
        """Creates a thread with the messages of the request body."""
        metadata = check_metadata(body.get("metadata"))
        thread = Thread(self._world.new_id("thread"), now(), metadata, body.get("tool_resources") or {})
        thread.messages = self.read_messages(thread.id, body.get("messages"), "messages")
        self.threads[thread.id] = thread
        return thread

    async def retrieve_thread(self, call: Call) -> Answer:
        return Answer(self.threads[call.ids[0]].shown())

    async def update_thread(self, call: Call) -> Answer:
        thread = self.threads[call.ids[0]]
        thread.metadata = call.metadata()
        return Answer(thread.shown())

    async def delete_thread(self, call: Call) -> Answer:
        name = self.threads[call.ids[0]].id
        del self.threads[name]
        return Answer({"id": name, "object": "thread.deleted", "deleted": True})

    # ------------------------------------------------------------ messages

    async def create_message(self, call: Call) -> Answer:
        thread = self.threads[call.ids[0]]
        call.required("role", "content")
        message = self.read_message(thread.id, call.body, "")
        if thread.active_run:
            raise bad(f"Can't add messages to {thread.id} while a run {thread.active_run} is active.")
        thread.messages.append(message)
        return Answer(message.shown())

    async def list_messages(self, call: Call) -> Answer:
        run_id = call.seen.query.get("run_id")
        messages = self.threads[call.ids[0]].messages
        return page(call.seen, [one.shown() for one in messages if run_id in (None, one.run_id)])

    async def retrieve_message(self, call: Call) -> Answer:
        return Answer(self._message(call).shown())

    async def update_message(self, call: Call) -> Answer:
        message = self._message(call)
        message.metadata = call.metadata()
        return Answer(message.shown())

    async def delete_message(self, call: Call) -> Answer:
        message = self._message(call)
        self.threads[message.thread_id].messages.remove(message)
        return Answer({"id": message.id, "object": "thread.message.deleted", "deleted": True})

    def _message(self, call: Call) -> StoredMessage:
        thread_id, message_id = call.ids
        for message in self.threads[thread_id].messages:
            if message.id == message_id:
                return message
        raise _unknown("message", message_id)

    def read_messages(self, thread_id: str, given: Any, param: str) -> list[StoredMessage]:
        """Returns the messages of a request, not yet added to the thread."""
        if given is None:
            return []
        if not isinstance(given, list):
            raise bad(f"Invalid type for '{param}': expected an array of objects.", param=param, code="invalid_type")
        return [self.read_message(thread_id, one, f"{param}[{index}].") for index, one in enumerate(given)]

    def read_message(self, thread_id: str, given: Json, where: str) -> StoredMessage:
        role = given.get("role")
        if role not in {"user", "assistant"}:
            message = f"Invalid value: '{role}'. Supported values are: 'user' and 'assistant'."
            raise bad(message, param=f"{where}role", code="invalid_value")
        return StoredMessage(
            id=self._world.new_id("msg"),
            thread_id=thread_id,
            role=role,
            content=self._parts(given.get("content"), f"{where}content"),
            created_at=now(),
            metadata=check_metadata(given.get("metadata")),
            attachments=self._file_parts.check_attachments(given.get("attachments"), f"{where}attachments"),
        )

    def _parts(self, content: Any, param: str) -> list[Json]:
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list) or not content:
            raise bad(f"Invalid type for '{param}': expected a string or an array.", param=param, code="invalid_type")
        for index, part in enumerate(content):
            if part.get("type") == "image_file":
                self._file_parts.check_image_file(part, f"{param}[{index}]")
        return [_part(part, param) for part in content]


def _part(part: Json, param: str) -> Json:
    if part.get("type") not in PARTS:
        raise bad(f"Invalid value: '{part.get('type')}'.", param=param, code="invalid_value")
    if part["type"] != "text":
        return part
    text = part.get("text")
    if not isinstance(text, str) or not text:
        raise bad("Message content must be non-empty.", param=param)
    if len(text) > MAX_TEXT:
        message = f"Invalid '{param}': string too long. Expected a string with maximum length {MAX_TEXT}, but got "
        raise bad(f"{message}a string with length {len(text)} instead.", param=param, code="string_above_max_length")
    return {"type": "text", "text": {"value": text, "annotations": []}}


def check_tools(tools: Any) -> list[Json]:
    """Validates tools in the form of threads and chat: a function is a nested object."""
    for index, tool in enumerate(tools or []):
        if not isinstance(tool.get("type"), str):
            raise bad(f"Missing required parameter: 'tools[{index}].type'.", param=f"tools[{index}].type")
        if tool["type"] == "function" and not tool.get("function", {}).get("name"):
            name = f"tools[{index}].function"
            raise bad(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if len(tools or []) > MAX_TOOLS:
        raise bad("Invalid 'tools': array too long.", param="tools", code="array_above_max_length")
    return list(tools or [])


def _assistant(name: str, body: Json) -> Json:
    return {
        "id": name,
        "object": "assistant",
        "created_at": now(),
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


def _unknown(what: str, name: str) -> ApiError:
    return ApiError(404, f"No {what} found with id '{name}'.")
