"""POST /chat: the platform of programs. A caller waits for the reply, watches it come, or fetches it later."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Annotated, cast

import flask
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    SecretStr,
    create_model,
    field_validator,
)

from gateway.api import views
from gateway.api.jsontext import STORABLE, VISIBLE, read_model
from gateway.api.openapi import Header, Operation, Reply
from gateway.api.waiting import Pace, WaitingRoom
from gateway.errors import Conflict, Overloaded, ThreadNotFound, TurnNotFound, Unreadable, Unverified
from gateway.messages import Conversation, ConversationKey, Message, Shown, Turn, TurnId
from gateway.ports import Accepted, Check, Inbox, Outbox, Receipt, Request
from gateway.settings import Environment

NAME = "http"
SPARE_THREADS = 50
"""Web threads that no waiting caller may take, so that everything else is still answered."""
SECONDS_BETWEEN_DELTAS = 0.05
PULSE = 2.0
"""Seconds after which a waiting thread looks whether its caller is still there."""
BYTES_PER_CHARACTER = 12
"""What a character may take in JSON: two escapes of six."""
OTHER_BYTES = 4096

IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
TURN_NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")
MESSAGE = "What to say."
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.\-]*://[A-Za-z0-9.\-]+(:\d+)?")


class HttpSettings(Environment):
    gateway_api_keys: SecretStr | None = None
    """Comma-separated; when set, every caller of /chat must show one as a bearer token."""
    cors_origins: str = "*"
    """Comma-separated origins whose pages may call /chat from a browser; * for all."""
    chat_wait_seconds: PositiveFloat = 120.0
    """How long a caller is kept waiting without news."""
    chat_requests_per_minute: NonNegativeInt = 0
    """For each API key, or else each client address; 0: no limit."""
    trusted_proxies: NonNegativeInt = 0
    """How many proxies of one's own add to X-Forwarded-For; 0: the address that connects is the client's."""

    @field_validator("gateway_api_keys")
    @classmethod
    def _some_key(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None and not _split(keys.get_secret_value()):
            raise ValueError("holds no key; list the keys with commas between them, or unset it to let everybody in")
        return keys

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: str) -> str:
        if not _split(origins) or not all(ORIGIN.fullmatch(origin) for origin in _split(origins)):
            raise ValueError("must be * or a list of origins such as https://example.com, with commas between them")
        return origins

    @property
    def keys(self) -> tuple[str, ...]:
        return _split(self.gateway_api_keys.get_secret_value()) if self.gateway_api_keys else ()

    def secrets(self) -> tuple[str, ...]:
        return (*super().secrets(), *self.keys)


def _split(listed: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in listed.split(",") if part.strip())


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


# ---------------------------------------------------------------- the adapter


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
        owner = self.owner(request.headers)
        if len(request.body) > self.max_body_bytes:
            raise Unreadable(f"The body is larger than {self.max_body_bytes} bytes.", code="payload_too_large")
        asked = read_model(self._model, request.headers.get("content-type", ""), request.body)
        key = ConversationKey(NAME, workspace=owner, channel=asked.thread_id or f"thr_{secrets.token_hex(12)}")
        message_id, address = _identity(owner, request.headers.get("idempotency-key"), asked)
        message = Message(key, message_id, asked.message, asked.user or "", address, opens=asked.thread_id is None)
        return Asked(message, asked.stream)

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

    def let_go(self, after: float) -> None:
        """Take no more callers, and let those that wait go ``after`` seconds from now. Their turns go on."""
        self.room.close(after)

    def routes(self, inbox: Inbox) -> flask.Blueprint:
        blueprint = flask.Blueprint(NAME, __name__)
        routes = Routes(self, inbox)
        for operation in self.operations():
            view = getattr(routes, operation.name)
            blueprint.add_url_rule(operation.path, operation.name, view, methods=[operation.method])
        blueprint.record_once(lambda state: _share(cast("flask.Flask", state.app), self.settings.cors_origins))
        return blueprint

    def operations(self) -> Sequence[Operation]:
        return tuple(replace(operation, secured=bool(self._owners)) for operation in _operations(self._model))


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


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:40]


def _share(app: flask.Flask, origins: str) -> None:
    """Let pages of these origins call /chat: also its errors that no view answers, so on the app and not on a view."""
    CORS(
        app,
        resources={r"/chat(/.*)?": {"origins": list(_split(origins))}},
        methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Prefer"],
        expose_headers=["Location", "Preference-Applied", "Retry-After"],
        send_wildcard=True,
        always_send=False,
        max_age=3600,
    )


# ---------------------------------------------------------------- the routes


@dataclass(frozen=True, slots=True)
class Routes:
    """What each route does."""

    adapter: HttpAdapter
    inbox: Inbox

    def chat(self) -> ResponseReturnValue:
        flask.request.max_content_length = self.adapter.max_body_bytes + 1  # a body in chunks is cut off there
        headers = _headers()
        asked = self.adapter.read(Request(headers, flask.request.get_data()))
        self.adapter.limit(asked.message.key.workspace or self._address())
        if "respond-async" in _listed(headers.get("prefer", "")):
            return self._later(asked)
        with ExitStack() as leaving:
            watches = asked.stream or _prefers_stream(headers.get("accept", ""))
            accepted, news = self._wait(asked, leaving, watches=watches)
            gone = views.caller_gone(flask.request.environ)
            if not watches:
                return views.awaited(accepted.turn, news, gone)
            stream = views.events(accepted.turn, news, gone, ping_seconds=self.adapter.ping_seconds)
            response = flask.Response(stream, headers=STREAM_HEADERS, content_type=f"{views.STREAM}; charset=utf-8")
            response.call_on_close(leaving.pop_all().close)
            return response

    def show_turn(self, turn_id: str) -> ResponseReturnValue:
        return views.turn(self._turn(turn_id))

    def cancel_turn(self, turn_id: str) -> ResponseReturnValue:
        turn = self.inbox.cancel(self._turn(turn_id).id)
        self.adapter.room.settle(turn)  # a queued one would be delivered only when those before it are
        return views.turn(turn)

    def show_thread(self, thread_id: str) -> ResponseReturnValue:
        conversation = self._conversation(thread_id)
        return views.thread(conversation, self.inbox.transcript(conversation))

    def forget_thread(self, thread_id: str) -> ResponseReturnValue:
        for turn in self.inbox.forget(self._conversation(thread_id)):
            self.adapter.room.settle(turn)  # nobody delivers what is forgotten
        return "", 204

    def _later(self, asked: Asked) -> ResponseReturnValue:
        self.adapter.room.check_open()
        turn = self._accept(asked, self.inbox.new_turn()).turn
        location = flask.url_for(".show_turn", turn_id=turn.id)
        return views.accepted(turn), 202, {"Location": location, "Preference-Applied": "respond-async"}

    def _wait(self, asked: Asked, leaving: ExitStack, *, watches: bool) -> tuple[Accepted, views.News]:
        """Take a place in the room first and then hand the message in, so that nothing of its turn is missed."""
        turn = self.inbox.new_turn()
        waiter = self.adapter.room.enter(turn, watches=watches)
        leaving.callback(waiter.close)
        accepted = self._accept(asked, turn)
        if accepted.turn.id != turn:
            waiter.turn_to(accepted.turn.id)
            accepted = replace(accepted, turn=self.inbox.turn(accepted.turn.id))  # it may have been decided meanwhile
        if accepted.turn.state.decided:
            return accepted, (accepted.turn,)
        return accepted, waiter.news(
            partial(self.inbox.turn, accepted.turn.id),
            here=accepted.here,
            patience=self.adapter.settings.chat_wait_seconds,
            pulse=min(PULSE, self.adapter.ping_seconds),
        )

    def _accept(self, asked: Asked, turn: TurnId) -> Accepted:
        message = asked.message
        try:
            accepted = self.inbox.accept(message, turn)
        except ThreadNotFound:
            if message.opens:
                raise
            located = self.inbox.locate(message.key)
            accepted = self.inbox.accept(replace(message, key=located.key), turn)
        if accepted.turn.message.address.get("digest") != message.address.get("digest"):
            explanation = "This Idempotency-Key was used with another body. Use a new key for a new message."
            raise Conflict(explanation, code="idempotency_conflict")
        return accepted

    def _turn(self, turn_id: str) -> Turn:
        """The caller's own turn. Raises Unverified, TurnNotFound: also for the turns of others."""
        owner = self.adapter.owner(_headers())
        if TURN_NAME.fullmatch(turn_id):
            turn = self.inbox.turn(TurnId(turn_id))
            if (turn.message.key.platform, turn.message.key.workspace) == (NAME, owner):
                return turn
        raise TurnNotFound("There is no such turn.")

    def _conversation(self, thread_id: str) -> Conversation:
        owner = self.adapter.owner(_headers())
        return self.inbox.locate(ConversationKey(NAME, workspace=owner, channel=thread_id))

    def _address(self) -> str:
        """Where the caller connects from: as the outermost of our own proxies saw it."""
        route, proxies = flask.request.access_route, self.adapter.settings.trusted_proxies
        if not proxies:
            return flask.request.remote_addr or ""
        return route[-min(proxies, len(route))]


def _headers() -> dict[str, str]:
    return {name.lower(): value for name, value in flask.request.headers}


def _listed(header: str) -> set[str]:
    return {part.partition(";")[0].strip().lower() for part in header.split(",")}


def _prefers_stream(accept: str) -> bool:
    """Whether events are asked for by name, and not less than JSON."""
    if views.STREAM not in accept:
        return False
    wanted = flask.request.accept_mimetypes
    return wanted[views.STREAM] > wanted["application/json"]


# ---------------------------------------------------------------- their description

SAY = """Say something. Waits for the reply. With `stream`, or when `Accept` asks for it, the reply comes as server-sent
events while it is written."""
STREAMED = """Events, each with JSON data: `turn` (`thread_id`, `turn_id`) first; `delta` (`text`) and `tool` (`name`)
while the reply is written; at the end one `done` (as without streaming) or `error` (as any error, and its `status`)."""
HEADERS = (
    Header("Idempotency-Key", "The same key again returns the same turn, never a second one."),
    Header("Prefer", "`respond-async`: answer at once, with where the turn can be fetched."),
)
TURN, THREAD = "/chat/turns/<turn_id>", "/chat/threads/<thread_id>"


def _operations(request: type[ChatRequest]) -> Sequence[Operation]:
    replies = {
        200: Reply("The reply.", views.TurnReply, stream=STREAMED),
        202: Reply("The turn, begun.", views.TurnAccepted),
    }
    problems = (400, 401, 404, 408, 409, 413, 415, 429, 502, 503, 504)
    kept = (401, 404, 429, 502, 503, 504)
    turn, thread = Reply("The turn.", views.TurnView), Reply("The thread.", views.ThreadView)
    read = "Read a thread. One that only the backend knows is adopted by the name it has there."
    forget = "Forget a thread. Here and at the backend; what runs in it is cancelled."
    return (
        Operation("chat", "POST", "/chat", SAY, replies, problems, request, HEADERS),
        Operation("show_turn", "GET", TURN, "Look a turn up.", {200: turn}, (401, 404, 503)),
        Operation("cancel_turn", "POST", f"{TURN}/cancel", "Cancel a turn.", {200: turn}, (401, 404, 409, 503)),
        Operation("show_thread", "GET", THREAD, read, {200: thread}, kept),
        Operation("forget_thread", "DELETE", THREAD, forget, {204: Reply("It is gone.")}, kept),
    )
