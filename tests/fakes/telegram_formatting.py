"""Validates and normalizes a text and its entities as Telegram does.

Based on the server's source: tdlib/telegram-bot-api, Client.cpp (get_formatted_text), and tdlib/td, MessageEntity.cpp
(fix_formatted_text, get_message_entities), LinkManager.cpp (check_link_impl), HttpUrl.cpp (parse_url).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.fakes.platform_faults import Json
from tests.fakes.telegram_faults import bad_request
from tests.fakes.telegram_messages import utf16_length

MAX_TEXT_UNITS = 4096
"""UTF-16 code units, after entities are parsed."""
MAX_CAPTION_UNITS = 1024
MAX_TEXT_BYTES = 1 << 15
MAX_ENTITIES = 100
"""Further entities are ignored: core.telegram.org/bots/api, MessageEntity."""

MAX_OFFSET = 1_000_000
ACCEPTED_ENTITIES = {
    "bold",
    "italic",
    "underline",
    "strikethrough",
    "spoiler",
    "code",
    "pre",
    "text_link",
    "text_mention",
    "custom_emoji",
    "blockquote",
    "expandable_blockquote",
    "date_time",
}
DETECTED_ENTITIES = {"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bank_card_number"}
"""Entities that Telegram detects itself and ignores in a call."""
REQUIRED_FIELDS = {"text_link": ("url", str), "text_mention": ("user", dict), "custom_emoji": ("custom_emoji_id", str)}

_REMOVED = re.compile("[\r\u2028-\u202e\u0333\u033f\u030a]")
_TO_SPACE = re.compile("[\x00-\x09\x0b-\x1f]")
_INVISIBLE = re.compile(
    "[\\s\u1680\u180e\u2000-\u200f\u202e\u202f\u205f\u2060-\u2064\u2800\u3000\ufffc\U000e0000-\U000e0fff]*"
)
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]")
_URL_PART = re.compile(r"(?:[A-Za-z0-9.\-_!$,~*'();&+=]|[^\x00-\x7f]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class ParsedText:
    text: str
    entities: tuple[Json, ...] = ()


def format_text(text: str, parse_mode: str, entities: Any, *, allow_empty: bool = False) -> ParsedText:
    """Returns the text as Telegram stores it: without control characters, trimmed, entities sorted.

    Raises TelegramError, for an empty text unless ``allow_empty`` is set. A parse_mode is refused, because text of an
    assistant must not be parsed by Telegram.
    """
    if not allow_empty and not text:
        raise bad_request("Message text is empty")
    if not _is_unicode(text):
        raise bad_request("Strings must be encoded in UTF-8")
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise bad_request("Text is too long")
    if parse_mode and parse_mode.lower() != "none":
        raise bad_request("Unsupported parse_mode")
    kept = _normalized(text, _checked_entities(text, entities))
    if not allow_empty and _INVISIBLE.fullmatch(kept.text):
        raise bad_request("Text must be non-empty")
    return kept


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---------------------------------------------------------------- entities


def _checked_entities(text: str, given: Any) -> list[Json]:
    if not isinstance(given, list):
        return []
    spoken = [entity for entity in given[:MAX_ENTITIES] if _check_entity(entity)]
    for entity in spoken:
        for name in ("offset", "length"):
            if not 0 <= entity[name] <= MAX_OFFSET:
                raise bad_request(f"Receive an entity with incorrect {name} {entity[name]}")
    real = [entity for entity in spoken if entity["length"]]
    real.sort(key=lambda entity: (entity["offset"], -entity["length"]))
    _check_ranges(text, real)
    return real


def _check_entity(entity: Any) -> bool:
    """Whether the entity is kept. Raises TelegramError if the entity itself is invalid."""
    if not isinstance(entity, dict):
        raise bad_request("Can't parse MessageEntity: expected an Object")
    for name in ("offset", "length"):
        if not isinstance(entity.get(name), int):
            raise bad_request(f"Can't parse MessageEntity: Can't find field \"{name}\"")
    kind = entity.get("type")
    if kind in DETECTED_ENTITIES:
        return False
    if kind not in ACCEPTED_ENTITIES:
        raise bad_request("Can't parse MessageEntity: Unsupported type specified")
    need, of_type = REQUIRED_FIELDS.get(kind, ("type", str))
    if not isinstance(entity.get(need), of_type):
        raise bad_request(f"Can't parse MessageEntity: Can't find field \"{need}\"")
    if kind == "text_link":
        check_url(entity["url"])
    return True


def _check_ranges(text: str, entities: list[Json]) -> None:
    """Raises TelegramError for an entity outside the text or with an end inside a surrogate pair."""
    borders = _character_starts(text)
    last = len(borders) - 1
    for entity in entities:
        start, end = entity["offset"], entity["offset"] + entity["length"]
        if start > last:
            raise bad_request(f"Entity begins after the end of the text at UTF-16 offset {start}")
        if end > last:
            where = f"ends after the end of the text at UTF-16 offset {end}"
            raise bad_request(f"Entity beginning at UTF-16 offset {start} {where}")
        if borders[start] is None:
            raise bad_request(f"Entity begins in a middle of a UTF-16 symbol at byte offset {start}")
        if borders[end] is None:
            where = f"ends in a middle of a UTF-16 symbol at byte offset {end}"
            raise bad_request(f"Entity beginning at UTF-16 offset {start} {where}")


def _character_starts(text: str) -> list[int | None]:
    """Returns for every UTF-16 offset the index of the character that starts there, None inside a surrogate pair; and
    one more entry for the end.
    """
    borders: list[int | None] = []
    for index, character in enumerate(text):
        borders.append(index)
        if character > "\uffff":
            borders.append(None)
    borders.append(len(text))
    return borders


def check_url(url: str) -> None:
    """Raises TelegramError if Telegram does not accept this URL in a link."""
    if why := _url_error(url):
        raise bad_request(f"Entity URL '{url}' is invalid: {why}")


def _url_error(url: str) -> str:
    scheme, _, rest = url.partition(":")
    inner = scheme.lower() in {"tg", "ton", "tonsite"}
    link = rest.removeprefix("//") if inner else url
    protocol, colon, after = link.partition("://")
    if not colon or re.search(r"[/?#@\[\]:]", protocol):
        after = link
    elif protocol.lower() not in {"http", "https"}:
        return "Unsupported URL protocol"
    authority = re.split(r"[/?#]", after, maxsplit=1)[0]
    userinfo, _, host_port = authority.rpartition("@")
    host, why = _split_host(host_port)
    if why or inner:
        return why or ("" if re.fullmatch(r"[A-Za-z0-9_.-]+", host) else "Unallowed characters in URL host")
    if not _URL_PART.fullmatch(userinfo.replace(":", "")):
        return "Disallowed character in URL userinfo"
    return "" if "." in host or host.startswith("[") else "Wrong HTTP URL"


def _split_host(host_port: str) -> tuple[str, str]:
    """Returns the host, and what is wrong with it or its port."""
    host, colon, port = host_port.rpartition(":")
    if not colon or "]" in port:
        host, port = host_port, "80"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return host, "Wrong port number specified in the URL"
    if not host:
        return host, "URL host is empty"
    if host == ".":
        return host, "Host is invalid"
    if host.startswith("[") and host.endswith("]"):
        return host, "" if re.fullmatch(
            r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]", host
        ) else "Wrong IPv6 address specified in the URL"
    return host, "" if _URL_PART.fullmatch(host) else "Disallowed character in URL host"


# ---------------------------------------------------------------- what is kept


def _normalized(text: str, entities: list[Json]) -> ParsedText:
    if _REMOVED.search(text):
        text, entities = _without_removed(text, entities)
    text = _TO_SPACE.sub(" ", text)
    shown = text.rstrip(" \n")
    end = utf16_length(shown)
    first = min((entity["offset"] for entity in entities), default=end)
    ahead = min(len(shown) - len(shown.lstrip(" \n")), first)
    return ParsedText(shown[ahead:], tuple(_clip_entities(entities, ahead, end)))


def _clip_entities(entities: list[Json], ahead: int, end: int) -> list[Json]:
    """Shifts and clips entities to the text from ``ahead`` characters to ``end``."""
    kept = []
    for entity in entities:
        start, stop = entity["offset"], min(entity["offset"] + entity["length"], end)
        if start < stop:
            kept.append({**entity, "offset": start - ahead, "length": stop - start})
    return kept


def _without_removed(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """Removes the characters that Telegram does not show, and moves the entities accordingly."""
    gone = [utf16_length(text[: match.start()]) for match in _REMOVED.finditer(text)]

    def moved(offset: int) -> int:
        return offset - sum(1 for place in gone if place < offset)

    shifted = []
    for entity in entities:
        start, end = moved(entity["offset"]), moved(entity["offset"] + entity["length"])
        shifted.append({**entity, "offset": start, "length": end - start})
    return _REMOVED.sub("", text), [entity for entity in shifted if entity["length"]]
