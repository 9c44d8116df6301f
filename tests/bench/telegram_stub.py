"""A minimal Telegram stub: senders of updates, and a Bot API that accepts everything.

``python -m tests.bench.telegram_stub`` takes orders as slack_stub.py does. Every message is in its own chat.
"""

from __future__ import annotations

import asyncio
import json
import re
from itertools import count
from time import perf_counter
from typing import Any

from tests.bench.slack_stub import AnswerTimes, marker, run_orders
from tests.fakes.telegram_messages import SECRET, bot_user, message_json
from tests.fakes.telegram_updates import update

CHAT_ID = re.compile(rb"chat_id=(\d+)")
FIRST_CHAT = 10_000_000
REPLY_METHODS = {b"sendMessage", b"editMessageText"}
SECRET_HEADER = "x-telegram-bot-api-secret-token"


class TelegramAnswerTimes(AnswerTimes):
    def __init__(self) -> None:
        super().__init__()
        self._sent = count(1)

    def respond(self, method: bytes, body: bytes) -> dict[str, Any]:
        found = CHAT_ID.search(body)
        chat = int(found[1]) if found else 0
        number = chat - FIRST_CHAT
        if method not in REPLY_METHODS:
            return {"ok": True, "result": RESULTS.get(method, True)}
        if marker(number).encode() in body:
            self.at[number] = perf_counter()
        where = {"id": chat, "type": "private"}
        return {"ok": True, "result": {"message_id": next(self._sent), "date": 1, "chat": where, "text": "said"}}


RESULTS: dict[bytes, Any] = {
    b"getMe": bot_user(can_join_groups=True, can_read_all_group_messages=False, supports_inline_queries=False),
    b"getWebhookInfo": {"url": "", "has_custom_certificate": False, "pending_update_count": 0},
    b"getUpdates": [],
}


def build_update(number: int, url: str) -> tuple[bytes, bytes]:
    """Builds head and body of a message update."""
    place, _, path = url.removeprefix("http://").partition("/")
    text = f"What is the weather like in Reykjavik today, {marker(number)}"
    body = json.dumps(update(message=message_json(text, chat=FIRST_CHAT + number, message_id=1))).encode()
    lines = [f"POST /{path} HTTP/1.1", f"host: {place}", "content-type: application/json", f"{SECRET_HEADER}: {SECRET}"]
    return "\r\n".join([*lines, f"content-length: {len(body)}\r\n\r\n"]).encode(), body


if __name__ == "__main__":
    asyncio.run(run_orders(TelegramAnswerTimes(), build_update))
