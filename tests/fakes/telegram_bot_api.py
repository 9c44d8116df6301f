"""The Bot API endpoint: token, method, rate limits and injected faults of each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.platform_api import Door, Said
from tests.fakes.platform_faults import Call, Fault, RateLimit
from tests.fakes.telegram_arguments import Args, read_args
from tests.fakes.telegram_faults import Error, TelegramError, described, refusal, too_many
from tests.fakes.telegram_rate_limits import Limits
from tests.fakes.telegram_state import World

Act = Callable[[World, Args], object]
"""Returns the ``result`` of the answer."""
SlowAct = Callable[[Args], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Method:
    """``counts_against``: the limits of the chat and of the bot (``chat``), only of the bot (``all``), or none."""

    act: Act
    counts: str = ""


class Api(Door):
    """``async_methods`` may wait; they run without the state's lock and take it themselves."""

    def __init__(
        self, world: World, methods: Mapping[str, Method], slow: Mapping[str, SlowAct], limits: Limits | None
    ) -> None:
        super().__init__(world, world.faults, world.calls)
        self._world = world
        self._methods = {name.lower(): method for name, method in methods.items()}
        self._slow = {name.lower(): act for name, act in slow.items()}
        self._limits = limits

    async def answer(self, request: web.BaseRequest, token: str, method: str) -> web.StreamResponse:
        try:
            args = await read_args(request)
        except TelegramError as error:
            return _no(error).response()
        except web.HTTPRequestEntityTooLarge:
            return _no(TelegramError(413)).response()
        return await self.take(request, Call(method, args, token))

    async def perform(self, call: Call) -> Said:
        try:
            check_token(self._world, call.token)
            return _yes(await self._act(call.method.lower(), Args(call.args)))
        except TelegramError as error:
            return _no(error)

    def refuse(self, fault: Fault | None) -> Said | None:
        match fault:
            case RateLimit(retry_after=seconds):
                return _no(too_many(max(1, round(seconds))))
            case Error(status=status, why=why, parameters=parameters):
                return Said(str(status), refusal(status, described(status, why), parameters), status)
            case _:
                return None

    async def _act(self, name: str, args: Args) -> object:
        if slow := self._slow.get(name):
            return await slow(args)
        method = self._methods.get(name)
        if method is None:
            raise TelegramError(404)
        with self._world.change():
            self._count(method, args)
            return method.act(self._world, args)

    def _count(self, method: Method, args: Args) -> None:
        """Raises TelegramError (429 Too Many Requests) when a rate limit is exceeded."""
        if self._limits is None or not method.counts:
            return
        chat_id = args.chat_id if method.counts == "chat" else None
        if seconds := self._limits.take(chat_id, max(1, len(args.things("media")))):
            raise too_many(seconds)


def check_token(world: World, token: str) -> None:
    """Raises TelegramError (401 Unauthorized)."""
    if ":" not in token:
        raise TelegramError(401, "Unauthorized: invalid token specified")
    if token != world.token or world.revoked:
        raise TelegramError(401)


def _yes(result: object) -> Said:
    return Said("ok", {"ok": True, "result": result})


def _no(error: TelegramError) -> Said:
    headers = {}
    if seconds := error.parameters.get("retry_after"):
        headers["Retry-After"] = str(seconds)
    return Said(str(error.status), error.body, error.status, headers)
