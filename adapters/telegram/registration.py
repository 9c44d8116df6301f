"""Registers the webhook and the menu of commands at Telegram."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from telegram import BotCommandScope

from adapters.base.features import BotFeatures
from adapters.base.public_url import public_url
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.reply_target import NAME
from adapters.telegram.settings import TELEGRAM, TelegramSettings
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import SettingsError
from gateway.domain.sentences import Sentence, sentence
from gateway.languages import Languages, say
from gateway.ports.store import KeyValueStore

PATH = "/telegram/webhook"
"""Of this server, for Telegram."""

UPDATES = (
    "business_message",
    "callback_query",
    "deleted_business_messages",
    "edited_business_message",
    "edited_message",
    "message",
    "stopped_message_generation",  # ignored by servers older than Bot API 10.3
)
"""The kinds of updates that Telegram is asked for: core.telegram.org/bots/api#update"""

CONNECTIONS = 100
"""How many updates Telegram may send at once; its maximum."""
PORTS = frozenset({80, 88, 443, 8443})
"""core.telegram.org/bots/api#setwebhook"""

COMMANDS: Mapping[str, Sentence] = {
    "new": sentence("Begin a new conversation"),
    "stop": sentence("Stop the reply"),
    "help": sentence("Tell what the bot does"),
}
EVERYWHERE = ("default", "all_private_chats", "all_group_chats")
"""Where the menu is shown. Set in the narrower scopes too: an older menu there would hide it."""
IN_PRIVATE = ("all_private_chats",)


# ---------------------------------------------------------------- the webhook


def webhook_url(url: str, server: str, path: str = PATH) -> str:
    """Returns the address of the webhook on a server at ``url``. Raises SettingsError if Telegram would not call it.

    ``server``: of the Bot API; a self-hosted one calls any address. ``path``: the bot's.
    """
    try:
        parts = public_url(url, path)
    except ValueError as exc:
        raise SettingsError(str(exc)) from None
    if parts.scheme not in {"https", "http"} or (parts.scheme == "http" and server == TELEGRAM):
        raise SettingsError("Telegram calls addresses with https only.")
    if server == TELEGRAM and (parts.port or 443) not in PORTS:
        raise SettingsError("Telegram calls the ports 443, 80, 88 and 8443 only.")
    return parts.geturl() + path


def own_webhook(settings: TelegramSettings) -> str | None:
    """Returns its address at PUBLIC_URL; None if that is unset. Raises SettingsError if Telegram would not call it."""
    if not settings.public_url:
        return None
    try:
        return webhook_url(settings.public_url, settings.telegram_api_url, settings.path(PATH))
    except SettingsError as exc:
        raise SettingsError(f"PUBLIC_URL: {exc}") from None


async def set_webhook(calls: TelegramClient, settings: TelegramSettings, url: str) -> None:
    """Registers ``url``, with the secret that requests then show. Waiting updates are kept.

    To register the same again changes nothing: the server compares everything, including the secret, which it does not
    show (github.com/tdlib/telegram-bot-api, Client::process_set_webhook_query). Raises DeliveryError, SettingsError.
    """
    if settings.telegram_webhook_secret is None:
        secret = settings.where("telegram_webhook_secret")
        raise SettingsError(f"{secret} is missing. With it, Telegram proves who sends an update.")
    await calls.call(
        "set_webhook",
        delivery=None,
        url=url,
        secret_token=settings.telegram_webhook_secret.get_secret_value(),
        allowed_updates=list(UPDATES),
        max_connections=CONNECTIONS,
        drop_pending_updates=False,
    )


async def delete_webhook(calls: TelegramClient, *, drop_pending: bool = False) -> None:
    """Has Telegram keep updates until they are fetched. Raises DeliveryError."""
    await calls.call("delete_webhook", delivery=None, drop_pending_updates=drop_pending)


def command(words: str, settings: TelegramSettings) -> str:
    """Returns a command that has to do with the bot, for advice."""
    bot = f" --bot {settings.bot}" if settings.bot else ""
    return gateway_command(f"telegram {words}{bot}")


def host_of(url: str) -> str:
    """Returns the host of an address whose path may hold another program's secret."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"


# ---------------------------------------------------------------- the menu


async def set_menu(
    calls: TelegramClient, settings: TelegramSettings, memory: KeyValueStore, features: BotFeatures
) -> None:
    """Sets the menu of commands once, in each language: what an operator sets there later is kept.

    Raises DeliveryError, StoreUnavailable.
    """
    scopes = IN_PRIVATE if settings.telegram_groups == "never" else EVERYWHERE
    menus = _menus(features.languages, features.with_commands(COMMANDS))
    name, menu = f"{NAME}:{calls.bot_id}:menu", json.dumps([scopes, menus])
    before = memory.get_value(name)
    if before == menu:
        return
    for scope in map(BotCommandScope, scopes):
        for language, commands in menus.items():
            shown, code = list(commands.items()), language or None
            await calls.call("set_my_commands", delivery=None, commands=shown, scope=scope, language_code=code)
        for language in _languages_in(before) - menus.keys():
            await calls.call("delete_my_commands", delivery=None, scope=scope, language_code=language)
    memory.set_value(name, menu)


def _menus(languages: Languages, commands: Mapping[str, Sentence]) -> dict[str, dict[str, str]]:
    """Returns the menu in each language, the first one also for everybody else, under "".

    core.telegram.org/bots/api#setmycommands takes two letters for a language.
    """
    everybody, *others = languages.offered
    return {
        shown: {name: say(described, language) for name, described in commands.items()}
        for shown, language in (("", everybody), *((language, language) for language in others))
    }


def _languages_in(menu: str | None) -> set[str]:
    """Returns the languages of a menu as it was remembered; a menu of one language names none."""
    menus = json.loads(menu)[1] if menu else ()
    return set(menus) if isinstance(menus, dict) else set()
