"""The audit trail on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, bindparam, delete, insert, or_, select

from gateway.ports.audit_trail import ActionFilter, AuditedAction, OperatorAction
from storage.clock import clock
from storage.connecting.database import Database
from storage.reporting_sql import contains
from storage.tables.column_types import SafeText
from storage.tables.operator_tables import audit_trail

A = audit_trail.c
KEEP_SECONDS = 2 * 365 * 86_400.0

_record = insert(audit_trail).values(
    at=clock(), **{name: bindparam(name, type_=SafeText) for name in ("actor", "action", "target", "detail")}
)
purge_audit_trail = delete(audit_trail).where(A.at < clock() - KEEP_SECONDS)


class SqlAuditTrail:
    """Implements AuditTrail. A page without criteria reads as many rows as it shows; one with some may read all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, actor: str, action: AuditedAction | str, target: str = "", detail: str = "") -> None:
        with self._database.single_write() as connection:
            connection.execute(_record, {"actor": actor, "action": str(action), "target": target, "detail": detail})

    def find(self, criteria: ActionFilter, *, limit: int, before: int | None = None) -> Sequence[OperatorAction]:
        found = select(A.number, A.at, A.actor, A.action, A.target, A.detail).where(*_filters(criteria))
        if before is not None:
            found = found.where(A.number < before)
        with self._database.read() as connection:
            rows = connection.execute(found.order_by(A.number.desc()).limit(limit))
            return [OperatorAction(*row) for row in rows]


def _filters(criteria: ActionFilter) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if criteria.actor:
        filters.append(contains(A.actor, criteria.actor))
    if criteria.action:
        filters.append(A.action == criteria.action)
    if criteria.target:
        filters.append(or_(contains(A.target, criteria.target), contains(A.detail, criteria.target)))
    if criteria.since is not None:
        filters.append(A.at >= criteria.since)
    if criteria.until is not None:
        filters.append(A.at < criteria.until)
    return filters
