"""Threads and their messages: platform.openai.com/docs/api-reference/threads, .../messages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapters.openai_api.assistants.bodies import (
    MessageRequest,
    MetadataChange,
    ThreadChange,
    ThreadRequest,
)
from adapters.openai_api.assistants.context import (
    EMPTY_THREAD,
    MAX_BODY_BYTES,
    THREAD,
    AssistantsContext,
    message_objects,
)
from adapters.openai_api.assistants.message_view import (
    NOTE,
    is_deleted,
    messages_of_turn,
    stored_message,
    timeline,
    with_note,
)
from adapters.openai_api.callers import Caller
from adapters.openai_api.errors import InvalidRequest, NoSuchObject
from adapters.openai_api.ids import MESSAGE, derived, new_id, run_of
from adapters.openai_api.paging import Page, paged, read_page
from adapters.openai_api.repetition import Post, read_post
from adapters.openai_api.request_fields import read_request
from adapters.openai_api.stored_objects import made_once
from gateway.domain.errors import Conflict
from gateway.ports.api_objects import ApiObject, ThreadState
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ThreadRoutes:
    context: AssistantsContext

    def routes(self) -> Sequence[Route]:
        one = "/v1/threads/<thread_id>"
        messages, message = f"{one}/messages", f"{one}/messages/<message_id>"
        return (
            Route("POST", "/v1/threads", self.create),
            Route("GET", one, self.retrieve),
            Route("POST", one, self.modify),
            Route("DELETE", one, self.delete),
            Route("POST", messages, self.add_message),
            Route("GET", messages, self.list_messages),
            Route("GET", message, self.retrieve_message),
            Route("POST", message, self.modify_message),
            Route("DELETE", message, self.delete_message),
        )

    # ------------------------------------------------------------ threads

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        body = await request.read_body(MAX_BODY_BYTES)
        asked, post = read_request(ThreadRequest, body or b"{}"), read_post(caller, request, body)
        bodies = await self.context.read_messages(caller, asked.messages or (), "messages")
        make = partial(self._make, caller, asked, bodies, post)
        made = await made_once(self.context.objects, self.context.api.attempts, post, make)
        thread = next(each for each in made if each.kind == THREAD)
        return json_response(thread_view(thread.id, thread))

    async def _make(
        self, caller: Caller, asked: ThreadRequest, bodies: Sequence[Mapping[str, Any]], post: Post
    ) -> Sequence[ApiObject]:
        thread = new_thread(caller, asked, new_id("thread"), post.name)
        thread = await self.context.checked(caller, thread, bodies)
        messages = message_objects(bodies, caller, thread.id, post)
        if messages:
            await asyncio.to_thread(self.context.objects.add_messages, thread, messages, opens=True)
        return await asyncio.to_thread(self.context.objects.add, [thread])

    async def retrieve(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.context.api.callers.reader(request), request.path_values["thread_id"]
        return json_response(_view_of(name, await self.context.thread_state(caller, name)))

    async def modify(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.context.api.callers.reader(request), request.path_values["thread_id"]
        asked = read_request(ThreadChange, await request.read_body(MAX_BODY_BYTES))
        thread = (await self.context.thread_state(caller, name)).thread
        await self.context.server_files.check_resources(caller, thread_fields(asked).get("tool_resources"))
        changed = {**(thread.body if thread else EMPTY_THREAD), **thread_fields(asked)}
        if thread is None:
            await asyncio.to_thread(self.context.objects.add, [ApiObject(name, THREAD, caller.owner, changed)])
        else:
            await asyncio.to_thread(self.context.objects.replace_body, name, changed)
        return json_response(_view_of(name, await self.context.thread_state(caller, name)))

    async def delete(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.context.api.callers.reader(request), request.path_values["thread_id"]
        state = await self.context.thread_state(caller, name)
        if state.conversation is not None:
            for turn in await self.context.api.inbox.delete_conversation(state.conversation):
                self.context.api.waiters.resolve(turn)  # the worker does not deliver what is deleted
        await asyncio.to_thread(self.context.objects.delete, name)
        return json_response({"id": name, "object": "thread.deleted", "deleted": True})

    # ------------------------------------------------------------ messages

    async def add_message(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.context.api.callers.reader(request), request.path_values["thread_id"]
        body = await request.read_body(MAX_BODY_BYTES)
        asked, post = read_request(MessageRequest, body), read_post(caller, request, body)
        bodies = await self.context.read_messages(caller, [asked], "")
        make = partial(self._add, caller, name, bodies, post)
        (made,) = await made_once(self.context.objects, self.context.api.attempts, post, make)
        return json_response(stored_message(made))

    async def _add(
        self, caller: Caller, name: str, bodies: Sequence[Mapping[str, Any]], post: Post
    ) -> Sequence[ApiObject]:
        """Raises NoSuchObject; InvalidRequest while a run is active."""
        await self.context.attach(caller, name, bodies)
        messages = message_objects(bodies, caller, name, post)
        thread = ApiObject(name, THREAD, caller.owner, EMPTY_THREAD)
        try:
            added = await asyncio.to_thread(self.context.objects.add_messages, thread, messages)
            if added is None:  # unless it may be opened
                await self.context.thread_state(caller, name)
                added = await asyncio.to_thread(self.context.objects.add_messages, thread, messages)
        except Conflict:
            newest = (await self.context.thread_state(caller, name)).newest
            run = run_of(newest.id) if newest else ""
            raise InvalidRequest(f"Can't add messages to {name} while a run {run} is active.") from None
        if added is None:
            raise NoSuchObject(f"No thread found with id '{name}'.")
        return added

    async def list_messages(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.context.api.callers.reader(request), request.path_values["thread_id"]
        page, run = read_page(request), request.query_value("run_id")
        if not run and page.newest_first and not page.after and not page.before:
            return json_response(paged(await self._newest(caller, name, page), page))
        state = await self.context.thread_state(caller, name)
        if run:
            turn = await self.context.turn(caller, name, run)
            rows = await self._rows(name, turn.seq, turn.seq)
            notes = [row for row in rows if row.kind == NOTE]
            return json_response(paged([each for each in timeline([turn], notes) if each["run_id"] == run], page))
        turns = await self.context.api.inbox.transcript(state.conversation) if state.conversation else ()
        return json_response(paged(timeline(turns, await self._rows(name, 0, None)), page))

    async def retrieve_message(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        return json_response((await self._message(caller, request))[0])

    async def modify_message(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        asked = read_request(MetadataChange, await request.read_body(MAX_BODY_BYTES))
        item, stored = await self._message(caller, request)
        metadata = asked.metadata or {}
        if stored is not None:
            await asyncio.to_thread(self.context.objects.replace_body, stored.id, {**stored.body, "metadata": metadata})
        else:
            await self._note(caller, item, {"metadata": metadata})
        return json_response({**item, "metadata": metadata})

    async def delete_message(self, request: HttpRequest) -> HttpResponse:
        caller = self.context.api.callers.reader(request)
        item, stored = await self._message(caller, request)
        if stored is not None:
            await asyncio.to_thread(self.context.objects.delete, stored.id)
        else:
            await self._note(caller, item, {"deleted": True})
        return json_response({"id": item["id"], "object": "thread.message.deleted", "deleted": True})

    async def _note(self, caller: Caller, item: Item, body: Mapping[str, Any]) -> None:
        """Stores what a caller changed of a message that belongs to a turn."""
        found = derived(MESSAGE, item["id"])
        turn = await self.context.api.inbox.get_turn(found.turn) if found else None
        note = ApiObject(item["id"], NOTE, caller.owner, body, item["thread_id"], turns=turn.seq if turn else 0)
        await asyncio.to_thread(self.context.objects.add, [note])
        await asyncio.to_thread(self.context.objects.replace_body, note.id, body)

    async def _message(self, caller: Caller, request: HttpRequest) -> tuple[Item, ApiObject | None]:
        """Returns a message, and the row that it is if it belongs to no turn. Raises NoSuchObject."""
        thread, name = request.path_values["thread_id"], request.path_values["message_id"]
        stored = await asyncio.to_thread(self.context.objects.get, name)
        if stored is not None and (stored.parent, stored.owner) != (thread, caller.owner):
            stored = None
        if stored is not None and stored.kind != NOTE:
            return stored_message(stored), stored
        found = derived(MESSAGE, name)
        turn = await self.context.find_turn(caller, thread, found.turn) if found else None
        for _, item in messages_of_turn(turn) if turn else ():
            if item["id"] == name and not is_deleted(stored.body if stored else None):
                return with_note(item, stored.body if stored else None), None
        raise NoSuchObject(f"No message found with id '{name[:128]}'.")

    async def _newest(self, caller: Caller, name: str, page: Page) -> Sequence[Item]:
        """Returns at least the messages of the first page and one more, if there are so many. Raises NoSuchObject."""
        most_turns = page.limit // 2 + 1  # a turn has a message and a reply
        while True:
            found = await self.context.reads.newest_messages(caller.thread_key(name), most_turns)
            if found.thread is None and not found.turns:
                await self.context.thread_state(caller, name)  # unless it may be opened
            items = timeline(found.turns, found.rows)
            if len(items) > page.limit or not found.turns or found.turns[0].seq <= 1:
                return items
            most_turns *= 4

    async def _rows(self, name: str, turns_from: int, turns_to: int | None) -> Sequence[ApiObject]:
        objects = self.context.objects
        return await asyncio.to_thread(objects.list_of_parent, name, turns_from=turns_from, turns_to=turns_to)


def new_thread(caller: Caller, asked: ThreadChange, name: str, request: str | None = None) -> ApiObject:
    return ApiObject(name, THREAD, caller.owner, {**EMPTY_THREAD, **thread_fields(asked)}, request=request)


def thread_fields(asked: ThreadChange) -> Mapping[str, Any]:
    """Returns the fields that a request names."""
    resources = asked.tool_resources.model_dump(exclude_none=True) if asked.tool_resources else None
    given = {"metadata": asked.metadata or {}, "tool_resources": resources}
    return {name: value for name, value in given.items() if name in asked.model_fields_set}


def thread_view(name: str, thread: ApiObject | None, used_at: float = 0.0) -> Item:
    """``used_at``: when its newest turn was received, which is all that is known of when some were made."""
    body = thread.body if thread else EMPTY_THREAD
    created = (thread.created_at if thread else 0.0) or used_at
    return {
        "id": name,
        "object": "thread",
        "created_at": int(created),
        "metadata": body["metadata"],
        "tool_resources": body["tool_resources"] or {},
    }


def _view_of(name: str, state: ThreadState) -> Item:
    return thread_view(name, state.thread, state.newest.received_at if state.newest else 0.0)
