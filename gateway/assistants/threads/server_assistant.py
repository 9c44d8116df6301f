"""The assistant object for the Assistants API: configured by the operator, or created once for the settings."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress

from gateway import logs
from gateway.assistants import SharedValues
from gateway.assistants.api_client import (
    AssistantApiClient,
    AssistantConfig,
    path_segment,
    reject_address_without_version,
)
from gateway.assistants.errors.error_map import NotFound
from gateway.assistants.json_fields import as_object, as_objects, as_text
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError, AssistantMisconfigured, AssistantRateLimited
from gateway.tools import ToolBox

SUPPORTED_HOSTED_TOOLS = ("code_interpreter", "file_search")
"""Hosted tools of the Assistants API. Both read files."""

log = logs.get_logger(__name__)


class ServerAssistant:
    """Provides the fields that select the assistant of a run. Asks the server once per process."""

    def __init__(
        self,
        api: AssistantApiClient,
        config: AssistantConfig,
        toolbox: ToolBox,
        shared_values: SharedValues,
        assistant_id: str | None,
    ) -> None:
        """``assistant_id``: configured by the operator; its model and instructions replace those of ``config``."""
        self._api = api
        self._shared_values = shared_values
        self._configured_id = assistant_id
        self._definition = _assistant_definition(config, toolbox)
        self._toolbox = toolbox
        self._assistant_id = ""
        """Empty until it is known."""
        self._server_tools: list[Json] | None = None
        """The tools that the assistant has at the server; None where that cannot be read."""
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"assistant {self._configured_id}" if self._configured_id else f"model {self._definition['model']}"

    @property
    def is_configured(self) -> bool:
        """Returns whether it is the operator's, with instructions of its own."""
        return self._configured_id is not None

    async def run_fields(self) -> Json:
        """Returns the fields to create a run with. Raises AssistantMisconfigured if an assistant cannot be created."""
        async with self._lock:
            if not self._assistant_id:
                self._assistant_id, self._server_tools = await self._look_up()
        added = self._added_functions(self._server_tools)
        tools = {"tools": [*self._server_tools, *added]} if self._server_tools is not None and added else {}
        return {"assistant_id": self._assistant_id, **tools}

    async def _look_up(self) -> tuple[str, list[Json] | None]:
        """Returns the assistant's id, and its tools."""
        if self._configured_id is None:
            return await self._own_assistant_id(), self._definition["tools"]
        asked = self._toolbox.schemas or self._toolbox.may_change
        return self._configured_id, await self._tools_of(self._configured_id) if asked else None

    def _added_functions(self, present: list[Json] | None) -> list[Json]:
        """Returns the functions that an assistant with these tools lacks."""
        known = {as_text(as_object(tool.get("function")).get("name")) for tool in present or ()}
        return [
            {"type": "function", "function": schema} for schema in self._toolbox.schemas if schema["name"] not in known
        ]

    async def file_tools(self) -> list[str]:
        """Returns the names of the assistant's tools that read files."""
        tools = await self._tools_of(self._configured_id) or [] if self._configured_id else self._definition["tools"]
        return [name for name in SUPPORTED_HOSTED_TOOLS if any(tool.get("type") == name for tool in tools)]

    def run_rejected(self, error: NotFound) -> AssistantError:
        """Returns the error for a run that the server did not create (404) although it has the thread.

        Called by the backend. An assistant made by the gateway is looked up again, and replaced if it is gone.
        """
        self._assistant_id = ""
        if self._configured_id:
            return _no_assistant_error(self._configured_id, error)
        return AssistantRateLimited(f"the assistant is looked up again: {error}", retry_after=0.0)

    async def probe(self) -> None:
        """Checks by the smallest request that the assistant exists, or can be created. Raises AssistantError."""
        try:
            if self._configured_id:
                await self._fetch_assistant(self._configured_id)
            elif not await self.is_protocol_served():
                raise self.protocol_removed_error()
        except AssistantMisconfigured as exc:
            await reject_address_without_version(self._api, exc)
            raise

    async def is_protocol_served(self) -> bool:
        """Returns whether the server has the Assistants API."""
        try:
            await self._api.get("/assistants", {"limit": 1})
        except NotFound:
            return False
        return True

    def protocol_removed_error(self) -> AssistantMisconfigured:
        return AssistantMisconfigured(
            f"The server at {self._api.host} has no Assistants API. OpenAI and Azure removed it on 2026-08-26: "
            "set ASSISTANT_BACKEND=responses (or chat)."
        )

    async def _tools_of(self, assistant_id: str) -> list[Json] | None:
        """Returns the tools of the operator's assistant; None when the server does not answer for it (404).

        That is no reason to give up: whether the assistant exists is decided by the request that creates a run.
        """
        try:
            return as_objects((await self._api.get(f"/assistants/{path_segment(assistant_id)}")).get("tools"))
        except NotFound as exc:
            log.warning(
                "assistant could not be read from the server; its runs get only the tools configured there",
                assistant=assistant_id,
                error=str(exc),
            )
            return None

    async def _fetch_assistant(self, assistant_id: str) -> Json:
        try:
            return await self._api.get(f"/assistants/{path_segment(assistant_id)}")
        except NotFound as exc:
            if not await self.is_protocol_served():
                raise self.protocol_removed_error() from exc
            raise _no_assistant_error(assistant_id, exc) from exc

    async def _own_assistant_id(self) -> str:
        """Returns the id of the assistant made for these settings; if it is gone, creates a successor."""
        key = f"assistant {self._definition_digest()}"
        while name := await self._shared_values.get_value(key):
            with suppress(NotFound):
                await self._api.get(f"/assistants/{path_segment(name)}")
                return name
            key = f"assistant after {name}"
        return await self._create_assistant(key)

    async def _create_assistant(self, key: str) -> str:
        try:
            created = as_text((await self._api.post("/assistants", self._definition)).get("id"))
        except NotFound as exc:
            raise self.protocol_removed_error() from exc
        kept = await self._shared_values.set_value_if_absent(key, created)
        if kept != created:  # another process was first
            with suppress(AssistantError):
                await self._api.delete(f"/assistants/{path_segment(created)}")
        log.info("assistant created at the server", assistant=kept)
        return kept

    def _definition_digest(self) -> str:
        settings = json.dumps([self._api.base_url, self._definition], sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:32]


def _no_assistant_error(assistant_id: str, error: NotFound) -> AssistantMisconfigured:
    return AssistantMisconfigured(f"The server has no assistant {assistant_id}. Check ASST_ID: {error}")


def _assistant_definition(config: AssistantConfig, toolbox: ToolBox) -> Json:
    """Returns the assistant object that these settings describe."""
    hosted = [tool for tool in config.hosted_tools if tool.get("type") in SUPPORTED_HOSTED_TOOLS]
    wanted: Json = {
        "name": "chat-gateway",
        "model": config.model,
        "instructions": config.instructions,
        "tools": [
            *({"type": tool["type"]} for tool in hosted),
            *({"type": "function", "function": schema} for schema in toolbox.own_schemas),
        ],
    }
    stores = [name for tool in hosted for name in tool.get("vector_store_ids", [])]
    if stores:
        wanted["tool_resources"] = {"file_search": {"vector_store_ids": stores}}
    return wanted
