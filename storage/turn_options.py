"""The options of a turn and the calls that its sender runs, as the table of turns holds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from gateway.domain.turn_options import CallRound, RequestedCall, TurnOptions


class OptionsJson(TypeDecorator[TurnOptions]):
    """The options of a turn as JSON, ASCII only; NULL for none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: TurnOptions | None, _dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(asdict(value)).replace("\\u0000", "\\ufffd")

    def process_result_value(self, value: str | None, _dialect: Dialect) -> TurnOptions | None:
        if value is None:
            return None
        found = json.loads(value)
        lists = {name: tuple(found[name]) for name in ("functions", "hosted_tools")}
        return TurnOptions(**{**found, **lists, "history": tuple((said, reply) for said, reply in found["history"])})


class RoundsJson(TypeDecorator[Sequence[CallRound]]):
    """Calls that the sender runs, as JSON, ASCII only; NULL for none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[CallRound] | None, _dialect: Dialect) -> str | None:
        return json.dumps([asdict(each) for each in value]).replace("\\u0000", "\\ufffd") if value else None

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[CallRound, ...]:
        if value is None:
            return ()
        return tuple(
            CallRound(**{**each, "calls": tuple(RequestedCall(**call) for call in each["calls"])})
            for each in json.loads(value)
        )
