"""Parses updates in tests: settings, updates, and requests that carry them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from adapters.base.features import PLAIN
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.update_parser import SECRET_HEADER, UpdateParser
from gateway.domain.models import Message
from gateway.ports.platform import ParsedUpdate, Request
from tests.fakes.telegram_updates import BOT_ID, BOT_NAME, SECRET, TOKEN, USER, Json, update
from tests.settings import settings_of

NOTHING = ParsedUpdate()
BOT = str(BOT_ID)
CALL = f"@{BOT_NAME}"
CONNECTION = "bc-0001"
AUTHOR = str(USER)
ME = BotIdentity(BOT_ID, BOT_NAME)
SCOPES = ("topic", "chat", "user")
GROUP_MODES = ("mention", "always", "never")


def parser(
    me: BotIdentity = ME, several_assistants: Callable[[], bool] = PLAIN.has_several_assistants, **given: object
) -> UpdateParser:
    secrets = {"telegram_bot_token": SecretStr(TOKEN), "telegram_webhook_secret": SecretStr(SECRET)}
    settings = settings_of(TelegramSettings, **{**secrets, **given})
    return UpdateParser(settings, me, several_assistants=several_assistants)


def read(kind: str, told: Any, **given: object) -> ParsedUpdate:
    return parser(**given).parse(update(**{kind: told}))  # type: ignore[arg-type]  # settings


def heard(told: Json, **given: object) -> ParsedUpdate:
    return read("message", told, **given)


def one(told: Json, **given: object) -> Message:
    (said,) = heard(told, **given).messages
    return said


def calls_bot(update: ParsedUpdate) -> bool:
    """Returns whether an update says something to the bot that is no mere part of another message."""
    return any(not message.must_join for message in update.messages)


def request(body: object, secret: str = SECRET) -> Request:
    return Request({SECRET_HEADER: secret}, json.dumps(body).encode())


def without(told: Mapping[str, Any], *names: str) -> Json:
    return {name: value for name, value in told.items() if name not in names}
