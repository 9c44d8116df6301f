"""The command group ``telegram``. The commands' code is imported when they run: Telegram's library takes 9 MB."""
# ruff: noqa: PLC0415

from __future__ import annotations

from functools import partial

import click

from adapters.base.background_task import RunCoroutine


def command(run: RunCoroutine) -> click.Group:
    """``run``: runs a coroutine to its end. The commands raise GatewayError."""

    @click.group("telegram")
    def telegram() -> None:
        """Set Telegram up."""

    @telegram.command("set-webhook")
    @click.argument("url")
    def set_webhook_command(url: str) -> None:
        """Have Telegram send updates to the gateway at URL, such as https://bot.example.com."""
        from adapters.telegram import webhook_commands

        run(webhook_commands.with_calls(partial(webhook_commands.set_webhook, url)))

    @telegram.command("delete-webhook")
    @click.option("--drop-pending", is_flag=True, help="Also discard the updates that wait. They are lost.")
    def delete_webhook_command(*, drop_pending: bool) -> None:
        """Have Telegram keep updates until the gateway fetches them."""
        from adapters.telegram import webhook_commands

        run(webhook_commands.with_calls(partial(webhook_commands.delete_webhook, drop_pending=drop_pending)))

    @telegram.command("info")
    def info() -> None:
        """Show who the bot is, and how updates are received."""
        from adapters.telegram import webhook_commands

        run(webhook_commands.with_calls(webhook_commands.show_info))

    return telegram
