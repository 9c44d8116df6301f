"""The options of a turn and the calls of its reply, as the table of turns holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gateway.domain.exchange import CallOutput, CallRound, Exchange, RequestedCall
from gateway.domain.turn_options import TurnOptions
from storage.tables.column_types import ConvertedText


def _fields(value: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass; ``asdict`` would also copy all that is in them.

    Without ``returned`` if it is empty: 0.9.0 and earlier do not know it.
    """
    fields = {name: getattr(value, name) for name in value.__slots__}
    if not fields.get("returned", True):
        del fields["returned"]
    return fields


ENCODER = json.JSONEncoder(default=_fields)


class OptionsJson(ConvertedText[TurnOptions]):
    """Options as JSON; an empty text for none, which nearly every turn has."""

    cache_ok = True

    @staticmethod
    def to_sql(value: TurnOptions | None) -> str | None:
        return "" if value is None else ENCODER.encode(value)

    @staticmethod
    def from_sql(stored: str | None) -> TurnOptions | None:
        return _options(json.loads(stored)) if stored else None


class CallsJson(ConvertedText[Sequence[RequestedCall]]):
    """Calls as JSON; an empty text for none."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Sequence[RequestedCall] | None) -> str | None:
        return json.dumps([asdict(each) for each in value]) if value else ""

    @staticmethod
    def from_sql(stored: str | None) -> tuple[RequestedCall, ...]:
        return tuple(RequestedCall(**call) for call in json.loads(stored)) if stored else ()


class RoundsJson(ConvertedText[Sequence[CallRound]]):
    """Rounds of calls as JSON, without what goes back with them; an empty text for none."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Sequence[CallRound] | None) -> str | None:
        return json.dumps([_without_returned(each) for each in value]) if value else ""

    @staticmethod
    def from_sql(stored: str | None) -> tuple[CallRound, ...]:
        return tuple(map(_round, json.loads(stored))) if stored else ()


def _without_returned(value: CallRound) -> dict[str, Any]:
    """Returns the fields that every version reads."""
    fields = asdict(value)
    del fields["returned"]
    return fields


def _round(stored: Mapping[str, Any]) -> CallRound:
    return CallRound(**{**stored, "calls": tuple(RequestedCall(**each) for each in stored["calls"])})


def _options(stored: Mapping[str, Any]) -> TurnOptions:
    past = stored["past"]
    return TurnOptions(
        **{
            **stored,
            "functions": tuple(stored["functions"]),
            "hosted_tools": tuple(stored.get("hosted_tools", ())),
            "outputs": tuple(CallOutput(**each) for each in stored["outputs"]),
            "inserted": tuple(map(_exchange, stored.get("inserted", ()))),
            "past": None if past is None else tuple(map(_exchange, past)),
        }
    )


def _exchange(stored: Mapping[str, Any]) -> Exchange:
    return Exchange(
        **{
            **stored,
            "outputs": tuple(CallOutput(**each) for each in stored["outputs"]),
            "calls": tuple(RequestedCall(**each) for each in stored["calls"]),
        }
    )
