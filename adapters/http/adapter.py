"""Callers of /chat: what they ask becomes a message, and they are told what comes of it."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Annotated

import flask
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, ConfigDict, Field, create_model

from adapters.http import routes
from adapters.http.settings import NAME, HttpSettings
from gateway.api.jsontext import STORABLE, VISIBLE, read_model
from gateway.api.openapi import Operation
from gateway.api.waiting import Pace, WaitingRoom
from gateway.errors import Overloaded, Unreadable, Unverified
from gateway.messages import ConversationKey, Message, Shown, Turn, TurnId
from gateway.ports import Check, Inbox, Outbox, Receipt, Request, Supposed

SPARE_THREADS = 50
"""Web threads that no waiting caller may take, so that everything else is still answered."""
SECONDS_BETWEEN_DELTAS = 0.05
BYTES_PER_CHARACTER = 12
"""What a character may take in JSON: two escapes of six."""
OTHER_BYTES = 4096

IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MESSAGE = "What to say."


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    message: Annotated[str, Field(min_length=1, description=MESSAGE), STORABLE, VISIBLE]
    thread_id: Annotated[str, Field(min_length=1, max_length=128), STORABLE] | None = Field(
        None, description="The thread to continue. Leave it out to open a new one."
    )
    user: Annotated[str, Field(max_length=200), STORABLE] | None = Field(
        None, description="Who says it, in your words."
    )
    stream: bool = Field(default=False, description="Answer with server-sent events while the reply is written.")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to /chat, read."""

    message: Message
    stream: bool


class HttpAdapter:
    """Callers of /chat. One that waits has a place in ``room``, and is told there by the engine's loop."""

    name = NAME

    def __init__(
        self, settings: HttpSettings, *, max_message_chars: int, threads: int, ping_seconds: float = 15.0
    ) -> None:
        """``threads``: how many threads the web server has. ``ping_seconds``: how long a stream may be silent."""
        self.settings = settings
        self.max_body_bytes = max_message_chars * BYTES_PER_CHARACTER + OTHER_BYTES
        self.ping_seconds = ping_seconds
        self.room = WaitingRoom(max(1, threads - SPARE_THREADS))
        self._owners = tuple(_owner(key.encode()) for key in settings.keys)
        self._model = _request_model(max_message_chars)
        self._rate = RateLimitItemPerMinute(settings.chat_requests_per_minute or 1)
        self._limiter = MovingWindowRateLimiter(MemoryStorage()) if settings.chat_requests_per_minute else None

    def receive(self, request: Request) -> Receipt:
        return Receipt((self.read(request).message,))

    def read(self, request: Request) -> Asked:
        """What a caller asks. Raises Unverified, Unreadable.

        A message without an Idempotency-Key is a new one however often it comes, and has a new id each time.
        """
        return self._asked(self.owner(request.headers), request)

    def suppose(self, supposed: Supposed) -> Receipt:
        """A caller's workspace is the digest of its key; of several keys, the first is meant."""
        told = {"message": supposed.text, "user": supposed.user or None, "thread_id": supposed.channel or None}
        request = Request({"content-type": "application/json"}, json.dumps(told).encode())
        return Receipt((self._asked(supposed.workspace or next(iter(self._owners), ""), request).message,))

    def _asked(self, owner: str, request: Request) -> Asked:
        if len(request.body) > self.max_body_bytes:
            raise Unreadable(f"The body is larger than {self.max_body_bytes} bytes.", code="payload_too_large")
        asked = read_model(self._model, request.headers.get("content-type", ""), request.body)
        key = ConversationKey(NAME, workspace=owner, channel=asked.thread_id or f"thr_{secrets.token_hex(12)}")
        message_id, address = _identity(owner, request.headers.get("idempotency-key"), asked)
        message = Message(key, message_id, asked.message, asked.user or "", address, opens=asked.thread_id is None)
        return Asked(replace(message, trace=_trace(request.headers)), asked.stream)

    def owner(self, headers: Mapping[str, str]) -> str:
        """Whose threads a caller may see: a digest of its API key; empty when none is asked for. Raises Unverified."""
        if not self._owners:
            return ""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        caller = _owner(key.strip().encode("latin-1", "replace"))  # as WSGI hands bytes over
        known = [owner for owner in self._owners if hmac.compare_digest(owner, caller)]
        if scheme.lower() != "bearer" or not known:
            raise Unverified("Send an API key of this gateway: Authorization: Bearer <key>.")
        return known[0]

    def limit(self, caller: str) -> None:
        """Count a request. Raises Overloaded (``rate_limited``) when it is one too many within a minute."""
        if self._limiter is None or self._limiter.hit(self._rate, caller):
            return
        free_at = self._limiter.get_window_stats(self._rate, caller).reset_time
        message = f"More than {self._rate.amount} requests within a minute. Come back after Retry-After seconds."
        raise Overloaded(message, code="rate_limited", retry_after=free_at - time.time())

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:  # noqa: ARG002  # there is nothing to note
        if not self.room.watched(turn.id):
            return  # who comes to watch later gets the reply as a whole
        pace = Pace(partial(self.room.show, turn.id), SECONDS_BETWEEN_DELTAS)
        try:
            async for event in events:
                pace.put(event)
        finally:
            pace.close()

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:  # noqa: ARG002  # likewise
        """Tell whoever waits. Who does not wait fetches the turn."""
        self.room.settle(turn)

    async def check(self) -> Sequence[Check]:
        keys = f"{len(self._owners)} API keys" if self._owners else "open to everybody: GATEWAY_API_KEYS is not set"
        return (Check("POST /chat", ok=True, detail=keys),)

    def wake(self, turn: TurnId) -> None:
        self.room.wake(turn)

    def let_go(self, after: float) -> None:
        """Take no more callers, and let those that wait go ``after`` seconds from now. Their turns go on."""
        self.room.close(after)

    def routes(self, inbox: Inbox) -> flask.Blueprint:
        return routes.blueprint(self, inbox)

    def operations(self) -> Sequence[Operation]:
        return tuple(replace(operation, secured=bool(self._owners)) for operation in routes.operations(self._model))


def _request_model(max_message_chars: int) -> type[ChatRequest]:
    message = Field(min_length=1, max_length=max_message_chars, description=MESSAGE)
    return create_model("ChatRequest", __base__=ChatRequest, message=(Annotated[str, message, STORABLE, VISIBLE], ...))


def _owner(key: bytes) -> str:
    return sha256(key).hexdigest()[:32]


def _identity(owner: str, key: str | None, asked: ChatRequest) -> tuple[str, dict[str, str]]:
    """The id of a message, and what is kept with it to know a repetition by. Raises Unreadable."""
    if key is None:
        return f"once_{secrets.token_hex(12)}", {}
    if not IDEMPOTENCY_KEY.fullmatch(key):
        message = "An Idempotency-Key has 1 to 255 printable ASCII characters."
        raise Unreadable(message, code="invalid_field")
    meaning = json.dumps([asked.message, asked.thread_id, asked.user])
    return f"key_{_digest(f'{owner} {key}')}", {"digest": _digest(meaning)}


def _trace(headers: Mapping[str, str]) -> str:
    """The trace that the caller's request belongs to: www.w3.org/TR/trace-context."""
    trace = headers.get("traceparent", "")
    return trace if TRACEPARENT.fullmatch(trace) else ""


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:40]
