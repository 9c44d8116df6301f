"""Routes of the Responses API: create, retrieve, stream, cancel, delete."""

from __future__ import annotations

from typing import Any

from tests.fakes.openai_conversations import Conversation, ConversationRoom, check_calls, no_duplicates, text_of
from tests.fakes.openai_messages import Answer, ApiError, Call, Feed, Json, Stream, bad, page
from tests.fakes.openai_response_simulator import Response, Speaker
from tests.fakes.openai_script import tokens
from tests.fakes.openai_state import Shelf, World, now

LOCKED = "Another process is currently operating on this conversation. Please retry in a few seconds."
TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
EXCLUSIVE = (
    "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing one of "
    "these parameters."
)


class ResponseRoom:
    def __init__(self, world: World, room: ConversationRoom) -> None:
        self._world = world
        self._room = room
        self._speaker = Speaker(world)
        self.responses: Shelf[Response] = Shelf(world, _unknown)

    def routes(self) -> dict[str, Any]:
        return {
            "POST /responses": self.create,
            "GET /responses/{}": self.retrieve,
            "DELETE /responses/{}": self.delete,
            "POST /responses/{}/cancel": self.cancel,
            "GET /responses/{}/input_items": self.list_input_items,
        }

    # ------------------------------------------------------------ create

    async def create(self, call: Call) -> Answer | Stream:
        self._check(call)
        given = self._input(call.body)
        conversation = self._conversation(call.body)
        if conversation is not None and conversation.locked_by:
            raise bad(LOCKED, param="conversation", code="conversation_locked")
        past = self._past(call.body, conversation)
        no_duplicates(past, given)
        check_calls([*past, *given])
        self._check_size(call.body, [*past, *given])
        response = Response(self._world.new_id("resp"), call.body, call.metadata(), now(), given, past, conversation)
        response.background = call.body.get("background") is True and "background" in self._world.features
        self.responses[response.id] = response
        if conversation is not None:
            conversation.locked_by = response.id
        return await self._answer(call, response)

    async def _answer(self, call: Call, response: Response) -> Answer | Stream:
        if call.streamed:
            response.feed = Feed()
            response.cut_after = call.cut_after
        self._speaker.start(response)
        if call.gone:
            response.lose()
        if response.feed is not None:
            abandon = None if response.background else response.stop
            return Stream(response.feed, error=response.error_event, abandon=abandon)
        if not response.background:
            await response.finished()
        return Answer(response.shown())

    def _check(self, call: Call) -> None:
        call.required("model")
        self._world.check_model(call.body["model"])
        body = call.body
        if body.get("conversation") is not None and "conversations" not in self._world.features:
            raise bad("Unknown parameter: 'conversation'.", param="conversation", code="unknown_parameter")
        if body.get("conversation") is not None and body.get("previous_response_id") is not None:
            raise bad(EXCLUSIVE, code="mutually_exclusive_parameters")
        if body.get("background") is True and body.get("store") is False:
            raise bad("Background responses must be stored: 'store' cannot be false.", param="background")
        if body.get("truncation") not in {None, "auto", "disabled"}:
            raise bad(f"Invalid value: '{body['truncation']}'.", param="truncation", code="invalid_value")
        _check_tools(body.get("tools"))

    def _input(self, body: Json) -> list[Json]:
        given = body.get("input")
        if given is None:
            if body.get("conversation") is None and body.get("previous_response_id") is None:
                message = "One of 'input' or 'previous_response_id' or 'prompt' or 'conversation' must be provided."
                raise bad(message, param="input", code="missing_required_parameter")
            return []
        if isinstance(given, str):
            given = [{"role": "user", "content": given}]
        return self._room.read_items(given, "input")

    def _conversation(self, body: Json) -> Conversation | None:
        given = body.get("conversation")
        name = given.get("id") if isinstance(given, dict) else given
        return None if name is None else self._room.conversations[str(name)]

    def _past(self, body: Json, conversation: Conversation | None) -> list[Json]:
        if conversation is not None:
            return list(conversation.items)
        previous = body.get("previous_response_id")
        if previous is None:
            return []
        if previous not in self.responses or not self.responses[previous].stored:
            message = f"Previous response with id '{previous}' not found."
            raise bad(message, param="previous_response_id", code="previous_response_not_found")
        return self.past(previous)

    def past(self, name: str) -> list[Json]:
        """Returns all items of the chain of responses that ends with this one."""
        response = self.responses.peek(name)
        return [] if response is None else [*response.past, *response.given, *response.output]

    def _check_size(self, body: Json, items: list[Json]) -> None:
        if body.get("truncation") != "auto":
            self._world.check_size(tokens(*(text_of(item) for item in items)), "input", TOO_LONG)

    # ------------------------------------------------------------ afterwards

    async def retrieve(self, call: Call) -> Answer | Stream:
        response = self._stored(call)
        if call.seen.query.get("stream") != "true":
            return Answer(response.shown())
        if not response.background or response.feed is None:
            raise bad("Only background responses created with stream=true can be streamed.", param="stream")
        after = call.seen.query.get("starting_after", "-1")
        if not after.lstrip("-").isdecimal():
            raise bad("Invalid type for 'starting_after': expected an integer.", param="starting_after")
        start = int(after) + 1
        return Stream(response.feed, error=response.error_event, start=start)

    async def cancel(self, call: Call) -> Answer:
        response = self._stored(call)
        if not response.background:
            raise bad("Cannot cancel a synchronous response.")
        if not response.over:
            response.stop()
            await response.finished()
        return Answer(response.shown())

    async def delete(self, call: Call) -> Answer:
        response = self._stored(call)
        del self.responses[response.id]
        return Answer({"id": response.id, "object": "response", "deleted": True})

    async def list_input_items(self, call: Call) -> Answer:
        response = self._stored(call)
        answer = page(call.seen, [*response.past, *response.given])
        answer.body.update({key: answer.body[key] or "" for key in ("first_id", "last_id")})
        return answer

    def _stored(self, call: Call) -> Response:
        response = self.responses[call.ids[0]]
        if not response.stored:
            raise _unknown(response.id)
        return response


def _check_tools(tools: Any) -> None:
    """Validates tools in the form of the Responses API: a function's name is next to its type."""
    for index, tool in enumerate(tools or []):
        if not isinstance(tool.get("type"), str):
            where = f"tools[{index}].type"
            raise bad(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")
        needed = {"function": "name", "file_search": "vector_store_ids", "code_interpreter": "container"}
        name = needed.get(tool["type"])
        if name and not tool.get(name):
            where = f"tools[{index}].{name}"
            raise bad(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")


def _unknown(name: str) -> ApiError:
    return ApiError(404, f"Response with id '{name}' not found.")
