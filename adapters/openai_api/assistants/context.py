"""What the handlers of the Assistants API share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from adapters.openai_api.assistants.bodies import (
    MessageContentPart,
    MessageImageUrlPart,
    MessageRequest,
    MessageTextPart,
)
from adapters.openai_api.assistants.running import RunningTurns
from adapters.openai_api.assistants.thread_reads import ThreadReads
from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import RequestFile, refusal
from adapters.openai_api.context import ApiContext
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.errors import InvalidRequest, NoSuchObject
from adapters.openai_api.files.server_files import ServerFiles
from adapters.openai_api.ids import OBJECT_ID, new_id, turn_of_run
from adapters.openai_api.repetition import Post
from adapters.openai_api.uploaded_files import UploadedFiles, as_file
from gateway.domain.errors import TurnNotFound
from gateway.domain.files import File
from gateway.domain.models import Turn, TurnId
from gateway.ports.api_objects import ApiObject, ApiObjects, ThreadState

THREAD, MESSAGE = "thread", "message"
EMPTY_THREAD: Mapping[str, Any] = {"metadata": {}, "tool_resources": None}
"""The body of a thread about which its maker said nothing."""
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_MESSAGES = 32
"""Messages that one request may bring: platform.openai.com/docs/api-reference/threads/createThread"""


@dataclass(frozen=True, slots=True)
class AssistantsContext:
    """Handlers run on the worker's loop; the database is called from other threads."""

    api: ApiContext
    objects: ApiObjects
    directory: AssistantDirectory
    files: UploadedFiles
    server_files: ServerFiles
    running: RunningTurns
    reads: ThreadReads
    opens_unknown_threads: bool
    """See ``V1_UNKNOWN_THREADS``."""

    async def thread_state(self, caller: Caller, thread_id: str) -> ThreadState:
        """Raises NoSuchObject for a thread that this caller has not."""
        if OBJECT_ID.fullmatch(thread_id):
            state = await self.reads.state(caller.thread_key(thread_id))
            if state.thread is not None or state.conversation is not None:
                return state
            if self.opens_unknown_threads and thread_id.startswith("thread_"):
                opened = ApiObject(thread_id, THREAD, caller.owner, EMPTY_THREAD)
                (kept,) = await asyncio.to_thread(self.objects.add, [opened])
                if kept.owner == caller.owner:
                    return ThreadState(kept, None)
        raise NoSuchObject(f"No thread found with id '{thread_id[:128]}'.")

    async def turn(self, caller: Caller, thread_id: str, run_id: str) -> Turn:
        """Returns the turn of a run. Raises NoSuchObject for one that this caller has not in this thread."""
        turn_id = turn_of_run(run_id)
        turn = await self.find_turn(caller, thread_id, turn_id) if turn_id is not None else None
        if turn is None:
            raise NoSuchObject(f"No run found with id '{run_id[:128]}'.")
        return turn

    async def find_turn(self, caller: Caller, thread_id: str, turn_id: TurnId) -> Turn | None:
        """Returns a turn; None if this caller has none of this id in this thread."""
        try:
            turn = await self.api.inbox.get_turn(turn_id)
        except TurnNotFound:
            return None
        return turn if turn.message.key == caller.thread_key(thread_id) else None

    async def checked(self, caller: Caller, thread: ApiObject, bodies: Sequence[Mapping[str, Any]]) -> ApiObject:
        """Returns a new thread with the files that its messages attach for tools. Raises InvalidRequest."""
        given = thread.body["tool_resources"]
        await self.server_files.check_resources(caller, given)
        resources = await self.server_files.with_attachments(caller, bodies, given)
        return replace(thread, body={**thread.body, "tool_resources": resources})

    async def attach(self, caller: Caller, thread_id: str, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Adds the files that messages attach for tools to the resources of their thread.

        Raises NoSuchObject, InvalidRequest.
        """
        if not any(each.get("tools") for body in bodies for each in body["attachments"]):
            return
        thread = (await self.thread_state(caller, thread_id)).thread
        body = thread.body if thread else EMPTY_THREAD
        resources = await self.server_files.with_attachments(caller, bodies, body["tool_resources"])
        if thread is None:
            await asyncio.to_thread(self.objects.add, [ApiObject(thread_id, THREAD, caller.owner, body)])
        await asyncio.to_thread(self.objects.replace_body, thread_id, {**body, "tool_resources": resources})

    async def read_messages(
        self, caller: Caller, messages: Sequence[MessageRequest], where: str
    ) -> Sequence[Mapping[str, Any]]:
        """Returns messages as they are stored, with what is known of their files. ``where``: the field that has them;
        empty: the one message is the request.

        Raises InvalidRequest for messages that are too many or too long, or have parts that cannot be read here.
        """
        if len(messages) > MAX_MESSAGES:
            raise InvalidRequest(f"A request may bring at most {MAX_MESSAGES} messages.", param=where)
        places = [f"{where}[{number}]." if where else "" for number in range(len(messages))]
        for message, place in zip(messages, places, strict=True):
            self._check_text(message, f"{place}content")
        return [await self._body(caller, *each) for each in zip(messages, places, strict=True)]

    async def _body(self, caller: Caller, message: MessageRequest, where: str) -> Mapping[str, Any]:
        """``where``: how the names of its fields begin."""
        named = [file_of(part, f"{where}content[{number}]") for number, part in enumerate(message.listed)]
        documents = (each for each in message.given if not each.tools)
        named += [RequestFile("file", "", file_id=each.file_id, where=f"{where}attachments") for each in documents]
        files = [asdict(as_file(await self.files.named(caller, file))) for file in named if file]
        return message_body(message) | ({"files": files} if files else {})

    def _check_text(self, message: MessageRequest, where: str) -> None:
        longest = self.api.limits.max_message_chars
        if len(message.text) > longest:
            limit = f"A message may have at most {longest} characters here (V1_MAX_MESSAGE_CHARS)."
            raise InvalidRequest(limit, param=where, code="string_above_max_length")
        if not message.text.strip() and isinstance(message.content, str):
            raise InvalidRequest(f"`{where}` has no text.", param=where)


def file_of(part: MessageContentPart, where: str) -> RequestFile | None:
    """Returns the picture that a part names. Raises InvalidRequest for one by its address."""
    if isinstance(part, MessageImageUrlPart):
        explanation = "is not fetched from an address: upload it (POST /v1/files, purpose vision) as an image_file"
        raise refusal(f"{where}.image_url", explanation, "unsupported_parameter")
    if isinstance(part, MessageTextPart):
        return None
    return RequestFile("image", "", file_id=part.image_file.file_id, where=f"{where}.image_file.file_id")


def message_objects(
    bodies: Sequence[Mapping[str, Any]], caller: Caller, thread_id: str, post: Post
) -> Sequence[ApiObject]:
    """Returns new messages as they are stored."""
    return [ApiObject(new_id("msg"), MESSAGE, caller.owner, body, thread_id, post.name) for body in bodies]


def message_body(message: MessageRequest) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": message.parts,
        "attachments": [each.model_dump(exclude_none=True) for each in message.given],
        "metadata": message.metadata or {},
    }


def text_of(body: Mapping[str, Any]) -> str:
    """Returns the text of a stored message."""
    texts = (part["text"]["value"] for part in body["content"] if part["type"] == "text")
    return "\n".join(texts)


def files_of(bodies: Iterable[Mapping[str, Any]]) -> tuple[File, ...]:
    """Returns the files of stored messages, each once."""
    found = {each["reference"]: File(**each) for body in bodies for each in body.get("files", ())}
    return tuple(found.values())
