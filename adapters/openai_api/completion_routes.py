"""POST /chat/completions: stateless, as programs expect it, unless the request names a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from adapters.openai_api.answering import streamed, whole
from adapters.openai_api.asking import Asking, is_replaced
from adapters.openai_api.callers import Callers
from adapters.openai_api.completion_request import CompletionRequest
from adapters.openai_api.completion_view import CompletionStream, completion_response
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.conversations import Conversations
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.ids import OBJECT_ID, new_id
from adapters.openai_api.inline_files import InlineFileKeeper
from adapters.openai_api.models import check_model
from adapters.openai_api.repetition import Post, read_post
from adapters.openai_api.request_body import BodyReader, check_length
from adapters.openai_api.request_fields import read_request
from adapters.openai_api.said import CallerInput, arrange
from adapters.openai_api.settings import PREFIX
from gateway.domain.models import Message
from gateway.domain.turn_options import TurnOptions
from gateway.web.api.routes import HttpRequest, HttpResponse, Route

THREAD_HEADER = "x-thread-id"
THREAD_FIELD = "thread_id"
PATHS = (f"{PREFIX}/chat/completions", f"{PREFIX}/deployments/<deployment>/chat/completions")
"""The second is what Azure's clients call: a deployment is a model."""


@dataclass(frozen=True, slots=True)
class CompletionRoutes:
    """The handler. It runs on the worker's loop."""

    callers: Callers
    asking: Asking
    bodies: BodyReader
    files: InlineFileKeeper
    conversations: Conversations
    directory: AssistantDirectory
    max_message_chars: int

    def routes(self) -> Sequence[Route]:
        return [Route("POST", path, self.create) for path in PATHS]

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller = self.callers.identify(request)
        async with self.bodies.reading(request) as body:
            post = read_post(caller, request, body)
            asked = read_request(CompletionRequest, body)
            model = asked.model or request.path_values.get("deployment", "")
            assistant = check_model(model, self.directory, caller)
            said = arrange(asked.steps())
        check_length(said, self.max_message_chars, "messages")
        await self.callers.count_message(caller)
        earlier = await self.asking.newest(post)
        if earlier is not None and not is_replaced(earlier, post):
            return await self._answer(request, post, earlier.message, asked, model)
        thread = _thread(request, asked)
        key = caller.thread_key(thread or new_id("chatcmpl"))
        author = asked.user or asked.safety_identifier or ""
        options = _options(asked, said, in_thread=bool(thread))
        if thread and earlier is not None:  # of the answer that was cut off there may be a part
            options = replace(options, past=await self.conversations.past_without(key, post))
        message = Message(key, post.name, said.text, author, caller=caller.name, options=options)
        message = replace(message, assistant=assistant, allowed_assistants=caller.assistants)
        message = await self.files.attached(caller, message, said.files)
        return await self._answer(request, post, message, asked, model)

    async def _answer(
        self, request: HttpRequest, post: Post, message: Message, asked: CompletionRequest, model: str
    ) -> HttpResponse:
        watched = await self.asking.watch(request, post, message, streams=bool(asked.stream))
        if asked.stream:
            with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
            stream = CompletionStream(watched.turn, model, with_usage)
            return streamed(watched, stream, ping_seconds=self.asking.limits.ping_seconds)
        return await whole(watched, partial(completion_response, model=model))


def _thread(request: HttpRequest, asked: CompletionRequest) -> str:
    """Returns the thread that a request names; "" for none. Raises InvalidRequest for what cannot be a name."""
    header = request.headers.get(THREAD_HEADER, "")
    named = (asked.metadata or {}).get(THREAD_FIELD, header)
    if named and not OBJECT_ID.fullmatch(named):
        raise refusal(f"metadata.{THREAD_FIELD}", "must have 1 to 128 letters, digits, - and _")
    return named


def _options(asked: CompletionRequest, said: CallerInput, *, in_thread: bool) -> TurnOptions:
    """Returns what the request asks. In a thread the past is the thread's, whatever the request repeats of it."""
    return TurnOptions(
        additional_instructions=said.instructions,
        functions=asked.functions(),
        parameters=asked.parameters(),
        outputs=said.outputs,
        past=None if in_thread else said.history,
        is_last=not in_thread,
        is_program=True,
    )
