"""The options of a turn and the calls of its reply, as the table of turns holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from gateway.domain.exchange import CallOutput, CallRound, Exchange, RequestedCall
from gateway.domain.turn_options import TurnOptions


class OptionsJson(TypeDecorator[TurnOptions]):
    """Options as JSON; an empty text for none, which nearly every turn has."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: TurnOptions | None, _dialect: Dialect) -> str | None:
        return "" if value is None else json.dumps(asdict(value))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> TurnOptions | None:
        return _options(json.loads(value)) if value else None


class CallsJson(TypeDecorator[Sequence[RequestedCall]]):
    """Calls as JSON; an empty text for none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[RequestedCall] | None, _dialect: Dialect) -> str | None:
        return json.dumps([asdict(call) for call in value]) if value else ""

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[RequestedCall, ...]:
        return tuple(RequestedCall(**call) for call in json.loads(value)) if value else ()


class RoundsJson(TypeDecorator[Sequence[CallRound]]):
    """Rounds of calls as JSON; an empty text for none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[CallRound] | None, _dialect: Dialect) -> str | None:
        return json.dumps([asdict(each) for each in value]) if value else ""

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[CallRound, ...]:
        return tuple(map(_round, json.loads(value))) if value else ()


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
