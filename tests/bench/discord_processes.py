"""Starts the programs of the Discord scene, each as its own process."""

from __future__ import annotations

from tests.bench.processes import BenchServer
from tests.bench.slack_processes import StubServer
from tests.bench.telegram_processes import TelegramProcesses
from tests.fakes.discord_state import TOKEN


class DiscordProcesses(TelegramProcesses):
    """Starts the programs of the Discord scene too. They end with the block of the fake OpenAI."""

    def start_discord_stub(self) -> StubServer:
        process = self._start_module("discord", ["tests.bench.discord_stub"], {})
        return StubServer("discord", self._wait_for_line(process, "http", "discord"), process)

    def start_discord_gateway(self, fake: BenchServer, discord: BenchServer) -> BenchServer:
        """Starts discord_unlimited.py."""
        settings = {"DISCORD_API_URL": f"{discord.url}/api/v10", "DISCORD_BOT_TOKEN": TOKEN}
        return self.start_gateway(fake, "responses", "discord-gateway", ["tests.bench.discord_unlimited"], **settings)

    def start_discord_py(self, fake: BenchServer, discord: BenchServer) -> BenchServer:
        """Starts discord_py.py, which listens nowhere."""
        name = "discord.py"
        process = self._start_module(name, ["tests.bench.discord_py", fake.url, discord.url], {})
        self._wait_for_line(process, "Ready", name)
        return BenchServer(name, "", process)
