"""The live log lines of a turn, as server-sent events on the event loop: html.spec.whatwg.org/#server-sent-events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from gateway.admin.context import AdminContext
from gateway.admin.sessions.request_user import RequestUsers
from gateway.domain.errors import Overloaded, StoreUnavailable, TurnNotFound, Unauthenticated
from gateway.domain.models import TurnId, TurnState
from gateway.ports.turn_log import TurnLogLine
from gateway.web.api.routes import HttpRequest, HttpResponse, Route

MAX_STREAMS = 20
"""Streams of one process at the same time."""
LOOK_SECONDS = 0.5
"""Between two looks for new lines."""
WATCH_SECONDS = 30.0
"""For which a turn is watched after the newest look."""
RENEW_SECONDS = 10.0
"""Between two renewals, each of which is also sent, so that proxies keep the connection."""
STREAM_SECONDS = 600.0
"""After which a stream ends; the browser opens another one, where this one ended."""
QUIET_SECONDS = 5.0
"""For which a finished turn is watched without a new line."""
FINISHED = frozenset({TurnState.DELIVERED, TurnState.FAILED, TurnState.CANCELLED})
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Robots-Tag": "noindex",
}
LAST_EVENT_ID = "last-event-id"
SIGN_IN_FIRST = "Sign in at /admin to see this."


@dataclass
class _Look:
    """What a stream has sent so far."""

    after: int
    quiet_since: float
    renewed_at: float
    is_finished: bool = False


class TurnLogStreams:
    """Used on the event loop."""

    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self._open = 0

    @cached_property
    def _users(self) -> RequestUsers:
        from gateway.admin.sessions.session import AdminSession  # noqa: PLC0415  # with Flask

        return RequestUsers(self._context.settings, AdminSession(self._context.settings, self._context.store))

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Raises Unauthenticated, TurnNotFound, Overloaded, StoreUnavailable."""
        turn_id = TurnId(request.path_values["turn_id"])
        await asyncio.to_thread(self._check, request, turn_id)
        if self._open >= MAX_STREAMS:
            raise Overloaded("Too many live logs are open in this process. Close one, and reload the page.")
        self._open += 1
        watcher = asyncio.create_task(request.wait_until_disconnected())
        last = request.headers.get(LAST_EVENT_ID, "")
        after = int(last) if last.isdecimal() and len(last) < 19 else 0  # noqa: PLR2004  # fits the column

        def close() -> None:
            self._open -= 1
            watcher.cancel()

        return HttpResponse(stream=self._events(turn_id, after, watcher), headers=HEADERS, on_close=close)

    def _check(self, request: HttpRequest, turn_id: TurnId) -> None:
        from werkzeug.http import parse_cookie  # noqa: PLC0415  # with Flask

        cookies = parse_cookie(request.headers.get("cookie", ""))
        found = self._users.find(request.peer, cookies, lambda name: request.headers.get(name.lower(), ""))
        if found.user is None:
            raise Unauthenticated(SIGN_IN_FIRST)
        if self._context.store.get_turn(turn_id) is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")

    async def _events(self, turn_id: TurnId, after: int, watcher: asyncio.Task[None]) -> AsyncIterator[str]:
        now = asyncio.get_running_loop().time
        look, until = _Look(after, now(), -RENEW_SECONDS), now() + STREAM_SECONDS
        yield "retry: 2000\n\n"
        while not watcher.done() and now() < until and not self._context.is_stopping():
            lines: Sequence[TurnLogLine] = ()
            is_due = now() >= look.renewed_at + RENEW_SECONDS
            with suppress(StoreUnavailable):  # the page goes on when the database is back
                lines = await asyncio.to_thread(self._read, turn_id, look, renew=is_due)
            if is_due:
                look.renewed_at = now()
                yield ": still here\n\n"
            for line in lines:
                look.after, look.quiet_since = line.number, now()
                yield _event(line)
            if look.is_finished and now() >= look.quiet_since + QUIET_SECONDS:
                yield "event: end\ndata: {}\n\n"
                return
            await asyncio.wait([watcher], timeout=LOOK_SECONDS)

    def _read(self, turn_id: TurnId, look: _Look, *, renew: bool) -> Sequence[TurnLogLine]:
        if renew:
            self._context.turn_logs.watch(turn_id, WATCH_SECONDS)
        found = self._context.turn_logs.lines(turn_id, after=look.after)
        if not found and not look.is_finished:
            turn = self._context.store.get_turn(turn_id)
            look.is_finished = turn is None or turn.state in FINISHED
        return found


def _event(line: TurnLogLine) -> str:
    about = {
        "at": line.at,
        "process": line.process,
        "level": line.level,
        "logger": line.logger,
        "event": line.event,
        "fields": dict(line.fields),
    }
    return f"id: {line.number}\ndata: {json.dumps(about)}\n\n"


def native_routes(context: AdminContext) -> Sequence[Route]:
    """Returns the routes of the operator's pages that run on the event loop; none while the pages are off."""
    if not context.settings.enabled:
        return ()
    return (Route("GET", "/admin/turns/<turn_id>/log", TurnLogStreams(context).handle),)
