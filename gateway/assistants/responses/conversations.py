"""Conversations of the Responses API: the items that the server stores per thread."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from gateway.assistants.api_client import AssistantApiClient, path_segment
from gateway.assistants.errors.error_map import BadRequest, NotFound
from gateway.assistants.history.exchanges import pair_exchanges
from gateway.assistants.json_fields import as_text
from gateway.assistants.responses.items import exchange_items, first_text, message_text
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError, AssistantRefused, ThreadMissing
from gateway.domain.exchange import Exchange
from gateway.domain.models import ThreadId

ITEMS_PER_POST = 20
ITEMS_PER_PAGE = 100
MAX_IMPORTED_EXCHANGES = 100
"""Limit for imported history."""


class ServerConversations:
    """Creates, reads and deletes conversations; each is the thread of one gateway conversation."""

    def __init__(self, api: AssistantApiClient) -> None:
        self._api = api

    async def create(self, history: Sequence[Exchange]) -> ThreadId:
        """Creates a conversation that contains these exchanges. Raises NotFound at a server without conversations."""
        items = [item for exchange in history for item in exchange_items(exchange)]
        conversation = await self._api.post("/conversations", {"items": items[:ITEMS_PER_POST]} if items else {})
        thread = ThreadId(as_text(conversation.get("id")))
        if not thread:
            raise NotFound("the answer of /conversations has no id")
        try:
            for start in range(ITEMS_PER_POST, len(items), ITEMS_PER_POST):
                await self._api.post(f"{_path(thread)}/items", {"items": items[start : start + ITEMS_PER_POST]})
        except AssistantError:
            with suppress(AssistantError):
                await self.delete(thread)
            raise
        return thread

    async def add(self, thread_id: ThreadId, exchanges: Sequence[Exchange], said: str) -> None:
        """Adds exchanges at once, unless the conversation ends with ``said``, the assistant's text as it has it.

        Raises AssistantRefused when there are more of them than one request may add.
        """
        async with aclosing(self.items_newest_first(thread_id)) as items:
            async for item in items:
                if item.get("type") == "message":
                    if item.get("role") == "assistant" and message_text(item) == said:
                        return
                    break
        new = [item for exchange in exchanges for item in exchange_items(exchange)]
        if len(new) > ITEMS_PER_POST:  # half of them could be added twice
            raise AssistantRefused(f"{len(new)} items are too many to add at once")
        await self._api.post(f"{_path(thread_id)}/items", {"items": new})

    async def import_history(self, thread_id: ThreadId) -> list[Exchange] | None:
        """Returns the exchanges; of a user message only its first text, as files follow it. None: no such thread."""
        said: list[tuple[str, str]] = []
        try:
            async with aclosing(self.items_newest_first(thread_id)) as items:
                async for item in items:
                    if item.get("type") == "message":
                        role = as_text(item.get("role"))
                        said.append((role, first_text(item) if role == "user" else message_text(item)))
                    if sum(role == "user" for role, _ in said) == MAX_IMPORTED_EXCHANGES:
                        break
        except (ThreadMissing, BadRequest):  # BadRequest: not a valid conversation id
            return None
        return pair_exchanges(reversed(said))

    async def delete(self, thread_id: ThreadId) -> None:
        with suppress(NotFound, BadRequest):
            await self._api.delete(_path(thread_id))

    async def items_newest_first(self, thread_id: ThreadId) -> AsyncGenerator[Json, None]:
        """Yields the items of a conversation, newest first. Raises ThreadMissing."""
        query = {"limit": ITEMS_PER_PAGE, "order": "desc"}
        try:
            async with aclosing(self._api.iterate_list(f"{_path(thread_id)}/items", query)) as items:
                async for item in items:
                    yield item
        except NotFound as exc:
            raise ThreadMissing(str(exc)) from exc

    async def newest_items(self, thread_id: ThreadId) -> list[Json]:
        """Returns the newest hundred items of a conversation, oldest first. Raises ThreadMissing."""
        newest: list[Json] = []
        async with aclosing(self.items_newest_first(thread_id)) as items:
            async for item in items:
                newest.append(item)
                if len(newest) == ITEMS_PER_PAGE:
                    break
        return newest[::-1]

    async def get_item(self, thread_id: str, item_id: str) -> Json:
        """Returns one item. Raises NotFound."""
        return await self._api.get(f"{_path(thread_id)}/items/{path_segment(item_id)}")

    async def exists(self, thread_id: ThreadId) -> bool:
        try:
            await self._api.get(_path(thread_id))
        except NotFound:
            return False
        return True

    async def are_served(self) -> bool:
        """Returns whether the server has conversations: asked for one that cannot exist, it names the id then."""
        try:
            await self._api.get("/conversations/conv_0")
        except NotFound as exc:
            return re.search(r"(?<![/\w])conv_0", str(exc)) is not None  # it names the id, not the path
        except BadRequest:
            return True
        return True


def _path(thread_id: str) -> str:
    return f"/conversations/{path_segment(thread_id)}"
