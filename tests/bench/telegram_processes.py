"""Starts the programs of the Telegram scenes, each as its own process."""

from __future__ import annotations

import urllib.error
import urllib.request
from contextlib import suppress

from tests.bench.loading import wait_until
from tests.bench.processes import STOP_SECONDS, BenchServer
from tests.bench.slack_processes import SlackProcesses, StubServer
from tests.fakes.telegram_messages import SECRET, TOKEN


class TelegramProcesses(SlackProcesses):
    """Starts the programs of the Telegram scenes too. They end with the block of the fake OpenAI."""

    def start_telegram_stub(self) -> StubServer:
        process = self._start_module("telegram", ["tests.bench.telegram_stub"], {})
        return StubServer("telegram", self._wait_for_line(process, "http", "telegram"), process)

    def start_telegram_gateway(self, fake: BenchServer, telegram: BenchServer) -> BenchServer:
        """Starts a normal gateway, which obeys Telegram's rate limits."""
        return _wait_until_ready(self.start_gateway(fake, "responses", "telegram-gateway", **_settings(telegram)))

    def start_unlimited_gateway(self, fake: BenchServer, telegram: BenchServer) -> BenchServer:
        """Starts telegram_unlimited.py."""
        module = ["tests.bench.telegram_unlimited"]
        return _wait_until_ready(
            self.start_gateway(fake, "responses", "telegram-unlimited", module, **_settings(telegram))
        )

    def start_ptb(self, fake: BenchServer, telegram: BenchServer) -> BenchServer:
        """Starts telegram_ptb.py."""
        name = "python-telegram-bot"
        process = self._start_module(name, ["tests.bench.telegram_ptb", fake.url, telegram.url], {})
        url = self._wait_for_line(process, "Listening on", name).rpartition(" ")[2]
        return BenchServer(name, url, process)


def _settings(telegram: BenchServer) -> dict[str, str]:
    return {
        "TELEGRAM_API_URL": telegram.url,
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_WEBHOOK_SECRET": SECRET,
    }


def _wait_until_ready(gateway: BenchServer) -> BenchServer:
    """Waits until the gateway knows its bot's identity; it refuses updates before, so that Telegram retries them."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    nothing = urllib.request.Request(f"{gateway.url}/telegram/webhook", b'{"update_id": 1}', headers)

    def takes_updates() -> bool:
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(nothing, timeout=STOP_SECONDS):
            return True
        return False

    wait_until(takes_updates, "the gateway did not learn its bot's identity")
    return gateway
