"""Starts the programs of the Telegram scenes, each as its own process."""

from __future__ import annotations

import urllib.error
import urllib.request
from contextlib import suppress

from tests.bench.loading import wait_until
from tests.bench.processes import STOP_SECONDS, Server
from tests.bench.slack_processes import Site, SlackFolder
from tests.fakes.telegram_messages import SECRET, TOKEN


class TelegramFolder(SlackFolder):
    """Starts the programs of the Telegram scenes too. They end with the block of the fake OpenAI."""

    def telegram(self) -> Site:
        process = self._start("telegram", ["tests.bench.telegram_stub"], {})
        return Site("telegram", self._first_line(process, "http", "telegram"), process)

    def telegram_gateway(self, fake: Server, telegram: Server) -> Server:
        """Starts a normal gateway, which obeys Telegram's rate limits."""
        return _ready(self.gateway(fake, "responses", "telegram-gateway", **_settings(telegram)))

    def unlimited_gateway(self, fake: Server, telegram: Server) -> Server:
        """Starts telegram_unlimited.py."""
        module = ["tests.bench.telegram_unlimited"]
        return _ready(self.gateway(fake, "responses", "telegram-unlimited", module, **_settings(telegram)))

    def ptb(self, fake: Server, telegram: Server) -> Server:
        """Starts telegram_ptb.py."""
        name = "python-telegram-bot"
        process = self._start(name, ["tests.bench.telegram_ptb", fake.url, telegram.url], {})
        url = self._first_line(process, "Listening on", name).rpartition(" ")[2]
        return Server(name, url, process)


def _settings(telegram: Server) -> dict[str, str]:
    return {
        "TELEGRAM_API_URL": telegram.url,
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_WEBHOOK_SECRET": SECRET,
    }


def _ready(gateway: Server) -> Server:
    """Waits until the gateway knows its bot's identity; it refuses updates before, so that Telegram retries them."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    nothing = urllib.request.Request(f"{gateway.url}/telegram/webhook", b'{"update_id": 1}', headers)

    def takes_updates() -> bool:
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(nothing, timeout=STOP_SECONDS):
            return True
        return False

    wait_until(takes_updates, "the gateway did not learn its bot's identity")
    return gateway
