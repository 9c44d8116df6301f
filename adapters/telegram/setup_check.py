"""Checks the token and how updates are received, for ``python -m gateway check``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from telegram import WebhookInfo

from adapters.base.setup_check import check_setup
from adapters.telegram.api_client import BotProfile, TelegramClient
from adapters.telegram.registration import PATH, UPDATES, command, host_of, own_webhook
from adapters.telegram.settings import TelegramSettings
from gateway.domain.errors import SettingsError
from gateway.ports.check import CheckResult

RECENT_SECONDS = 3600
"""How old a failure may be that counts. Telegram reports the last one for as long as the webhook exists."""


async def check(settings: TelegramSettings, calls: TelegramClient) -> Sequence[CheckResult]:
    """Returns a check of the token, of how updates are received, and of what the bot sees in groups. Raises nothing."""
    return await check_setup(settings.name, _checks(settings, calls))


async def _checks(settings: TelegramSettings, calls: TelegramClient) -> Sequence[CheckResult]:
    who = await calls.identify()
    info: WebhookInfo = await calls.call("get_webhook_info", delivery=None)
    line = CheckResult(settings.name, ok=True, detail=f"bot @{who.username}")
    return line, _updates(settings, info), CheckResult(f"{settings.name} groups", ok=True, detail=groups(settings, who))


def _updates(settings: TelegramSettings, info: WebhookInfo) -> CheckResult:
    by_webhook = settings.telegram_webhook_secret is not None
    problem = _webhook(settings, info) if by_webhook else _polling(settings, info)
    way = f"received at POST {settings.path(PATH)}" if by_webhook else "fetched by long polling"
    waiting = f"; {info.pending_update_count} wait" if info.pending_update_count else ""
    return CheckResult(f"{settings.name} updates", ok=not problem, detail=f"{problem or way}{waiting}")


def _webhook(settings: TelegramSettings, info: WebhookInfo) -> str:
    """Returns what is wrong with it, or ""."""
    try:
        ours = own_webhook(settings)
    except SettingsError as exc:
        return str(exc)
    if ours is not None and info.url != ours:
        return f"{_now(info)}; it is registered at PUBLIC_URL when the gateway starts"
    if not info.url.endswith(settings.path(PATH)):
        return f"{_now(info)}; set PUBLIC_URL, or run {command('set-webhook URL', settings)}"
    if set(UPDATES) - set(info.allowed_updates or ()):
        return f"the webhook lacks some kinds of updates; run {command('set-webhook URL', settings)} again"
    return failure(info)


def _polling(settings: TelegramSettings, info: WebhookInfo) -> str:
    """Returns what prevents polling, or ""."""
    with suppress(SettingsError):
        if not info.url or info.url == own_webhook(settings):  # the gateway deletes its own when it starts
            return ""
    secret = settings.where("telegram_webhook_secret")
    return f"{_now(info)}; run {command('delete-webhook', settings)}, or set {secret}"


def _now(info: WebhookInfo) -> str:
    """Returns the registered host, without the path, which may hold another program's secret."""
    return f"a webhook is registered at {host_of(info.url)}" if info.url else "no webhook is registered"


def failure(info: WebhookInfo) -> str:
    """Returns why Telegram could not deliver an update, if that is recent."""
    at = info.last_error_date
    if not info.last_error_message or (at is not None and at.timestamp() < time.time() - RECENT_SECONDS):
        return ""
    return f"Telegram could not deliver an update: {info.last_error_message}"


def groups(settings: TelegramSettings, who: BotProfile) -> str:
    """Returns what the bot sees and answers in groups."""
    if settings.telegram_groups == "never":
        return "not answered, as TELEGRAM_GROUPS says"
    if who.reads_groups:
        return "privacy mode is off: the bot sees everything that is said"
    seen = "privacy mode is on: the bot sees commands, replies to it and mentions, and everything where it administers"
    if settings.telegram_groups == "mention":
        return seen
    return f"{seen}; TELEGRAM_GROUPS=always needs it off: /setprivacy at BotFather, then add the bot to the group again"
