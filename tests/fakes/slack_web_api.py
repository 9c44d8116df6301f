"""The Web API endpoint: arguments, token, scopes, rate limits and injected faults of each call."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.platform_api import Door, Said
from tests.fakes.slack_arguments import Args, decoded
from tests.fakes.slack_faults import Call, Error, Fault, Json, RateLimit, SlackError
from tests.fakes.slack_rate_limits import Tiers
from tests.fakes.slack_state import Grant, Workspace, World

Act = Callable[[World, Workspace, Args], Json]
OpenAct = Callable[[World, Args], Json]

STRUCTURED = {"attachments", "blocks", "chunks", "files", "loading_messages", "metadata", "prompts", "view"}
"""Arguments sent as JSON inside a form."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method called with a bot token; one of ``scopes`` suffices."""

    act: Act
    scopes: tuple[str, ...] = ()
    per_minute: int | None = None


class Api(Door):
    """``tokenless_methods`` need no bot token; ``rate_limiter`` limits calls of ``methods``."""

    def __init__(
        self, world: World, methods: Mapping[str, Method], doors: Mapping[str, OpenAct], tiers: Tiers | None
    ) -> None:
        super().__init__(world, world.faults, world.calls)
        self._world = world
        self._methods = methods
        self._doors = doors
        self._tiers = tiers

    async def answer(self, request: web.BaseRequest, method: str) -> web.StreamResponse:
        args = await read_args(request)
        return await self.take(request, Call(method, args, _token(request, args)))

    async def perform(self, call: Call) -> Said:
        with self._world.change():
            status, body, headers = self._perform(call)
        return Said("ok" if body.get("ok") else str(body.get("error")), body, status, headers)

    def refuse(self, fault: Fault | None) -> Said | None:
        match fault:
            case RateLimit(retry_after=seconds):
                body = {"ok": False, "error": "ratelimited"}
                return Said("ratelimited", body, 429, {"Retry-After": f"{seconds:g}"})
            case Error(code=code, more=more):
                return Said(code, {"ok": False, "error": code, **more})
            case _:
                return None

    def _perform(self, call: Call) -> tuple[int, Json, dict[str, str]]:
        args = Args(call.args)
        try:
            if call.method in self._doors:
                args["token"] = call.token
                return 200, self._doors[call.method](self._world, args), {}
            grant = self._admit(call)
            method = self._methods[call.method]
            scopes = {"x-oauth-scopes": ",".join(grant.scopes), "x-accepted-oauth-scopes": ",".join(method.scopes)}
            self._check(call, grant, method)
            return 200, method.act(self._world, grant.workspace, args), scopes
        except _TooOften as slow:
            return 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(slow.seconds)}
        except SlackError as error:
            return 200, error.body, {}

    def _admit(self, call: Call) -> Grant:
        if call.method not in self._methods:
            raise SlackError("unknown_method", req_method=call.method)
        return bearer(self._world, call.token)

    def _check(self, call: Call, grant: Grant, method: Method) -> None:
        if method.scopes and not set(method.scopes) & set(grant.scopes):
            raise SlackError("missing_scope", needed=method.scopes[0], provided=",".join(grant.scopes))
        if self._tiers is None:
            return
        team, wait = grant.workspace.team, 0
        if method.per_minute is not None:
            wait = self._tiers.wait(team, call.method, method.per_minute)
        elif call.method == "chat.postMessage":
            wait = self._tiers.wait_to_post(team, str(call.args.get("channel")))
        if wait:
            raise _TooOften(wait)


class _TooOften(Exception):
    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def bearer(world: World, token: str) -> Grant:
    """Returns what a token gives access to. Raises SlackError: not_authed, invalid_auth, token_expired and others."""
    if not token:
        raise SlackError("not_authed")
    if token in world.app_tokens:
        raise SlackError("not_allowed_token_type")
    grant = world.grants.get(token)
    if grant is None:
        raise SlackError("invalid_auth")
    if grant.revoked:
        raise SlackError(grant.revoked)
    if grant.expires_at is not None and grant.expires_at <= world.clock():
        raise SlackError("token_expired")
    return grant


def _token(request: web.BaseRequest, args: Args) -> str:
    """Returns the bearer token from the header or the arguments; reads client credentials from Basic authentication."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    spoken = str(args.pop("token", ""))
    if kind.lower() == "basic":
        _take_secrets(args, token)
    return token if kind.lower() == "bearer" else spoken


def _take_secrets(args: Args, encoded: str) -> None:
    """Adds the client id and secret from Basic authentication to the arguments."""
    client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    args.setdefault("client_id", client_id)
    args.setdefault("client_secret", secret)


async def read_args(request: web.BaseRequest) -> Args:
    """Returns the arguments from the query and from the body, which is JSON or a form."""
    args = Args(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read() or b"{}")
        except ValueError:
            body = {}
        args.update(body if isinstance(body, dict) else {})
    elif request.can_read_body:
        args.update((await request.post()).items())
    for name in STRUCTURED & args.keys():
        args[name] = decoded(args[name])
    return args
