"""The slash commands: docs.discord.com/developers/interactions/application-commands"""

from __future__ import annotations

import json
from typing import Any

from adapters.base import text_input
from adapters.base.features import BotFeatures
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.discord.api_client import DiscordClient
from adapters.discord.settings import DiscordSettings
from gateway.domain.models import MessageKind
from gateway.domain.sentences import Sentence, sentence
from gateway.languages import Languages, say

CHAT_INPUT, STRING, ATTACHMENT = 1, 3, 11
IN_GUILDS, IN_DIRECT_MESSAGES = 0, 1
MAX_TEXT = 6000
"""Discord's maximum for a text option."""
EPHEMERAL = 1 << 6

HELP = """\
(asks for help: what you can do for them, and how you are used in Discord)
These commands work here: /ask asks you something, /new forgets what was said and begins anew, /stop ends what you \
are working on, /help asks this. {replies} In direct messages you answer everything. Files and voice messages may be \
sent to you. A message that you have not begun with can still be edited."""
REPLIES = {
    "thread": "In a channel you answer whoever mentions you, in a thread of its own, where you then answer everything.",
    "channel": "In a channel you answer whoever mentions you, or replies to a message of yours.",
}
COMMANDS = {
    "ask": sentence("Ask the assistant something"),
    "new": sentence("Forget what was said here, and begin anew"),
    "stop": sentence("Stop what the assistant is working on"),
    "help": sentence("What the assistant can do"),
}
LOCALES = {
    "de": ("de",),
    "en": ("en-GB", "en-US"),
    "es": ("es-ES", "es-419"),
    "fr": ("fr",),
    "ja": ("ja",),
    "pt": ("pt-BR",),
    "ru": ("ru",),
    "zh": ("zh-CN",),
}
"""Discord's names of our languages: docs.discord.com/developers/reference#locales"""

MAX_NAME = 100


def not_here(language: str) -> str:
    """Returns the answer to a command where none is answered. Only the person who gave it sees it."""
    content = say(sentence("I do not answer here."), language)
    return json.dumps({"type": 4, "data": {"content": content, "flags": EPHEMERAL}})


def described(features: BotFeatures) -> list[dict[str, Any]]:
    """Returns the commands as they are registered."""
    languages = features.languages
    options = {
        "ask": [_text_option("text", sentence("What to ask"), MAX_TEXT, languages), _file_option(languages)],
        "assistant": [_text_option("name", sentence("Its name"), MAX_NAME, languages)],
    }
    return [
        {
            "type": CHAT_INPUT,
            "name": command,
            **_descriptions(description, languages),
            "options": options.get(command, []),
            "contexts": [IN_GUILDS, IN_DIRECT_MESSAGES],
        }
        for command, description in features.with_commands(COMMANDS).items()
    ]


def _text_option(name: str, text: Sentence, most: int, languages: Languages) -> dict[str, Any]:
    described = _descriptions(text, languages)
    return {"type": STRING, "name": name, "required": True, "max_length": most, **described}


def _file_option(languages: Languages) -> dict[str, Any]:
    described = _descriptions(sentence("A file that it is about"), languages)
    return {"type": ATTACHMENT, "name": "file", "required": False, **described}


def _descriptions(text: Sentence, languages: Languages) -> dict[str, Any]:
    everybody, *others = languages.offered
    localized = {locale: say(text, language) for language in others for locale in LOCALES.get(language, ())}
    return {"description": say(text, everybody), "description_localizations": localized}


async def register(client: DiscordClient, application: str, features: BotFeatures) -> None:
    """Replaces the application's global commands. Doing it again changes nothing. Raises DeliveryError."""
    await client.call("PUT commands", f"/applications/{application}/commands", body=described(features))


def read(data: Fields, settings: DiscordSettings) -> tuple[MessageKind, str]:
    """Returns what a command asks for, and the text of it."""
    name = text_in(data, "name")
    if name == "help":
        return MessageKind.PROMPT, HELP.format(replies=REPLIES[settings.discord_replies])
    options = (option for option in objects_in(data, "options") if option.get("type") != ATTACHMENT)
    text = "\n".join(text_in(option, "value") for option in options)
    kind = text_input.kind_of(name)
    return kind, f"/{name} {text}".strip() if kind is MessageKind.CHOOSE else text or f"/{name}"


def attached(data: Fields) -> list[Fields]:
    """Returns the files that were given with a command, as Discord describes attachments."""
    known = object_in(object_in(data, "resolved"), "attachments")
    given = (option for option in objects_in(data, "options") if option.get("type") == ATTACHMENT)
    return [object_in(known, text_in(option, "value")) for option in given]
