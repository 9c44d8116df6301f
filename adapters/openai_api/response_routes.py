"""POST /responses and what belongs to it. A response is a turn; it joins the thread that its request names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.openai_api.answering import streamed, whole
from adapters.openai_api.asking import Asking, is_replaced
from adapters.openai_api.callers import Caller, Callers
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.conversations import Conversations, Place
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.errors import InvalidRequest, error_form
from adapters.openai_api.inline_files import InlineFileKeeper
from adapters.openai_api.item_references import ItemReferences
from adapters.openai_api.models import DEFAULT, check_model
from adapters.openai_api.outcome import failure_of
from adapters.openai_api.paging import paged, read_page
from adapters.openai_api.repetition import Post, read_post
from adapters.openai_api.request_body import BodyReader, check_length
from adapters.openai_api.request_fields import check_include, read_request
from adapters.openai_api.response_request import INPUT, ResponseRequest, item_steps
from adapters.openai_api.response_stream import ResponseStream
from adapters.openai_api.response_view import ECHO, HISTORY, input_items, response_body
from adapters.openai_api.said import CallerInput, arrange, check_outputs, repeats, without_repeated
from adapters.openai_api.settings import PREFIX
from gateway.domain.models import Message, Turn, TurnState
from gateway.domain.turn_options import TurnOptions
from gateway.web.api import problems
from gateway.web.api.problems import JsonResponse
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response

PATH = f"{PREFIX}/responses"
ONE = f"{PATH}/<response_id>"


@dataclass(frozen=True, slots=True)
class ResponseRoutes:
    """The handlers. They run on the worker's loop."""

    callers: Callers
    asking: Asking
    bodies: BodyReader
    files: InlineFileKeeper
    conversations: Conversations
    references: ItemReferences
    directory: AssistantDirectory
    max_message_chars: int

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", PATH, self.create),
            Route("GET", ONE, self.show),
            Route("DELETE", ONE, self.delete),
            Route("POST", f"{ONE}/cancel", self.cancel),
            Route("GET", f"{ONE}/input_items", self.list_input),
        )

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller = self.callers.identify(request)
        async with self.bodies.reading(request) as body:
            post = read_post(caller, request, body)
            asked = read_request(ResponseRequest, body)
            if asked.background and asked.store is False:
                raise refusal("background", "needs `store`: what is not stored cannot be asked for later")
            assistant = check_model(asked.model, self.directory, caller) if asked.model else ""
            said = await self._said(caller, asked)
        check_length(said, self.max_message_chars, INPUT)
        await self.callers.count_message(caller)
        earlier = await self.asking.newest(post)
        if earlier is not None and not is_replaced(earlier, post):  # the thread has what it said already
            message = earlier.message
        else:
            message = await self._new_message(caller, post, asked, said, earlier)
            message = replace(message, assistant=assistant, allowed_assistants=caller.assistants)
        if asked.background and not asked.stream:
            return json_response(response_body(await self.asking.begin(post, message)))
        is_background = bool(asked.background)
        return await self._answer(request, post, message, streams=bool(asked.stream), goes_on=is_background)

    async def _said(self, caller: Caller, asked: ResponseRequest) -> CallerInput:
        """Raises InvalidRequest, NoSuchObject."""
        items = await self.references.resolved(caller, asked.input, INPUT)
        continues = bool(asked.conversation_id or asked.previous_response_id)
        steps = item_steps(items, INPUT, with_thoughts=not continues)
        return arrange(steps, INPUT, continues=continues, in_order=False)

    async def _new_message(
        self, caller: Caller, post: Post, asked: ResponseRequest, said: CallerInput, cancelled: Turn | None
    ) -> Message:
        """``cancelled``: the turn in whose place the new one is. Raises InvalidRequest, NoSuchObject."""
        if cancelled is not None and asked.conversation_id:
            return await self.conversations.asked_again(post, cancelled)
        place = await self.conversations.place_of(caller, asked.conversation_id, asked.previous_response_id or "")
        said = await self._said_anew(place, said)
        return await self.files.attached(caller, _message(caller, post, asked, said, place), said.files)

    async def _said_anew(self, place: Place, said: CallerInput) -> CallerInput:
        """Returns what is new of what is said. Raises InvalidRequest unless it fits the thread."""
        if place.calls is None:
            return said
        if repeats(said, place.calls):
            new = without_repeated(said.steps, await self.conversations.known(place), place.calls)
            said = arrange(new, INPUT, continues=True, in_order=False)
        check_outputs(place.calls, said.first_outputs, INPUT)
        return said

    async def show(self, request: HttpRequest) -> HttpResponse:
        check_include(request)
        turn = await self._response(request)
        if request.query_value("stream").lower() in ("true", "1"):
            raise refusal("stream", "is not supported here: a stream that broke is not continued, ask again without it")
        return json_response(response_body(turn))

    async def delete(self, request: HttpRequest) -> HttpResponse:
        """Forgets a response: it is no longer found by its id. Its thread keeps what was said."""
        await self.conversations.hide_response(await self._response(request))
        identity = request.path_values["response_id"]
        return json_response({"id": identity, "object": "response", "deleted": True})

    async def cancel(self, request: HttpRequest) -> HttpResponse:
        turn = await self._response(request)
        if turn.state is TurnState.CANCELLED:  # cancelling it twice is once
            return json_response(response_body(turn))
        if turn.state.is_resolved:
            raise InvalidRequest(f"Cannot cancel a response that is {response_body(turn)['status']} already.")
        turn = await self.asking.cancel(turn)
        return json_response(response_body(turn))

    async def list_input(self, request: HttpRequest) -> HttpResponse:
        check_include(request)
        items = input_items(await self._response(request))
        return json_response(paged(items, read_page(request)))

    async def _response(self, request: HttpRequest) -> Turn:
        caller = self.callers.reader(request)
        return await self.conversations.response(caller, request.path_values["response_id"])

    async def _answer(
        self, request: HttpRequest, post: Post, message: Message, *, streams: bool, goes_on: bool
    ) -> HttpResponse:
        watched = await self.asking.watch(request, post, message, streams=streams, goes_on=goes_on)
        if streams:
            stream = ResponseStream(watched.turn)
            return streamed(watched, stream, ping_seconds=self.asking.limits.ping_seconds)
        return await whole(watched, _outcome)


def _outcome(turn: Turn) -> JsonResponse:
    """Returns the response to a caller whose turn is resolved."""
    failure = failure_of(turn)
    return error_form(problems.from_failure(failure)) if failure else (response_body(turn), 200, {})


def _message(caller: Caller, post: Post, asked: ResponseRequest, said: CallerInput, place: Place) -> Message:
    instructions = "\n\n".join(filter(None, [asked.instructions, said.instructions]))
    options = TurnOptions(
        additional_instructions=instructions,
        functions=asked.functions(),
        parameters=asked.parameters(),
        outputs=said.outputs,
        past=place.past,
        inserted=(*place.added, *said.history),
        is_last=asked.store is False and not asked.conversation_id,
        is_program=True,
    )
    added = len(place.added)
    history = {HISTORY: (added, added + len(said.history))} if said.history else {}
    address = {ECHO: json.dumps(_echo(asked) | history)}
    author = asked.user or asked.safety_identifier or ""
    return Message(place.key, post.name, said.text, author, address, caller=caller.name, options=options)


def _echo(asked: ResponseRequest) -> dict[str, Any]:
    """Returns what the response repeats of its request, without what has its default."""
    given = {
        "model": asked.model or DEFAULT,
        "instructions": asked.instructions,
        "metadata": asked.metadata,
        "previous_response_id": asked.previous_response_id,
        "conversation": asked.conversation_id or None,
        "background": asked.background,
        "store": asked.store,
    }
    return {name: value for name, value in given.items() if value is not None}
