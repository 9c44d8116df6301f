"""Runs ``serve`` without Telegram's rate limit, to measure the gateway itself."""

from __future__ import annotations

from adapters.telegram import bot
from gateway import cli
from gateway.storing import Rate


def main() -> None:
    bot.BOT = Rate(1e-6, 100_000)
    cli.main(["serve"])


if __name__ == "__main__":
    main()
