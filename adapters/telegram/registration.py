"""What Telegram has to know of us: where updates are to be brought and which, and the menu of commands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from telegram import BotCommandScope

from adapters.telegram.api_client import TelegramClient
from adapters.telegram.reply_target import NAME
from adapters.telegram.settings import TELEGRAM, TelegramSettings
from gateway.errors import SettingsError
from gateway.storing import Memory

PATH = "/telegram/webhook"
"""Of this server, for Telegram."""

UPDATES = (
    "business_message",
    "deleted_business_messages",
    "edited_business_message",
    "edited_message",
    "message",
    "my_chat_member",
    "stopped_message_generation",  # servers that are older than Bot API 10.3 pass over it
)
"""What Telegram is asked to tell: core.telegram.org/bots/api#update"""

CONNECTIONS = 100
"""How many updates may be under way to us at once; Telegram's most."""
PORTS = frozenset({80, 88, 443, 8443})
"""core.telegram.org/bots/api#setwebhook"""

COMMANDS: Mapping[str, str] = {
    "new": "Begin a new conversation",
    "stop": "Stop the reply",
    "help": "Tell what the bot does",
}
EVERYWHERE = ("default", "all_private_chats", "all_group_chats")
"""Where the menu is shown. The narrower scopes too: an older menu there would hide it."""
IN_PRIVATE = ("all_private_chats",)


# ---------------------------------------------------------------- the webhook


def webhook_url(url: str, server: str) -> str:
    """The address of our webhook on a server at ``url``. Raises SettingsError when Telegram would not call it.

    ``server``: whose Bot API it is; one of your own calls any address.
    """
    try:
        parts = urlsplit(url.strip() if "://" in url else f"https://{url.strip()}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise SettingsError(f"{url} is no address.") from None
    if not host or parts.username is not None or parts.query or parts.fragment or re.search(r"\s", url.strip()):
        raise SettingsError("The address of a webhook looks like https://bot.example.com.")
    if parts.scheme not in {"https", "http"} or (parts.scheme == "http" and server == TELEGRAM):
        raise SettingsError("Telegram calls addresses with https only.")
    if server == TELEGRAM and (port or 443) not in PORTS:
        raise SettingsError("Telegram calls the ports 443, 80, 88 and 8443 only.")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/').removesuffix(PATH)}{PATH}"


def own_webhook(settings: TelegramSettings) -> str | None:
    """Where PUBLIC_URL has it; None when it is not set. Raises SettingsError when Telegram would not call it."""
    if not settings.public_url:
        return None
    try:
        return webhook_url(settings.public_url, settings.telegram_api_url)
    except SettingsError as exc:
        raise SettingsError(f"PUBLIC_URL: {exc}") from None


async def set_webhook(calls: TelegramClient, settings: TelegramSettings, url: str) -> None:
    """Have updates brought to ``url``, with our secret. Nothing that waits is dropped.

    To ask for what is so already does nothing: the server compares all of it, the secret too, which it does not tell
    (github.com/tdlib/telegram-bot-api, Client::process_set_webhook_query). Raises DeliveryError, SettingsError.
    """
    if settings.telegram_webhook_secret is None:
        raise SettingsError("TELEGRAM_WEBHOOK_SECRET is missing. Telegram shows it with each update, to be let in.")
    await calls.call(
        "set_webhook",
        outbox=None,
        url=url,
        secret_token=settings.telegram_webhook_secret.get_secret_value(),
        allowed_updates=list(UPDATES),
        max_connections=CONNECTIONS,
        drop_pending_updates=False,
    )


async def delete_webhook(calls: TelegramClient, *, drop_pending: bool = False) -> None:
    """Have updates kept until they are fetched. Raises DeliveryError."""
    await calls.call("delete_webhook", outbox=None, drop_pending_updates=drop_pending)


def host_of(url: str) -> str:
    """Of an address that may have a secret of somebody else's in it."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"


# ---------------------------------------------------------------- the menu


async def set_menu(calls: TelegramClient, settings: TelegramSettings, memory: Memory) -> None:
    """Put our commands into the menu, once: what somebody puts there later is left alone.

    Raises DeliveryError, StoreUnavailable.
    """
    scopes = IN_PRIVATE if settings.telegram_groups == "never" else EVERYWHERE
    menu = json.dumps([scopes, *COMMANDS.items()])
    name = f"{NAME}:{calls.bot_id}:menu"
    if memory.recall(name) == menu:
        return
    for scope in scopes:
        commands = list(COMMANDS.items())
        await calls.call("set_my_commands", outbox=None, commands=commands, scope=BotCommandScope(scope))
    memory.keep(name, menu)
