"""Sentences that stand for commands in what the assistant is told about a Telegram chat."""

from __future__ import annotations

STARTED = "(started the conversation)"
STARTED_WITH = "(started the conversation by a link that says: {payload})"
HELP_WANTED = """\
(asks for help: what you can do for them, and how you are used in Telegram)
These commands work here: /new forgets what was said and begins anew (/reset does the same), /stop ends what you are \
working on (/cancel does the same), /help asks this; in private chats the words reset and stop alone do the same. \
{scope} {groups} Photos, documents and voice messages may be sent to you. A message that \
you have not begun with can still be edited."""
REMEMBERED = {
    "topic": "You remember what was said in a chat, or in one topic of it; another topic is another conversation.",
    "chat": "You remember what was said in a chat, whoever said it and in whichever topic.",
    "user": "You remember what a person said in a chat, and nobody else's words.",
}
"""By ``TELEGRAM_SCOPE``."""
ANSWERED = {
    "mention": "In groups you answer whoever mentions you by name, or replies to a message of yours.",
    "always": "In groups you answer every message.",
    "never": "In groups you answer nobody.",
}
"""By ``TELEGRAM_GROUPS``."""


def help_wanted(scope: str, groups: str) -> str:
    """Returns what /help tells the assistant."""
    return HELP_WANTED.format(scope=REMEMBERED[scope], groups=ANSWERED[groups])
