"""The HTTP client: how it reaches a server, what another server gets to see, and what breaks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from gateway.domain.errors import SettingsError
from gateway.http_client import GuardedClient, HttpClient, PostFailed, multipart, read_limited
from gateway.http_post import MAX_BODY_BYTES
from tests.fakes.raw_server import CA_FILE, KEY, RawServer

HEADERS = {"Authorization": f"Bearer {KEY}", "x-own": KEY, "Content-Type": "application/json"}
TIMEOUT = aiohttp.ClientTimeout(sock_connect=5, sock_read=5)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
async def other() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


async def ask(http: HttpClient, url: str, method: str = "POST", body: bytes | None = b"{}") -> tuple[int, bytes]:
    async with await http.send(method, url, headers=HEADERS, timeout=TIMEOUT, body=body) as response:
        return response.status, await response.read()


def lines(server: RawServer) -> list[bytes]:
    return [request.split(b"\r\n")[0] for request in server.requests]


# ---------------------------------------------------------------- connections


async def test_a_response_that_is_read_to_its_end_leaves_its_connection_to_the_next(
    http: HttpClient, server: RawServer
) -> None:
    for _ in range(3):
        server.add_response(b"yes")
        response = await http.send("GET", server.url, headers=HEADERS, timeout=TIMEOUT)
        assert await read_limited(response, 3) == b"yes"
    assert server.connections == 1


async def test_a_response_that_is_too_long_closes_its_connection(http: HttpClient, server: RawServer) -> None:
    server.add_partial_stream(b"x" * 100, hang_up=False)
    response = await http.send("GET", server.url, headers=HEADERS, timeout=TIMEOUT)
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        await read_limited(response, 10)
    async with asyncio.timeout(5):
        await server.caller_left.wait()


async def test_requests_one_after_another_share_a_connection(http: HttpClient, server: RawServer) -> None:
    for _ in range(3):
        server.add_response(b"yes")
        assert await ask(http, server.url) == (200, b"yes")
    assert server.connections == 1


async def test_it_opens_again_after_it_was_closed(http: HttpClient, server: RawServer) -> None:
    for _ in range(2):
        server.add_response(b"yes")
        await ask(http, server.url)
        await http.close()
        await http.close()
    assert server.connections == 2


async def test_further_requests_wait_for_a_connection(server: RawServer) -> None:
    http = HttpClient(max_connections=1)
    for _ in range(3):
        server.add_response(b"yes")
    assert await asyncio.gather(*(ask(http, server.url) for _ in range(3))) == [(200, b"yes")] * 3
    assert server.connections == 1
    await http.close()


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_server_gets_its_cookies_back_only_if_they_are_kept(server: RawServer, *, keeps: bool) -> None:
    http = HttpClient(keeps_cookies=keeps)
    for _ in range(2):
        server.add_response(b"", headers="set-cookie: a=b; path=/\r\n")
        await ask(http, server.url)
    assert [b"a=b" in request for request in server.requests] == [False, keeps]
    await http.close()


# ---------------------------------------------------------------- bodies that are posted at once


@pytest.mark.parametrize("headers", [HEADERS, {}, {"ACCEPT": "text/event-stream", "user-agent": "own", "Host": "h"}])
async def test_a_small_body_has_the_headers_of_a_large_one(server: RawServer, headers: dict[str, str]) -> None:
    http = HttpClient(keeps_cookies=True)
    server.add_response(b"", headers='set-cookie: a=b; path=/\r\nset-cookie: c="d e"; path=/\r\n')
    await ask(http, server.url)
    for size in (MAX_BODY_BYTES, MAX_BODY_BYTES + 1):
        server.add_response(b"yes")
        url = f"{server.url}/a%20b?c=d#e"
        response = await http.send("POST", url, headers=headers, timeout=TIMEOUT, body=b"x" * size)
        assert (await response.read(), str(response.url)) == (b"yes", f"{server.url}/a%20b?c=d")
    small, large = (request.partition(b"\r\n\r\n") for request in server.requests[1:])
    assert (len(small[2]), len(large[2])) == (MAX_BODY_BYTES, MAX_BODY_BYTES + 1)
    assert sorted(small[0].lower().split(b"\r\n")) == sorted(
        large[0].lower().replace(b"%d" % (MAX_BODY_BYTES + 1), b"%d" % MAX_BODY_BYTES).split(b"\r\n")
    )
    await http.close()


async def test_a_post_that_is_cancelled_closes_its_connection(http: HttpClient, server: RawServer) -> None:
    server.answers.append(([], False))
    waiting = asyncio.create_task(ask(http, server.url))
    await server.wait_for_requests()
    waiting.cancel()
    async with asyncio.timeout(5):
        await server.caller_left.wait()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_answer_that_is_no_http_names_the_address(http: HttpClient, server: RawServer) -> None:
    server.answers.append(([b"SSH-2.0-OpenSSH_9.6\r\n"], False))
    with pytest.raises(aiohttp.ClientResponseError, match=f"{server.url}/there"):
        await ask(http, f"{server.url}/there")
    async with asyncio.timeout(5):
        await server.caller_left.wait()


async def test_a_header_with_a_line_break_is_not_sent(http: HttpClient, server: RawServer) -> None:
    with pytest.raises(ValueError, match="header"):
        await http.send("POST", server.url, headers={"x-own": "a\r\nb: c"}, timeout=TIMEOUT, body=b"{}")
    assert server.requests == []


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_within_a_server_is_followed(http: HttpClient, server: RawServer, status: int) -> None:
    server.add_response(b"", status=f"{status} Moved", headers="location: /there?x=1\r\n")
    server.add_response(b"yes")
    assert await ask(http, f"{server.url}/here") == (200, b"yes")
    assert lines(server) == [b"POST /here HTTP/1.1", b"POST /there?x=1 HTTP/1.1"]
    assert all(request.count(KEY.encode()) == 2 and request.endswith(b"{}") for request in server.requests)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_another_host_or_port_gets_the_request_and_no_key(
    http: HttpClient, server: RawServer, other: RawServer, host: str
) -> None:
    server.add_response(b"", status="307 Moved", headers=f"location: http://{host}:{other.port}/there\r\n")
    other.add_response(b"yes")
    assert await ask(http, server.url) == (200, b"yes")
    (request,) = other.requests
    assert request.endswith(b"{}")
    assert KEY.encode() not in request
    assert f"host: {host}:{other.port}".encode() in request.lower()


async def test_another_scheme_of_the_same_host_gets_no_key(
    http: HttpClient, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CA_FILE))
    async with RawServer(tls=True) as secure:
        server.add_response(b"", status="308 Moved", headers=f"location: {secure.url}\r\n")
        secure.add_response(b"yes")
        assert await ask(http, server.url) == (200, b"yes")
    assert KEY.encode() not in secure.requests[0]


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_what_would_make_a_get_of_a_post_is_returned_as_it_is(
    http: HttpClient, server: RawServer, status: int
) -> None:
    server.add_response(b"moved", status=f"{status} Moved", headers="location: /there\r\n")
    assert await ask(http, server.url) == (status, b"moved")
    server.add_response(b"", status=f"{status} Moved", headers="location: /there\r\n")
    server.add_response(b"yes")
    assert await ask(http, server.url, "GET", None) == (200, b"yes")


@pytest.mark.parametrize("location", ["", "ftp://127.0.0.1/", "http://[::1"])
async def test_a_redirect_to_nowhere_is_returned_as_it_is(http: HttpClient, server: RawServer, location: str) -> None:
    server.add_response(b"moved", status="307 Moved", headers=f"location: {location}\r\n")
    assert await ask(http, server.url) == (307, b"moved")


async def test_redirects_come_to_an_end(http: HttpClient, server: RawServer) -> None:
    for _ in range(6):
        server.add_response(b"", status="307 Moved", headers="location: /again\r\n")
    assert await ask(http, server.url) == (307, b"")
    assert server.answers == []


# ---------------------------------------------------------------- proxies


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_a_proxy_of_the_environment_is_used(
    http: HttpClient, server: RawServer, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    monkeypatch.setenv(name, f"{scheme}127.0.0.1:{server.port}")
    server.add_response(b"yes")
    assert await ask(http, "http://assistant.example/v1") == (200, b"yes")
    assert lines(server) == [b"POST http://assistant.example/v1 HTTP/1.1"]


@pytest.mark.parametrize("spared", ["127.0.0.1", "127.0.0.1:{port}", "*", "example.com, 127.0.0.1"])
async def test_a_host_in_no_proxy_is_reached_directly(
    http: HttpClient, server: RawServer, monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", spared.format(port=server.port))
    server.add_response(b"yes")
    assert await ask(http, server.url) == (200, b"yes")


async def test_a_proxy_gets_its_password_and_no_key_of_a_server_with_tls(
    http: HttpClient, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hidden@127.0.0.1:{server.port}")
    server.add_response(b"no", status="407 Proxy Authentication Required")
    with pytest.raises(aiohttp.ClientHttpProxyError) as caught:
        await ask(http, "https://assistant.example/v1")
    (request,) = server.requests
    assert request.startswith(b"CONNECT assistant.example:443 ")
    assert b"\r\nproxy-authorization: basic bWU6aGlkZGVu".lower() in request.lower()
    assert KEY.encode() not in request
    assert "hidden" not in f"{caught.value!s} {caught.value!r}"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://", "http://[::1"])
async def test_a_proxy_that_cannot_be_used_is_named(
    http: HttpClient, server: RawServer, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(SettingsError, match="proxy for http"):
        await ask(http, server.url)
    assert server.connections == 0


# ---------------------------------------------------------------- certificates


async def test_a_certificate_of_an_unknown_authority_is_refused(http: HttpClient) -> None:
    async with RawServer(tls=True) as secure:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(http, secure.url)
        assert secure.requests == []


async def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CA_FILE))
    async with RawServer(tls=True) as secure:
        secure.add_response(b"yes")
        assert await ask(http, secure.url) == (200, b"yes")


async def test_certificates_that_cannot_be_read_are_named(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        await ask(http, "https://127.0.0.1:9")


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("url", ["127.0.0.1", "http://", "http://127.0.0.1:x", "ftp://127.0.0.1"])
async def test_an_address_that_is_none_opens_no_connection(http: HttpClient, url: str) -> None:
    with pytest.raises((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        await ask(http, url)


# ---------------------------------------------------------------- addresses of strangers


async def test_certificates_that_cannot_be_read_are_why_nothing_was_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    client = GuardedClient(lambda _: True)
    with pytest.raises(PostFailed, match="SSL_CERT_FILE"):
        await client.post("https://127.0.0.1:9/hook", b"{}", {}, 5.0)
    await client.close()


# ---------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("media_type", "sent"),
    [
        ("image/png", b"image/png"),
        ("text/plain; charset=utf-8", b"text/plain; charset=utf-8"),
        ("image/png\r\nX-Injected: a", b"application/octet-stream"),
        ("", b"application/octet-stream"),
    ],
)
async def test_a_part_of_a_form_has_no_other_headers(
    http: HttpClient, server: RawServer, media_type: str, sent: bytes
) -> None:
    server.add_response(b"{}")
    form = multipart({"a": "b"}, {"file": ("a.png", b"content", media_type)})
    async with await http.send("POST", server.url, headers={}, timeout=TIMEOUT, body=form) as response:
        assert response.status == 200
    (request,) = server.requests
    assert b"Content-Type: " + sent + b"\r\n" in request
    assert b"X-Injected" not in request
