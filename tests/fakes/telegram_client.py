"""The real python-telegram-bot client, connected to the fake Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telegram import Bot
from telegram.request import HTTPXRequest

from tests.fakes.telegram_messages import TOKEN
from tests.fakes.telegram_server import FakeTelegram


@asynccontextmanager
async def bot_client(telegram: FakeTelegram, token: str = TOKEN) -> AsyncIterator[Bot]:
    """Yields a Bot with timeouts long enough for a slow machine."""
    requests = [_http_request(), _http_request()]
    bot = Bot(token, telegram.base_url, telegram.base_file_url, get_updates_request=requests[0], request=requests[1])
    async with requests[0], requests[1]:
        yield bot


def _http_request() -> HTTPXRequest:
    """Returns a request object that loads no certificates, which takes 20 ms and loopback does not need."""
    return HTTPXRequest(
        16, read_timeout=20, connect_timeout=20, pool_timeout=20, media_write_timeout=60, httpx_kwargs={"verify": False}
    )
