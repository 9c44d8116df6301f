"""Conversations of the Responses API: the items that the server stores per thread."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from gateway.assistants.api_client import Wire, segment
from gateway.assistants.error_map import BadRequest, NotThere
from gateway.assistants.history import pair
from gateway.assistants.json_fields import text
from gateway.assistants.responses.items import first_text, message_text
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError, Misconfigured, ThreadLost
from gateway.domain.models import Exchange, ThreadId

ITEMS_PER_POST = 20
ITEMS_PER_PAGE = 100
REMEMBERED = 100
"""Limit for imported history."""


class ServerConversations:
    """Creates, reads and deletes conversations; each is the thread of one gateway conversation."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def open(self, history: Sequence[Exchange]) -> ThreadId:
        items = [item for exchange in history for item in _items(exchange)]
        try:
            conversation = await self._wire.post("/conversations", {"items": items[:ITEMS_PER_POST]} if items else {})
        except NotThere as exc:
            raise self._none() from exc
        thread = ThreadId(text(conversation.get("id")))
        try:
            for start in range(ITEMS_PER_POST, len(items), ITEMS_PER_POST):
                await self._wire.post(f"{_path(thread)}/items", {"items": items[start : start + ITEMS_PER_POST]})
        except AssistantError:
            with suppress(AssistantError):
                await self.forget(thread)
            raise
        return thread

    async def recall(self, thread: ThreadId) -> list[Exchange] | None:
        """Returns the exchanges; of a user message only its first text, as files follow it. None: no such thread."""
        said: list[tuple[str, str]] = []
        try:
            async with aclosing(self.newest(thread)) as items:
                async for item in items:
                    if item.get("type") == "message":
                        role = text(item.get("role"))
                        said.append((role, first_text(item) if role == "user" else message_text(item)))
                    if sum(role == "user" for role, _ in said) == REMEMBERED:
                        break
        except (ThreadLost, BadRequest):  # BadRequest: not a valid conversation id
            return None
        return pair(reversed(said))

    async def forget(self, thread: ThreadId) -> None:
        with suppress(NotThere, BadRequest):
            await self._wire.delete(_path(thread))

    async def newest(self, thread: ThreadId) -> AsyncGenerator[Json, None]:
        """Yields the items of a conversation, newest first. Raises ThreadMissing."""
        query = {"limit": ITEMS_PER_PAGE, "order": "desc"}
        try:
            async with aclosing(self._wire.listed(f"{_path(thread)}/items", query)) as items:
                async for item in items:
                    yield item
        except NotThere as exc:
            raise ThreadLost(str(exc)) from exc

    async def item(self, thread: str, name: str) -> Json:
        """Returns one item. Raises NotFound."""
        return await self._wire.get(f"{_path(thread)}/items/{segment(name)}")

    async def knows(self, thread: ThreadId) -> bool:
        try:
            await self._wire.get(_path(thread))
        except NotThere:
            return False
        return True

    async def find(self) -> None:
        """Checks that the server has conversations, by requesting one that cannot exist: its error names the id then.

        Raises AssistantMisconfigured if it has none.
        """
        try:
            await self._wire.get("/conversations/conv_0")
        except BadRequest:
            return
        except NotThere as exc:
            if not re.search(r"(?<![/\w])conv_0", str(exc)):  # it names the id, not the path
                raise self._none() from exc

    def _none(self) -> Misconfigured:
        return Misconfigured(
            f"The server at {self._wire.host} has no conversations (POST /conversations). Set ASSISTANT_BACKEND=chat."
        )


def _path(thread: str) -> str:
    return f"/conversations/{segment(thread)}"


def _items(exchange: Exchange) -> list[Json]:
    said = (("user", exchange.text), ("assistant", exchange.reply))
    return [{"type": "message", "role": role, "content": content} for role, content in said if content]
