"""What the handlers of the Assistants API share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from adapters.openai_api.assistants.bodies import MessageRequest, TextPart
from adapters.openai_api.assistants.directory import AssistantDirectory
from adapters.openai_api.assistants.ids import FOREIGN, new_id, turn_of_run
from adapters.openai_api.assistants.running import RunningTurns
from adapters.openai_api.callers import Caller
from adapters.openai_api.context import ApiContext
from adapters.openai_api.errors import InvalidRequest, NoSuchObject
from adapters.openai_api.repetition import Post
from adapters.openai_api.settings import NAME
from gateway.domain.errors import TurnNotFound
from gateway.domain.models import ConversationKey, Turn
from gateway.ports.api_objects import ApiObject, ApiObjects, ThreadState

THREAD, MESSAGE = "thread", "message"
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_MESSAGES = 32
"""Messages that one request may bring: platform.openai.com/docs/api-reference/threads/createThread"""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Room:
    """Handlers run on the worker's loop."""

    api: ApiContext
    objects: ApiObjects
    directory: AssistantDirectory
    running: RunningTurns
    opens_unknown_threads: bool
    """See ``V1_UNKNOWN_THREADS``."""

    async def do(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a method of ``objects``, which does I/O, in another thread."""
        return await asyncio.to_thread(method, *args, **kwargs)

    async def thread_state(self, caller: Caller, thread_id: str) -> ThreadState:
        """Raises NoSuchObject for a thread that this caller has not."""
        if FOREIGN.fullmatch(thread_id):
            state = await self.do(self.objects.thread_state, caller.owner, thread_id)
            if state.thread is not None or state.conversation is not None:
                return state
            if self.opens_unknown_threads and thread_id.startswith("thread_"):
                opened = ApiObject(thread_id, THREAD, caller.owner, {"metadata": {}, "tool_resources": None})
                (kept,) = await self.do(self.objects.add, [opened])
                if kept.owner == caller.owner:
                    return ThreadState(kept, None)
        raise NoSuchObject(f"No thread found with id '{thread_id[:128]}'.")

    async def turn(self, caller: Caller, thread_id: str, run_id: str) -> Turn:
        """Returns the turn of a run. Raises NoSuchObject for one that this caller has not in this thread."""
        turn_id = turn_of_run(run_id)
        if turn_id is not None:
            try:
                turn = await self.api.inbox.get_turn(turn_id)
            except TurnNotFound:
                turn = None
            if turn is not None and turn.message.key == key_of(caller, thread_id):
                return turn
        raise NoSuchObject(f"No run found with id '{run_id[:128]}'.")

    async def made_before(self, post: Post) -> Sequence[ApiObject]:
        """Returns what an earlier attempt at a request made. Raises Conflict if that had another body."""
        if not post.may_be_repeated:
            return ()
        found = await self.do(self.objects.find_by_request, post.first, post.last)
        if found:
            post.check_same(found[0].request or "")
        return found

    def check_texts(self, messages: Sequence[MessageRequest], where: str) -> None:
        """Raises InvalidRequest for messages that are too many or too long, or have parts that cannot be read here."""
        if len(messages) > MAX_MESSAGES:
            raise InvalidRequest(f"A request may bring at most {MAX_MESSAGES} messages.", param=where)
        longest = self.api.limits.max_message_chars
        for number, message in enumerate(messages):
            if len(message.text) > longest:
                limit = f"A message may have at most {longest} characters here (MAX_MESSAGE_CHARS)."
                raise InvalidRequest(limit, param=f"{where}[{number}].content", code="string_above_max_length")
            if message.attachments or not isinstance(message.content, str):
                _refuse_files(message, f"{where}[{number}]")
            if not message.text.strip() and isinstance(message.content, str):
                raise InvalidRequest("The message has no text.", param=f"{where}[{number}].content")


def _refuse_files(message: MessageRequest, where: str) -> None:
    """Raises InvalidRequest for what needs files, which cannot be uploaded here."""
    explanation = "is not supported here: this gateway takes no uploads at this API."
    if message.attachments:
        raise InvalidRequest(f"`attachments` {explanation}", param=f"{where}.attachments", code="unsupported_parameter")
    for part in message.content if isinstance(message.content, list) else ():
        if not isinstance(part, TextPart):
            raise InvalidRequest(f"`{part.type}` {explanation}", param=f"{where}.content", code="unsupported_parameter")


def key_of(caller: Caller, thread_id: str) -> ConversationKey:
    return ConversationKey(NAME, caller.owner, thread_id)


def message_objects(
    messages: Sequence[MessageRequest], caller: Caller, thread_id: str, post: Post
) -> Sequence[ApiObject]:
    """Returns new messages as they are stored."""
    return [
        ApiObject(new_id("msg"), MESSAGE, caller.owner, message_body(each), thread_id, post.name) for each in messages
    ]


def message_body(message: MessageRequest) -> Mapping[str, Any]:
    return {
        "role": message.role,
        "content": message.parts,
        "attachments": [each.model_dump(exclude_none=True) for each in message.attachments or ()],
        "metadata": message.metadata or {},
    }


def text_of(body: Mapping[str, Any]) -> str:
    """Returns the text of a stored message."""
    texts = (part["text"]["value"] for part in body["content"] if part["type"] == "text")
    return "\n".join(texts)
