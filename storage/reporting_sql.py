"""The SQL statements of the ReportingStore. Those with search criteria are built per call, the others at import."""

from __future__ import annotations

from collections.abc import Sequence
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
    type_coerce,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from gateway.domain.conversations import Conversation
from gateway.domain.handover import HandoverPart
from gateway.domain.models import Turn, TurnState
from gateway.ports.reporting import LATENCY_BOUNDS, ConversationSummary, TurnFilter
from storage.clock import clock
from storage.sql import CONVERSATION, on_platform, turns_with_key
from storage.tables.column_types import SafeText
from storage.tables.operator_tables import channels, people
from storage.tables.schema import conversations, facts, leases, limits, spending, tool_files, turns, uploads, verdicts

C = conversations.c
T = turns.c
V = verdicts.c

FIRST_CHARS = 160
"""Of the first message of a conversation in a list."""
UNDECIDED = (TurnState.QUEUED, TurnState.RUNNING)


class fold(FunctionElement[str]):  # noqa: N801  # named like an SQL function
    """The text with its case folded.

    On SQLite by Python's ``casefold``, which ``storage.connecting.database`` registers. PostgreSQL folds by the locale
    of the database; with the locale C ASCII only.
    """

    type = Text()
    inherit_cache = True


@compiles(fold, "sqlite")
def _sqlite_fold(element: fold, compiler: SQLCompiler, **options: Any) -> str:
    return f"casefold({compiler.process(element.clauses, **options)})"


@compiles(fold, "postgresql")
def _postgresql_fold(element: fold, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


class position_of(FunctionElement[int]):  # noqa: N801  # likewise
    """The position of the second text in the first, 0 if absent. It has no wildcards."""

    type = Integer()
    inherit_cache = True


@compiles(position_of, "sqlite")
def _sqlite_position_of(element: position_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(position_of, "postgresql")
def _postgresql_position_of(element: position_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


class truncated(FunctionElement[int]):  # noqa: N801  # likewise
    """A non-negative number, truncated to an integer."""

    type = BigInteger()
    inherit_cache = True


@compiles(truncated, "sqlite")
def _sqlite_truncated(element: truncated, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS INTEGER)"


@compiles(truncated, "postgresql")
def _postgresql_truncated(element: truncated, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor({compiler.process(element.clauses, **options)}) AS BIGINT)"


# ---------------------------------------------------------------- searching


def contains(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Returns whether a column contains a text, ignoring case."""
    return position_of(fold(column), fold(literal(text, SafeText))) > 0


TURN_ORDER = (T.received_at, T.conversation_id, T.seq)
"""The sort order of turns. Only the first column is indexed; the others order turns with equal times."""

AFTER_ALL = 1e300
"""A time after all there are. A bound on its column has SQLite read the newest turns by the index, and not sort all."""


def find_turns(criteria: TurnFilter, limit: int, before: Turn | None) -> Select[*tuple[Any, ...]]:
    found = turns_with_key.where(*_conversation_filters(criteria, T.platform), *_turn_filters(criteria)).limit(limit)
    found = found.order_by(*(column.desc() for column in TURN_ORDER))
    if before is None:
        return found.where(T.received_at <= AFTER_ALL)
    return found.where(T.received_at <= before.received_at, tuple_(*TURN_ORDER) < _order_key(before))


def find_conversations(
    criteria: TurnFilter, limit: int, before: ConversationSummary | None
) -> Select[*tuple[Any, ...]]:
    newest = turns.alias("newest")
    at, whose = newest.c.received_at, newest.c.conversation_id
    # The sum keeps SQLite from scanning all conversations instead of the newest turns.
    is_narrow = criteria.channel or criteria.author or criteria.named
    theirs = whose == C.id if is_narrow else whose + 0 == C.id
    first = turns.alias("first")
    found = (
        select(
            *(*CONVERSATION, C.tail, C.tail - C.head, at),
            *(func.coalesce(func.substr(first.c.text, 1, FIRST_CHARS), ""), func.coalesce(first.c.author, "")),
        )
        .join_from(newest, conversations, and_(theirs, newest.c.seq == C.tail))
        .outerjoin(first, and_(first.c.conversation_id == C.id, first.c.seq == 1))
        .where(*_conversation_filters(criteria, newest.c.platform))
        .order_by(at.desc(), C.id.desc())
        .limit(limit)
    )
    said = _turn_filters(criteria)
    if said:
        found = found.where(exists().where(T.conversation_id == C.id, *said))
    if criteria.named:
        found = found.where(_is_named(criteria.named))
    if criteria.author:  # implied by the condition on turns; allows the use of turns_author
        found = found.where(C.id.in_(_said_by([criteria.author])))
    if criteria.since is not None:  # implied by the condition before; allows the use of turns_received
        found = found.where(at >= criteria.since)
    if before is None:
        return found
    # The first condition is implied by the second, but concerns one table only, so that its index is used.
    return found.where(at <= before.last_at, tuple_(at, C.id) < (before.last_at, before.conversation.id))


def _is_named(name: str) -> ColumnElement[bool]:
    who = select(people.c.user_id).where(contains(people.c.name, name))
    where = select(channels.c.channel).where(contains(channels.c.name, name))
    return or_(C.channel.in_(where), C.user_id.in_(who), C.id.in_(_said_by(who)))


def _said_by(people: Sequence[str] | Select[tuple[str]]) -> Select[tuple[int]]:
    """Returns the conversations in which one of these people wrote."""
    return select(T.conversation_id).where(T.author != "", T.author.in_(people))


def _conversation_filters(criteria: TurnFilter, platform: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """Returns the filters on conversations. ``platform`` is a column of turns, so that the index on turns is used."""
    filters = ((platform, criteria.platform), (C.channel, criteria.channel))
    found = [column == value for column, value in filters if value]
    return [*found, on_platform(platform, literal(criteria.bots_of, SafeText))] if criteria.bots_of else found


def _turn_filters(criteria: TurnFilter) -> list[ColumnElement[bool]]:
    """Returns the filters on turns."""
    filters: list[ColumnElement[bool]] = []
    if criteria.author:
        filters += [T.author == criteria.author, T.author != ""]  # that it is known allows the use of turns_author
    if criteria.assistant:
        filters.append(T.assistant == criteria.assistant)
    if criteria.state is not None:
        filters.append(T.state == criteria.state)
        if criteria.state is TurnState.FAILED:  # implied by the state; allows the use of turns_failed
            filters.append(T.error_code.is_not(None))
    if criteria.failure_codes is not None:
        filters.append(T.error_code.in_(list(criteria.failure_codes)))
    if criteria.text:
        sought = fold(literal(criteria.text, SafeText))
        filters.append(or_(*(position_of(fold(column), sought) > 0 for column in (T.text, T.reply))))
    if criteria.since is not None:
        filters.append(T.received_at >= criteria.since)
    if criteria.until is not None:
        filters.append(T.received_at < criteria.until)
    return filters


def _order_key(turn: Turn) -> tuple[float, int, int]:
    return turn.received_at, turn.conversation_id, turn.seq


conversation_by_id = select(*CONVERSATION).where(C.id == bindparam("conversation"))

# ---------------------------------------------------------------- counting

_latency = T.answered_at - T.received_at
_not_imported = or_(T.state != TurnState.DELIVERED, T.started_at.is_not(None))
_received_within = and_(T.received_at >= bindparam("since"), T.received_at < bindparam("until"))
_counted_turns = (
    select(
        truncated(T.received_at / bindparam("span", type_=T.received_at.type)).label("span"),
        *(T.platform, T.state, T.error_code),
        case(
            *((_latency <= bound, slot) for slot, bound in enumerate(LATENCY_BOUNDS)), else_=len(LATENCY_BOUNDS)
        ).label("slot"),
        *(T.tokens_in, T.tokens_out, T.cost),
    )
    .where(_received_within, _not_imported)
    .subquery("each")
)
_grouping = (
    _counted_turns.c.span,
    _counted_turns.c.platform,
    _counted_turns.c.state,
    _counted_turns.c.error_code,
    _counted_turns.c.slot,
)
usage_buckets = (
    select(
        *(*_grouping, func.count().label("turns")),
        *(func.sum(each) for each in (_counted_turns.c.tokens_in, _counted_turns.c.tokens_out, _counted_turns.c.cost)),
    )
    .group_by(*_grouping)
    .order_by(_counted_turns.c.span, _counted_turns.c.platform)
)

usage_by_assistant = (
    select(T.assistant, func.count(), func.sum(case((T.state == TurnState.FAILED, 1), else_=0)), func.sum(T.cost))
    .where(_received_within, _not_imported)
    .group_by(T.assistant)
    .order_by(T.assistant)
)

# ---------------------------------------------------------------- a person

_author = bindparam("person", type_=SafeText)
# That the author is known allows the use of turns_author.
_by_author = and_(on_platform(T.platform), T.author == _author, T.author != "", T.erased_at.is_(None))


def turns_by_author(limit: int, after: Turn | None) -> Select[*tuple[Any, ...]]:
    said = turns_with_key.where(_by_author).order_by(*TURN_ORDER).limit(limit)
    if after is None:
        return said
    return said.where(T.received_at >= after.received_at, tuple_(*TURN_ORDER) > _order_key(after))


_on_platform = select(T.id).where(T.id == V.turn_id, on_platform(T.platform)).exists()
feedback_by = select(V.turn_id, V.author, V.value).where(V.author == _author, _on_platform).order_by(V.at, V.turn_id)
erase_feedback_by = delete(verdicts).where(V.author == _author, _on_platform)

unfinished_turns_by = (
    select(T.id)
    .join_from(conversations, turns, and_(T.conversation_id == C.id, T.seq > C.head))
    # Conversations with unfinished turns have an index.
    .where(C.next_at.is_not(None), on_platform(C.platform), T.author == _author, T.state.in_(UNDECIDED))
    .order_by(C.id, T.seq)
)

_has_other_authors = exists().where(T.conversation_id == C.id, T.author != _author, T.erased_at.is_(None))
_context = type_coerce(T.context, Text)
_names_person = and_(_context != "", position_of(_context, bindparam("named", type_=SafeText)) > 0)
_quoting = select(T.conversation_id).where(on_platform(T.platform), _names_person)
conversations_of = (
    select(*CONVERSATION, or_(C.user_id == _author, ~_has_other_authors))
    .where(on_platform(C.platform))
    .where(or_(C.user_id == _author, C.id.in_(select(T.conversation_id).where(_by_author)), C.id.in_(_quoting)))
    .order_by(C.id)
)
quoting_turns = select(T.id, T.context).where(on_platform(T.platform), _names_person).order_by(*TURN_ORDER)
contexts_naming = select(T.seq, T.context).where(T.conversation_id == bindparam("conversation"), _names_person)
set_context = (
    update(turns)
    .where(T.conversation_id == bindparam("conversation"), T.seq == bindparam("place"))
    .values(context=bindparam("kept", type_=T.context.type))
)

ERASED_VALUES: dict[str, Any] = {
    **dict.fromkeys(("text", "author", "caller", "reply", "error_detail"), ""),
    **dict.fromkeys(("files", "made", "parts", "calls", "rounds", "returned"), ()),
    "options": None,
    "refusal": None,
    "address": {},
    "context": None,
    "parking": None,
    "erased_at": clock(),
}


def lock_thread(conversation: Conversation) -> Any:
    """Returns the statement that locks a conversation if its thread is unchanged, as every change of its turns does."""
    same = C.thread_id.is_not_distinct_from(literal(conversation.thread_id, SafeText))
    return select(C.id).where(C.id == conversation.id, same).with_for_update(key_share=True)


unset_thread = (
    update(conversations).where(C.id == bindparam("conversation")).values(thread_id=None, backend="", share="")
)


_held, _asked = turns.alias("held"), turns.alias("asked")
_asked_before = select(_asked.c.seq).where(
    *(_asked.c.conversation_id == T.conversation_id, _asked.c.handover == HandoverPart.RESUMED.value),
    *(_asked.c.seq > _held.c.seq, _asked.c.seq < T.seq),
)
_held_of_author = select(_held.c.seq).where(
    *(_held.c.conversation_id == T.conversation_id, _held.c.handover == HandoverPart.HELD.value),
    *(_held.c.author == _author, _held.c.seq < T.seq, ~_asked_before.correlate(turns, _held).exists()),
)
_repeats_author = and_(T.handover == HandoverPart.RESUMED.value, _held_of_author.correlate(turns).exists())
"""A turn with which the staff gave a conversation back asks what all had written, and is the last one's."""
by_author_in_conversation = and_(
    T.conversation_id == bindparam("conversation"), or_(T.author == _author, _repeats_author), T.erased_at.is_(None)
)
cancel_turns_of_author = (
    update(turns)
    .where(by_author_in_conversation, T.state.in_(UNDECIDED))
    .values(state=TurnState.CANCELLED, answered_at=clock())
)
# All are found before the first one is erased: by that others are known.
_found = select(T.id).where(by_author_in_conversation).correlate(None)
erase_author = update(turns).where(T.id.in_(_found)).values(ERASED_VALUES)
erase_files_of_author = delete(tool_files).where(
    tool_files.c.turn_id.in_(select(T.id).where(by_author_in_conversation))
)

# ---------------------------------------------------------------- retention

_not_erased = select(T.id, T.received_at).join_from(turns, conversations).where(T.erased_at.is_(None))
with_ids = T.id.in_(bindparam("named", expanding=True))
# The lock keeps the conversation from being deleted and blocks nothing else, so no two transactions can deadlock.
finished_between = (
    _not_erased.where(_received_within, T.seq <= C.head)
    .order_by(T.received_at)
    .limit(bindparam("most"))
    .with_for_update(read=True, key_share=True, of=conversations)
)
unfinished_between = (
    _not_erased.where(_received_within, T.seq > C.head).order_by(T.received_at).limit(bindparam("most"))
)
finished_of = _not_erased.where(with_ids, T.seq <= C.head).with_for_update(read=True, key_share=True, of=conversations)
unfinished_of = _not_erased.where(with_ids, T.seq > C.head)
erase_turns = update(turns).where(with_ids).values(ERASED_VALUES)
erase_files_of = delete(tool_files).where(tool_files.c.turn_id.in_(bindparam("named", expanding=True)))
erase_feedback_on = delete(verdicts).where(V.turn_id.in_(bindparam("named", expanding=True)))
read_cursor = select(clock(), select(facts.c.value).where(facts.c.name == bindparam("fact")).scalar_subquery())

_expired_before = clock() - bindparam("seconds", type_=T.received_at.type)
purge_expired = (
    delete(limits).where(limits.c.at < _expired_before),
    delete(leases).where(leases.c.until < _expired_before),
)
purge_tool_files = delete(tool_files).where(tool_files.c.kept_at < _expired_before)
purge_uploads = delete(uploads).where(uploads.c.received_at < _expired_before)
purge_budgets = delete(spending).where(spending.c.period < bindparam("month"))
"""Deletes spending of periods before a month. Days and months sort chronologically by name."""
