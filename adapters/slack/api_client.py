"""Calls to Slack's Web API: within its rate limits, on one connection pool, and with errors that say what was done."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from yarl import URL

from adapters.base.api_client import ApiClient
from adapters.base.error_map import DEFAULT_RETRY_AFTER, FILE_CONTENT
from adapters.base.errors import Rejected, Unreachable
from adapters.base.files import check_size
from adapters.slack.error_map import PLATFORM, SERVER_ERROR, translate
from adapters.slack.rate_limits import buckets_of
from adapters.slack.reply_target import Workspace
from gateway.domain.errors import DeliveryError
from gateway.ports.platform import DeliveryContext

CONNECT_SECONDS = 10.0
FILE_SECONDS = 120.0
"""For the whole content of a file."""
MAX_REDIRECTS = 3
SLACK_HOSTS = ".slack.com"
OK, REDIRECTED = 200, frozenset({301, 302, 303, 307, 308})

QUERY_METHODS = frozenset(
    {"conversations.info", "conversations.replies", "files.getUploadURLExternal", "files.info", "users.info"}
)
"""Methods that take no JSON (docs.slack.dev/reference/methods: content types)."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """The bot and the workspace that a token is for."""

    user: str
    bot_id: str
    team: str
    url: str
    scopes: frozenset[str]
    """What the token permits."""


class SlackClient(ApiClient):
    """One per adapter; used on the worker's loop only."""

    platform = PLATFORM

    def __init__(self, api_url: str, *, timeout: float = 30.0) -> None:
        """``timeout``: seconds for a whole call, after which its outcome is unknown."""
        self._api = URL(api_url)
        self._timeout = aiohttp.ClientTimeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        self._file_timeout = aiohttp.ClientTimeout(FILE_SECONDS, connect=self._timeout.connect, sock_read=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._client: AsyncWebClient | None = None

    def translate(self, method: str, exc: Exception) -> DeliveryError:
        return translate(method, exc)

    async def call(
        self,
        method: str,
        args: Mapping[str, Any],
        *,
        workspace: Workspace,
        outbox: DeliveryContext | None,
        max_wait: float = 60.0,
    ) -> dict[str, Any]:
        """Returns Slack's answer, which is ok. Leaves out arguments that are None.

        ``outbox``: None to take no token of the rate limits. ``max_wait``: seconds that a token may take.
        Raises RateLimitTimeout, PlatformRateLimited, Unreachable, OutcomeUnknown, Rejected, LeaseLost.
        """
        if outbox is None:
            answer = await self._send(method, args, workspace)
        else:
            buckets = buckets_of(method, workspace.team, str(args.get("channel", "")))
            answer = await self.limited(lambda: self._send(method, args, workspace), outbox, buckets, max_wait=max_wait)
        return answer.data if isinstance(answer.data, dict) else {}

    async def identify(self, workspace: Workspace) -> TokenIdentity:
        """Asks whom the token is for; ``workspace.team`` may be empty. Raises as ``call`` does."""
        answer = await self._send("auth.test", {}, workspace)
        scopes = answer.headers.get("X-OAuth-Scopes", "").split(",")
        return TokenIdentity(
            user=answer.get("user_id", ""),
            bot_id=answer.get("bot_id", ""),
            team=answer.get("team_id", ""),
            url=answer.get("url", ""),
            scopes=frozenset(scope.strip() for scope in scopes if scope.strip()),
        )

    async def download(self, url: str, workspace: Workspace, max_bytes: int) -> tuple[bytes, str]:
        """Returns a file's content and its content type. Fetches from Slack's hosts only, also after a redirect.

        A token that may not read the file gets a sign-in page, like any other content.
        Raises Unreachable, and Rejected for more than ``max_bytes`` and for other hosts.
        """
        address = _parse_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            self._check_host(address)
            headers = {"Authorization": f"Bearer {workspace.token}"}
            async with self._request("GET", address, headers=headers, allow_redirects=False) as response:
                if response.status not in REDIRECTED:
                    return await _read(response, max_bytes), response.content_type
                address = address.join(_parse_url(response.headers.get("Location", "")))
        raise Rejected("Slack redirects too often")

    async def upload_bytes(self, url: str, name: str, content: bytes) -> None:
        """Sends content to the address of files.getUploadURLExternal. Shows nothing yet, so it may be repeated."""
        headers = {"Content-Type": "application/octet-stream"}
        async with self._request("POST", _parse_url(url), data=content, headers=headers) as response:
            if response.status != OK:
                message = f"Slack did not take the file {name}: status {response.status}"
                raise Unreachable(message, retry_after=DEFAULT_RETRY_AFTER)

    async def close(self) -> None:
        self._client, session, self._session = None, self._session, None
        if session is not None:
            await session.close()

    async def _send(self, method: str, args: Mapping[str, Any], workspace: Workspace) -> AsyncSlackResponse:
        given = {name: value for name, value in args.items() if value is not None}
        headers = {"Authorization": f"Bearer {workspace.token}"}
        with self.translated(method):
            client = self._sdk()
            if method in QUERY_METHODS:
                return await client.api_call(method, http_verb="GET", params=given, headers=headers)
            return await client.api_call(method, json=given, headers=headers)

    @asynccontextmanager
    async def _request(self, verb: str, url: URL, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Transfers the content of a file. Raises Unreachable, Rejected."""
        with self.translated(FILE_CONTENT):
            session = self._http()
            async with session.request(verb, url, timeout=self._file_timeout, proxy=_proxy(url), **options) as response:
                yield response

    def _sdk(self) -> AsyncWebClient:
        if self._client is None:
            log = logging.getLogger(__name__)
            log.setLevel(logging.INFO)  # at DEBUG the SDK logs every call with its text
            self._client = AsyncWebClient(base_url=str(self._api), session=self._http(), retry_handlers=[], logger=log)
            self._client.proxy = _proxy(self._api)  # the SDK's own choice ignores NO_PROXY
        return self._client

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            # As many connections as calls: Slack's limits are kept elsewhere. No cookies: those of one workspace must
            # not be sent to another.
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _check_host(self, url: URL) -> None:
        """Lets the token go to Slack alone. What others linked may also be an address inside our own network."""
        host, api = url.host or "", self._api.host or ""
        same = host == api and url.scheme == self._api.scheme
        if not same and not (url.scheme == "https" and host.endswith((SLACK_HOSTS, f".{api}"))):
            raise Rejected("it is not stored at Slack")


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Raises Unreachable, Rejected."""
    if response.status != OK:
        problem = f"Slack answered with status {response.status}"
        if response.status < SERVER_ERROR:
            raise Rejected(problem)
        raise Unreachable(problem, retry_after=DEFAULT_RETRY_AFTER)
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        check_size(len(content), max_bytes)
    return bytes(content)


def _parse_url(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        raise Rejected("its address is not valid") from None


def _proxy(url: URL) -> str | None:
    """Returns the proxy that the environment names for it, HTTPS_PROXY and the like."""
    return None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)
