"""The assistant object for the Assistants API: configured by the operator, or created once for the settings."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress

from gateway import logs
from gateway.assistants import Facts
from gateway.assistants.api_client import Setup, Wire, segment
from gateway.assistants.error_map import NotThere
from gateway.assistants.json_fields import part, parts, text
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError, Misconfigured, RateLimited
from gateway.tools import ToolBox

OWN_TOOLS = ("code_interpreter", "file_search")
"""Hosted tools of the Assistants API. Both read files."""

log = logs.get(__name__)


class ServerAssistant:
    """Provides the fields that select the assistant of a run. Asks the server once per process."""

    def __init__(self, wire: Wire, setup: Setup, toolbox: ToolBox, facts: Facts, assistant_id: str | None) -> None:
        """``assistant_id``: configured by the operator; its model and instructions replace those of ``config``."""
        self._wire = wire
        self._facts = facts
        self._given = assistant_id
        self._wanted = _wanted(setup, toolbox)
        self._functions = [{"type": "function", "function": schema} for schema in toolbox.schemas]
        self._known: Json | None = None
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"assistant {self._given}" if self._given else f"model {self._wanted['model']}"

    async def fields(self) -> Json:
        """Returns the fields to create a run with. Raises AssistantMisconfigured if an assistant cannot be created."""
        async with self._lock:
            if self._known is None:
                self._known = await (self._theirs(self._given) if self._given else self._ours())
            return self._known

    async def file_tools(self) -> list[str]:
        """Returns the names of the assistant's tools that read files."""
        tools = await self._tools_of(self._given) or [] if self._given else self._wanted["tools"]
        return [name for name in OWN_TOOLS if any(tool.get("type") == name for tool in tools)]

    def rejected(self, error: NotThere) -> AssistantError:
        """Returns the error for a run that the server did not create (404) although it has the thread.

        Called by the backend. An assistant made by the gateway is looked up again, and replaced if it is gone.
        """
        self._known = None
        if self._given:
            return _no_assistant(self._given, error)
        return RateLimited(f"the assistant is looked up again: {error}", retry_after=0.0)

    async def find(self) -> None:
        """Checks by the smallest request that the assistant exists, or can be created. Raises AssistantError."""
        if self._given:
            await self._retrieve(self._given)
        elif not await self.served():
            raise self.gone()

    async def served(self) -> bool:
        """Returns whether the server has the Assistants API."""
        try:
            await self._wire.get("/assistants", {"limit": 1})
        except NotThere:
            return False
        return True

    def gone(self) -> Misconfigured:
        return Misconfigured(
            f"The server at {self._wire.host} has no Assistants API. OpenAI and Azure removed it on 2026-08-26: "
            "set ASSISTANT_BACKEND=responses (or chat)."
        )

    async def _theirs(self, name: str) -> Json:
        """Returns the fields for the configured assistant: its own tools and the gateway's."""
        if not self._functions:
            return {"assistant_id": name}
        tools = await self._tools_of(name)
        if tools is None:
            return {"assistant_id": name}
        known = {text(part(tool.get("function")).get("name")) for tool in tools}
        added = [tool for tool in self._functions if text(part(tool["function"]).get("name")) not in known]
        return {"assistant_id": name, "tools": tools + added} if added else {"assistant_id": name}

    async def _tools_of(self, name: str) -> list[Json] | None:
        """Returns the tools of the operator's assistant; None when the server does not answer for it (404).

        That is no reason to give up: whether the assistant exists is decided by the request that creates a run.
        """
        try:
            return parts((await self._wire.get(f"/assistants/{segment(name)}")).get("tools"))
        except NotThere as exc:
            log.warning(
                "assistant could not be read from the server; its runs get only the tools configured there",
                assistant=name,
                error=str(exc),
            )
            return None

    async def _retrieve(self, name: str) -> Json:
        try:
            return await self._wire.get(f"/assistants/{segment(name)}")
        except NotThere as exc:
            if not await self.served():
                raise self.gone() from exc
            raise _no_assistant(name, exc) from exc

    async def _ours(self) -> Json:
        """Returns the fields for the assistant made for these settings; if it is gone, creates a successor."""
        key = f"assistant {self._digest()}"
        while name := await self._facts.recall(key):
            with suppress(NotThere):
                await self._wire.get(f"/assistants/{segment(name)}")
                return {"assistant_id": name}
            key = f"assistant after {name}"
        return {"assistant_id": await self._make(key)}

    async def _make(self, fact: str) -> str:
        try:
            created = text((await self._wire.post("/assistants", self._wanted)).get("id"))
        except NotThere as exc:
            raise self.gone() from exc
        kept = await self._facts.remember(fact, created)
        if kept != created:  # another process was first
            with suppress(AssistantError):
                await self._wire.delete(f"/assistants/{segment(created)}")
        log.info("assistant created at the server", assistant=kept)
        return kept

    def _digest(self) -> str:
        settings = json.dumps([self._wire.base_url, self._wanted], sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:32]


def _no_assistant(name: str, error: NotThere) -> Misconfigured:
    return Misconfigured(f"The server has no assistant {name}. Check ASST_ID: {error}")


def _wanted(setup: Setup, toolbox: ToolBox) -> Json:
    """Returns the assistant object that these settings describe."""
    hosted = [tool for tool in setup.hosted if tool.get("type") in OWN_TOOLS]
    wanted: Json = {
        "name": "chat-gateway",
        "model": setup.model,
        "instructions": setup.instructions,
        "tools": [
            *({"type": tool["type"]} for tool in hosted),
            *({"type": "function", "function": schema} for schema in toolbox.schemas),
        ],
    }
    stores = [name for tool in hosted for name in tool.get("vector_store_ids", [])]
    if stores:
        wanted["tool_resources"] = {"file_search": {"vector_store_ids": stores}}
    return wanted
