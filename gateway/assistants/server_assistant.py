"""The assistant object that the Assistants protocol runs: the operator's own, or one made once for these settings."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress

from gateway import logs
from gateway.assistants import Facts
from gateway.assistants.client import Setup, Wire, segment
from gateway.assistants.shapes import part, parts, text
from gateway.assistants.sse import Json
from gateway.assistants.vendor_errors import NotThere
from gateway.errors import AssistantError, Misconfigured
from gateway.tools import ToolBox

OWN_TOOLS = ("code_interpreter", "file_search")
"""Hosted tools that the protocol knows. Both read files."""

log = logs.get(__name__)


class ServerAssistant:
    """Knows what a run must say of the assistant. Asks the server once per process."""

    def __init__(self, wire: Wire, setup: Setup, toolbox: ToolBox, facts: Facts, assistant_id: str | None) -> None:
        """``assistant_id``: the operator's; then its model and instructions count, and not those of ``setup``."""
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
        """What every run is created with. Raises Misconfigured when there is no such assistant."""
        async with self._lock:
            if self._known is None:
                self._known = await (self._theirs(self._given) if self._given else self._ours())
            return self._known

    async def file_tools(self) -> list[str]:
        """Those of its tools that read files. Raises Misconfigured when there is no such assistant."""
        tools = parts((await self._retrieve(self._given)).get("tools")) if self._given else self._wanted["tools"]
        return [name for name in OWN_TOOLS if any(tool.get("type") == name for tool in tools)]

    def lost(self) -> None:
        """The server did not find it: look again, and make another one if it is ours."""
        self._known = None

    async def find(self) -> None:
        """The smallest request that proves the assistant, or that there could be one. Raises AssistantError."""
        if self._given:
            await self._retrieve(self._given)
        elif not await self.served():
            raise self.gone()

    async def served(self) -> bool:
        """Whether the server has this protocol at all."""
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
        """The operator's assistant with the tools that it has, and ours."""
        if not self._functions:
            return {"assistant_id": name}
        tools = parts((await self._retrieve(name)).get("tools"))
        known = {text(part(tool.get("function")).get("name")) for tool in tools}
        more = [tool for tool in self._functions if text(part(tool["function"]).get("name")) not in known]
        return {"assistant_id": name, "tools": tools + more} if more else {"assistant_id": name}

    async def _retrieve(self, name: str) -> Json:
        try:
            return await self._wire.get(f"/assistants/{segment(name)}")
        except NotThere as exc:
            if not await self.served():
                raise self.gone() from exc
            raise Misconfigured(f"The server has no assistant {name}. Check ASST_ID.") from exc

    async def _ours(self) -> Json:
        """The one that was made for these settings, if it still is there; a new one is remembered as its successor."""
        fact = f"assistant {self._digest()}"
        while name := await self._facts.recall(fact):
            with suppress(NotThere):
                await self._wire.get(f"/assistants/{segment(name)}")
                return {"assistant_id": name}
            fact = f"assistant after {name}"
        return {"assistant_id": await self._make(fact)}

    async def _make(self, fact: str) -> str:
        try:
            made = text((await self._wire.post("/assistants", self._wanted)).get("id"))
        except NotThere as exc:
            raise self.gone() from exc
        kept = await self._facts.remember(fact, made)
        if kept != made:  # another process was first
            with suppress(AssistantError):
                await self._wire.delete(f"/assistants/{segment(made)}")
        log.info("assistant made", assistant=kept)
        return kept

    def _digest(self) -> str:
        settings = json.dumps([self._wire.base_url, self._wanted], sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:32]


def _wanted(setup: Setup, toolbox: ToolBox) -> Json:
    """The assistant that these settings describe."""
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
