"""``telegram`` on the command line. What it does is in ``manage``, loaded when it is called for.

Telegram's library takes 9 MB, which whoever has no bot there need not spare.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

from functools import partial

import click

from adapters.telegram.errand import Run


def command(run: Run) -> click.Group:
    """``run``: how to run a coroutine to its end. What fails is a GatewayError."""

    @click.group("telegram")
    def telegram() -> None:
        """Set Telegram up."""

    @telegram.command("set-webhook")
    @click.argument("url")
    def set_webhook_command(url: str) -> None:
        """Have updates brought to the gateway at URL, such as https://bot.example.com."""
        from adapters.telegram import manage

        run(manage.with_calls(partial(manage.move_here, url)))

    @telegram.command("delete-webhook")
    @click.option("--drop-pending", is_flag=True, help="Also forget the updates that wait. They are lost.")
    def delete_webhook_command(*, drop_pending: bool) -> None:
        """Have updates kept at Telegram until the gateway fetches them."""
        from adapters.telegram import manage

        run(manage.with_calls(partial(manage.fetch_again, drop_pending=drop_pending)))

    @telegram.command("info")
    def info() -> None:
        """Tell who the bot is, and how updates come."""
        from adapters.telegram import manage

        run(manage.with_calls(manage.tell))

    return telegram
