"""Column types, which convert to and from the domain models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import cast

from sqlalchemy import BigInteger, Integer, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.files import File
from gateway.domain.models import Address, MessageKind, Parking, TurnState

RowId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite assigns row ids only in a column of exactly this type."""


UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")


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


class SafeText(TypeDecorator[str]):
    """Text from outside, made storable."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class AddressJson(TypeDecorator[Address]):
    """An address as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Address | None, _dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(dict(value))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Address | None:
        return None if value is None else cast("Mapping[str, str]", json.loads(value))


class TurnStateText(TypeDecorator[TurnState]):
    """A turn's state, by its value."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: TurnState | None, _dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> TurnState | None:
        return None if value is None else TurnState(value)


class MessageKindText(TypeDecorator[MessageKind]):
    """A message's kind, by its value."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: MessageKind | None, _dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> MessageKind | None:
        return None if value is None else MessageKind(value)


EMPTY_LIST = "[]"
"""The value in most rows; written and read without the JSON library."""


class FilesJson(TypeDecorator[Sequence[File]]):
    """Files as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[File] | None, _dialect: Dialect) -> str | None:
        return json.dumps([asdict(file) for file in value]) if value else EMPTY_LIST

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[File, ...]:
        return () if value is None or value == EMPTY_LIST else tuple(File(**each) for each in json.loads(value))


class StringListJson(TypeDecorator[Sequence[str]]):
    """A list of strings as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, _dialect: Dialect) -> str | None:
        return json.dumps(value) if value else EMPTY_LIST

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[str, ...]:
        return () if value is None or value == EMPTY_LIST else tuple(json.loads(value))


class AuditLogJson(TypeDecorator[Sequence[AuditEntry]]):
    """An audit log as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[AuditEntry] | None, _dialect: Dialect) -> str | None:
        return json.dumps([(step.at, step.event, step.detail) for step in value]) if value else EMPTY_LIST

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[AuditEntry, ...]:
        if value is None or value == EMPTY_LIST:
            return ()
        return tuple(AuditEntry(at, AuditEvent(mark), detail) for at, mark, detail in json.loads(value))


class ParkingJson(TypeDecorator[Parking]):
    """Why a turn waits, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Parking | None, _dialect: Dialect) -> str | None:
        return None if value is None else storable(json.dumps(asdict(value), ensure_ascii=False))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Parking | None:
        return None if value is None else Parking(**json.loads(value))
