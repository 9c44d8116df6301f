"""Reads fields of a platform's JSON objects, in which any field may be missing or of an unexpected type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.domain.errors import MalformedRequest
from gateway.json_text import decode_json

Fields = Mapping[str, Any]
"""A JSON object; those within it are dicts, as ``json`` makes them."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LARGEST_SIZE = 2**53


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Returns the JSON object in a request's body. Raises MalformedRequest."""
    try:
        fields = decode_json(text.decode() if isinstance(text, bytes) else text)
    except ValueError:
        raise MalformedRequest("The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise MalformedRequest("The body is not a JSON object.")
    return fields


def object_or_empty(payload: bytes) -> dict[str, Any]:
    """Returns the JSON object of an answer; an empty one for anything else, such as a proxy's page."""
    try:
        return parse_object(payload)
    except MalformedRequest:
        return {}


def storable(text: str) -> str:
    """Replaces what no database stores. The text keeps its length, in UTF-16 code units too."""
    return UNSTORABLE.sub("\ufffd", text)


def text_in(fields: Fields, name: str) -> str:
    """Returns a text that can be stored; "" if there is none."""
    value = fields.get(name)
    return storable(value) if value and isinstance(value, str) else ""


def id_in(fields: Fields, name: str, pattern: re.Pattern[str]) -> str:
    """Returns a text that matches ``pattern`` as a whole; "" if there is none."""
    value = fields.get(name)
    return value if value and isinstance(value, str) and pattern.fullmatch(value) else ""


def size_in(fields: Fields, name: str) -> int:
    """Returns a number of bytes; 0 if there is none."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 <= value <= LARGEST_SIZE else 0


def object_in(fields: Fields, name: str) -> Fields:
    """Returns an object; an empty one if there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def objects_in(fields: Fields, name: str) -> list[Fields]:
    """Returns the objects in a list."""
    value = fields.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
