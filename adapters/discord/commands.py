"""The slash commands: docs.discord.com/developers/interactions/application-commands"""

from __future__ import annotations

import json
from typing import Any

from adapters.base import text_input
from adapters.base.json_fields import Fields, objects_in, text_in
from adapters.discord.api_client import DiscordClient
from adapters.discord.settings import DiscordSettings
from gateway.domain.models import MessageKind

CHAT_INPUT, STRING = 1, 3
IN_GUILDS, IN_DIRECT_MESSAGES = 0, 1
MAX_TEXT = 6000
"""Discord's maximum for a text option."""
EPHEMERAL = 1 << 6

NOT_HERE = json.dumps({"type": 4, "data": {"content": "I do not answer here.", "flags": EPHEMERAL}})
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
    "ask": "Ask the assistant something",
    "new": "Forget what was said here, and begin anew",
    "stop": "Stop what the assistant is working on",
    "help": "What the assistant can do",
}


CHOICE_COMMANDS = {
    "assistant": "Have another assistant answer here",
    "assistants": "Which assistants can answer here",
}
"""Where there are several assistants."""
MAX_NAME = 100


def described(*, several_assistants: bool = False) -> list[dict[str, Any]]:
    """Returns the commands as they are registered."""
    name = {"type": STRING, "name": "name", "description": "Its name", "required": True, "max_length": MAX_NAME}
    text = {"type": STRING, "name": "text", "description": "What to ask", "required": True, "max_length": MAX_TEXT}
    options, commands = {"ask": [text], "assistant": [name]}, COMMANDS
    if several_assistants:
        commands = {**COMMANDS, **CHOICE_COMMANDS}
    return [
        {
            "type": CHAT_INPUT,
            "name": command,
            "description": description,
            "options": options.get(command, []),
            "contexts": [IN_GUILDS, IN_DIRECT_MESSAGES],
        }
        for command, description in commands.items()
    ]


async def register(client: DiscordClient, application: str, *, several_assistants: bool = False) -> None:
    """Replaces the application's global commands. Doing it again changes nothing. Raises DeliveryError."""
    await client.call(
        "PUT commands", f"/applications/{application}/commands", body=described(several_assistants=several_assistants)
    )


def read(data: Fields, settings: DiscordSettings) -> tuple[MessageKind, str]:
    """Returns what a command asks for, and the text of it."""
    name = text_in(data, "name")
    if name == "help":
        return MessageKind.PROMPT, HELP.format(replies=REPLIES[settings.discord_replies])
    text = "\n".join(text_in(option, "value") for option in objects_in(data, "options"))
    kind = text_input.kind_of(name)
    return kind, f"/{name} {text}".strip() if kind is MessageKind.CHOOSE else text or f"/{name}"
