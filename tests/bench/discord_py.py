"""Baseline: discord.py's Client, threads in a dict, the assistant called in the handler.

Favourable to the library: clients are created once, one call gets the reply, messages are neither stored nor
deduplicated, and the fake names no rate limits for it to obey.
"""

from __future__ import annotations

import sys

import discord
import openai
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.fakes.discord_state import TOKEN


class Bot(discord.Client):
    """Answers every message that somebody else wrote."""

    def __init__(self, openai_url: str) -> None:
        intents = discord.Intents(dm_messages=True, message_content=True)
        super().__init__(intents=intents, allowed_mentions=discord.AllowedMentions.none())
        self._assistant = openai.AsyncOpenAI(api_key="sk-test", base_url=openai_url)
        self._threads: dict[int, str] = {}

    async def on_ready(self) -> None:
        print("Ready", flush=True)

    async def on_message(self, message: discord.Message) -> None:
        if message.author == self.user:
            return
        said = await self._assistant.responses.create(
            model="gpt-test", input=message.content, previous_response_id=self._threads.get(message.channel.id)
        )
        self._threads[message.channel.id] = said.id
        await message.channel.send(said.output_text)


def main(openai_url: str, discord_url: str) -> None:
    Route.BASE = f"{discord_url}/api/v10"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"{discord_url.replace('http', 'ws', 1)}/gateway")
    Bot(openai_url).run(TOKEN)


if __name__ == "__main__":
    main(*sys.argv[1:])
