"""The Web API endpoint: arguments, token, scopes, rate limits and injected faults of each call."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.platform_api import CallHandler, PlatformResponse
from tests.fakes.slack_arguments import SlackArguments, decode_json
from tests.fakes.slack_faults import Json, PlatformFault, RateLimit, RecordedCall, SlackError, SlackErrorFault
from tests.fakes.slack_rate_limits import SlackRateLimiter
from tests.fakes.slack_state import SlackState, SlackWorkspace, TokenGrant

MethodHandler = Callable[[SlackState, SlackWorkspace, SlackArguments], Json]
TokenlessHandler = Callable[[SlackState, SlackArguments], Json]

JSON_ARGUMENTS = {"attachments", "blocks", "chunks", "files", "loading_messages", "metadata", "prompts", "view"}
"""Arguments sent as JSON inside a form."""


@dataclass(frozen=True, slots=True)
class SlackMethod:
    """A method called with a bot token; one of ``scopes`` suffices."""

    handler: MethodHandler
    scopes: tuple[str, ...] = ()
    per_minute: int | None = None


class SlackWebApi(CallHandler):
    """``tokenless_methods`` need no bot token; ``rate_limiter`` limits calls of ``methods``."""

    def __init__(
        self,
        state: SlackState,
        methods: Mapping[str, SlackMethod],
        tokenless_methods: Mapping[str, TokenlessHandler],
        rate_limiter: SlackRateLimiter | None,
    ) -> None:
        super().__init__(state, state.faults, state.calls)
        self._state = state
        self._methods = methods
        self._tokenless_methods = tokenless_methods
        self._rate_limiter = rate_limiter

    async def answer(self, request: web.BaseRequest, method: str) -> web.StreamResponse:
        args = await read_args(request)
        return await self.handle(request, RecordedCall(method, args, _token_of(request, args)))

    async def perform(self, call: RecordedCall) -> PlatformResponse:
        with self._state.notify():
            status, body, headers = self._perform(call)
        return PlatformResponse("ok" if body.get("ok") else str(body.get("error")), body, status, headers)

    def fault_response(self, fault: PlatformFault | None) -> PlatformResponse | None:
        match fault:
            case RateLimit(retry_after=seconds):
                body = {"ok": False, "error": "ratelimited"}
                return PlatformResponse("ratelimited", body, 429, {"Retry-After": f"{seconds:g}"})
            case SlackErrorFault(code=code, extra_fields=more):
                return PlatformResponse(code, {"ok": False, "error": code, **more})
            case _:
                return None

    def _perform(self, call: RecordedCall) -> tuple[int, Json, dict[str, str]]:
        args = SlackArguments(call.args)
        try:
            if call.method in self._tokenless_methods:
                args["token"] = call.token
                return 200, self._tokenless_methods[call.method](self._state, args), {}
            grant = self._grant_of(call)
            method = self._methods[call.method]
            scopes = {"x-oauth-scopes": ",".join(grant.scopes), "x-accepted-oauth-scopes": ",".join(method.scopes)}
            self._check_permission_and_rate(call, grant, method)
            return 200, method.handler(self._state, grant.workspace, args), scopes
        except _RateLimitExceeded as slow:
            return 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(slow.seconds)}
        except SlackError as error:
            return 200, error.body, {}

    def _grant_of(self, call: RecordedCall) -> TokenGrant:
        if call.method not in self._methods:
            raise SlackError("unknown_method", req_method=call.method)
        return grant_for_token(self._state, call.token)

    def _check_permission_and_rate(self, call: RecordedCall, grant: TokenGrant, method: SlackMethod) -> None:
        if method.scopes and not set(method.scopes) & set(grant.scopes):
            raise SlackError("missing_scope", needed=method.scopes[0], provided=",".join(grant.scopes))
        if self._rate_limiter is None:
            return
        team, wait = grant.workspace.team, 0
        if method.per_minute is not None:
            wait = self._rate_limiter.seconds_to_wait(team, call.method, method.per_minute)
        elif call.method == "chat.postMessage":
            wait = self._rate_limiter.seconds_to_wait_to_post(team, str(call.args.get("channel")))
        if wait:
            raise _RateLimitExceeded(wait)


class _RateLimitExceeded(Exception):
    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def grant_for_token(state: SlackState, token: str) -> TokenGrant:
    """Returns what a token gives access to. Raises SlackError: not_authed, invalid_auth, token_expired and others."""
    if not token:
        raise SlackError("not_authed")
    if token in state.app_tokens:
        raise SlackError("not_allowed_token_type")
    grant = state.grants.get(token)
    if grant is None:
        raise SlackError("invalid_auth")
    if grant.revoked_error:
        raise SlackError(grant.revoked_error)
    if grant.expires_at is not None and grant.expires_at <= state.clock():
        raise SlackError("token_expired")
    return grant


def _token_of(request: web.BaseRequest, args: SlackArguments) -> str:
    """Returns the bearer token from the header or the arguments; reads client credentials from Basic authentication."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    spoken = str(args.pop("token", ""))
    if kind.lower() == "basic":
        _read_client_credentials(args, token)
    return token if kind.lower() == "bearer" else spoken


def _read_client_credentials(args: SlackArguments, encoded: str) -> None:
    """Adds the client id and secret from Basic authentication to the arguments."""
    client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    args.setdefault("client_id", client_id)
    args.setdefault("client_secret", secret)


async def read_args(request: web.BaseRequest) -> SlackArguments:
    """Returns the arguments from the query and from the body, which is JSON or a form."""
    args = SlackArguments(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read() or b"{}")
        except ValueError:
            body = {}
        args.update(body if isinstance(body, dict) else {})
    elif request.can_read_body:
        args.update((await request.post()).items())
    for name in JSON_ARGUMENTS & args.keys():
        args[name] = decode_json(args[name])
    return args
