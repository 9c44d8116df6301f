"""Calls to Slack's Web API: within its rate limits, on one connection pool, and with errors that say what was done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
from yarl import URL

from adapters.base.api_client import MAX_ANSWER_BYTES, ApiClient
from adapters.base.error_map import DEFAULT_RETRY_AFTER, FILE_CONTENT
from adapters.base.errors import Rejected, Unreachable
from adapters.base.expiring_cache import ExpiringCache
from adapters.base.json_fields import object_or_empty
from adapters.slack.error_map import PLATFORM, SERVER_ERROR, refused, translate
from adapters.slack.rate_limits import buckets_of
from adapters.slack.reply_target import Workspace
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Content
from gateway.http_client import REDIRECTS, HttpClient, StreamedBody, read_limited
from gateway.ports.platform import DeliveryContext
from gateway.ports.spool import FileWriter

CONNECT_SECONDS = 10.0
FILE_SECONDS = 120.0
"""For the whole content of a file."""
MAX_REDIRECTS = 3
SLACK_HOSTS = ".slack.com"
OK = 200
JSON = "application/json; charset=utf-8"

QUERY_METHODS = frozenset(
    {
        *("bots.info", "conversations.info", "conversations.replies"),
        *("files.getUploadURLExternal", "files.info", "usergroups.list", "users.info"),
    }
)
"""Methods that take no JSON (docs.slack.dev/reference/methods: content types)."""


POSTING_METHODS = frozenset({"chat.postMessage", "chat.startStream"})
MOST_POSTED = 10_000
POSTED_SECONDS = 3600.0
"""How long a message is remembered as posted by us: Slack repeats its event for a few minutes."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """The bot and the workspace that a token is for."""

    user: str
    bot_id: str
    team: str
    url: str
    scopes: frozenset[str]
    """What the token permits."""


@dataclass(frozen=True, slots=True)
class SlackAnswer:
    """An answer that is ok."""

    data: dict[str, Any]
    headers: Mapping[str, str]


class SlackClient(ApiClient):
    """One per adapter; used on the worker's loop only."""

    platform = PLATFORM

    def __init__(self, api_url: str, *, timeout: float = 30.0) -> None:
        """``timeout``: seconds for a whole call, after which its outcome is unknown."""
        self._api_url = api_url
        self._seconds = timeout
        self._timeout = aiohttp.ClientTimeout(connect=min(timeout, CONNECT_SECONDS))
        self._file_timeout = aiohttp.ClientTimeout(FILE_SECONDS, connect=self._timeout.connect, sock_read=timeout)
        # As many connections as calls: Slack's limits are kept elsewhere. No cookies: those of one workspace must not
        # be sent to another.
        self._http = HttpClient()
        self._posted: ExpiringCache[str] = ExpiringCache(MOST_POSTED)

    def translate(self, method: str, exc: Exception) -> DeliveryError:
        return translate(method, exc)

    async def call(
        self,
        method: str,
        args: Mapping[str, Any],
        *,
        workspace: Workspace,
        delivery: DeliveryContext | None,
        max_wait: float = 60.0,
    ) -> dict[str, Any]:
        """Returns Slack's answer, which is ok. Leaves out arguments that are None.

        ``delivery``: None to take no token of the rate limits. ``max_wait``: seconds that a token may take.
        Raises RateLimitTimeout, PlatformRateLimited, Unreachable, OutcomeUnknown, Rejected, LeaseLost.
        """
        if delivery is None:
            answer = await self._send(method, args, workspace)
        else:
            buckets = buckets_of(method, workspace.team, str(args.get("channel", "")))
            answer = await self.limited(
                lambda: self._send(method, args, workspace), delivery, buckets, max_wait=max_wait
            )
        if method in POSTING_METHODS:
            self._posted.set((args.get("channel"), answer.data.get("ts")), method, POSTED_SECONDS)
        return answer.data

    def has_posted(self, channel: str, ts: str) -> bool:
        """Returns whether this process posted a message lately. No I/O."""
        return self._posted.get((channel, ts)) is not None

    async def identify(self, workspace: Workspace) -> TokenIdentity:
        """Asks whom the token is for; ``workspace.team`` may be empty. Raises as ``call`` does."""
        answer = await self._send("auth.test", {}, workspace)
        scopes = answer.headers.get("X-OAuth-Scopes", "").split(",")
        return TokenIdentity(
            user=answer.data.get("user_id", ""),
            bot_id=answer.data.get("bot_id", ""),
            team=answer.data.get("team_id", ""),
            url=answer.data.get("url", ""),
            scopes=frozenset(scope.strip() for scope in scopes if scope.strip()),
        )

    async def download(self, url: str, workspace: Workspace, writer: FileWriter) -> str:
        """Writes a file's content; returns its content type. Fetches from Slack's hosts only, also after a redirect.

        A token that may not read the file gets a sign-in page, like any other content.
        Raises Unreachable, Rejected for other hosts, and what ``writer`` raises.
        """
        address = _parse_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            self._check_host(address)
            headers = {"Authorization": f"Bearer {workspace.token}"}
            async with self._request("GET", address, headers=headers, max_redirects=0) as response:
                if response.status not in REDIRECTS:
                    await _copy(response, writer)
                    return response.content_type
                address = address.join(_parse_url(response.headers.get("Location", "")))
        raise Rejected("Slack redirects too often")

    async def upload_content(self, url: str, name: str, content: Content) -> None:
        """Sends content to the address of files.getUploadURLExternal. Shows nothing yet, so it may be repeated."""
        body = StreamedBody(content.size, content.pieces)
        async with self._request("POST", _parse_url(url), body=body, headers={}) as response:
            if response.status != OK:
                message = f"Slack did not take the file {name}: status {response.status}"
                raise Unreachable(message, retry_after=DEFAULT_RETRY_AFTER)

    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        await self._http.close()

    async def _send(self, method: str, args: Mapping[str, Any], workspace: Workspace) -> SlackAnswer:
        """Sends a call once, in a form that its method takes: docs.slack.dev/apis/web-api#methods"""
        given = {name: value for name, value in args.items() if value is not None}
        headers = {"Authorization": f"Bearer {workspace.token}"}
        verb, body = "POST", None
        with self.translated(method):
            url = _method_url(self._api_url, method)
            if method in QUERY_METHODS:
                verb, url = "GET", url.with_query({name: _query_value(given[name]) for name in given})
            else:
                headers["Content-Type"], body = JSON, json.dumps(given).encode()
            async with asyncio.timeout(self._seconds):
                response = await self._http.send(verb, url, headers=headers, timeout=self._timeout, body=body)
                content = await read_limited(response, MAX_ANSWER_BYTES)
            answer = object_or_empty(content)
        if response.status != OK or not answer.get("ok"):
            raise refused(method, response.status, response.headers, answer)
        return SlackAnswer(answer, response.headers)

    @asynccontextmanager
    async def _request(self, verb: str, url: URL, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Transfers the content of a file. Raises Unreachable, Rejected."""
        with self.translated(FILE_CONTENT):
            async with await self._http.send(verb, url, timeout=self._file_timeout, **options) as response:
                yield response

    def _check_host(self, url: URL) -> None:
        """Lets the token go to Slack alone. What others linked may also be an address inside our own network."""
        api, host = URL(self._api_url), url.host or ""
        same = (url.scheme, host, url.port) == (api.scheme, api.host, api.port)
        slack = url.scheme == "https" and url.is_default_port() and host.endswith((SLACK_HOSTS, f".{api.host}"))
        if not same and not slack:
            raise Rejected(f"it is not stored at Slack, but at {url}")


async def _copy(response: aiohttp.ClientResponse, writer: FileWriter) -> None:
    """Raises Unreachable, Rejected, and what ``writer`` raises."""
    if response.status != OK:
        problem = f"Slack answered with status {response.status}"
        if response.status < SERVER_ERROR:
            raise Rejected(problem)
        raise Unreachable(problem, retry_after=DEFAULT_RETRY_AFTER)
    async for chunk in response.content.iter_any():
        await writer.write(chunk)


@lru_cache(maxsize=64)  # there are fewer methods
def _method_url(api_url: str, method: str) -> URL:
    return URL(api_url + method)


def _parse_url(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        raise Rejected("its address is not valid") from None


def _query_value(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
