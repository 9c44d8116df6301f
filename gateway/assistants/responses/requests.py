"""Requests to one server of the Responses API: creates responses, follows them by polling, cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig, path_segment
from gateway.assistants.errors.error_map import BadRequest, NotFound, ToolServerAway
from gateway.assistants.event_stream import EventStream
from gateway.assistants.requests.server_limits import Feature, ServerLimits
from gateway.assistants.requests.speakers import instructions_for
from gateway.assistants.requests.turn_options import (
    FORCED_CHOICE,
    INCLUDE,
    Translation,
    drop_forced_choice,
    drop_idle_tool_fields,
    function_schemas,
    same,
    translated,
    unsupported,
)
from gateway.assistants.responses.events import UNREAD_EVENTS
from gateway.assistants.responses.hosted_servers import HostedServers
from gateway.assistants.responses.items import is_final, with_head
from gateway.assistants.responses.local_threads import is_local
from gateway.assistants.responses.state import ResponseRunState
from gateway.assistants.sse import Json
from gateway.domain.errors import AnswerLost, AssistantRateLimited
from gateway.domain.models import Turn
from gateway.domain.turn_options import TurnOptions, as_responses_write
from gateway.tools import ToolBox

MAX_QUEUED_SECONDS = 120.0
INSTRUCTIONS, STREAM = "instructions", "stream"


CODE_OUTPUTS: Json = {INCLUDE: ["code_interpreter_call.outputs"]}


class ServerResponses:
    """The responses of one server."""

    def __init__(
        self, api: AssistantApiClient, config: AssistantConfig, toolbox: ToolBox, limits: ServerLimits
    ) -> None:
        self._api = api
        self._config = config
        self._instructions = config.template
        self._limits = limits
        self._toolbox = toolbox
        self._optional = _optional_fields(config)
        self._own_functions = list(map(_function, toolbox.own_schemas))
        self.hosted_servers = HostedServers(toolbox.hosted)

    async def create(self, state: ResponseRunState, items: list[Json], *, idle_seconds: float | None) -> EventStream:
        """POSTs, and returns the events. Leaves out what the server refuses, and repeats the request without it."""
        while True:
            body = self._body(state, items)
            try:
                return await self._api.stream("/responses", body, idle_seconds=idle_seconds, ignored=UNREAD_EVENTS)
            except BadRequest as exc:
                if not self._adapt(state, body, exc):
                    raise

    def _adapt(self, state: ResponseRunState, body: Json, error: BadRequest) -> bool:
        if isinstance(error, ToolServerAway):
            return False
        used = {
            # A refusal may be about what is wrong with the caller's.
            Feature.TOOLS: "tools" in body and not state.turn.options.functions,
            Feature.HOSTED_TOOLS: bool(self._hosted()) and Feature.HOSTED_TOOLS not in self._limits,
            Feature.SYSTEM_ROLE: bool(self._config.instructions) and Feature.SYSTEM_ROLE not in self._limits,
            Feature.STORED: is_local(state.thread_id) and Feature.STORED not in self._limits,
        }
        features = state.file_features.union(feature for feature, is_used in used.items() if is_used)
        fields = [name for name in {*self._optional, *CODE_OUTPUTS, INSTRUCTIONS, STREAM} if body.get(name)]
        learned = self._limits.learn(error, features=features, fields=fields)
        return learned and not any(feature in self._limits for feature in state.file_features)

    def _body(self, state: ResponseRunState, items: list[Json]) -> Json:
        turn, options = state.turn, state.turn.options
        body: Json = {"model": options.model or self._config.model, "input": state.to_input(items)}
        body[STREAM] = self._config.stream and STREAM not in self._limits
        if not is_local(state.thread_id):
            body["conversation"] = state.thread_id
        asked = self._instructions.for_message(turn.message)
        if instructions := instructions_for(turn, asked, self._notice()):
            # A conversation does not store them.
            if Feature.SYSTEM_ROLE in self._limits:
                body["input"] = with_head(body["input"], instructions)
            elif INSTRUCTIONS in self._limits:
                body["input"] = [{"type": "message", "role": "system", "content": instructions}, *body["input"]]
            else:
                body[INSTRUCTIONS] = instructions
        body |= self.from_caller(turn)
        if tools := self._tools(options):
            body["tools"] = tools
        else:
            drop_idle_tool_fields(body)
        if state.since_message:
            drop_forced_choice(body)
        optional = self._optional | {"metadata": {"turn_id": turn.id}}
        if options.hosted_tools and _runs_code(options.hosted_tools):
            optional |= CODE_OUTPUTS
        if included := body.pop(INCLUDE, None):
            optional[INCLUDE] = [*optional.get(INCLUDE, ()), *included]
        body |= {name: value for name, value in optional.items() if name not in self._limits}
        return self._not_stored(body) if Feature.STORED in self._limits else body

    def from_caller(self, turn: Turn) -> Json:
        """Returns the fields that the turn's caller asked for. Raises AssistantRefused for what there is not here."""
        if not turn.options.parameters:
            return {}
        found = translated(turn.options, PARAMETERS, "responses")
        return found | ({"text": _merged_text(turn.options)} if "text" in found else {})

    def _tools(self, options: TurnOptions) -> list[Json]:
        """Raises AssistantRefused when the caller has functions and the server takes none."""
        if Feature.TOOLS in self._limits:
            if options.functions:
                raise unsupported("`tools`", "responses, and the model takes none")
            return []
        own = () if Feature.HOSTED_TOOLS in self._limits or options.only_these_tools else self._hosted()
        hosted = (*own, *map(dict, options.hosted_tools))
        return [*hosted, *self._functions(options)]

    def _functions(self, options: TurnOptions) -> Sequence[Json]:
        if options.functions or options.only_these_tools or self._toolbox.may_change:
            return list(map(_function, function_schemas(options, self._toolbox.schemas)))
        return self._own_functions

    def _hosted(self) -> list[Json]:
        return [*self._config.hosted_tools, *self.hosted_servers.tools]

    def _notice(self) -> str:
        return " ".join(filter(None, [self._toolbox.notice, self.hosted_servers.notice]))

    @staticmethod
    def _not_stored(body: Json) -> Json:
        """Returns the request for a server that stores no responses: reasoning comes and goes back encrypted."""
        include = [*dict.fromkeys([*body.get(INCLUDE, ()), "reasoning.encrypted_content"])]
        kept = {name: value for name, value in body.items() if name not in {"background", "conversation"}}
        return {**kept, "store": False, INCLUDE: include}

    async def get(self, run_id: str) -> Json:
        """Returns a response. Raises NotFound."""
        return await self._api.get(_path(run_id))

    async def wait_until_final(self, run_id: str) -> Json:
        """Polls a response until it is finished. Raises AnswerLost if the server no longer has it.

        Now and then a response whose caller disconnects at once stays queued for ever
        (community.openai.com/t/1382584): it is cancelled, and AssistantRateLimited raised, as it never started.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + MAX_QUEUED_SECONDS

        def settled(response: Json) -> bool:
            return is_final(response) or (response.get("status") == "queued" and loop.time() >= deadline)

        try:
            response = await self._api.poll_until(_path(run_id), settled, interval_seconds=self._config.poll_seconds)
        except (NotFound, BadRequest) as exc:
            raise AnswerLost(f"the response is lost: {exc}") from exc
        if not is_final(response):
            await self.cancel(run_id)
            raise AssistantRateLimited(f"the response was still queued after {MAX_QUEUED_SECONDS:g} s", retry_after=0.0)
        return response

    async def cancel(self, run_id: str) -> None:
        with suppress(NotFound, BadRequest):  # finished, or not in background: ends with its connection
            await self._api.post(f"{_path(run_id)}/cancel", {})


def _function(schema: Json) -> Json:
    return {"type": "function", "strict": False, **schema}


def _text_format(value: Any) -> Json:
    """Returns ``response_format`` as Responses has it (developers.openai.com/api/docs/guides/structured-outputs)."""
    given = value if isinstance(value, dict) else {}
    return {"format": {"type": given.get("type"), **given.get("json_schema", {})}}


PARAMETERS: Mapping[str, Translation] = {
    **{name: same(name) for name in ("temperature", "top_p", "parallel_tool_calls")},
    "max_completion_tokens": same("max_output_tokens"),
    "response_format": lambda value: {"text": _text_format(value)},
    "verbosity": lambda value: {"text": {"verbosity": value}},
    "reasoning_effort": lambda value: {"reasoning": {"effort": value}},
    INCLUDE: same(INCLUDE),
    FORCED_CHOICE: lambda value: {FORCED_CHOICE: as_responses_write(value)},
}
"""What of the parameters of Chat Completions there is in Responses."""


def _merged_text(options: TurnOptions) -> Json:
    """Returns the field ``text``, which has two of the parameters."""
    parameters = options.parameters
    form = _text_format(parameters["response_format"]) if "response_format" in parameters else {}
    return form | ({"verbosity": parameters["verbosity"]} if "verbosity" in parameters else {})


def _path(run_id: str) -> str:
    return f"/responses/{path_segment(run_id)}"


def _optional_fields(config: AssistantConfig) -> Json:
    """Returns the fields that can be left out where a server refuses them; ``metadata`` is set for each turn."""
    fields: Json = {"background": True, "truncation": "auto", "store": True, "metadata": {}, **config.parameters}
    if config.stream:
        fields["stream_options"] = {"include_obfuscation": False}  # saves bytes; the connection is encrypted already
    return fields | (CODE_OUTPUTS if _runs_code(config.hosted_tools) else {})


def _runs_code(tools: Iterable[Mapping[str, Any]]) -> bool:
    return any(tool.get("type") == "code_interpreter" for tool in tools)
