"""Connections that say nothing, and requests that never end, with legitimate callers beside them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.attack.callers import Bystanders, bystanders
from tests.attack.stage import AttackedGateway, Row, attacked

SILENT = 5000
HALF = 1200
WATCH_SECONDS = 8.0
MOST_SECONDS = 3.0
"""For 99 of 100 answers to the others, while the attacker connects as fast as it can on the same two cores."""
HALF_HEAD = b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HALF_BODY = HALF_HEAD + b'Content-Length: 5000\r\n\r\n{"message": "'
OFFLINE = {"ASSISTANT_BACKEND": "offline"}


def silent_connections(folder: Path) -> Iterator[Row]:
    """5,000 connections from one address that never send a byte."""
    yield from _beside(folder, f"{SILENT:,} silent connections", [b""] * SILENT)


def half_requests(folder: Path) -> Iterator[Row]:
    """1,200 connections that send a half of a head, or of a body, and no more."""
    yield from _beside(folder, f"{HALF:,} half requests", [HALF_HEAD, HALF_BODY] * (HALF // 2))


def _beside(folder: Path, attack: str, firsts: list[bytes]) -> Iterator[Row]:
    with attacked(folder, OFFLINE) as gateway:
        seen, opened = asyncio.run(_attack(gateway, firsts))
    holds = seen.slowest() <= MOST_SECONDS and not seen.failures
    wanted = f"{MOST_SECONDS:g} s, no failure"
    yield Row(attack, "connections that were opened", f"{opened:,}", "")
    yield Row(attack, "/healthz beside, median / p99", seen.spread(seen.health_seconds), wanted, holds)
    yield Row(attack, "POST /chat beside, median / p99", seen.spread(seen.chat_seconds), wanted, holds)
    yield Row(attack, "failures of those beside", str(seen.failures), "0", not seen.failures)


async def _attack(gateway: AttackedGateway, firsts: list[bytes]) -> tuple[Bystanders, int]:
    sockets: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    try:
        async with bystanders(gateway) as seen:
            for number, first in enumerate(firsts):
                one = socket.socket()
                one.setblocking(False)  # noqa: FBT003  # of the standard library
                sockets.append(one)
                try:
                    async with asyncio.timeout(5.0):
                        await loop.sock_connect(one, ("127.0.0.1", gateway.port))
                        if first:
                            await loop.sock_sendall(one, first)
                except (OSError, TimeoutError):
                    break
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(WATCH_SECONDS)
        return seen, len(sockets)
    finally:
        for one in sockets:
            one.close()
