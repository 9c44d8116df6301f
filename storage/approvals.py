"""ApprovalStore on SQLAlchemy, and the writes of lease holders to held calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Double,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
    update,
)

from gateway.domain.approvals import ASKER, Approval, Decider, Decision
from gateway.domain.handover import HandoverPart
from gateway.domain.models import PUSHED, Turn, TurnId, TurnState
from gateway.ports.leased_writes import HoldCalls, SetOutputs, SetQuestion, StartCalls
from storage import parking, sql
from storage.clock import clock
from storage.connecting.database import Database
from storage.reporting_sql import position_of
from storage.sql import T
from storage.tables.column_types import SafeText, storable
from storage.tables.schema import approvals, turns

A = approvals.c
NOBODY: tuple[str, ...] = ()

_asked = bindparam("approval", type_=SafeText)
_of_turn = A.turn_id == bindparam("turn", type_=SafeText)
_is_open = (A.decision.is_(None), A.approvers != NOBODY)
APPROVAL = (
    *(A.id, A.turn_id, A.round, A.call_id, A.tool, A.arguments, A.approvers, A.decision),
    *(A.decided_by, A.decided_name, A.requested_at, A.expires_at, A.decided_at, A.started_at, A.posted),
)
_turn_goes_on = select(T.id).where(T.id == A.turn_id, T.state.in_((TurnState.QUEUED, TurnState.RUNNING))).exists()

_is_late = bindparam("late", type_=Boolean)
_insert = insert(approvals).values(
    decision=case((_is_late, literal(Decision.EXPIRED.value))),
    requested_at=clock(),
    expires_at=clock() + bindparam("seconds", type_=Double),
    decided_at=case((_is_late, clock())),
    posted=NOBODY,
)
_start = update(approvals).where(_of_turn, A.id.in_(bindparam("named", expanding=True)), A.started_at.is_(None))
_start = _start.values(started_at=clock())
_set_question = update(approvals).where(_of_turn, A.id == _asked)
_set_question = _set_question.values(posted=bindparam("entries", type_=A.posted.type))
_any_open = select(A.id).where(_of_turn, *_is_open).limit(1)

_select = select(*APPROVAL)
_by_turn = _select.where(_of_turn).order_by(A.round, A.place)
_cancelled = _by_turn.where(A.decision == Decision.CANCELLED.value)
_by_id = _select.where(A.id == _asked)
_expire_all = update(approvals).where(_of_turn, *_is_open)
_expire_all = _expire_all.values(decision=Decision.EXPIRED.value, decided_at=clock())
_expire = _expire_all.where(A.call_id.in_(bindparam("named", expanding=True)))
_longer = bindparam("longer", type_=Double)
_put_off = update(approvals).where(_of_turn, *_is_open)
_put_off = _put_off.values(requested_at=A.requested_at + _longer, expires_at=A.expires_at + _longer)
_decide = (
    update(approvals)
    .where(A.id == _asked, *_is_open, _turn_goes_on)
    .values(
        decision=bindparam("what", type_=SafeText),
        decided_by=bindparam("person", type_=SafeText),
        decided_name=bindparam("called", type_=SafeText),
        decided_at=clock(),
    )
    .returning(*APPROVAL)
)
_close = update(approvals).where(_of_turn, *_is_open, ~_turn_goes_on)
_close = _close.values(decision=Decision.CANCELLED.value, decided_at=clock())
_turn_of = select(A.turn_id).where(A.id == _asked)
ERASED: dict[str, Any] = {"arguments": "", "decided_by": "", "decided_name": "", "posted": NOBODY}


class SqlApprovals:
    """Implements ApprovalStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        with self._database.read() as connection:
            return [_approval(row) for row in connection.execute(_by_turn, {"turn": turn_id})]

    def get_approval(self, approval_id: str) -> Approval | None:
        with self._database.read() as connection:
            row = connection.execute(_by_id, {"approval": approval_id}).first()
        return None if row is None else _approval(row)

    def decide(self, approval_id: str, decision: Decision, by: str, name: str = "") -> Approval | None:
        values = {"approval": approval_id, "what": decision.value, "person": by, "called": name}
        with self._database.transaction() as connection:
            turn_id = connection.execute(_turn_of, {"approval": approval_id}).scalar()
            # The conversation first, as in every transaction that locks both.
            connection.execute(sql.lock_conversation_of, {"turn": turn_id})
            row = connection.execute(_decide, values).first()
            if row is None:
                return None
            decided = _approval(row)
            if not has_open(connection, decided.turn_id):
                parking.wake_turn(connection, decided.turn_id)
            return decided

    def close_approvals(self, turn_id: TurnId) -> Sequence[Approval]:
        with self._database.single_write() as connection:
            connection.execute(_close, {"turn": turn_id})
            return [_approval(row) for row in connection.execute(_cancelled, {"turn": turn_id})]

    def open_approvals(
        self, limit: int = 100, *, platform: str = "", decider: Decider | None = None
    ) -> Sequence[Approval]:
        found = _select.join(turns, T.id == A.turn_id).where(*_is_open)
        found = found.where(T.state.in_((TurnState.QUEUED, TurnState.RUNNING)))
        if platform:
            found = found.where(T.platform == platform)
        if decider is not None:
            found = found.where(_may_decide(decider))
        with self._database.read() as connection:
            rows = connection.execute(found.order_by(A.requested_at, A.id).limit(limit))
            return [_approval(row) for row in rows]


# ---------------------------------------------------------------- in a transaction of others


def hold(connection: Connection, write: HoldCalls, number: int) -> None:
    """Adds the calls that a turn's round ``number`` holds."""
    rows = [
        {
            "id": each.id,
            "turn_id": write.turn.id,
            "round": number,
            "place": place,
            "call_id": each.call_id,
            "tool": each.tool,
            "arguments": each.arguments,
            "approvers": each.approvers,
            "seconds": write.expires_seconds,
            "late": each.is_question and write.expires_seconds <= 0,
        }
        for place, each in enumerate(write.approvals)
    ]
    connection.execute(_insert, rows)


def start(connection: Connection, write: StartCalls) -> None:
    """Notes that tools are begun."""
    if write.approval_ids:
        connection.execute(_start, {"turn": write.turn.id, "named": write.approval_ids})


def expire(connection: Connection, write: SetOutputs) -> None:
    """Ends the questions about calls that have an output now: whoever decides after that is too late."""
    connection.execute(_expire, {"turn": write.turn.id, "named": tuple(write.outputs)})


def keep_time(connection: Connection, before: Turn, turn: Turn) -> None:
    """Ends the questions of a turn that is claimed once its time is up; else their time changes as the turn's did.

    Until it is claimed they may be answered, whatever the clock says. ``before``: the turn as it was parked for them.
    """
    if before.parking is None or turn.parking is None:
        return
    if turn.parking.has_expired:
        connection.execute(_expire_all, {"turn": turn.id})
    elif longer := turn.parking.expires_at - before.parking.expires_at:
        connection.execute(_put_off, {"turn": turn.id, "longer": longer})


def set_question(connection: Connection, write: SetQuestion) -> None:
    """Saves what is posted of a question."""
    entries = tuple(map(storable, write.posted_messages))
    connection.execute(_set_question, {"turn": write.turn.id, "approval": write.approval_id, "entries": entries})


def has_open(connection: Connection, turn_id: TurnId) -> bool:
    """Returns whether somebody has yet to decide about a call of a turn."""
    return connection.execute(_any_open, {"turn": turn_id}).first() is not None


def erase_approvals_of(connection: Connection, which: ColumnElement[bool], parameters: Mapping[str, Any]) -> None:
    """Erases what was asked about the turns that a condition selects, and who decided."""
    of_them = A.turn_id.in_(select(T.id).where(which))
    connection.execute(update(approvals).where(of_them).values(ERASED), parameters)


def decisions_by(connection: Connection, platform: str, author: str) -> Sequence[Approval]:
    """Returns what a person decided, on any bot of a platform."""
    found = connection.execute(_select.where(_decided_by(platform, author)).order_by(A.decided_at, A.id))
    return [_approval(row) for row in found]


def erase_decider(connection: Connection, platform: str, author: str) -> None:
    """Erases a person where they decided about calls, on any bot of a platform."""
    connection.execute(update(approvals).where(_decided_by(platform, author)).values(decided_by="", decided_name=""))


# ---------------------------------------------------------------- who may decide

_held = turns.alias("held").c
_left_by = (
    select(_held.caller)
    .where(_held.conversation_id == T.conversation_id, _held.seq < T.seq, _held.handover == HandoverPart.HELD.value)
    .order_by(_held.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_caller = case((T.handover == HandoverPart.RESUMED.value, func.coalesce(_left_by, T.caller)), else_=T.caller)
"""Who sent what a turn answers; of a conversation that was given back, who sent what was left to a person."""


def _may_decide(decider: Decider) -> ColumnElement[bool]:
    """Returns the condition that ``gateway.domain.approvals.may_decide`` is, on an approval and its turn."""
    named = [_names(each) for each in decider.names]
    return or_(false(), *named, and_(_names(ASKER), _has_asked(decider)))


def _names(approver: str) -> ColumnElement[bool]:
    """Returns whether an approver is in the list, which is JSON: what is in a text has no quote without a backslash."""
    listed, sought = type_coerce(A.approvers, Text), json.dumps(approver)
    return or_(*(position_of(listed, literal(f"{before}{sought}", Text)) > 0 for before in "[ "))


def _has_asked(decider: Decider) -> ColumnElement[bool]:
    if decider.is_operator:
        return false()
    on_platform = T.platform == literal(decider.platform, SafeText)
    if decider.caller:
        return and_(on_platform, _caller == literal(decider.caller, SafeText))
    is_persons = or_(_caller == "", _caller.startswith(PUSHED))
    return and_(on_platform, is_persons, T.author == literal(decider.user, SafeText)) if decider.user else false()


def _decided_by(platform: str, author: str) -> ColumnElement[bool]:
    begin, end = f"{platform}:", f":{storable(author)}"
    return and_(A.decided_by.startswith(begin, autoescape=True), A.decided_by.endswith(end, autoescape=True))


def _approval(row: Sequence[Any]) -> Approval:
    """Reads a row of APPROVAL."""
    decision = None if row[7] is None else Decision(row[7])
    columns: tuple[Any, ...] = (*row[:7], decision, *row[8:])
    return Approval(*columns)
