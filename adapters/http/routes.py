"""The routes of /chat and their OpenAPI descriptions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import flask
from flask.typing import ResponseReturnValue
from flask_cors import CORS

from adapters.http.caller import CallerLimits, caller_name
from adapters.http.chat_request import ChatRequest, ChatRequestParser, ParsedChatRequest
from adapters.http.request_limit import RequestLimit
from adapters.http.settings import NAME, HttpSettings, split
from gateway.domain.errors import Conflict, ThreadNotFound, TurnNotFound, Unauthenticated
from gateway.domain.models import Conversation, ConversationKey, Turn, TurnId
from gateway.ports.inbox import AcceptResult, Inbox
from gateway.ports.platform import Request
from gateway.web.api import client_address, views
from gateway.web.api.openapi import HeaderDoc, Operation, ResponseDoc
from gateway.web.api.waiting import WaiterRegistry

PULSE = 2.0
"""Seconds between two checks of a waiting thread whether its caller is still connected."""
TURN_NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def blueprint(views: ChatRoutes, operations: Sequence[Operation]) -> flask.Blueprint:
    made = flask.Blueprint(NAME, __name__)
    for operation in operations:
        made.add_url_rule(
            operation.path, operation.operation_id, getattr(views, operation.operation_id), methods=[operation.method]
        )
    made.record_once(lambda state: _allow_origins(cast("flask.Flask", state.app), views.settings.cors_origins))
    return made


@dataclass(frozen=True, slots=True)
class ChatRoutes:
    """The views, one for each operation."""

    settings: HttpSettings
    parser: ChatRequestParser
    limit: RequestLimit
    caller_limits: CallerLimits
    room: WaiterRegistry
    inbox: Inbox
    ping_seconds: float

    def chat(self) -> ResponseReturnValue:
        flask.request.max_content_length = self.parser.max_body_bytes + 1  # where a chunked body is cut off
        headers = _headers()
        self._owner()  # before the body is read
        asked = self.parser.parse(Request(headers, flask.request.get_data()))
        network = client_address.client_network(self.settings.trusted_proxies)
        self.limit.check(asked.message.key.workspace or network)
        asked = replace(asked, message=replace(asked.message, caller=caller_name(asked.message.key.workspace, network)))
        if "respond-async" in _listed(headers.get("prefer", "")):
            return self._later(asked)
        with ExitStack() as leaving:
            watches = asked.stream or _prefers_stream(headers.get("accept", ""))
            accepted, news = self._wait(asked, leaving, watches=watches)
            gone = views.make_disconnect_check(flask.request.environ)
            if not watches:
                return views.wait_for_result(accepted.turn, news, gone)
            stream = views.event_stream(accepted.turn, news, gone, ping_seconds=self.ping_seconds)
            response = flask.Response(
                stream, headers=STREAM_HEADERS, content_type=f"{views.EVENT_STREAM}; charset=utf-8"
            )
            response.call_on_close(leaving.pop_all().close)
            return response

    def show_turn(self, turn_id: str) -> ResponseReturnValue:
        return views.turn_body(self._turn(turn_id))

    def cancel_turn(self, turn_id: str) -> ResponseReturnValue:
        turn = self.inbox.cancel_turn(self._turn(turn_id).id)
        self.room.resolve(turn)  # the worker would deliver a queued one only after those before it
        return views.turn_body(turn)

    def show_thread(self, thread_id: str) -> ResponseReturnValue:
        conversation = self._conversation(thread_id)
        name = flask.request.args.get("before", "")
        before = self._find_turn(name, conversation.key.workspace).seq if name else None
        turns = self.inbox.transcript(conversation, before=before, limit=views.TRANSCRIPT_TURNS)
        return views.thread_body(conversation, turns)

    def forget_thread(self, thread_id: str) -> ResponseReturnValue:
        for turn in self.inbox.delete_conversation(self._conversation(thread_id)):
            self.room.resolve(turn)  # the worker does not deliver forgotten turns
        return "", 204

    def _later(self, asked: ParsedChatRequest) -> ResponseReturnValue:
        self.room.check_open()
        turn = self._accept(asked, self.inbox.new_turn_id()).turn
        location = flask.url_for(".show_turn", turn_id=turn.id)
        return views.accepted_body(turn), 202, {"Location": location, "Preference-Applied": "respond-async"}

    def _wait(
        self, asked: ParsedChatRequest, leaving: ExitStack, *, watches: bool
    ) -> tuple[AcceptResult, views.TurnUpdates]:
        """Registers the caller before it hands the message in, so that no event of the turn is missed."""
        turn = self.inbox.new_turn_id()
        waiter = self.room.register(turn, wants_previews=watches)
        leaving.callback(waiter.close)
        accepted = self._accept(replace(asked, message=replace(asked.message, has_waiting_caller=True)), turn)
        if accepted.turn.id != turn:
            waiter.switch_to(accepted.turn.id)
            accepted = replace(accepted, turn=self.inbox.get_turn(accepted.turn.id))  # it may have finished meanwhile
        if accepted.turn.state.is_resolved:
            return accepted, (accepted.turn,)
        return accepted, waiter.updates(
            partial(self.inbox.get_turn, accepted.turn.id),
            is_local=accepted.claimed_here,
            max_silence=self.settings.chat_wait_seconds,
            idle_interval=min(PULSE, self.ping_seconds),
        )

    def _accept(self, asked: ParsedChatRequest, turn: TurnId) -> AcceptResult:
        message = asked.message
        try:
            accepted = self.inbox.accept(message, turn)
        except ThreadNotFound:
            if message.may_start_conversation:
                raise
            located = self._resolve(message.key)
            accepted = self.inbox.accept(replace(message, key=located.key), turn)
        if accepted.turn.message.address.get("digest") != message.address.get("digest"):
            explanation = "This Idempotency-Key was used with another body. Use a new key for a new message."
            raise Conflict(explanation, code="idempotency_conflict")
        return accepted

    def _turn(self, turn_id: str) -> Turn:
        """Returns a turn of the caller's own. Raises Unverified, TurnNotFound (also for turns of other callers)."""
        return self._find_turn(turn_id, self._reader())

    def _find_turn(self, turn_id: str, owner: str) -> Turn:
        if TURN_NAME.fullmatch(turn_id):
            turn = self.inbox.get_turn(TurnId(turn_id))
            if (turn.message.key.platform, turn.message.key.workspace) == (NAME, owner):
                return turn
        raise TurnNotFound("There is no such turn.")

    def _conversation(self, thread_id: str) -> Conversation:
        return self._resolve(ConversationKey(NAME, workspace=self._reader(), channel=thread_id))

    def _resolve(self, key: ConversationKey) -> Conversation:
        return self.inbox.resolve_conversation(key, may_adopt=self.settings.adopts_threads)

    def _reader(self) -> str:
        """Returns the owner of a request that reads, cancels or deletes. Raises Unauthenticated, Overloaded."""
        owner = self._owner()
        network = client_address.client_network(self.settings.trusted_proxies)
        self.caller_limits.check_read(caller_name(owner, network))
        return owner

    def _owner(self) -> str:
        """Returns whose key was sent. Raises Unauthenticated; Overloaded after too many wrong keys."""
        try:
            return self.parser.owner(_headers())
        except Unauthenticated:
            self.caller_limits.check_refused(client_address.client_network(self.settings.trusted_proxies))
            raise


def _headers() -> dict[str, str]:
    return {name.lower(): value for name, value in flask.request.headers}


def _listed(header: str) -> set[str]:
    return {part.partition(";")[0].strip().lower() for part in header.split(",")}


def _prefers_stream(accept: str) -> bool:
    """Whether events are asked for by name, and not less than JSON."""
    if views.EVENT_STREAM not in accept:
        return False
    wanted = flask.request.accept_mimetypes
    return wanted[views.EVENT_STREAM] > wanted["application/json"]


def _allow_origins(app: flask.Flask, origins: str) -> None:
    """Lets pages of these origins call /chat. On the app, so that errors outside of the views have the headers too."""
    CORS(
        app,
        resources={r"/chat(/.*)?": {"origins": list(split(origins))}},
        methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Prefer"],
        expose_headers=["Location", "Preference-Applied", "Retry-After"],
        send_wildcard=True,
        always_send=False,
        max_age=3600,
    )


# ---------------------------------------------------------------- their description

SAY = """Say something. Waits for the reply. With `stream`, or when `Accept` asks for it, the reply comes as server-sent
events while it is written."""
STREAMED = """Events, each with JSON data: `turn` (`thread_id`, `turn_id`) first; `delta` (`text`) and `tool` (`name`)
while the reply is written; at the end one `done` (as without streaming) or `error` (as any error, with its `status`,
and `retry_after` in seconds where there is one)."""
HEADERS = (
    HeaderDoc("Idempotency-Key", "The same key again returns the same turn, never a second one."),
    HeaderDoc("Prefer", "`respond-async`: answer at once, with where the turn can be fetched."),
)
TURN, THREAD = "/chat/turns/<turn_id>", "/chat/threads/<thread_id>"


def operations(request: type[ChatRequest]) -> Sequence[Operation]:
    """Returns the descriptions of all routes, none of them secured. ``request``: the model of a message's body."""
    replies = {
        200: ResponseDoc("The reply.", views.TurnReply, stream=STREAMED),
        202: ResponseDoc("The turn, begun.", views.TurnAccepted),
    }
    problems = (400, 401, 403, 404, 408, 409, 413, 415, 429, 502, 503, 504)
    kept = (401, 404, 429, 502, 503, 504)
    turn, thread = ResponseDoc("The turn.", views.TurnView), ResponseDoc("The thread.", views.ThreadView)
    read = """Read the newest messages of a thread. For those before them pass the value of `earlier` as `?before=`.
A thread that only the backend knows is adopted by the name it has there."""
    forget = "Forget a thread. Here and at the backend; what runs in it is cancelled."
    return (
        Operation("chat", "POST", "/chat", SAY, replies, problems, request, HEADERS),
        Operation("show_turn", "GET", TURN, "Look a turn up.", {200: turn}, (401, 404, 429, 503)),
        Operation("cancel_turn", "POST", f"{TURN}/cancel", "Cancel a turn.", {200: turn}, (401, 404, 409, 429, 503)),
        Operation("show_thread", "GET", THREAD, read, {200: thread}, kept),
        Operation("forget_thread", "DELETE", THREAD, forget, {204: ResponseDoc("It is gone.")}, kept),
    )
