"""Calls to Slack's Web API: within its limits, on one connection, and with an error that says what was done."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from yarl import URL

from adapters.slack.errors import Away, Crowded, Declined, Throttled
from adapters.slack.places import Workspace
from adapters.slack.rates import PER_CHANNEL, POST, rate_of
from adapters.slack.refusals import CONTENT, SERVER_ERROR, translate
from gateway.bringing import take_each, too_large
from gateway.errors import DeliveryError, StoreUnavailable
from gateway.ports import Outbox
from gateway.storing import Rate

CONNECT_SECONDS = 10.0
CROWDED_PAUSE = 5.0
"""After which another try for a place is worth it."""
FILE_SECONDS = 120.0
"""For the whole content of a file."""
UPLOAD_PAUSE = 5.0
REDIRECTS = 3
SLACK_HOSTS = ".slack.com"
OK, MOVED = 200, frozenset({301, 302, 303, 307, 308})

BY_QUERY = frozenset(
    {"conversations.info", "conversations.replies", "files.getUploadURLExternal", "files.info", "users.info"}
)
"""Methods that take no JSON (docs.slack.dev/reference/methods: content types)."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a token stands for."""

    user: str
    bot_id: str
    team: str
    url: str
    scopes: frozenset[str]
    """What the token permits."""


class Calls:
    """One per adapter; used on the engine's loop only."""

    def __init__(self, api_url: str, *, timeout: float = 30.0) -> None:
        """``timeout``: seconds for a call as a whole, from which on its outcome is unknown."""
        self._api = URL(api_url)
        self._timeout = aiohttp.ClientTimeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        self._patient = aiohttp.ClientTimeout(FILE_SECONDS, connect=self._timeout.connect, sock_read=timeout)
        self._http: aiohttp.ClientSession | None = None
        self._client: AsyncWebClient | None = None

    async def call(
        self,
        method: str,
        args: Mapping[str, Any],
        *,
        workspace: Workspace,
        outbox: Outbox | None,
        patience: float = 60.0,
        channel: str = "",
    ) -> dict[str, Any]:
        """Slack's answer, which is ok. Arguments that are None are left out.

        Without an outbox no place under the limits is taken. ``patience``: seconds that a place may take. ``channel``:
        which limit of chat.postMessage counts. Raises Crowded, Throttled, Away, Unsure, Declined.
        """
        buckets = _buckets(method, workspace.team, channel or str(args.get("channel", "")))
        if outbox is None:
            return _data(await self._send(method, args, workspace))
        if full := await take_each(outbox, buckets, patience=patience):
            raise Crowded(f"Too much is under way at Slack: there is no place for {full}", retry_after=CROWDED_PAUSE)
        try:
            return _data(await self._send(method, args, workspace))
        except Throttled as exc:
            with suppress(StoreUnavailable):  # then nobody but this caller knows
                await outbox.hold_off(next(iter(buckets)), exc.retry_after or 0.0)
            raise

    async def who(self, workspace: Workspace) -> Who:
        """Ask whom the token stands for; ``workspace.team`` may be empty. Raises as ``call`` does."""
        answer = await self._send("auth.test", {}, workspace)
        scopes = answer.headers.get("X-OAuth-Scopes", "").split(",")
        return Who(
            user=answer.get("user_id", ""),
            bot_id=answer.get("bot_id", ""),
            team=answer.get("team_id", ""),
            url=answer.get("url", ""),
            scopes=frozenset(scope.strip() for scope in scopes if scope.strip()),
        )

    async def download(self, url: str, workspace: Workspace, limit: int) -> tuple[bytes, str]:
        """A file's content and its content type. It is fetched from Slack's hosts only, also by way of a redirect.

        Raises Away, and Declined for more than ``limit`` bytes and for another host. Whoever may not have it gets a
        page that asks to sign in, like any other content.
        """
        address = _address(url)
        for _ in range(REDIRECTS + 1):
            self._check_host(address)
            headers = {"Authorization": f"Bearer {workspace.token}"}
            async with self._request("GET", address, headers=headers, allow_redirects=False) as response:
                if response.status not in MOVED:
                    return await _content(response, limit), response.content_type
                address = address.join(_address(response.headers.get("Location", "")))
        raise Declined("Slack sends us from one address to the next")

    async def upload_bytes(self, url: str, name: str, content: bytes) -> None:
        """Send a file's content where files.getUploadURLExternal said. Shows nothing yet: it may be repeated."""
        headers = {"Content-Type": "application/octet-stream"}
        async with self._request("POST", _address(url), data=content, headers=headers) as response:
            if response.status != OK:
                raise Away(f"Slack did not take the file {name}: status {response.status}", retry_after=UPLOAD_PAUSE)

    async def close(self) -> None:
        self._client, http, self._http = None, self._http, None
        if http is not None:
            await http.close()

    async def _send(self, method: str, args: Mapping[str, Any], workspace: Workspace) -> AsyncSlackResponse:
        given = {name: value for name, value in args.items() if value is not None}
        headers = {"Authorization": f"Bearer {workspace.token}"}
        try:
            client = self._sdk()
            if method in BY_QUERY:
                return await client.api_call(method, http_verb="GET", params=given, headers=headers)
            return await client.api_call(method, json=given, headers=headers)
        except Exception as exc:
            raise translate(method, exc) from exc

    @asynccontextmanager
    async def _request(self, verb: str, url: URL, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """For the content of files. Raises Away, Declined."""
        try:
            async with self._connections().request(
                verb, url, timeout=self._patient, proxy=_proxy(url), **options
            ) as response:
                yield response
        except DeliveryError:
            raise
        except Exception as exc:
            raise translate(CONTENT, exc) from exc

    def _sdk(self) -> AsyncWebClient:
        if self._client is None:
            log = logging.getLogger(__name__)
            log.setLevel(logging.INFO)  # below it the SDK spells out every call, the words of people included
            self._client = AsyncWebClient(
                base_url=str(self._api), session=self._connections(), retry_handlers=[], logger=log
            )
            self._client.proxy = _proxy(self._api)  # the SDK's own choice does not know of NO_PROXY
        return self._client

    def _connections(self) -> aiohttp.ClientSession:
        if self._http is None:
            # As many connections as there are calls: the limits of Slack are kept elsewhere. No cookies: what one
            # workspace is told must not be said to another.
            connector = aiohttp.TCPConnector(limit=0)
            self._http = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._http

    def _check_host(self, url: URL) -> None:
        """The token goes to Slack alone. Also, what others linked may be an address inside of our own network."""
        host, api = url.host or "", self._api.host or ""
        ours = host == api and url.scheme == self._api.scheme
        if not ours and not (url.scheme == "https" and host.endswith((SLACK_HOSTS, f".{api}"))):
            raise Declined("it is not stored at Slack")


def _buckets(method: str, team: str, channel: str) -> dict[str, Rate]:
    """The limits that count for a call, the narrowest first."""
    buckets = {f"slack:{team}:{channel}:{method}": PER_CHANNEL} if method == POST else {}
    return buckets | {f"slack:{team}:{method}": rate_of(method)}


def _data(answer: AsyncSlackResponse) -> dict[str, Any]:
    return answer.data if isinstance(answer.data, dict) else {}


async def _content(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Raises Away, Declined."""
    if response.status != OK:
        problem = f"Slack answered with status {response.status}"
        raise Declined(problem) if response.status < SERVER_ERROR else Away(problem, retry_after=UPLOAD_PAUSE)
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > limit:
            raise Declined(too_large(limit))
    return bytes(content)


def _address(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        raise Declined("its address cannot be read") from None


def _proxy(url: URL) -> str | None:
    """What the environment names for it, HTTPS_PROXY and the like."""
    return None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)
