"""Assistants: platform.openai.com/docs/api-reference/assistants. Callers make their own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapters.openai_api.assistants.bodies import AssistantChange, AssistantRequest, AssistantTool
from adapters.openai_api.assistants.context import MAX_BODY_BYTES, AssistantsContext
from adapters.openai_api.callers import Caller
from adapters.openai_api.directory import ASSISTANT, DEFAULTS, ConfiguredAssistant, KnownAssistant
from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.ids import new_id
from adapters.openai_api.paging import paged, read_page
from adapters.openai_api.repetition import read_post
from adapters.openai_api.request_fields import read_request
from adapters.openai_api.stored_objects import made_once
from gateway.ports.api_objects import ApiObject
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response

HOSTED = ("code_interpreter", "file_search")


@dataclass(frozen=True, slots=True)
class AssistantRoutes:
    context: AssistantsContext

    def routes(self) -> Sequence[Route]:
        one = "/v1/assistants/<assistant_id>"
        return (
            Route("POST", "/v1/assistants", self.create),
            Route("GET", "/v1/assistants", self.list_all),
            Route("GET", one, self.retrieve),
            Route("POST", one, self.modify),
            Route("DELETE", one, self.delete),
        )

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        body = await request.read_body(MAX_BODY_BYTES)
        asked, post = read_request(AssistantRequest, body), read_post(caller, request, body)
        self.context.directory.model_for(asked.model)
        refuse_tools(asked.tools or (), self.context.directory.default(caller))
        await self._check_resources(caller, asked)
        objects, stored = self.context.objects, {**DEFAULTS, **given_fields(asked)}
        new = ApiObject(new_id("asst"), ASSISTANT, caller.owner, stored, request=post.name)
        make = partial(asyncio.to_thread, objects.add, [new])
        (made,) = await made_once(objects, self.context.api.attempts, post, make)
        return json_response(assistant_view(self.context.directory.own(caller, made)))

    async def _check_resources(self, caller: Caller, asked: AssistantChange) -> None:
        """Raises InvalidRequest for files and vector stores of another key."""
        await self.context.server_files.check_resources(caller, given_fields(asked).get("tool_resources"))

    async def list_all(self, request: HttpRequest) -> HttpResponse:
        caller, page = self.context.api.callers.reader(request), read_page(request)
        known = await self.context.directory.all(caller)
        return json_response(paged([assistant_view(each) for each in known], page))

    async def retrieve(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        return json_response(
            assistant_view(await self.context.directory.find(caller, request.path_values["assistant_id"]))
        )

    async def modify(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        asked = read_request(AssistantChange, await request.read_body(MAX_BODY_BYTES))
        known = _own(await self.context.directory.find(caller, request.path_values["assistant_id"]))
        if asked.model is not None:
            self.context.directory.model_for(asked.model)
        refuse_tools(asked.tools or (), known.configured)
        await self._check_resources(caller, asked)
        changed = {**known.body, **given_fields(asked)}
        await asyncio.to_thread(self.context.objects.replace_body, known.id, changed)
        return json_response(assistant_view(await self.context.directory.find(caller, known.id)))

    async def delete(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        known = _own(await self.context.directory.find(caller, request.path_values["assistant_id"]))
        await asyncio.to_thread(self.context.objects.delete, known.id)
        return json_response({"id": known.id, "object": "assistant.deleted", "deleted": True})


def given_fields(asked: AssistantChange) -> Mapping[str, Any]:
    """Returns the fields that a request names, as they are stored and shown."""
    fields = asked.model_dump(include=asked.model_fields_set, exclude_none=False)
    tools = [each.model_dump(exclude_none=True) for each in asked.tools or ()]
    cleaned = {name: value for name, value in fields.items() if value is not None or name in DEFAULTS}
    if asked.tool_resources is not None:
        cleaned["tool_resources"] = asked.tool_resources.model_dump(exclude_none=True)
    kept = {name: DEFAULTS[name] if value is None else value for name, value in cleaned.items()}
    return {**kept, "tools": tools} if "tools" in kept else kept


def refuse_tools(tools: Sequence[AssistantTool], configured: ConfiguredAssistant) -> None:
    """Raises InvalidRequest for a tool that the backend's server cannot run."""
    for number, tool in enumerate(tools):
        if tool.type in HOSTED and tool.type not in configured.hosted_tools:
            raise InvalidRequest(
                f"The tool {tool.type} is not supported here: the backend of this gateway's assistant has none. "
                "It is there with the backends of the Responses API (ASSISTANT_BACKEND=responses).",
                param=f"tools[{number}].type",
                code="unsupported_tool",
            )


def assistant_view(known: KnownAssistant) -> dict[str, Any]:
    return {"id": known.id, "object": "assistant", "created_at": int(known.created_at), **known.body}


def _own(known: KnownAssistant) -> KnownAssistant:
    """Raises InvalidRequest for an assistant of the configuration."""
    if not known.is_own:
        raise InvalidRequest(
            f"The assistant {known.id} is one of the gateway's configuration: its operator changes it there.",
            param="assistant_id",
        )
    return known
