"""/conversations and their items: developers.openai.com/api/reference/resources/conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from adapters.openai_api.asking import Asking
from adapters.openai_api.callers import Caller, Callers
from adapters.openai_api.conversations import Conversations
from adapters.openai_api.errors import InvalidRequest, NoSuchObject
from adapters.openai_api.item_references import ItemReferences
from adapters.openai_api.paging import list_body, paged, read_page
from adapters.openai_api.repetition import read_post
from adapters.openai_api.request_body import SMALL_BYTES
from adapters.openai_api.request_fields import Metadata, Refusing, check_include, read_request
from adapters.openai_api.response_items import Items
from adapters.openai_api.response_request import InputItem, item_steps
from adapters.openai_api.settings import PREFIX
from gateway.ports.api_objects import ApiObject
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response

PATH = f"{PREFIX}/conversations"
ONE = f"{PATH}/<conversation_id>"
MAX_ITEMS = 20
"""Of one request, as at OpenAI."""

SomeItems = Annotated[list[InputItem], Field(max_length=MAX_ITEMS, fail_fast=True)]


class CreateRequest(Refusing):
    items: SomeItems | None = None
    metadata: Metadata | None = None


class UpdateRequest(Refusing):
    metadata: Metadata | None


class AddRequest(Refusing):
    items: SomeItems


@dataclass(frozen=True, slots=True)
class ConversationRoutes:
    """The handlers. They run on the worker's loop."""

    callers: Callers
    asking: Asking
    conversations: Conversations
    references: ItemReferences

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", PATH, self.create),
            Route("GET", ONE, self.show),
            Route("POST", ONE, self.update),
            Route("DELETE", ONE, self.delete),
            Route("POST", f"{ONE}/items", self.add),
            Route("GET", f"{ONE}/items", self.list_items),
            Route("GET", f"{ONE}/items/<item_id>", self.show_item),
            Route("DELETE", f"{ONE}/items/<item_id>", self.delete_item),
        )

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller = self.callers.reader(request)
        body = await request.read_body(SMALL_BYTES)
        asked, post = read_request(CreateRequest, body or b"{}"), read_post(caller, request, body)
        items = await self._read(caller, asked.items or [])
        return json_response(_body(await self.conversations.create(caller, asked.metadata or {}, items, post)))

    async def _read(self, caller: Caller, items: Sequence[InputItem]) -> Items:
        """Raises InvalidRequest, NoSuchObject."""
        return Items(item_steps(await self.references.resolved(caller, items, "items"), "items"))

    async def show(self, request: HttpRequest) -> HttpResponse:
        return json_response(_body(await self._find(request)))

    async def update(self, request: HttpRequest) -> HttpResponse:
        found = await self._find(request)
        asked = read_request(UpdateRequest, await request.read_body(SMALL_BYTES))
        await self.conversations.update(found, asked.metadata or {})
        return json_response({**_body(found), "metadata": asked.metadata or {}})

    async def delete(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.callers.reader(request), request.path_values["conversation_id"]
        for turn in await self.conversations.delete(caller, name):
            self.asking.waiters.resolve(turn)  # the worker does not deliver turns that are gone
        return json_response({"id": name, "object": "conversation.deleted", "deleted": True})

    async def add(self, request: HttpRequest) -> HttpResponse:
        check_include(request)
        caller = self.callers.reader(request)
        found = await self.conversations.find(caller, request.path_values["conversation_id"])
        body = await request.read_body(SMALL_BYTES)
        asked, post = read_request(AddRequest, body), read_post(caller, request, body)
        items = await self._read(caller, asked.items)
        return json_response(list_body(await self.conversations.add_items(found, items, post)))

    async def list_items(self, request: HttpRequest) -> HttpResponse:
        check_include(request)
        return json_response(paged(await self._items(request), read_page(request)))

    async def show_item(self, request: HttpRequest) -> HttpResponse:
        check_include(request)
        name = request.path_values["item_id"]
        found = next((item for item in await self._items(request) if item["id"] == name), None)
        if found is None:
            raise NoSuchObject(f"Item with id '{name[:100]}' not found.")
        return json_response(found)

    async def delete_item(self, request: HttpRequest) -> HttpResponse:
        """Refuses: the assistant remembers what was said, so nothing of it could be taken back."""
        await self._find(request)
        raise InvalidRequest("Items of a conversation cannot be deleted here; delete the conversation.")

    async def _find(self, request: HttpRequest) -> ApiObject:
        return await self.conversations.find(self.callers.reader(request), request.path_values["conversation_id"])

    async def _items(self, request: HttpRequest) -> Sequence[dict[str, Any]]:
        caller = self.callers.reader(request)
        return await self.conversations.list_items(caller, request.path_values["conversation_id"])


def _body(conversation: ApiObject) -> dict[str, Any]:
    metadata = conversation.body.get("metadata", {})
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created_at),
        "metadata": metadata,
    }
