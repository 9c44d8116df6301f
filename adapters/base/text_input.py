"""Turns what people write into text for an assistant, and recognises the commands that the gateway answers itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from gateway.domain.models import MessageKind

RESETS = frozenset({"new", "reset"})
STOPS = frozenset({"cancel", "stop"})
HUMANS = frozenset({"human"})
RESUMES = frozenset({"resume"})
HANDOVER_WORDS = HUMANS | RESUMES
CHOICES = frozenset({"assistant", "assistants"})
CHOICE = re.compile(r"/assistants?(?:[ \t]+\S.{0,99})?|assistants|assistant(?:[ \t]+\S+){1,3}", re.IGNORECASE)
"""A command that chooses an assistant or asks which there are; without a slash it may be anything else as well, which
``gateway.policy.routes`` knows."""

BARE_COMMANDS = frozenset({"cancel", "reset", "stop"})
"""Commands that also work as a bare word. "New" does not: it may answer a question, and a reset cannot be undone."""
WRITTEN_COMMANDS = BARE_COMMANDS | HANDOVER_WORDS
"""Commands that are written with or without a slash, where the platform has no commands within a message."""
ANSWERS = frozenset({"cancel"})
"""Those that may as well answer a question: they count only while something runs."""

MENTIONED_ONLY = "(mentioned you without saying anything)"
YOU = "you"
"""The name of the bot in what is quoted for the assistant."""
LONGEST_QUOTE = 8000
"""Characters of one message that is quoted because somebody replies or links to it: what they ask is often about all
of it, and platforms let people write thousands.
"""
SOMEBODY = "somebody"
"""Stands for a name that is not known, or not visible."""
UNREADABLE = "(sent something that cannot be shown to you as text)"

EMPHASIS = "*_`"
"""What somebody may write around a command, as help does: `stop`."""

MENTION = "\0"
"""Stands for a mention of the bot while a text is converted. Stored text has no NUL of its own."""
COMMAS, COLONS, ENDS = ",，、،", ":：", ".!?。！？؟"  # noqa: RUF001  # of several scripts
MENTIONS_FIRST = re.compile(rf"(?:{MENTION}[{COMMAS}{COLONS}]?\s*)+")
AFTER_LAST_MENTION = re.compile(rf"\s*([{ENDS}]*)")
SECONDS = re.compile(r"[0-9]{1,11}")

GREETINGS = (
    *("hi", "hey", "hello", "dear", "ok", "okay", "thanks", "thank you", "good (?:morning|afternoon|evening)"),
    *("fyi", "cc", "hallo", "moin", "danke", "liebe[rs]?", "guten (?:morgen|tag|abend)"),
    *("hola", "oye", "gracias", "buen[oa]s (?:d[ií]as|tardes|noches)", "salut", "coucou", "bonjour", "merci"),
    *("oi", "ol[aá]", "obrigad[oa]", "bo[am] (?:dia|tarde|noite)", "ciao", "grazie"),
    *("привет", "здравствуй(?:те)?", "спасибо", "доброе утро", "добрый (?:день|вечер)"),
    *("こんにちは", "ありがとう(?:ございます)?", "你好", "您好", "谢谢", "早上好"),
)
"""Of the gateway's languages."""
GREETING = rf"(?:{'|'.join(GREETINGS)})\b[\s{COMMAS}{COLONS}!！]*"  # noqa: RUF001  # as it is written


def calling(call: str) -> re.Pattern[str]:
    """Returns what finds, in a text, that it calls upon somebody: at its start, or behind a mark at its end.

    ``call``: the pattern of a mention in the platform's markup.
    """
    first = rf"\A[\s¡¿]*(?:{GREETING})?{call}"
    last = rf"[;；{COMMAS}{ENDS}]\s*+{call}\s*+[{ENDS}]*+\s*+\Z"  # noqa: RUF001  # as it is written
    return re.compile(f"{first}|{last}", re.IGNORECASE)


def kind_of(command: str) -> MessageKind:
    """Returns what a command asks for. ``command``: without its slash."""
    if command in CHOICES:
        return MessageKind.CHOOSE
    if command in HANDOVER_WORDS:
        return MessageKind.HAND_OVER if command in HUMANS else MessageKind.RESUME
    return MessageKind.RESET if command in RESETS else MessageKind.STOP if command in STOPS else MessageKind.PROMPT


def bare_word(text: str) -> str:
    """Returns a text as it is compared with commands: lower case, without punctuation at its end and emphasis."""
    return text.strip().lstrip(EMPHASIS).rstrip(f".!。！{EMPHASIS}").lower()  # noqa: RUF001  # as it is written


def bare_kind(word: str) -> MessageKind:
    """Returns what a text asks for that is a bare word, or may be. ``word``: as ``bare_word`` returns it."""
    if CHOICE.fullmatch(word):
        return MessageKind.CHOOSE
    return kind_of(word) if word in BARE_COMMANDS else MessageKind.PROMPT


def written_kind(text: str) -> MessageKind:
    """Returns what a readable text asks for where a command may be written with or without a slash."""
    word = bare_word(text)
    if CHOICE.fullmatch(word):
        return MessageKind.CHOOSE
    command = word.removeprefix("/")
    return kind_of(command) if command in WRITTEN_COMMANDS else MessageKind.PROMPT


def may_answer(text: str) -> bool:
    """Tells whether a command, with or without a slash, may as well answer a question."""
    return bare_word(text).removeprefix("/") in ANSWERS


def resolve_mentions(text: str) -> str:
    """Removes mentions of the bot at the start and at the end of a text, where they only address it.

    Elsewhere they become "@you".
    """
    if MENTION not in text:  # as in most
        return text.strip()
    return _without_address(text.strip()).replace(MENTION, "@you").strip()


def _without_address(text: str) -> str:
    if found := MENTIONS_FIRST.match(text):
        text = text[found.end() :]
    before, mention, after = text.rpartition(MENTION)
    if mention and (found := AFTER_LAST_MENTION.fullmatch(after)):
        return before.rstrip(f" \n{COMMAS}{MENTION}") + found[1]
    return text


def labelled_link(label: str, url: str) -> str:
    """Returns a link as text: with its address, unless the label is the address."""
    bare = url.removeprefix("https://").removeprefix("http://").rstrip("/")
    return label if label.rstrip("/") in {bare, url.rstrip("/")} else f"{label} ({url})"


def moment(timestamp: str) -> str:
    """Returns a time that a platform has for its clients to write; "" if it is none."""
    if not SECONDS.fullmatch(timestamp):
        return ""
    return datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d %H:%M UTC")


def quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def forwarded(author: str, text: str) -> str:
    return f"Forwarded message from {author}:\n{text}".strip()
