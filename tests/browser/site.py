"""Runs a whole gateway in this process, on its own port, with the web chat and a fake OpenAI."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import flask
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from adapters.http import HttpAdapter, HttpSettings
from gateway import admin
from gateway.admin import AdminContext
from gateway.admin.blueprint import blueprint
from gateway.app import open_gateway
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.settings import Settings
from gateway.web import asgi_app
from gateway.web.chat_page import Assets
from gateway.wiring.loading import load
from gateway.wiring.platforms import people_hand_over
from storage.store import SqlStore
from tests.adapters.app_client import served
from tests.fakes.openai_server import FakeOpenAI
from tests.gateway.served_gateway import serve_gateway

MAX_MESSAGE_CHARS = 2000


class QuietRequestHandler(WSGIRequestHandler):
    """Keeps connections open, as the production server does, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@dataclass(frozen=True)
class GatewaySite:
    url: str
    fake: FakeOpenAI


@contextmanager
def serve(app: WSGIApplication) -> Iterator[str]:
    """Serves a WSGI app on the loopback interface and yields its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietRequestHandler)
    server.daemon_threads = True  # type: ignore[attr-defined]  # of ThreadedWSGIServer, which make_server hides
    server.block_on_close = False  # type: ignore[attr-defined]  # likewise; a browser keeps connections open
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def _ready() -> Sequence[CheckResult]:
    return ()


@contextmanager
def serve_admin(context: AdminContext) -> Iterator[str]:
    """Serves the operator's pages, with the route that streams, as a gateway does; yields the URL."""
    no_inbox = cast("AsyncInbox", None)  # of adapters, of which there are none

    def pages() -> Sequence[flask.Blueprint]:
        return (blueprint(context), Assets().routes())

    application = asgi_app.create_app((), no_inbox, _ready, pages, routes=admin.native_routes(context))
    listener = listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with served(application, listener):
        yield url


def _backend_settings(fake: FakeOpenAI) -> dict[str, str]:
    return {
        "ASSISTANT_BACKEND": "responses",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_MODEL": "gpt-test",
        "OPENAI_BASE_URL": fake.base_url,
        "MAX_MESSAGE_CHARS": str(MAX_MESSAGE_CHARS),
    }


def listen() -> socket.socket:
    """Listens on a free port of the loopback interface."""
    return socket.create_server(("127.0.0.1", 0))


@contextmanager
def open_site(database_url: str, listener: socket.socket | None = None, **environment: str) -> Iterator[GatewaySite]:
    """Runs a gateway on an SQLite database, configured by ``environment`` only, without the machine's `.env`.

    ``listener``: is closed with it; without one, it gets a port of its own.
    """
    with FakeOpenAI() as fake, pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(database_url.removeprefix("sqlite:///")).parent)  # away from any .env
        for name, value in (_backend_settings(fake) | environment).items():
            patch.setenv(name, value)
        settings = Settings.load()
        most = settings.max_message_chars
        store = SqlStore(database_url)
        chat = HttpAdapter(
            HttpSettings.load(), store, store.uploads, max_message_chars=most, max_waiting=200, ping_seconds=0.2
        )
        chat.hands_over = people_hand_over(load)
        gateway = open_gateway(settings, (chat,), store)
        try:
            with serve_gateway(gateway, listener) as url:
                yield GatewaySite(url, fake)
        finally:
            chat.drain(0.0)
            gateway.close(0.5)


class EmbeddingSite:
    """A third-party site with one page."""

    html = ""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return Response(self.html, content_type="text/html; charset=utf-8")(environ, start_response)
