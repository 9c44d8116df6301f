"""Column types, which convert to and from the domain models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Integer, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.files import File
from gateway.domain.models import Address, MessageKind, Parking, TurnState
from gateway.json_text import decode_json

T = TypeVar("T")

RowId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite assigns row ids only in a column of exactly this type."""


UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Returns whether every database can store a text as it is."""
    if text.isascii():
        return "\x00" not in text
    return UNSTORABLE_CHARACTERS.search(text) is None


def storable(text: str) -> str:
    """Returns the text as every database can store it: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return UNSTORABLE_CHARACTERS.sub("\ufffd", text)


def storable_file(file: File) -> File:
    """Returns the file with ``storable`` applied to its texts."""
    return replace(
        file, name=storable(file.name), reference=storable(file.reference), media_type=storable(file.media_type)
    )


class ConvertedText(TypeDecorator[T]):
    """A type that is text in the database. Plain functions convert its values.

    SQLAlchemy's own processors would call them through three more functions for each value, as they allow for a
    conversion by ``impl`` too. Text has none.
    """

    impl = Text
    from_sql: Callable[[Any], Any] | None = None
    """Returns what the text of a row stands for; None: the text."""

    @staticmethod
    def to_sql(value: Any) -> str | None:
        """Returns the text of a value; None for NULL."""
        raise NotImplementedError

    def process_bind_param(self, value: T | None, _dialect: Dialect) -> str | None:
        return self.to_sql(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> T | None:
        converted: T | None = value if self.from_sql is None else self.from_sql(value)
        return converted

    def bind_processor(self, _dialect: Dialect) -> Callable[[T | None], str | None]:
        return self.to_sql

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], T | None] | None:
        return self.from_sql


class SafeText(ConvertedText[str]):
    """Text from outside, made storable."""

    cache_ok = True

    @staticmethod
    def to_sql(value: str | None) -> str | None:
        return None if value is None else storable(value)


class AddressJson(ConvertedText[Address]):
    """An address as JSON."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Address | None) -> str | None:
        return None if value is None else json.dumps(dict(value))

    @staticmethod
    def from_sql(stored: str | None) -> Address | None:
        found: Address | None = None if stored is None else decode_json(stored)
        return found


TURN_STATES = {str(state): state for state in TurnState}


class TurnStateText(ConvertedText[TurnState]):
    """A turn's state, by its value."""

    cache_ok = True

    @staticmethod
    def to_sql(value: TurnState | None) -> str | None:
        return None if value is None else str(value)

    @staticmethod
    def from_sql(stored: str | None) -> TurnState | None:
        return None if stored is None else TURN_STATES[stored]


class MessageKindText(ConvertedText[MessageKind]):
    """A message's kind, by its value."""

    cache_ok = True

    @staticmethod
    def to_sql(value: MessageKind | None) -> str | None:
        return None if value is None else str(value)

    @staticmethod
    def from_sql(stored: str | None) -> MessageKind | None:
        return None if stored is None else MessageKind(stored)


EMPTY_LIST = "[]"
"""The value in most rows; written and read without the JSON library."""


class FilesJson(ConvertedText[Sequence[File]]):
    """Files as JSON."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Sequence[File] | None) -> str:
        return json.dumps([asdict(file) for file in value]) if value else EMPTY_LIST

    @staticmethod
    def from_sql(stored: str | None) -> tuple[File, ...]:
        return () if stored is None or stored == EMPTY_LIST else tuple(File(**each) for each in decode_json(stored))


class StringListJson(ConvertedText[Sequence[str]]):
    """A list of strings as JSON."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Sequence[str] | None) -> str:
        return json.dumps(value) if value else EMPTY_LIST

    @staticmethod
    def from_sql(stored: str | None) -> tuple[str, ...]:
        return () if stored is None or stored == EMPTY_LIST else tuple(decode_json(stored))


class AuditLog(tuple[AuditEntry, ...]):  # noqa: SLOT001  # its text is kept
    """An audit log that keeps its text, as each write of a lease holder compares it with what is stored."""

    @cached_property
    def text(self) -> str:
        return json.dumps(self)


class AuditLogJson(ConvertedText[Sequence[AuditEntry]]):
    """An audit log as JSON."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Sequence[AuditEntry] | None) -> str:
        if isinstance(value, AuditLog):
            return value.text
        return json.dumps(value) if value else EMPTY_LIST

    @staticmethod
    def from_sql(stored: str | None) -> tuple[AuditEntry, ...]:
        if stored is None or stored == EMPTY_LIST:
            return ()
        log = AuditLog(AuditEntry(at, AuditEvent(mark), detail) for at, mark, detail in decode_json(stored))
        log.text = stored
        return log


class ParkingJson(ConvertedText[Parking]):
    """Why a turn waits, as JSON."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Parking | None) -> str | None:
        return None if value is None else storable(json.dumps(asdict(value), ensure_ascii=False))

    @staticmethod
    def from_sql(stored: str | None) -> Parking | None:
        return None if stored is None else Parking(**decode_json(stored))
