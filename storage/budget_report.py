"""What was spent from budgets, and whom they refused, on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Double, Integer, bindparam, func, select

from storage.connecting.database import Database
from storage.tables.column_types import SafeText
from storage.tables.schema import spending, turns

S = spending.c
T = turns.c

_spent = (
    select(S.scope, S.cost)
    .where(
        S.period == bindparam("during", type_=SafeText),
        func.substr(S.scope, 1, bindparam("length", type_=Integer)) == bindparam("begins", type_=SafeText),
    )
    .order_by(S.cost.desc(), S.scope)
    .limit(bindparam("most", type_=Integer))
)
_refused = (
    select(T.error_detail, func.count())
    # That there is an error allows the use of turns_failed.
    .where(T.error_code.is_not(None), T.error_code == bindparam("code"))
    .where(T.received_at >= bindparam("since", type_=Double))
    .group_by(T.error_detail)
)


class SqlBudgetReport:
    """Implements BudgetReport."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spent(self, scope_prefix: str, period: str, limit: int) -> Sequence[tuple[str, int]]:
        parameters = {"during": period, "begins": scope_prefix, "length": len(scope_prefix), "most": limit}
        with self._database.read() as connection:
            return [(scope, cost) for scope, cost in connection.execute(_spent, parameters)]

    def refused(self, code: str, since: float) -> Mapping[str, int]:
        with self._database.read() as connection:
            found = connection.execute(_refused, {"code": code, "since": since})
            return {scope: number for scope, number in found if scope}
