"""What the commands of ``python -m gateway telegram`` do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import click
from telegram import WebhookInfo

from adapters.telegram import registration
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.setup_check import groups
from gateway import logs
from gateway.domain.errors import SettingsError

Work = Callable[[TelegramSettings, TelegramClient], Awaitable[None]]


async def with_calls(settings: TelegramSettings, work: Work) -> None:
    """Calls Telegram for the bot with these settings. Raises SettingsError, and what ``work`` raises."""
    if not settings.on:
        raise SettingsError("Telegram is not set up. Missing: TELEGRAM_BOT_TOKEN.")
    calls = TelegramClient(settings)
    try:
        await work(settings, calls)
    finally:
        await calls.close()


async def set_webhook(url: str, settings: TelegramSettings, calls: TelegramClient) -> None:
    path = settings.path(registration.PATH)
    url = registration.webhook_url(url, settings.telegram_api_url, path)
    await registration.set_webhook(calls, settings, url)
    await _show_webhook(calls)


async def delete_webhook(settings: TelegramSettings, calls: TelegramClient, *, drop_pending: bool) -> None:
    await registration.delete_webhook(calls, drop_pending=drop_pending)
    await _show_webhook(calls)
    if settings.telegram_webhook_secret is not None:
        click.echo(f"Unset {settings.where('telegram_webhook_secret')}, or the gateway does not fetch updates.")


async def show_info(settings: TelegramSettings, calls: TelegramClient) -> None:
    who = await calls.identify()
    click.echo(f"Bot: @{who.username} ({who.name}), id {who.id}")
    click.echo(f"Topics in private chats: {'yes' if who.has_topics else 'no'}")
    click.echo(f"Groups: {groups(settings, who)}")
    await _show_webhook(calls)


async def _show_webhook(calls: TelegramClient) -> None:
    info: WebhookInfo = await calls.call("get_webhook_info", delivery=None)
    click.echo(logs.mask(f"Webhook: {info.url or 'none; updates are kept until they are fetched'}"))
    click.echo(f"Waiting updates: {info.pending_update_count}")
    if info.last_error_message:
        at = f" ({info.last_error_date:%Y-%m-%d %H:%M:%S %Z})" if info.last_error_date else ""
        click.echo(f"Last failure: {info.last_error_message}{at}")
