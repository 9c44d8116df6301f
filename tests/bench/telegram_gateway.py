"""``serve``, which does not keep to how much Telegram takes in a second: to see what it could do without that."""

from __future__ import annotations

from adapters.telegram import api_client
from gateway import cli
from gateway.storing import Rate


def main() -> None:
    api_client.BOT = Rate(1e-6, 100_000)
    cli.main(["serve"])


if __name__ == "__main__":
    main()
