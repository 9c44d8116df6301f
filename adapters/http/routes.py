"""The routes of /chat: what each does, and how it is described."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

import flask
from flask.typing import ResponseReturnValue
from flask_cors import CORS

from adapters.http.settings import NAME, split
from gateway.api import callers, views
from gateway.api.openapi import Header, Operation, Reply
from gateway.errors import Conflict, ThreadNotFound, TurnNotFound
from gateway.messages import Conversation, ConversationKey, Turn, TurnId
from gateway.ports import Accepted, Inbox, Request

if TYPE_CHECKING:
    from adapters.http.adapter import Asked, ChatRequest, HttpAdapter

PULSE = 2.0
"""Seconds after which a waiting thread looks whether its caller is still there."""
TURN_NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def blueprint(adapter: HttpAdapter, inbox: Inbox) -> flask.Blueprint:
    made, routes = flask.Blueprint(NAME, __name__), Routes(adapter, inbox)
    for operation in adapter.operations():
        made.add_url_rule(operation.path, operation.name, getattr(routes, operation.name), methods=[operation.method])
    made.record_once(lambda state: _share(cast("flask.Flask", state.app), adapter.settings.cors_origins))
    return made


@dataclass(frozen=True, slots=True)
class Routes:
    """What each route does."""

    adapter: HttpAdapter
    inbox: Inbox

    def chat(self) -> ResponseReturnValue:
        flask.request.max_content_length = self.adapter.max_body_bytes + 1  # a body in chunks is cut off there
        headers = _headers()
        asked = self.adapter.read(Request(headers, flask.request.get_data()))
        self.adapter.limit(asked.message.key.workspace or callers.address(self.adapter.settings.trusted_proxies))
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
        accepted = self._accept(replace(asked, message=replace(asked.message, awaited=True)), turn)
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


def _share(app: flask.Flask, origins: str) -> None:
    """Let pages of these origins call /chat: also its errors that no view answers, so on the app and not on a view."""
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
    Header("Idempotency-Key", "The same key again returns the same turn, never a second one."),
    Header("Prefer", "`respond-async`: answer at once, with where the turn can be fetched."),
)
TURN, THREAD = "/chat/turns/<turn_id>", "/chat/threads/<thread_id>"


def operations(request: type[ChatRequest]) -> Sequence[Operation]:
    """What there is, with ``request`` as the body of a message; all of it open to everybody."""
    replies = {
        200: Reply("The reply.", views.TurnReply, stream=STREAMED),
        202: Reply("The turn, begun.", views.TurnAccepted),
    }
    problems = (400, 401, 403, 404, 408, 409, 413, 415, 429, 502, 503, 504)
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
