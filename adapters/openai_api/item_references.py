"""Items that a request names by their ids: programs do so with what was said here, and send only what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.conversations import ITEM, Conversations
from adapters.openai_api.errors import NoSuchObject
from adapters.openai_api.ids import response_of_item
from adapters.openai_api.response_request import InputItem, ItemReference, SaidItem
from adapters.openai_api.response_view import items_of_turn
from adapters.openai_api.stored_objects import find_own

MAX_RESPONSES = 200
"""Whose items one request may name."""

Body = Mapping[str, Any]

_item: TypeAdapter[SaidItem] = TypeAdapter(SaidItem)


@dataclass(frozen=True, slots=True)
class ItemReferences:
    """Used on the worker's loop."""

    conversations: Conversations

    async def resolved(self, caller: Caller, items: str | Sequence[InputItem], where: str) -> str | Sequence[SaidItem]:
        """Returns the items, those in place that are only named. ``where``: their field.

        Raises NoSuchObject for one that is not kept, InvalidRequest.
        """
        if isinstance(items, str):
            return items
        known = _Known(self.conversations, caller, {})
        return [
            _item.validate_python(dict(await known.item(each.id, f"{where}[{number}]")))
            if isinstance(each, ItemReference)
            else each
            for number, each in enumerate(items)
        ]


@dataclass(frozen=True, slots=True)
class _Known:
    """The items that one request names."""

    conversations: Conversations
    caller: Caller
    of_responses: dict[str, Mapping[str, Body]]
    """By the id of the response, then by their own."""

    async def item(self, name: str, where: str) -> Body:
        """Raises NoSuchObject, InvalidRequest."""
        response = response_of_item(name)
        if response is None:
            found = await find_own(self.conversations.objects, self.caller, ITEM, name)
            if found is not None and found.body.get("id") == name:  # a message of a thread has none in its body
                return found.body
            raise _no_item(name)
        if response not in self.of_responses:
            if len(self.of_responses) == MAX_RESPONSES:
                raise refusal(where, f"names an item of more than {MAX_RESPONSES} responses")
            self.of_responses[response] = await self._items_of(response, name)
        if name not in self.of_responses[response]:
            raise _no_item(name)
        return self.of_responses[response][name]

    async def _items_of(self, response: str, name: str) -> Mapping[str, Body]:
        """Returns the items of a response, without a message with files, of which there is only the text."""
        try:
            turn = await self.conversations.response(self.caller, response)
        except NoSuchObject:
            raise _no_item(name) from None
        return {each["id"]: each for each in items_of_turn(turn) if not (turn.message.files and _is_of_user(each))}


def _is_of_user(item: Body) -> bool:
    return item.get("role") == "user"


def _no_item(name: str) -> NoSuchObject:
    """As OpenAI's API answers."""
    return NoSuchObject(f"Item with id '{name[:100]}' not found. Items are not kept of responses with store: false.")
