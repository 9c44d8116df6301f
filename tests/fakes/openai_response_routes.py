"""Routes of the Responses API: create, retrieve, stream, cancel, delete."""

from __future__ import annotations

from typing import Any

from tests.fakes.openai_conversations import (
    FakeConversation,
    FakeConversationRoutes,
    check_calls,
    check_duplicates,
    text_of,
)
from tests.fakes.openai_messages import (
    ApiError,
    ApiRequest,
    ApiResponse,
    EventLog,
    Json,
    StreamedResponse,
    bad_request,
    list_page,
)
from tests.fakes.openai_response_simulator import FakeResponse, ResponseSimulator
from tests.fakes.openai_script import count_tokens
from tests.fakes.openai_state import FakeOpenAIState, ObjectStore, timestamp

CONVERSATION_LOCKED = "Another process is currently operating on this conversation. Please retry in a few seconds."
TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
EXCLUSIVE = (
    "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing one of "
    "these parameters."
)


class FakeResponseRoutes:
    def __init__(self, state: FakeOpenAIState, conversation_routes: FakeConversationRoutes) -> None:
        self._state = state
        self._conversation_routes = conversation_routes
        self._simulator = ResponseSimulator(state)
        self.responses: ObjectStore[FakeResponse] = ObjectStore(state, _not_found)

    def routes(self) -> dict[str, Any]:
        return {
            "POST /responses": self.create,
            "GET /responses/{}": self.retrieve,
            "DELETE /responses/{}": self.delete,
            "POST /responses/{}/cancel": self.cancel,
            "GET /responses/{}/input_items": self.list_input_items,
        }

    # ------------------------------------------------------------ create

    async def create(self, request: ApiRequest) -> ApiResponse | StreamedResponse:
        self._check(request)
        given = self._input_items(request.body)
        conversation = self._conversation(request.body)
        if conversation is not None and conversation.locked_by:
            raise bad_request(CONVERSATION_LOCKED, param="conversation", code="conversation_locked")
        past = self._earlier_items(request.body, conversation)
        check_duplicates(past, given)
        check_calls([*past, *given])
        self._check_size(request.body, [*past, *given])
        response = FakeResponse(
            self._state.new_id("resp"), request.body, request.metadata(), timestamp(), given, past, conversation
        )
        response.background = request.body.get("background") is True and "background" in self._state.features
        self.responses[response.id] = response
        if conversation is not None:
            conversation.locked_by = response.id
        return await self._answer(request, response)

    async def _answer(self, request: ApiRequest, response: FakeResponse) -> ApiResponse | StreamedResponse:
        if request.streamed:
            response.event_log = EventLog()
            response.cut_after = request.cut_after
        self._simulator.start(response)
        if request.caller_gone:
            response.caller_gone()
        if response.event_log is not None:
            abandon = None if response.background else response.stop
            return StreamedResponse(response.event_log, error_event=response.error_event, abandon=abandon)
        if not response.background:
            await response.wait_until_final()
        return ApiResponse(response.to_json())

    def _check(self, request: ApiRequest) -> None:
        request.require("model")
        self._state.check_model(request.body["model"])
        body = request.body
        if body.get("conversation") is not None and "conversations" not in self._state.features:
            raise bad_request("Unknown parameter: 'conversation'.", param="conversation", code="unknown_parameter")
        if body.get("conversation") is not None and body.get("previous_response_id") is not None:
            raise bad_request(EXCLUSIVE, code="mutually_exclusive_parameters")
        if body.get("background") is True and body.get("store") is False:
            raise bad_request("Background responses must be stored: 'store' cannot be false.", param="background")
        if body.get("truncation") not in {None, "auto", "disabled"}:
            raise bad_request(f"Invalid value: '{body['truncation']}'.", param="truncation", code="invalid_value")
        _check_tools(body.get("tools"))

    def _input_items(self, body: Json) -> list[Json]:
        given = body.get("input")
        if given is None:
            if body.get("conversation") is None and body.get("previous_response_id") is None:
                message = "One of 'input' or 'previous_response_id' or 'prompt' or 'conversation' must be provided."
                raise bad_request(message, param="input", code="missing_required_parameter")
            return []
        if isinstance(given, str):
            given = [{"role": "user", "content": given}]
        return self._conversation_routes.read_items(given, "input")

    def _conversation(self, body: Json) -> FakeConversation | None:
        given = body.get("conversation")
        name = given.get("id") if isinstance(given, dict) else given
        return None if name is None else self._conversation_routes.conversations[str(name)]

    def _earlier_items(self, body: Json, conversation: FakeConversation | None) -> list[Json]:
        if conversation is not None:
            return list(conversation.items)
        previous = body.get("previous_response_id")
        if previous is None:
            return []
        if previous not in self.responses or not self.responses[previous].stored:
            message = f"Previous response with id '{previous}' not found."
            raise bad_request(message, param="previous_response_id", code="previous_response_not_found")
        return self.items_of_chain(previous)

    def items_of_chain(self, response_id: str) -> list[Json]:
        """Returns all items of the chain of responses that ends with this one."""
        response = self.responses.get_even_if_lost(response_id)
        return [] if response is None else [*response.earlier_items, *response.input_items, *response.output]

    def _check_size(self, body: Json, items: list[Json]) -> None:
        if body.get("truncation") != "auto":
            self._state.check_size(count_tokens(*(text_of(item) for item in items)), "input", TOO_LONG)

    # ------------------------------------------------------------ afterwards

    async def retrieve(self, request: ApiRequest) -> ApiResponse | StreamedResponse:
        response = self._get_stored(request)
        if request.recorded.query.get("stream") != "true":
            return ApiResponse(response.to_json())
        if not response.background or response.event_log is None:
            raise bad_request("Only background responses created with stream=true can be streamed.", param="stream")
        after = request.recorded.query.get("starting_after", "-1")
        if not after.lstrip("-").isdecimal():
            raise bad_request("Invalid type for 'starting_after': expected an integer.", param="starting_after")
        start = int(after) + 1
        return StreamedResponse(response.event_log, error_event=response.error_event, start=start)

    async def cancel(self, request: ApiRequest) -> ApiResponse:
        response = self._get_stored(request)
        if not response.background:
            raise bad_request("Cannot cancel a synchronous response.")
        if not response.is_final:
            response.stop()
            await response.wait_until_final()
        return ApiResponse(response.to_json())

    async def delete(self, request: ApiRequest) -> ApiResponse:
        response = self._get_stored(request)
        del self.responses[response.id]
        return ApiResponse({"id": response.id, "object": "response", "deleted": True})

    async def list_input_items(self, request: ApiRequest) -> ApiResponse:
        response = self._get_stored(request)
        answer = list_page(request.recorded, [*response.earlier_items, *response.input_items])
        answer.body.update({key: answer.body[key] or "" for key in ("first_id", "last_id")})
        return answer

    def _get_stored(self, request: ApiRequest) -> FakeResponse:
        response = self.responses[request.ids[0]]
        if not response.stored:
            raise _not_found(response.id)
        return response


def _check_tools(tools: Any) -> None:
    """Validates tools in the form of the Responses API: a function's name is next to its type."""
    for index, tool in enumerate(tools or []):
        if not isinstance(tool.get("type"), str):
            where = f"tools[{index}].type"
            raise bad_request(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")
        needed = {"function": "name", "file_search": "vector_store_ids", "code_interpreter": "container"}
        name = needed.get(tool["type"])
        if name and not tool.get(name):
            where = f"tools[{index}].{name}"
            raise bad_request(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")


def _not_found(name: str) -> ApiError:
    return ApiError(404, f"Response with id '{name}' not found.")
