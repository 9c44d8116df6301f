"""The command group ``telegram``. The commands' code is imported when they run: Telegram's library takes 9 MB."""
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click

from adapters.base.background_task import RunCoroutine
from adapters.telegram.settings import TelegramSettings


def command(run: RunCoroutine, settings_of: Callable[[str], TelegramSettings]) -> click.Group:
    """``run``: runs a coroutine to its end. ``settings_of``: of the bot with a name; of the one without for "".

    The commands raise GatewayError.
    """
    bot_option = click.option("--bot", default="", metavar="NAME", help="One of [[bots]]; default: the unnamed one.")

    @click.group("telegram")
    def telegram() -> None:
        """Set Telegram up."""

    @telegram.command("set-webhook")
    @bot_option
    @click.argument("url")
    def set_webhook_command(url: str, bot: str) -> None:
        """Have Telegram send updates to the gateway at URL, such as https://bot.example.com."""
        from adapters.telegram import webhook_commands

        run(webhook_commands.with_calls(settings_of(bot), partial(webhook_commands.set_webhook, url)))

    @telegram.command("delete-webhook")
    @bot_option
    @click.option("--drop-pending", is_flag=True, help="Also discard the updates that wait. They are lost.")
    def delete_webhook_command(bot: str, *, drop_pending: bool) -> None:
        """Have Telegram keep updates until the gateway fetches them."""
        from adapters.telegram import webhook_commands

        work = partial(webhook_commands.delete_webhook, drop_pending=drop_pending)
        run(webhook_commands.with_calls(settings_of(bot), work))

    @telegram.command("info")
    @bot_option
    def info(bot: str) -> None:
        """Show who the bot is, and how updates are received."""
        from adapters.telegram import webhook_commands

        run(webhook_commands.with_calls(settings_of(bot), webhook_commands.show_info))

    return telegram
