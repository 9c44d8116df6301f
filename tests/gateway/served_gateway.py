"""A whole gateway in this process, as its settings and `gateway.toml` describe it, and its HTTP server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.app import open_gateway
from gateway.configuration import CurrentConfiguration
from gateway.settings import Settings
from gateway.web.connections import Limits
from gateway.web.server import HttpServer
from gateway.wiring.loading import load_configuration
from gateway.wiring.platforms import enabled_platforms
from gateway.wiring.running_gateway import Gateway
from storage.store import SqlStore

CLOSE_SECONDS = 0.5


@contextmanager
def run_gateway(settings: Settings) -> Iterator[Gateway]:
    """Runs a gateway with the platforms that are switched on. At the end, callers who wait are told at once."""
    store, current = SqlStore(settings.database_url), CurrentConfiguration(load_configuration(settings))
    gateway = open_gateway(settings, enabled_platforms(settings, store, current), store, current=current)
    try:
        yield gateway
    finally:
        gateway.drain(0.0)
        gateway.close(CLOSE_SECONDS)


@contextmanager
def serve_gateway(gateway: Gateway, listener: socket.socket | None = None) -> Iterator[str]:
    """Serves a gateway as the command line does; yields the URL. ``listener``: without one, a port is chosen."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    server = HttpServer(gateway.web(), Limits())
    gateway.worker.run_coroutine(server.start(listener))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        gateway.worker.run_coroutine(server.stop(CLOSE_SECONDS))
