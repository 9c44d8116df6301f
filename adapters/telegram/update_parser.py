"""Verifies Telegram's webhook requests and parses updates into messages and changes. No I/O."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from adapters.base.approvals import verdict_of
from adapters.base.json_fields import Fields, object_in, parse_object, text_in
from adapters.base.update_handler import parse_safely
from adapters.telegram import text_input
from adapters.telegram.api_client import BotProfile
from adapters.telegram.audience import Audience
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.message_parser import MessageParser
from adapters.telegram.parsed_message import id_of, number_of
from adapters.telegram.reply_target import TelegramTarget
from adapters.telegram.settings import TelegramSettings
from gateway.domain.approvals import Decider
from gateway.domain.errors import MalformedRequest, Unauthenticated
from gateway.domain.models import Message, MessageKind
from gateway.domain.platform_events import MessageDeleted
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.platform import ParsedUpdate, Request

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105  # the header's name
"""core.telegram.org/bots/api#setwebhook"""
LARGEST_UPDATE_ID = 2**63


class UpdateParser:
    """Decides from one update alone what is said to the bot, and in which conversation. Keeps only who the bot is."""

    def __init__(
        self,
        settings: TelegramSettings,
        me: BotIdentity,
        languages: Languages = ENGLISH_ONLY,
        several_assistants: Callable[[], bool] = lambda: False,
    ) -> None:
        """``several_assistants``: tells whether people can choose one."""
        secret = settings.telegram_webhook_secret
        self._secret = secret.get_secret_value().encode() if secret else b""
        self._name = settings.name
        self._messages = MessageParser(settings, me, languages, Audience(settings, several_assistants))

    @property
    def bot_id(self) -> str:
        return str(self._messages.me.id)

    def learn(self, who: BotProfile) -> None:
        """Sets the username, by which the bot is mentioned. Thread-safe."""
        self._messages.me = BotIdentity(self._messages.me.id, who.username)

    def receive(self, request: Request) -> ParsedUpdate:
        """Parses a webhook request. Raises Unauthenticated, and MalformedRequest for what is not an update."""
        shown = request.headers.get(SECRET_HEADER, "").encode(errors="backslashreplace")
        if not self._secret or not hmac.compare_digest(shown, self._secret):
            raise Unauthenticated("The secret is missing or wrong.")
        return self.receive_update(parse_object(request.body))

    def receive_update(self, update: object) -> ParsedUpdate:
        """Parses an update that is known to be from Telegram. Raises MalformedRequest for what is not an update."""
        return parse_safely(self.parse, checked(update))

    def parse(self, update: Fields) -> ParsedUpdate:
        """Returns what an update says; nothing for unknown kinds.

        Raises MalformedRequest if it is of a known kind, but not as Telegram documents it.
        """
        match update:
            case {"message": message} | {"business_message": message}:
                return self._messages.parse(_object(message))
            case {"edited_message": message} | {"edited_business_message": message}:
                return self._messages.parse_edit(_object(message))
            case {"deleted_business_messages": deleted}:
                return self._deleted(_object(deleted))
            case {"stopped_message_generation": stopped}:
                return self._stopped(_object(stopped))
            case {"callback_query": pressed}:
                return self._pressed(_object(pressed))
        return ParsedUpdate()

    def _deleted(self, deleted: Fields) -> ParsedUpdate:
        """Parses the deletion of messages, which Telegram reports for business chats only."""
        business, chat = id_of(deleted, "business_connection_id"), number_of(object_in(deleted, "chat"), "id")
        numbers = deleted.get("message_ids")
        if not (business and chat and isinstance(numbers, list)):
            raise MalformedRequest("The update does not say what was deleted where.")
        target = TelegramTarget(chat, business=business)
        found = filter(None, (number_of({"id": number}, "id") for number in numbers))
        return ParsedUpdate(
            events=tuple(MessageDeleted(self._name, self._messages.id_of(target, number)) for number in found)
        )

    def _stopped(self, stopped: Fields) -> ParsedUpdate:
        """Parses a press of the button under a draft: core.telegram.org/bots/api#messagegenerationstopped"""
        chat, draft = number_of(object_in(stopped, "chat"), "id"), number_of(stopped, "draft_id")
        if not (chat and draft):
            raise MalformedRequest("The update does not say what was stopped where.")
        target = TelegramTarget(chat, topic=number_of(stopped, "message_thread_id"), user=chat, type="private")
        key, name = self._messages.key(target), self._messages.id_of(target, f"stop:{draft}")
        stop = Message(*(key, name, "stop", chat, target.address), kind=MessageKind.STOP, may_start_conversation=False)
        return ParsedUpdate((stop,))

    def _pressed(self, query: Fields) -> ParsedUpdate:
        """Parses a press of a button below a message: core.telegram.org/bots/api#callbackquery"""
        who = object_in(query, "from")
        decider = Decider(self._name, number_of(who, "id"), name=text_input.name_of(who))
        verdict = verdict_of(text_in(query, "data"), decider)
        return ParsedUpdate(events=(verdict,) if verdict else ())


def checked(update: object) -> dict[str, Any]:
    """Returns what is an update, at least by its id. Raises MalformedRequest."""
    if not isinstance(update, dict):
        raise MalformedRequest("This is not an update.")
    update_id = update.get("update_id")
    if not isinstance(update_id, int) or isinstance(update_id, bool) or not 0 <= update_id < LARGEST_UPDATE_ID:
        raise MalformedRequest("This is not an update: it has no update_id.")
    return update


def _object(value: Any) -> Fields:
    found = object_in({"it": value}, "it")
    if not found:
        raise MalformedRequest("The update is empty.")
    return found
