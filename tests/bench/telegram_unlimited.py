"""Runs ``serve`` without Telegram's rate limit, to measure the gateway itself."""

from __future__ import annotations

from adapters.telegram import api_client
from gateway.cli import main as cli
from gateway.ports.token_buckets import Rate


def main() -> None:
    api_client.BOT = Rate(1e-6, 100_000)
    cli.main(["serve"])


if __name__ == "__main__":
    main()
