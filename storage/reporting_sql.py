"""The SQL statements of the ReportingStore. Those with search criteria are built per call, the others at import."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from gateway.domain.models import Conversation, Turn, TurnState
from gateway.ports.reporting import TIMES, Line, Search
from storage.schema import Words, conversations, facts, leases, limits, spending, turns, verdicts
from storage.sql import CONVERSATION, KEY, TURN, clock

C = conversations.c
T = turns.c
V = verdicts.c

UNDECIDED = (TurnState.QUEUED, TurnState.RUNNING)


class fold(FunctionElement[str]):  # noqa: N801  # named like an SQL function
    """The text with its case folded.

    SQLite folds ASCII only, so SqlReportingStore registers Python's casefold there. PostgreSQL folds by the locale of
    the database; with the locale C also ASCII only.
    """

    type = Text()
    inherit_cache = True


@compiles(fold, "sqlite")
def _sqlite_fold(element: fold, compiler: SQLCompiler, **options: Any) -> str:
    return f"casefold({compiler.process(element.clauses, **options)})"


@compiles(fold, "postgresql")
def _postgresql_fold(element: fold, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


class place_of(FunctionElement[int]):  # noqa: N801  # likewise
    """The position of the second text in the first, 0 if absent. It has no wildcards."""

    type = Integer()
    inherit_cache = True


@compiles(place_of, "sqlite")
def _sqlite_place_of(element: place_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(place_of, "postgresql")
def _postgresql_place_of(element: place_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


class whole(FunctionElement[int]):  # noqa: N801  # likewise
    """A non-negative number, truncated to an integer."""

    type = BigInteger()
    inherit_cache = True


@compiles(whole, "sqlite")
def _sqlite_whole(element: whole, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS INTEGER)"


@compiles(whole, "postgresql")
def _postgresql_whole(element: whole, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor({compiler.process(element.clauses, **options)}) AS BIGINT)"


# ---------------------------------------------------------------- searching

AGE = (T.received_at, T.conversation_id, T.seq)
"""The sort order of turns. Only the first column is indexed; the others order turns with equal times."""

_with_key = select(*TURN, *KEY).join_from(turns, conversations)


def find(search: Search, limit: int, before: Turn | None) -> Select[*tuple[Any, ...]]:
    found = _with_key.where(*_of(search, T.platform), *_said(search)).limit(limit)
    found = found.order_by(*(column.desc() for column in AGE))
    if before is None:
        return found
    return found.where(T.received_at <= before.received_at, tuple_(*AGE) < _age_of(before))


def find_conversations(search: Search, limit: int, before: Line | None) -> Select[*tuple[Any, ...]]:
    newest = turns.alias("newest")
    at, whose = newest.c.received_at, newest.c.conversation_id
    # The sum keeps SQLite from scanning all conversations instead of the newest turns.
    theirs = whose == C.id if search.channel else whose + 0 == C.id
    found = (
        select(*CONVERSATION, C.tail, C.tail - C.head, at)
        .join_from(newest, conversations, and_(theirs, newest.c.seq == C.tail))
        .where(*_of(search, newest.c.platform))
        .order_by(at.desc(), C.id.desc())
        .limit(limit)
    )
    said = _said(search)
    if said:
        found = found.where(exists().where(T.conversation_id == C.id, *said))
    if search.since is not None:  # implied by the condition before; allows the use of turns_received
        found = found.where(at >= search.since)
    if before is None:
        return found
    # The first condition is implied by the second, but concerns one table only, so that its index is used.
    return found.where(at <= before.last_at, tuple_(at, C.id) < (before.last_at, before.conversation.id))


def _of(search: Search, platform: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """Returns the filters on conversations. ``platform`` is a column of turns, so that the index on turns is used."""
    filters = ((platform, search.platform), (C.channel, search.channel))
    return [column == value for column, value in filters if value]


def _said(search: Search) -> list[ColumnElement[bool]]:
    """Returns the filters on turns."""
    filters: list[ColumnElement[bool]] = []
    if search.user:
        filters.append(T.author == search.user)
    if search.state is not None:
        filters.append(T.state == search.state)
        if search.state is TurnState.FAILED:  # implied by the state; allows the use of turns_failed
            filters.append(T.error_code.is_not(None))
    if search.text:
        sought = fold(literal(search.text, Words))
        filters.append(or_(*(place_of(fold(column), sought) > 0 for column in (T.text, T.reply))))
    if search.since is not None:
        filters.append(T.received_at >= search.since)
    if search.until is not None:
        filters.append(T.received_at < search.until)
    return filters


def _age_of(turn: Turn) -> tuple[float, int, int]:
    return turn.received_at, turn.conversation, turn.seq


conversation_by_id = select(*CONVERSATION).where(C.id == bindparam("conversation"))
now = select(clock())

# ---------------------------------------------------------------- counting

_took = T.answered_at - T.received_at
_not_adopted = or_(T.state != TurnState.DELIVERED, T.started_at.is_not(None))
_each = (
    select(
        whole(T.received_at / bindparam("span", type_=T.received_at.type)).label("span"),
        *(T.platform, T.state, T.error_code),
        case(*((_took <= bound, slot) for slot, bound in enumerate(TIMES)), else_=len(TIMES)).label("slot"),
        *(T.tokens_in, T.tokens_out, T.cost),
    )
    .where(T.received_at >= bindparam("since"), T.received_at < bindparam("until"), _not_adopted)
    .subquery("each")
)
_alike = (_each.c.span, _each.c.platform, _each.c.state, _each.c.error_code, _each.c.slot)
tally = (
    select(
        *(*_alike, func.count().label("turns")),
        *(func.sum(each) for each in (_each.c.tokens_in, _each.c.tokens_out, _each.c.cost)),
    )
    .group_by(*_alike)
    .order_by(_each.c.span, _each.c.platform)
)

# ---------------------------------------------------------------- a person

_them = bindparam("person", type_=Words)
_theirs = and_(T.platform == bindparam("on"), T.author == _them, T.erased_at.is_(None))


def said_by(limit: int, after: Turn | None) -> Select[*tuple[Any, ...]]:
    said = _with_key.where(_theirs).order_by(*AGE).limit(limit)
    if after is None:
        return said
    return said.where(T.received_at >= after.received_at, tuple_(*AGE) > _age_of(after))


_on_platform = select(T.id).where(T.id == V.turn_id, T.platform == bindparam("on")).exists()
judged_by = select(V.turn_id, V.author, V.value).where(V.author == _them, _on_platform).order_by(V.at, V.turn_id)
erase_verdicts = delete(verdicts).where(V.author == _them, _on_platform)

unfinished = (
    select(T.id)
    .join_from(conversations, turns, and_(T.conversation_id == C.id, T.seq > C.head))
    # Conversations with unfinished turns have an index.
    .where(C.next_at.is_not(None), C.platform == bindparam("on"), T.author == _them, T.state.in_(UNDECIDED))
    .order_by(C.id, T.seq)
)

_others = exists().where(T.conversation_id == C.id, T.author != _them, T.erased_at.is_(None))
shares = (
    select(*CONVERSATION, or_(C.user_id == _them, ~_others))
    .where(C.platform == bindparam("on"), or_(C.user_id == _them, C.id.in_(select(T.conversation_id).where(_theirs))))
    .order_by(C.id)
)

WIPED: dict[str, Any] = {
    **dict.fromkeys(("text", "author", "reply", "error_detail"), ""),
    **dict.fromkeys(("files", "made", "parts"), ()),
    "address": {},
    "erased_at": clock(),
}


def let_go(conversation: Conversation) -> Any:
    """Returns the statement that unsets the thread of a conversation, if unchanged.

    It locks the conversation first, as every change of its turns does.
    """
    same = C.thread_id.is_not_distinct_from(literal(conversation.thread, Words))
    return update(conversations).where(C.id == conversation.id, same).values(thread_id=None, backend="")


_in_one = (T.conversation_id == bindparam("conversation"), T.author == _them, T.erased_at.is_(None))
cancel_person = (
    update(turns).where(*_in_one, T.state.in_(UNDECIDED)).values(state=TurnState.CANCELLED, answered_at=clock())
)
erase_person = update(turns).where(*_in_one).values(WIPED)

# ---------------------------------------------------------------- retention

_kept = select(T.id, T.received_at).join_from(turns, conversations).where(T.erased_at.is_(None))
_between = and_(T.received_at >= bindparam("since"), T.received_at < bindparam("until"))
_named = T.id.in_(bindparam("named", expanding=True))
# The lock keeps the conversation from being deleted and blocks nothing else, so no two transactions can deadlock.
old = (
    _kept.where(_between, T.seq <= C.head)
    .order_by(T.received_at)
    .limit(bindparam("most"))
    .with_for_update(read=True, key_share=True, of=conversations)
)
old_unfinished = _kept.where(_between, T.seq > C.head).order_by(T.received_at).limit(bindparam("most"))
late = _kept.where(_named, T.seq <= C.head).with_for_update(read=True, key_share=True, of=conversations)
still_unfinished = _kept.where(_named, T.seq > C.head)
erase = update(turns).where(_named).values(WIPED)
erase_verdicts_of = delete(verdicts).where(V.turn_id.in_(bindparam("named", expanding=True)))
swept = select(clock(), select(facts.c.value).where(facts.c.name == bindparam("fact")).scalar_subquery())

_long_ago = clock() - bindparam("seconds", type_=T.received_at.type)
tidy = (delete(limits).where(limits.c.at < _long_ago), delete(leases).where(leases.c.until < _long_ago))
bygone = delete(spending).where(spending.c.period < bindparam("month"))
"""Deletes spending of periods before a month. Days and months sort chronologically by name."""
