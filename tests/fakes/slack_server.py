"""A fake Slack: real HTTP and WebSocket on loopback, Slack's rules and error codes, injectable faults, users."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from aiohttp import web

from tests.fakes import slack_files
from tests.fakes.platform_server import FakePlatformServer
from tests.fakes.slack_delivery import SlackDeliveryAttempt, SlackEventSender
from tests.fakes.slack_events import BOT_ID, BOT_USER, TEAM, TOKEN
from tests.fakes.slack_faults import (
    ConnectionRefused,
    HangingCall,
    HttpStatus,
    Json,
    PlatformFault,
    PlatformFaults,
    RateLimit,
    RecordedCall,
    ResponseLost,
    SlackErrorFault,
)
from tests.fakes.slack_files import FileAttachment
from tests.fakes.slack_methods import methods
from tests.fakes.slack_oauth import CLIENT_ID, CLIENT_SECRET, SlackOAuth
from tests.fakes.slack_rate_limits import SlackRateLimiter
from tests.fakes.slack_socket_mode import SocketModeServer
from tests.fakes.slack_state import SCOPES, SlackFile, SlackMessageView, SlackState, SlackWorkspace, TokenGrant
from tests.fakes.slack_users import SlackUsers
from tests.fakes.slack_web_api import SlackWebApi

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "ConnectionRefused",
    "FakeSlack",
    "FileAttachment",
    "HangingCall",
    "HttpStatus",
    "PlatformFault",
    "PlatformFaults",
    "RateLimit",
    "RecordedCall",
    "ResponseLost",
    "SlackDeliveryAttempt",
    "SlackErrorFault",
    "SlackFile",
    "SlackMessageView",
]


class FakeSlack(FakePlatformServer, SlackUsers):
    """One Slack with one app in it. Callable from any thread, also while it runs.

    - ``tiers``: enforce the rate limits of the methods, over ``clock`` (seconds).
    - ``streaming``: whether the workspace supports chat.startStream and the like; ``stream_seconds`` and
      ``stream_bytes`` (UTF-8) limit a streamed message.
    - ``agent``: whether the app is declared an agent.
    - ``retries``: seconds before each retry of a delivery; ``response_timeout``: seconds Slack waits for an answer;
      ``max_parallel``: HTTP deliveries at the same time.
    """

    def __init__(
        self,
        *,
        tiers: bool = False,
        streaming: bool = True,
        agent: bool = True,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        stream_seconds: float = 300.0,
        stream_bytes: int = 11_000,
        retries: Sequence[float] = (0.01, 0.02, 0.05),
        response_timeout: float = 3.0,
        max_parallel: int = 100,
    ) -> None:
        self._state = SlackState(clock, stream_seconds, stream_bytes, is_agent=agent)
        self._sockets = SocketModeServer(self._state)
        courier = SlackEventSender(
            self._state,
            self._sockets,
            retry_delays=retries,
            response_timeout=response_timeout,
            max_parallel=max_parallel,
        )
        SlackUsers.__init__(self, self._state, courier)
        FakePlatformServer.__init__(self, self._state, self._state.faults, port)
        self.oauth = SlackOAuth(self._state)
        doors = {"apps.connections.open": self._sockets.connections_open, "oauth.v2.access": self.oauth.exchange_token}
        self._api = SlackWebApi(
            self._state, methods(streaming=streaming), doors, SlackRateLimiter(clock) if tiers else None
        )

    # ------------------------------------------------------------ where it is

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    def deliver_to(self, url: str | None, *, commands: str | None = None, interactive: str | None = None) -> None:
        """Sets the URLs for events, commands and clicks (the latter two default to ``url``). None: deliver over Socket
        Mode.
        """
        self._sender.urls = {"events_api": url, "slash_commands": commands or url, "interactive": interactive or url}

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
        with self._state.notify():
            self._state.add_workspace(SlackWorkspace(team, bot_user, bot_id))
            self._state.grants[token] = TokenGrant(self._state.workspaces[team], tuple(scopes))

    def add_channel(
        self,
        channel: str,
        *,
        team: str = TEAM,
        archived: bool = False,
        member: bool = True,
        name: str = "general",
        threadable: bool = True,
    ) -> None:
        """Adds a channel or changes an existing one; ``member``: whether the bot is in it."""
        with self._state.notify():
            known = self._state.ensure_channel(channel, team)
            known.archived, known.bot_is_member, known.name = archived, member, name
            known.threadable = threadable

    def revoke_token(self, token: str = TOKEN, code: str = "token_revoked") -> None:
        """Answers every later use of this token with the error ``code``."""
        with self._state.notify():
            self._state.grants[token].revoked_error = code

    def expire_streams(self) -> None:
        """Ends all open streams, as if their time were over."""
        with self._state.notify():
            self._state.end_streams(self._state.live_streams.values(), "message_not_in_streaming_state")

    # ------------------------------------------------------------ what it saw

    @property
    def deliveries(self) -> list[SlackDeliveryAttempt]:
        """All delivery attempts, in the order in which they ended."""
        return self._sender.deliveries.copy()

    @property
    def sockets(self) -> SocketModeServer:
        return self._sockets

    def messages(self, channel: str | None = None, topic: str | None = None) -> list[SlackMessageView]:
        """Returns the messages visible now, in order; of a channel, or of one thread including its root."""
        with self._state.lock:
            return self._state.visible_messages(channel, topic)

    def bot_messages(self, channel: str | None = None, topic: str | None = None) -> list[SlackMessageView]:
        """Returns the visible messages of bots."""
        bots = {workspace.bot_user for workspace in self._state.workspaces.values()}
        return [posted for posted in self.messages(channel, topic) if posted.user in bots]

    def calls(self, method: str | None = None) -> list[RecordedCall]:
        """Returns the calls of a method, or all calls, in order of arrival."""
        calls = self._state.calls.copy()
        return calls if method is None else [call for call in calls if call.method == method]

    def statuses(self, channel: str, thread_ts: str) -> list[str]:
        """Returns all statuses set in a thread, in order; an empty one clears."""
        return self._state.agent_activity.statuses.get((channel, thread_ts), []).copy()

    def shown_status(self, channel: str, thread_ts: str) -> str:
        """Returns the status shown now: empty once the bot has posted in the thread, or after two minutes."""
        status, until = self._state.agent_activity.current_status.get((channel, thread_ts), ("", 0.0))
        return status if self._state.clock() < until else ""

    def session_statuses(self, channel: str, thread_ts: str) -> list[str]:
        """Returns all statuses of the agent's session in a thread, in order."""
        return self._state.agent_activity.session_statuses.get((channel, thread_ts), []).copy()

    def thread_title(self, channel: str, thread_ts: str) -> str:
        return self._state.agent_activity.thread_titles.get((channel, thread_ts), "")

    def suggested_prompts(self, channel: str) -> list[Json]:
        """Returns the prompts suggested in a channel now."""
        return self._state.agent_activity.suggested_prompts.get(channel, []).copy()

    @property
    def ephemeral_messages(self) -> list[Json]:
        """Messages only one user sees, from a response_url."""
        return self._state.ephemeral_messages.copy()

    def wait_until_delivered(self, timeout: float = 20.0) -> None:
        """Waits until every delivery was accepted or given up."""
        self.wait_until(lambda: self._sender.in_flight == 0, timeout)

    def _describe(self) -> str:
        said = [f"  {posted.channel} {posted.user}: {posted.text[:100]!r}" for posted in self.messages()[-10:]]
        calls = [f"  {call.method} {call.summary or '...'}" for call in self.calls()[-20:]]
        done = [f"  {one.event_id} #{one.retry_num} {one.status} {one.reason}" for one in self.deliveries[-10:]]
        return "\n".join(["messages:", *said, "calls:", *calls, "deliveries:", *done])

    # ------------------------------------------------------------ running

    async def _on_start(self) -> None:
        self._state.url = self.url
        self._sockets.open()
        await self._sender.open()

    async def _on_stop(self) -> None:
        await self._sender.close()

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
                return await slack_files.upload(self._state, request, place.rpartition("/")[2])
            case "files-pri":
                return slack_files.download(self._state, request, place)
            case "response":
                return await self._response_urls.receive(request, place)
            case "oauth" if place == "v2/authorize":
                return self.oauth.authorize(request)
            case _:
                return web.Response(status=404)
