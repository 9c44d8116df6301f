"""The threads of responses: conversations that callers make, and those that responses begin by themselves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.errors import LOCKED, InvalidRequest, NoSuchObject
from adapters.openai_api.ids import new_id, response_id, turn_of_response
from adapters.openai_api.repetition import Attempts, Post
from adapters.openai_api.response_items import Items, exchanges_of_items
from adapters.openai_api.response_view import ECHO, echo_of, items_of_turn
from adapters.openai_api.said import open_calls
from adapters.openai_api.settings import NAME
from adapters.openai_api.stored_objects import find_own, made_once
from gateway.domain.conversations import Conversation
from gateway.domain.errors import Conflict, ThreadNotFound, TurnNotFound
from gateway.domain.exchange import Exchange, RequestedCall
from gateway.domain.models import ConversationKey, Message, Turn
from gateway.domain.past import exchanges_of, is_answered
from gateway.ports.api_objects import ApiObject, ApiObjects
from gateway.ports.inbox import AsyncInbox

CONVERSATION, DELETED = "conversation", "deleted_response"
ITEM = "message"
"""Retention deletes objects of this kind when they are old."""
MAX_PAST_TURNS = 200
"""Turns of a thread that a response continues from its middle remembers; as the worker takes of any."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a response is to be: the thread, and what it has that the assistant does not know from its turns."""

    key: ConversationKey
    calls: tuple[RequestedCall, ...] | None = ()
    """The calls that it ends with and that have no result; None: its newest turn goes on, so nobody knows."""
    past: tuple[Exchange, ...] | None = None
    """What was said before, if that is not what the turns of the thread have."""
    added: tuple[Exchange, ...] = ()
    """What was said since the newest turn and is none."""


@dataclass(frozen=True, slots=True)
class Conversations:
    """Used on the worker's loop."""

    inbox: AsyncInbox
    objects: ApiObjects
    attempts: Attempts

    # ------------------------------------------------------------ where a response is to be

    async def place_of(self, caller: Caller, conversation: str, previous: str) -> Place:
        """Returns where a response is to be. Raises InvalidRequest, NoSuchObject."""
        if conversation and previous:
            raise refusal("conversation", "cannot be sent together with `previous_response_id`")
        if conversation:
            return await self._in_conversation(caller, conversation)
        if previous:
            return await self._after(caller, previous)
        return Place(caller.thread_key(new_id("responses")))

    async def _in_conversation(self, caller: Caller, name: str) -> Place:
        await self.find(caller, name)
        key = caller.thread_key(name)
        turns = await self._turns(key, 1)
        added = await self._added(name, turns)
        return Place(key, await self._open_calls(turns, added), added=added)

    async def _after(self, caller: Caller, previous: str) -> Place:
        try:
            turn = await self.response(caller, previous)
        except NoSuchObject:
            raise InvalidRequest(
                f"Previous response with id '{previous[:100]}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            ) from None
        newest = await self._turns(turn.message.key, 1)
        calls = await self._open_calls([turn])
        if newest and newest[-1].id == turn.id:
            return Place(turn.message.key, calls)
        turns = await self._turns(turn.message.key, MAX_PAST_TURNS, before=turn.seq + 1)
        return Place(caller.thread_key(new_id("responses")), calls, exchanges_of(turns))

    async def _open_calls(
        self, newest: Sequence[Turn], added: Sequence[Exchange] = ()
    ) -> tuple[RequestedCall, ...] | None:
        """Returns the calls without a result of a thread whose newest turn this is, as ``Place.calls``.

        A turn without an answer is not remembered: then what was before it counts.
        """
        if any(not turn.state.is_resolved for turn in newest):
            return None
        if not all(map(is_answered, newest)):
            newest = await self._turns(newest[-1].message.key, MAX_PAST_TURNS, before=newest[-1].seq + 1)
        return open_calls((*exchanges_of(newest), *added))

    async def known(self, place: Place) -> Sequence[Exchange]:
        """Returns what was said in the thread that a response is to be in."""
        past = exchanges_of(await self._turns(place.key, MAX_PAST_TURNS)) if place.past is None else place.past
        return (*past, *place.added)

    async def asked_again(self, post: Post, cancelled: Turn) -> Message:
        """Returns the message for a turn of a conversation that takes the place of a cancelled one.

        Nothing is remembered of the attempts at this request, of whose answers there may be a part.
        """
        key = cancelled.message.key
        turns = await self._turns(key, MAX_PAST_TURNS)
        inserted = (*cancelled.options.inserted, *await self._added(key.channel, turns[-1:]))
        options = replace(cancelled.options, past=_past_without(turns, post), inserted=inserted)
        return replace(cancelled.message, options=options)

    async def past_without(self, key: ConversationKey, post: Post) -> tuple[Exchange, ...]:
        """Returns what was said in a thread, without the attempts at a request."""
        return _past_without(await self._turns(key, MAX_PAST_TURNS), post)

    async def response(self, caller: Caller, identity: str) -> Turn:
        """Returns a stored response of a caller. Raises NoSuchObject."""
        turn = await self._turn_of(identity)
        is_own = turn is not None and (turn.message.key.platform, turn.message.key.workspace) == (NAME, caller.owner)
        if turn is None or not is_own or ECHO not in turn.message.address or echo_of(turn).get("store") is False:
            raise _no_response(identity)
        if await asyncio.to_thread(self.objects.get, identity) is not None:
            raise _no_response(identity)
        return turn

    async def hide_response(self, turn: Turn) -> None:
        """Forgets the id of a response. Its thread keeps what was said."""
        mark = ApiObject(response_id(turn.id), DELETED, turn.message.key.workspace, {})
        await asyncio.to_thread(self.objects.add, [mark])

    # ------------------------------------------------------------ conversations

    async def create(self, caller: Caller, metadata: Mapping[str, str], items: Items, post: Post) -> ApiObject:
        name, body = f"conv_{secrets.token_hex(16)}", {"metadata": dict(metadata)}
        new = ApiObject(name, CONVERSATION, caller.owner, body, request=post.name)
        make = partial(self._make, new, _objects(new, items, post))
        made = await made_once(self.objects, self.attempts, post, make)
        return next(each for each in made if each.kind == CONVERSATION)

    async def _make(self, conversation: ApiObject, items: Sequence[ApiObject]) -> Sequence[ApiObject]:
        if items:
            await asyncio.to_thread(self.objects.add_messages, conversation, items, opens=True)
        return await asyncio.to_thread(self.objects.add, [conversation])

    async def find(self, caller: Caller, name: str) -> ApiObject:
        """Raises NoSuchObject, also for a conversation of another caller."""
        found = await find_own(self.objects, caller, CONVERSATION, name)
        if found is None:
            raise _no_conversation(name)
        return found

    async def update(self, conversation: ApiObject, metadata: Mapping[str, str]) -> None:
        await asyncio.to_thread(self.objects.replace_body, conversation.id, {"metadata": dict(metadata)})

    async def delete(self, caller: Caller, name: str) -> Sequence[Turn]:
        """Deletes a conversation with its turns; returns those that were cancelled by this."""
        await self.find(caller, name)
        await asyncio.to_thread(self.objects.delete, name)
        conversation = await self._conversation(caller.thread_key(name))
        return await self.inbox.delete_conversation(conversation) if conversation else ()

    async def add_items(self, conversation: ApiObject, items: Items, post: Post) -> Sequence[dict[str, Any]]:
        """Adds items, and returns them as they are listed. Raises NoSuchObject, InvalidRequest, Conflict."""
        new = _objects(conversation, items, post)
        made = await made_once(self.objects, self.attempts, post, partial(self._add, conversation, new)) if new else ()
        return [dict(each.body) for each in made]

    async def _add(self, conversation: ApiObject, items: Sequence[ApiObject]) -> Sequence[ApiObject]:
        try:
            added = await asyncio.to_thread(self.objects.add_messages, conversation, items)
        except Conflict:
            explanation = f"A response is being written in conversation {conversation.id}. Try again when it is there."
            raise InvalidRequest(explanation, param="conversation", code=LOCKED) from None
        if added is None:  # it was deleted just now
            raise _no_conversation(conversation.id)
        return added

    async def list_items(self, caller: Caller, name: str) -> Sequence[dict[str, Any]]:
        """Returns all items, oldest first: those of its turns, and those that were added."""
        await self.find(caller, name)
        added = await self._items(name)
        turns = await self._turns(caller.thread_key(name), None)
        listed = [(each.turns, 0, [dict(each.body)]) for each in added]
        listed += [(turn.seq, -1, items_of_turn(turn)) for turn in turns]
        return [item for _, _, items in sorted(listed, key=lambda each: each[:2]) for item in items]

    # ------------------------------------------------------------ reading

    async def _added(self, name: str, newest: Sequence[Turn]) -> tuple[Exchange, ...]:
        """Returns what was added to a conversation after its newest turn."""
        return exchanges_of_items(await self._items(name, turns_from=newest[-1].seq if newest else 0))

    async def _items(self, name: str, *, turns_from: int = 0) -> Sequence[ApiObject]:
        return await asyncio.to_thread(self.objects.list_of_parent, name, turns_from=turns_from)

    async def _turns(self, key: ConversationKey, limit: int | None, *, before: int | None = None) -> Sequence[Turn]:
        conversation = await self._conversation(key)
        return await self.inbox.transcript(conversation, before=before, limit=limit) if conversation else ()

    async def _conversation(self, key: ConversationKey) -> Conversation | None:
        try:
            return await self.inbox.resolve_conversation(key, may_adopt=False)
        except ThreadNotFound:
            return None

    async def _turn_of(self, identity: str) -> Turn | None:
        turn_id = turn_of_response(identity)
        try:
            return None if turn_id is None else await self.inbox.get_turn(turn_id)
        except TurnNotFound:
            return None


def _past_without(turns: Sequence[Turn], post: Post) -> tuple[Exchange, ...]:
    return exchanges_of([turn for turn in turns if not post.is_of(turn.message.message_id)])


def _objects(conversation: ApiObject, items: Items, post: Post) -> Sequence[ApiObject]:
    """Returns items as they are kept. Raises InvalidRequest."""
    owner, parent, request = conversation.owner, conversation.id, post.name
    return [ApiObject(body["id"], ITEM, owner, body, parent, request) for body in items.stored()]


def _no_conversation(name: str) -> NoSuchObject:
    return NoSuchObject(f"Conversation with id '{name[:100]}' not found.")


def _no_response(identity: str) -> NoSuchObject:
    return NoSuchObject(f"Response with id '{identity[:100]}' not found.")
