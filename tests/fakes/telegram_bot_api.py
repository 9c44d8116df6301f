"""The Bot API endpoint: token, method, rate limits and injected faults of each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.platform_api import CallHandler, PlatformResponse
from tests.fakes.platform_faults import PlatformFault, RateLimit, RecordedCall
from tests.fakes.telegram_arguments import TelegramArguments, read_args
from tests.fakes.telegram_faults import (
    TelegramError,
    TelegramErrorFault,
    error_body,
    error_description,
    too_many_requests,
)
from tests.fakes.telegram_rate_limits import TelegramRateLimiter
from tests.fakes.telegram_state import TelegramState

TelegramMethodHandler = Callable[[TelegramState, TelegramArguments], object]
"""Returns the ``result`` of the answer."""
AsyncMethodHandler = Callable[[TelegramArguments], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class TelegramMethod:
    """``counts_against``: the limits of the chat and of the bot (``chat``), only of the bot (``all``), or none."""

    handler: TelegramMethodHandler
    counts_against: str = ""


class TelegramBotApi(CallHandler):
    """``async_methods`` may wait; they run without the state's lock and take it themselves."""

    def __init__(
        self,
        state: TelegramState,
        methods: Mapping[str, TelegramMethod],
        async_methods: Mapping[str, AsyncMethodHandler],
        rate_limiter: TelegramRateLimiter | None,
    ) -> None:
        super().__init__(state, state.faults, state.calls)
        self._state = state
        self._methods = {name.lower(): method for name, method in methods.items()}
        self._async_methods = {name.lower(): act for name, act in async_methods.items()}
        self._rate_limiter = rate_limiter

    async def answer(self, request: web.BaseRequest, token: str, method: str) -> web.StreamResponse:
        try:
            args = await read_args(request)
        except TelegramError as error:
            return _failure(error).to_web_response()
        except web.HTTPRequestEntityTooLarge:
            return _failure(TelegramError(413)).to_web_response()
        return await self.handle(request, RecordedCall(method, args, token))

    async def perform(self, call: RecordedCall) -> PlatformResponse:
        try:
            check_token(self._state, call.token)
            return _success(await self._run_method(call.method.lower(), TelegramArguments(call.args)))
        except TelegramError as error:
            return _failure(error)

    def fault_response(self, fault: PlatformFault | None) -> PlatformResponse | None:
        match fault:
            case RateLimit(retry_after=seconds):
                return _failure(too_many_requests(max(1, round(seconds))))
            case TelegramErrorFault(status=status, reason=why, parameters=parameters):
                return PlatformResponse(
                    str(status), error_body(status, error_description(status, why), parameters), status
                )
            case _:
                return None

    async def _run_method(self, name: str, args: TelegramArguments) -> object:
        if slow := self._async_methods.get(name):
            return await slow(args)
        method = self._methods.get(name)
        if method is None:
            raise TelegramError(404)
        with self._state.notify():
            self._check_rate(method, args)
            return method.handler(self._state, args)

    def _check_rate(self, method: TelegramMethod, args: TelegramArguments) -> None:
        """Raises TelegramError (429 Too Many Requests) when a rate limit is exceeded."""
        if self._rate_limiter is None or not method.counts_against:
            return
        chat_id = args.chat_id if method.counts_against == "chat" else None
        if seconds := self._rate_limiter.seconds_to_wait(chat_id, max(1, len(args.json_list("media")))):
            raise too_many_requests(seconds)


def check_token(state: TelegramState, token: str) -> None:
    """Raises TelegramError (401 Unauthorized)."""
    if ":" not in token:
        raise TelegramError(401, "Unauthorized: invalid token specified")
    if token != state.token or state.revoked:
        raise TelegramError(401)


def _success(result: object) -> PlatformResponse:
    return PlatformResponse("ok", {"ok": True, "result": result})


def _failure(error: TelegramError) -> PlatformResponse:
    headers = {}
    if seconds := error.parameters.get("retry_after"):
        headers["Retry-After"] = str(seconds)
    return PlatformResponse(str(error.status), error.body, error.status, headers)
