"""Schedules on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, select, update

from gateway.domain.models import ConversationKey, TurnId
from gateway.ports.schedules import Push, Schedule
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.tables.column_types import SafeText
from storage.tables.schema import schedules

S = schedules.c

SCHEDULE = (
    *(S.id, S.owner, S.platform, S.workspace, S.channel, S.topic, S.text, S.prompt, S.assistant),
    *(S.every, S.time_zone, S.next_at, S.created_at, S.last_turn, S.problem),
)
_by_id = select(*SCHEDULE).where(S.id == bindparam("schedule"))
_newest = select(*SCHEDULE).order_by(S.created_at.desc(), S.id.desc()).limit(bindparam("most"))
_newest_of = _newest.where(S.owner == bindparam("of", type_=SafeText))
_active_of = select(func.count()).where(S.owner == bindparam("of", type_=SafeText), S.next_at.is_not(None))
_now = select(clock())
_due = (
    select(*SCHEDULE)
    .where(S.next_at <= bindparam("now"), S.platform.in_(bindparam("platforms", expanding=True)))
    .order_by(S.next_at, S.id)
    .limit(bindparam("most"))
)
_recurring = (
    select(*SCHEDULE)
    .where(S.next_at.is_not(None), S.every != "", S.id > bindparam("behind", type_=SafeText))
    .order_by(S.id)
    .limit(bindparam("most"))
)
_advance = (
    update(schedules)
    .where(S.id == bindparam("schedule"), S.next_at == bindparam("tick", type_=S.next_at.type))
    .values(
        next_at=bindparam("following", type_=S.next_at.type),
        last_turn=func.coalesce(bindparam("turn", type_=SafeText), S.last_turn),
        problem=bindparam("reason", type_=SafeText),
    )
)
_end = _advance.values(ended_at=clock())
_cancel = (
    update(schedules)
    .where(S.id == bindparam("schedule"), S.next_at.is_not(None))
    .values(next_at=None, ended_at=clock())
)
erase_ended = delete(schedules).where(S.ended_at < clock() - bindparam("seconds", type_=S.ended_at.type))


def _insert(kind: str) -> Any:
    return insert_of(kind)(schedules).values(created_at=clock()).on_conflict_do_nothing().inline()


INSERTS: Final = PerDialect(_insert)


class SqlSchedules:
    """Implements Schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, schedule: Schedule) -> Schedule:
        with self._database.transaction() as connection:
            connection.execute(INSERTS[connection.dialect.name], _columns(schedule))
            return _schedule(connection.execute(_by_id, {"schedule": schedule.id}).one())

    def get(self, schedule_id: str) -> Schedule | None:
        with self._database.read() as connection:
            found = connection.execute(_by_id, {"schedule": schedule_id}).first()
            return None if found is None else _schedule(found)

    def listed(self, limit: int, owner: str = "") -> Sequence[Schedule]:
        with self._database.read() as connection:
            statement = _newest_of if owner else _newest
            return [_schedule(row) for row in connection.execute(statement, {"most": limit, "of": owner})]

    def count_active(self, owner: str) -> int:
        with self._database.read() as connection:
            return connection.execute(_active_of, {"of": owner}).scalar_one()

    def due(self, platforms: Collection[str], limit: int) -> tuple[float, Sequence[Schedule]]:
        with self._database.read() as connection:
            now: float = connection.execute(_now).scalar_one()
            parameters = {"now": now, "most": limit, "platforms": list(platforms)}
            return now, [_schedule(row) for row in connection.execute(_due, parameters)]

    def recurring(self, limit: int, after: str = "") -> Sequence[Schedule]:
        with self._database.read() as connection:
            return [_schedule(row) for row in connection.execute(_recurring, {"most": limit, "behind": after})]

    def advance(self, tick: Schedule, next_at: float | None, turn: TurnId | None, problem: str = "") -> bool:
        parameters = {"schedule": tick.id, "tick": tick.next_at, "following": next_at, "turn": turn, "reason": problem}
        with self._database.single_write() as connection:
            return connection.execute(_end if next_at is None else _advance, parameters).rowcount > 0

    def cancel(self, schedule_id: str) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(_cancel, {"schedule": schedule_id}).rowcount > 0


def _columns(schedule: Schedule) -> dict[str, Any]:
    push, place = schedule.push, schedule.push.place
    return {
        "id": schedule.id,
        "owner": schedule.owner,
        "platform": place.platform,
        "workspace": place.workspace,
        "channel": place.channel,
        "topic": place.topic,
        "text": push.text,
        "prompt": push.prompt,
        "assistant": push.assistant,
        "every": schedule.every,
        "time_zone": schedule.time_zone,
        "next_at": schedule.next_at,
    }


def _schedule(row: Any) -> Schedule:
    """Reads a row of SCHEDULE."""
    push = Push(ConversationKey(*row[2:6]), *row[6:9])
    return Schedule(row[0], row[1], push, *row[9:])
