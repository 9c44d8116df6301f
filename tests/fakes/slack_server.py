"""A fake Slack: real HTTP and WebSocket on loopback, Slack's rules and error codes, injectable faults, users."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiohttp import web

from tests.fakes import slack_files
from tests.fakes.platform_server import WebServer
from tests.fakes.slack_delivery import Courier, Delivery
from tests.fakes.slack_events import BOT_ID, BOT_USER, TEAM, TOKEN
from tests.fakes.slack_faults import Call, Error, Fault, Faults, Hang, Json, Lost, RateLimit, Refuse, Status
from tests.fakes.slack_files import Attached
from tests.fakes.slack_methods import methods
from tests.fakes.slack_oauth import CLIENT_ID, CLIENT_SECRET, Installing
from tests.fakes.slack_rate_limits import Tiers
from tests.fakes.slack_socket_mode import Sockets
from tests.fakes.slack_state import SCOPES, File, Grant, Posted, Workspace, World
from tests.fakes.slack_users import People
from tests.fakes.slack_web_api import Api

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "Attached",
    "Call",
    "Delivery",
    "Error",
    "FakeSlack",
    "Fault",
    "Faults",
    "File",
    "Hang",
    "Lost",
    "Posted",
    "RateLimit",
    "Refuse",
    "Status",
]


class FakeSlack(WebServer, People):
    """One Slack with one app in it. Callable from any thread, also while it runs.

    - ``tiers``: enforce the rate limits of the methods, over ``clock`` (seconds).
    - ``streaming``: whether the workspace supports chat.startStream and the like; ``stream_seconds`` and
      ``stream_bytes`` (UTF-8) limit a streamed message.
    - ``agent``: whether the app is declared an agent.
    - ``retries``: seconds before each retry of a delivery; ``response_timeout``: seconds Slack waits for an answer;
      ``max_parallel``: HTTP deliveries at the same time.
    - ``echo``: send the bot's own messages back to it as events, as Slack does.
    """

    def __init__(
        self,
        *,
        tiers: bool = False,
        streaming: bool = True,
        agent: bool = True,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        lifespan: float = 300.0,
        stream_bytes: int = 11_000,
        retries: Sequence[float] = (0.01, 0.02, 0.05),
        patience: float = 3.0,
        parallel: int = 100,
        echo: bool = False,
    ) -> None:
        self._world = World(clock, lifespan, stream_bytes, agent=agent)
        self._sockets = Sockets(self._world)
        courier = Courier(self._world, self._sockets, pauses=retries, patience=patience, parallel=parallel)
        People.__init__(self, self._world, courier)
        WebServer.__init__(self, self._world, self._world.faults, port)
        self._world.echo = self.echo if echo else None
        self.installing = Installing(self._world)
        doors = {"apps.connections.open": self._sockets.connections_open, "oauth.v2.access": self.installing.access}
        self._api = Api(self._world, methods(streaming=streaming), doors, Tiers(clock) if tiers else None)

    # ------------------------------------------------------------ where it is

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    def deliver_to(self, url: str | None, *, commands: str | None = None, interactive: str | None = None) -> None:
        """Sets the URLs for events, commands and clicks (the latter two default to ``url``). None: deliver over Socket
        Mode.
        """
        self._courier.urls = {"events_api": url, "slash_commands": commands or url, "interactive": interactive or url}

    # ------------------------------------------------------------ what is in it

    def add_workspace(
        self,
        team: str = TEAM,
        token: str = TOKEN,
        bot_user: str = BOT_USER,
        bot_id: str = BOT_ID,
        scopes: Iterable[str] = SCOPES,
    ) -> None:
        """Adds a workspace, or another token or other scopes for an existing one."""
        with self._world.change():
            self._world.settle_in(Workspace(team, bot_user, bot_id))
            self._world.grants[token] = Grant(self._world.workspaces[team], tuple(scopes))

    def add_channel(
        self, channel: str, *, team: str = TEAM, archived: bool = False, member: bool = True, name: str = "general"
    ) -> None:
        """Adds a channel or changes an existing one; ``member``: whether the bot is in it."""
        with self._world.change():
            known = self._world.enter(channel, team)
            known.archived, known.member, known.name = archived, member, name

    def add_user(self, user: str, *, team: str = TEAM, **more: Any) -> None:
        """Adds a user; ``more`` are additional fields of users.info."""
        with self._world.change():
            self._world.meet(user, team).update(more)

    def revoke(self, token: str = TOKEN, code: str = "token_revoked") -> None:
        """Answers every later use of this token with the error ``code``."""
        with self._world.change():
            self._world.grants[token].revoked = code

    def expire_streams(self) -> None:
        """Ends all open streams, as if their time were over."""
        with self._world.change():
            self._world.end_streams(self._world.live.values(), "message_not_in_streaming_state")

    # ------------------------------------------------------------ what it saw

    @property
    def deliveries(self) -> list[Delivery]:
        """All delivery attempts, in the order in which they ended."""
        return self._courier.deliveries.copy()

    @property
    def sockets(self) -> Sockets:
        return self._sockets

    def said(self, channel: str | None = None, topic: str | None = None) -> list[Posted]:
        """Returns the messages visible now, in order; of a channel, or of one thread including its root."""
        with self._world.lock:
            return self._world.said(channel, topic)

    def answers(self, channel: str | None = None, topic: str | None = None) -> list[Posted]:
        """Returns the visible messages of bots."""
        bots = {workspace.bot_user for workspace in self._world.workspaces.values()}
        return [posted for posted in self.said(channel, topic) if posted.user in bots]

    def calls(self, method: str | None = None) -> list[Call]:
        """Returns the calls of a method, or all calls, in order of arrival."""
        calls = self._world.calls.copy()
        return calls if method is None else [call for call in calls if call.method == method]

    def statuses(self, channel: str, thread_ts: str) -> list[str]:
        """Returns all statuses set in a thread, in order; an empty one clears."""
        return self._world.work.statuses.get((channel, thread_ts), []).copy()

    def status(self, channel: str, thread_ts: str) -> str:
        """Returns the status shown now: empty once the bot has posted in the thread, or after two minutes."""
        status, until = self._world.work.showing.get((channel, thread_ts), ("", 0.0))
        return status if self._world.clock() < until else ""

    def agent_statuses(self, channel: str, thread_ts: str) -> list[str]:
        """Returns all statuses of the agent's session in a thread, in order."""
        return self._world.work.sessions.get((channel, thread_ts), []).copy()

    def title(self, channel: str, thread_ts: str) -> str:
        return self._world.work.titles.get((channel, thread_ts), "")

    def prompts(self, channel: str) -> list[Json]:
        """Returns the prompts suggested in a channel now."""
        return self._world.work.prompts.get(channel, []).copy()

    def view(self, user: str) -> Json | None:
        """Returns the home view published for a user."""
        return self._world.views.get(user)

    @property
    def whispers(self) -> list[Json]:
        """Messages only one user sees, from chat.postEphemeral or a response_url."""
        return self._world.whispers.copy()

    def settle(self, timeout: float = 20.0) -> None:
        """Waits until every delivery was accepted or given up."""
        self.wait(lambda: self._courier.under_way == 0, timeout)

    def _describe(self) -> str:
        said = [f"  {posted.channel} {posted.user}: {posted.text[:100]!r}" for posted in self.said()[-10:]]
        calls = [f"  {call.method} {call.answered or '...'}" for call in self.calls()[-20:]]
        done = [f"  {one.event_id} #{one.retry_num} {one.status} {one.reason}" for one in self.deliveries[-10:]]
        return "\n".join(["messages:", *said, "calls:", *calls, "deliveries:", *done])

    # ------------------------------------------------------------ running

    async def _open(self) -> None:
        self._world.url = self.url
        self._sockets.open()
        await self._courier.open()

    async def _close(self) -> None:
        await self._courier.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        room, _, place = request.path.lstrip("/").partition("/")
        if room == "api":
            return await self._api.answer(request, place)
        if room == "link":
            return await self._sockets.serve(request)
        return await self._page(request, room, place)

    async def _page(self, request: web.BaseRequest, room: str, place: str) -> web.Response:
        match room:
            case "upload":
                return await slack_files.upload(self._world, request, place.rpartition("/")[2])
            case "files-pri":
                return slack_files.download(self._world, request, place)
            case "response":
                return await self._responses.take(request, place)
            case "oauth" if place == "v2/authorize":
                return self.installing.page(request)
            case _:
                return web.Response(status=404)
