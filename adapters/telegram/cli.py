"""The command group ``telegram``. The commands' code is imported when they run: Telegram's library takes 9 MB."""
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from adapters.base.background_task import RunCoroutine
from adapters.telegram.settings import TelegramSettings

if TYPE_CHECKING:
    from adapters.telegram.webhook_commands import Work


@dataclass(frozen=True, slots=True)
class Bots:
    """Calls Telegram for one of the bots."""

    run: RunCoroutine
    settings_of: Callable[[str], TelegramSettings]

    def call(self, bot: str, work: Work) -> None:
        """Raises GatewayError."""
        from adapters.telegram.webhook_commands import with_calls

        self.run(with_calls(self.settings_of(bot), work))


bot_option = click.option("--bot", default="", metavar="NAME", help="One of [[bots]]; default: the unnamed one.")


@click.command("set-webhook")
@bot_option
@click.argument("url")
@click.pass_obj
def set_webhook(bots: Bots, url: str, bot: str) -> None:
    """Have Telegram send updates to the gateway at URL, such as https://bot.example.com."""
    from adapters.telegram import webhook_commands

    bots.call(bot, partial(webhook_commands.set_webhook, url))


@click.command("delete-webhook")
@bot_option
@click.option("--drop-pending", is_flag=True, help="Also discard the updates that wait. They are lost.")
@click.pass_obj
def delete_webhook(bots: Bots, bot: str, *, drop_pending: bool) -> None:
    """Have Telegram keep updates until the gateway fetches them."""
    from adapters.telegram import webhook_commands

    bots.call(bot, partial(webhook_commands.delete_webhook, drop_pending=drop_pending))


@click.command("info")
@bot_option
@click.pass_obj
def info(bots: Bots, bot: str) -> None:
    """Show who the bot is, and how updates are received."""
    from adapters.telegram import webhook_commands

    bots.call(bot, webhook_commands.show_info)


def command(run: RunCoroutine, settings_of: Callable[[str], TelegramSettings]) -> click.Group:
    """Returns the group. Its commands raise GatewayError.

    ``run``: runs a coroutine to its end. ``settings_of``: of the bot with a name; of the one without for "".
    """
    return click.Group(
        "telegram",
        [set_webhook, delete_webhook, info],
        help="Set Telegram up.",
        context_settings={"obj": Bots(run, settings_of)},
    )
