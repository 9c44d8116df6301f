"""The routes of pushed messages and their OpenAPI descriptions."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.domain.errors import MalformedRequest, TurnNotFound
from gateway.domain.models import TurnId
from gateway.ports.inbox import AsyncInbox
from gateway.ports.schedules import Schedules
from gateway.push import views
from gateway.push.messages import (
    MAX_SCHEDULES,
    PushMessages,
    check_same_schedule,
    check_same_turn,
    name_for,
    owner_name,
)
from gateway.push.request import PushOrder, PushRequest, order_of
from gateway.web.api.api_keys import ApiKeys, bearer_token, caller_name
from gateway.web.api.cors import Cors
from gateway.web.api.idempotency import idempotency_key, key_doc
from gateway.web.api.json_body import read_model
from gateway.web.api.openapi import Operation, ResponseDoc
from gateway.web.api.routes import Api, HttpRequest, HttpResponse, Route, json_response

PREFIX = "/messages"
TURN, SCHEDULES, SCHEDULE = f"{PREFIX}/<turn_id>", f"{PREFIX}/schedules", f"{PREFIX}/schedules/<schedule_id>"
NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")
BYTES_PER_CHARACTER = 12
"""The most bytes that a character takes in JSON: two escapes of six."""
OTHER_BYTES = 32_768
NO_CORS = Cors(origins=(), methods=(), allowed_headers=(), exposed_headers=())
"""Whoever has such a key does not put it into a page."""
REFUSAL = "Send one of the gateway's PUSH_API_KEYS: Authorization: Bearer <key>."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PushRoutes:
    """The handlers, one for each operation. They run on the worker's loop."""

    keys: ApiKeys
    messages: PushMessages
    schedules: Schedules
    inbox: AsyncInbox
    max_prompt_chars: int
    max_text_chars: int

    async def push_message(self, request: HttpRequest) -> HttpResponse:
        owner = self._owner(request)
        most = max(self.max_prompt_chars, self.max_text_chars) * BYTES_PER_CHARACTER + OTHER_BYTES
        body = read_model(PushRequest, request.headers.get("content-type", ""), await request.read_body(most))
        limits = {"max_prompt_chars": self.max_prompt_chars, "max_text_chars": self.max_text_chars}
        order, name = order_of(body, time.time(), **limits), name_for(owner, idempotency_key(request.headers))
        if order.first_at is None:
            return await self._now(order, owner, name)
        return await self._later(order, owner, name)

    async def _now(self, order: PushOrder, owner: str, name: str) -> HttpResponse:
        message = self.messages.message(order.push, owner, name)
        accepted = await self.inbox.accept(message)
        if not accepted.is_new:
            check_same_turn(message, accepted.turn)
        headers = {"Location": f"{PREFIX}/{accepted.turn.id}"}
        return json_response(views.accepted_turn(accepted.turn), 202, headers)

    async def _later(self, order: PushOrder, owner: str, name: str) -> HttpResponse:
        stored = await _in_thread(lambda: self.schedules.get(f"sch_{name}"))
        # What has begun already, or has passed, is not refused when it is sent again.
        wanted = self.messages.schedule(order, owner, name, 0.0 if stored else time.time())
        if stored is None:
            if await _in_thread(lambda: self.schedules.count_active(owner)) >= MAX_SCHEDULES:
                explanation = f"This key has {MAX_SCHEDULES} schedules already. Cancel some first."
                raise MalformedRequest(explanation, code="too_many_schedules")
            stored = await _in_thread(lambda: self.schedules.add(wanted))
        check_same_schedule(wanted, stored)
        headers = {"Location": f"{PREFIX}/schedules/{stored.id}"}
        return json_response(views.accepted_schedule(stored), 202, headers)

    async def show_push(self, request: HttpRequest) -> HttpResponse:
        owner, name = self._owner(request), request.path_values["turn_id"]
        turn = await self.inbox.get_turn(TurnId(name)) if NAME.fullmatch(name) else None
        if turn is None or turn.message.caller != owner:
            raise TurnNotFound("There is no such turn.")
        return json_response(views.turn_body(turn))

    async def list_schedules(self, request: HttpRequest) -> HttpResponse:
        owner = self._owner(request)
        found = await _in_thread(lambda: self.schedules.listed(MAX_SCHEDULES, owner))
        return json_response(views.schedules_body([views.schedule_view(each) for each in found]))

    async def show_schedule(self, request: HttpRequest) -> HttpResponse:
        owner, name = self._owner(request), request.path_values["schedule_id"]
        found = await _in_thread(lambda: self.schedules.get(name)) if NAME.fullmatch(name) else None
        if found is None or found.owner != owner:
            raise TurnNotFound("There is no such schedule.", code="schedule_not_found")
        return json_response(views.schedule_view(found).model_dump(mode="json"))

    async def cancel_schedule(self, request: HttpRequest) -> HttpResponse:
        await self.show_schedule(request)
        await _in_thread(lambda: self.schedules.cancel(request.path_values["schedule_id"]))
        return HttpResponse(status=204)

    def _owner(self, request: HttpRequest) -> str:
        """Returns who pushes. Raises Unauthenticated."""
        digest = self.keys.owner(bearer_token(request.headers.get("authorization", "")), REFUSAL)
        return owner_name(caller_name(digest, ""))


def api(handlers: PushRoutes) -> Api:
    return Api(
        PREFIX, [Route(each.method, each.path, getattr(handlers, each.operation_id)) for each in OPERATIONS], NO_CORS
    )


async def _in_thread(operation: Callable[[], T]) -> T:
    return await asyncio.to_thread(operation)


# ---------------------------------------------------------------- their description

KEY = key_doc("The same key again is the same message or schedule, never a second one.")
PUSH = """Bring a text to a channel, or have the assistant write it. It comes after what was said in the conversation
before, and the assistant remembers it. With `at` or `every` it comes then."""
SHOWN, LISTED = ResponseDoc("The message.", views.PushView), ResponseDoc("The schedules.", views.ScheduleList)
ACCEPTED = {202: ResponseDoc("The turn or the schedule, recorded.", views.PushAccepted)}
ONE = {200: ResponseDoc("The schedule.", views.ScheduleView)}
REFUSED = (400, 401, 403, 408, 409, 413, 415, 429, 503)
OPERATIONS: Sequence[Operation] = (
    Operation(
        "push_message", "POST", PREFIX, PUSH, ACCEPTED, REFUSED, PushRequest, parameters=(KEY,), requires_api_key=True
    ),
    Operation(
        "show_push", "GET", TURN, "Look a pushed message up.", {200: SHOWN}, (401, 404, 429, 503), requires_api_key=True
    ),
    Operation(
        "list_schedules",
        "GET",
        SCHEDULES,
        "List the schedules of this key.",
        {200: LISTED},
        (401, 429, 503),
        requires_api_key=True,
    ),
    Operation(
        "show_schedule", "GET", SCHEDULE, "Look a schedule up.", ONE, (401, 404, 429, 503), requires_api_key=True
    ),
    Operation(
        "cancel_schedule",
        "DELETE",
        SCHEDULE,
        "Cancel a schedule.",
        {204: ResponseDoc("It is over.")},
        (401, 404, 429, 503),
        requires_api_key=True,
    ),
)
