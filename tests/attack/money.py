"""Runs that are cancelled when most of the reply is there, all at once, within a budget for two turns."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.attack.stage import AttackedGateway, Row, attacked
from tests.fakes.openai_server import FakeOpenAI

CANCELLED_RUNS = 8
CANCELLED_AT = 0.77
"""Of the reply's text."""
REPLY = "All was well in the loft, and the pigeons came home one by one. " * 40
CHUNKS = 100
PRICE = 1_000_000
"""Of a million tokens, so that a token costs one, and sums are whole numbers of tokens."""
SETTLE_SECONDS = 30.0
BACKENDS = ("responses", "chat")


@dataclass(frozen=True)
class Bank:
    """What was spent, read from the gateway's database."""

    database: Path

    def spent(self) -> float:
        """Returns the cost of all turns, in tokens."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            (total,) = connection.execute("SELECT coalesce(sum(cost), 0) FROM turns").fetchone()
        return float(total) / PRICE


def cancelled_runs(folder: Path) -> Iterator[Row]:
    """Eight streamed runs at once, each stopped at 77 % of its text; then whole ones until the budget is spent."""
    for backend in BACKENDS:
        with FakeOpenAI() as openai:
            openai.reply, openai.chunks, openai.chunk_delay = REPLY, CHUNKS, 0.01
            yield from _play(folder / backend, openai, backend)


def _play(folder: Path, openai: FakeOpenAI, backend: str) -> Iterator[Row]:
    settings = {
        "ASSISTANT_BACKEND": backend,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": openai.base_url,
        "OPENAI_MODEL": "gpt-test",
        "PRICES": f"*={PRICE}/{PRICE}",
    }
    with attacked(folder / "one", settings) as gateway:
        asyncio.run(_whole_run(gateway))
        one_turn = Bank(gateway.database).spent()
    limit = 2 * one_turn
    with attacked(folder / "all", {**settings, "BUDGET_USER_DAY": f"{limit:.0f}"}) as gateway:
        refused = asyncio.run(_cancel_and_go_on(gateway))
        spent = _settled(Bank(gateway.database))
    attack = f"{CANCELLED_RUNS} runs cancelled at {CANCELLED_AT:.0%}, {backend}"
    wanted = f"{(limit + one_turn) / limit:.2f}: one turn more"
    yield Row(attack, "spent, as a part of the budget", f"{spent / limit:.2f}", wanted, spent <= limit + one_turn)
    yield Row(attack, "who goes on is refused", "yes" if refused else "no", "yes", refused)


async def _cancel_and_go_on(gateway: AttackedGateway) -> bool:
    """Cancels runs, then asks until it is refused; returns whether it was."""
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(_cancelled_run(session, gateway.url) for _ in range(CANCELLED_RUNS)))
        for _ in range(CANCELLED_RUNS):
            async with session.post(f"{gateway.url}/chat", json=_message(stream=False)) as response:
                body = await response.json()
            if "budget" in json.dumps(body):
                return True
    return False


async def _cancelled_run(session: aiohttp.ClientSession, url: str) -> None:
    turn, shown = "", 0
    with suppress(aiohttp.ClientError):
        async with session.post(f"{url}/chat", json=_message(stream=True)) as response:
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                data = json.loads(line.removeprefix(b"data: "))
                turn = data.get("turn_id") or turn
                shown += len(data.get("text") or "")
                if shown >= CANCELLED_AT * len(REPLY):
                    break
    if turn:
        async with session.post(f"{url}/chat/turns/{turn}/cancel") as response:
            await response.read()


async def _whole_run(gateway: AttackedGateway) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/chat", json=_message(stream=False)) as response,
    ):
        response.raise_for_status()
        await response.read()


def _message(*, stream: bool) -> dict[str, object]:
    return {"message": "Tell me of pigeons", "user": "ann", "stream": stream}


def _settled(bank: Bank) -> float:
    """Returns what was spent, once it does not change any more: a cancelled run is charged a moment later."""
    until, spent = time.monotonic() + SETTLE_SECONDS, -1.0
    while time.monotonic() < until and spent != (now := bank.spent()):
        spent = now
        time.sleep(3.0)
    return bank.spent()
