"""The SQL statements of the store, built once at import."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.domain.bots import SEPARATOR
from gateway.domain.models import MessageKind, TurnState
from storage.clock import clock, seconds_from_now
from storage.tables.column_types import SafeText
from storage.tables.schema import conversations, facts, former_threads, joined_messages, leases, turns, verdicts

C = conversations.c
T = turns.c
V = verdicts.c
J = joined_messages.c


def on_platform(name: ColumnElement[str], wanted: ColumnElement[str] | None = None) -> ColumnElement[bool]:
    """Returns whether a bot's name is of a platform, or is that bot; unless it is given, of the parameter ``on``."""
    wanted = bindparam("on", type_=Text) if wanted is None else wanted
    others = wanted + SEPARATOR
    return or_(name == wanted, func.substr(name, 1, func.length(others)) == others)


# storage.row_mapping reads these columns by position.
CONVERSATION = (
    *(C.id, C.platform, C.workspace, C.channel, C.topic, C.user_id, C.thread_id, C.backend, C.assistant, C.chosen),
    *(C.handover_seq, C.handed_over_at),
)
LOCKED_CONVERSATION = (*CONVERSATION, C.head, C.tail, C.owner, C.epoch, C.share, C.workspace_share)
SLOT = (C.id, C.thread_id, C.backend, C.assistant, C.chosen, C.head, C.tail, C.epoch, clock().label("at"))
TURN = (
    *(T.id, T.conversation_id, T.seq, T.message_id, T.text, T.author, T.address, T.kind, T.files),
    *(T.awaited_by, T.trace, T.state, T.attempts, T.run_id, T.reply, T.made),
    *(T.error_code, T.error_sentence, T.error_detail, T.error_retry_after),
    *(T.tokens_in, T.tokens_out, T.model, T.cost, T.parts, T.trail),
    *(T.received_at, T.started_at, T.answered_at, T.delivered_at, T.erased_at),
    *(T.cost_is_estimate, T.caller, T.context, T.parking, T.assistant, T.command, T.options, T.calls, T.rounds),
    *(T.error_parts, T.handover, T.returned, T.refusal),
)
PAST_TURN = (
    *(T.id, T.seq, T.message_id, T.text, T.author, T.kind, T.files, T.state, T.reply, T.made),
    *(T.caller, T.context, T.command, T.options, T.calls, T.rounds, T.handover, T.returned),
)
"""What the assistant is told of earlier turns. A third of the columns take a fifth of the time."""

KEY = (C.platform, C.workspace, C.channel, C.topic, C.user_id)
IS_KEY = and_(*(column == bindparam(f"key_{column.name}") for column in KEY))


# ---------------------------------------------------------------- enqueueing


_idle = C.next_at.is_(None)
APPEND_VALUES: dict[str, ColumnElement[Any]] = {
    "tail": C.tail + 1,
    "next_at": func.coalesce(C.next_at, clock()),
    "owner": case((_idle, null()), else_=C.owner),
}
"""Makes room for one more turn. An idle conversation becomes due."""


MAX_WAIT_SECONDS = 61.0
"""The longest lease or delay in seconds: a minute, plus a second as the clock is read later."""


_append_turn = update(conversations).values(APPEND_VALUES).returning(*SLOT)
append_turn_if_exists = _append_turn.where(IS_KEY)
append_turn_after = _append_turn.where(
    C.id == select(T.conversation_id).where(T.id == bindparam("turn")).scalar_subquery()
)
"""Appends to the conversation of a turn."""

# ---------------------------------------------------------------- leases

NOT_PARKED: dict[str, Any] = {"parked_since": None, "parked_key": None, "parked_reason": None}

_is_mine = and_(C.owner == bindparam("holder"), C.next_at > 0)  # so that conversations_due is used here too


def _renew(*which: ColumnElement[bool]) -> ReturningUpdate[int]:
    mine = (
        select(C.id)
        .where(_is_mine, *which)
        # Every transaction that locks several conversations does so in this order, so no two can deadlock.
        # The sum keeps SQLite from scanning the whole table, which has this order, instead of sorting.
        .order_by(C.id + 0)
        .with_for_update(key_share=True)
        .cte("mine")
    )
    return (
        update(conversations)
        .where(C.id.in_(select(mine.c.id)))
        .values(next_at=seconds_from_now("wait"))
        .returning(C.id)
    )


renew = _renew()
renew_some = _renew(C.id.in_(bindparam("among", expanding=True)))
cancelled_while_running = (
    select(T.id)
    .join(conversations, and_(T.conversation_id == C.id, T.seq == C.head + 1))
    .where(_is_mine, T.state == TurnState.CANCELLED, T.started_at.is_not(None))
)

lock_conversations = (
    select(*LOCKED_CONVERSATION)
    .where(C.id.in_(bindparam("conversations", expanding=True)))
    .order_by(C.id)
    .with_for_update(key_share=True)
)
set_thread = (
    update(conversations)
    .where(C.id == bindparam("conversation"))
    .values(thread_id=bindparam("thread"), backend=bindparam("opener"), assistant=bindparam("whose", type_=SafeText))
)
insert_former_threads = insert(former_threads)
"""Records a thread that a conversation no longer uses."""
former_threads_of = select(former_threads.c.thread_id, former_threads.c.backend, former_threads.c.assistant).where(
    former_threads.c.conversation_id == bindparam("conversation")
)
set_lease = (
    update(conversations)
    .where(C.id == bindparam("conversation"))
    .values(
        head=bindparam("finished"),
        owner=bindparam("holder"),
        next_at=seconds_from_now("wait"),
        share=bindparam("of", type_=SafeText),
    )
)

_out_of_reach = (
    select(C.id)
    .where(C.next_at > select(clock() + MAX_WAIT_SECONDS).scalar_subquery())
    # A parked turn may wait longer, unless it was parked in the future.
    .where(or_(C.parked_since.is_(None), C.parked_since > select(clock()).scalar_subquery()))
    .order_by(C.next_at.desc())
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, key_share=True)
    .cte("out_of_reach")
)
repair_next_at = (
    update(conversations)
    .where(C.id.in_(select(_out_of_reach.c.id)))
    .values(next_at=case((C.owner.is_(None), clock()), else_=seconds_from_now("wait")))
    .returning(C.id)
)
"""A live lease holder renews its lease before it expires."""

# ---------------------------------------------------------------- parked turns

IS_PARKED = and_(C.parked_since.is_not(None), C.owner.is_(None))
"""A version that knows of no parked turns claims one without clearing these columns."""
park = (
    update(conversations)
    .where(C.id == bindparam("conversation"))
    .values(parked_since=bindparam("since"), parked_key=bindparam("woken_by"), parked_reason=bindparam("reason"))
)
_wake_up = update(conversations).values(next_at=clock())
"""It stays parked until it is claimed, so that the claim knows for how long it has been due."""
_sleepers = (
    select(C.id)
    .where(IS_PARKED, C.parked_key == bindparam("woken_by"), C.next_at > select(clock()).scalar_subquery())
    .order_by(C.parked_since, C.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, key_share=True)
    .cte("sleepers")
)
wake = _wake_up.where(C.id.in_(select(_sleepers.c.id))).returning(C.id)
wake_conversation = _wake_up.where(C.id == bindparam("conversation"), IS_PARKED).returning(C.id)
wake_turn = _wake_up.where(
    IS_PARKED, C.id == select(T.conversation_id).where(T.id == bindparam("turn"), T.seq == C.head + 1).scalar_subquery()
).returning(C.id)
"""Wakes the conversation of a turn, if that is the parked one."""
reset_behind = (
    select(T.seq)
    .where(T.conversation_id == bindparam("conversation"), T.seq > bindparam("place"))
    .where(T.kind == MessageKind.RESET, T.state == TurnState.QUEUED)
    .limit(1)
)
parked_counts = (
    select(C.platform, C.parked_reason, func.count())
    .where(C.next_at > 0, IS_PARKED)  # who is parked is due some time: else SQLite reads all, in the groups' order
    .group_by(C.platform, C.parked_reason)
    .order_by(C.platform, C.parked_reason)
)

# ---------------------------------------------------------------- turns

next_turns = (
    select(*TURN, clock().label("at"))
    .join_from(conversations, turns, and_(T.conversation_id == C.id, T.seq.between(C.head + 1, C.head + 2)))
    .where(C.id.in_(bindparam("conversations", expanding=True)))
    .with_for_update(of=turns)
)
"""The current turn of each conversation and the one after it."""
turn_after_gap = (
    select(*TURN, clock().label("at"))
    .where(T.conversation_id == bindparam("conversation"), T.seq > bindparam("finished"))
    .order_by(T.seq)
    .limit(1)
    .with_for_update()
)

update_turn = update(turns).where(T.conversation_id == bindparam("conversation"), T.seq == bindparam("place"))
"""Sets the columns given as parameters."""
_cancel = (
    update(turns)
    .where(T.state.in_((TurnState.QUEUED, TurnState.RUNNING)))
    .values(state=TurnState.CANCELLED, answered_at=clock())
)
CANCELLED_TURN = (T.seq, T.id, T.started_at, T.awaited_by)
cancel = _cancel.where(T.id == bindparam("turn")).returning(*CANCELLED_TURN)
cancel_earlier = (
    _cancel.where(T.conversation_id == bindparam("conversation"))
    .where(T.seq > bindparam("finished"), T.seq < bindparam("place"), T.kind == MessageKind.PROMPT)
    .returning(*CANCELLED_TURN)
)
_in_channel = and_(C.platform == bindparam("on"), C.workspace == bindparam("within"), C.channel == bindparam("place"))
busy_in_channel = select(C.id).where(_in_channel, C.next_at > 0).order_by(C.id)
"""The conversations of a channel that have unfinished turns."""
newest_in_channel = select(C.id).where(_in_channel).order_by(C.id.desc()).limit(bindparam("most"))
_of_author = and_(
    T.conversation_id.in_(bindparam("conversations", expanding=True)),
    T.author == bindparam("writer"),
    T.kind == MessageKind.PROMPT,
)
unresolved_of_author = select(T.id).where(_of_author, T.state.in_((TurnState.QUEUED, TurnState.RUNNING))).limit(1)
cancel_of_author = _cancel.where(_of_author).returning(*CANCELLED_TURN)
cancelled_of_author = (
    select(T.id)
    .where(_of_author, T.state == TurnState.CANCELLED, T.answered_at >= bindparam("since", type_=Double))
    .limit(1)
)
turns_of_author = select(func.count()).where(
    *(T.conversation_id == bindparam("conversation"), T.author == bindparam("writer")),
    T.received_at > clock() - bindparam("seconds", type_=Double),
)
set_text = update(turns).where(T.id == bindparam("turn")).values(text=bindparam("said"))

append_to_queued = (
    update(turns)
    .where(T.id == bindparam("turn"))
    .values(text=bindparam("said"), files=bindparam("attached", type_=T.files.type))
)
_debounced = select(T.conversation_id).where(
    T.platform == bindparam("on"), T.message_id == bindparam("message"), T.seq == C.head + 1
)
end_debounce = (
    update(conversations)
    .where(C.id == _debounced.correlate(conversations).scalar_subquery(), C.owner.is_(None))
    .where(C.next_at > select(clock()).scalar_subquery())
    .values(next_at=clock())
    .returning(C.id)
)
"""Makes a conversation due at once whose next turn waits for more of its message."""
_target = conversations.alias("there")
move_channel = (
    update(conversations)
    .where(C.platform == bindparam("on"), C.workspace == bindparam("within"), C.channel == bindparam("left"))
    .where(
        ~select(_target.c.id)
        .where(
            _target.c.platform == C.platform, _target.c.workspace == C.workspace, _target.c.channel == bindparam("to")
        )
        .where(_target.c.topic == C.topic, _target.c.user_id == C.user_id)
        .exists()
    )
    .values(channel=bindparam("to"))
)

unreported_failure = select(T.id).where(
    *(T.conversation_id == bindparam("conversation"), T.seq == bindparam("place"), T.seq > bindparam("finished")),
    *(T.state == TurnState.FAILED, T.attempts == 0, T.error_code == bindparam("code")),
)
"""A failed turn that was never started and is not delivered yet."""
set_audit_log = update(turns).where(T.id == bindparam("turn")).values(trail=bindparam("lines", type_=T.trail.type))

# ---------------------------------------------------------------- reading

turns_with_key = select(*TURN, *KEY).join_from(turns, conversations)
turn = turns_with_key.where(T.id == bindparam("turn"))
turn_at = turns_with_key.where(T.conversation_id == bindparam("conversation"), T.seq == bindparam("place"))
turn_at = turn_at.with_for_update(of=turns)
_is_joined = and_(J.platform == bindparam("on"), J.message_id == bindparam("message"))
_own = turns.alias("own")
_own_turn = select(_own.c.id).where(_own.c.platform == bindparam("on"), _own.c.message_id == bindparam("message"))
turn_of_message = turns_with_key.where(
    T.id == func.coalesce(_own_turn.scalar_subquery(), select(J.turn_id).where(_is_joined).scalar_subquery())
)
"""The turn of a message, or that which the message joined."""
turn_to_append_to = turn_of_message.with_for_update(of=turns)
newest_turn_by_message = (
    turns_with_key.where(T.platform == bindparam("on"))
    .where(T.message_id >= bindparam("first", type_=SafeText), T.message_id <= bindparam("last", type_=SafeText))
    .order_by(T.message_id.desc())
    .limit(1)
)
parts_of = (
    select(J.message_id, J.begins)
    .where(J.turn_id == bindparam("turn"))
    .order_by(J.begins, func.length(J.message_id), J.message_id)
)
"""The messages that joined a turn, and the items of its album. Numbers in their ids grow."""
newest_part = select(func.max(J.begins)).where(J.turn_id == bindparam("turn"))
insert_joined = insert(joined_messages)
move_part = update(joined_messages).where(_is_joined).values(begins=bindparam("place"))
move_parts = update(joined_messages).where(J.turn_id == bindparam("turn")).values(begins=bindparam("place"))
lock_conversation_of = (
    select(C.id)
    .where(C.id == select(T.conversation_id).where(T.id == bindparam("turn")).scalar_subquery())
    .with_for_update(key_share=True)
)
locked_turn = turn.with_for_update(of=turns)
set_rounds = update(turns).where(T.id == bindparam("turn")).values(rounds=bindparam("known", type_=T.rounds.type))
transcript = (
    turns_with_key.where(T.conversation_id == bindparam("conversation"), T.seq < bindparam("before"))
    .order_by(T.seq.desc())
    .limit(bindparam("newest"))
)
past_turns = (
    select(*PAST_TURN)
    .where(T.conversation_id == bindparam("conversation"), T.seq < bindparam("before"))
    .order_by(T.seq.desc())
    .limit(bindparam("newest"))
)
conversation = select(*CONVERSATION).where(IS_KEY)
# As a subquery, each is looked up by primary key; for a join the planner may prefer to read the whole table.
_oldest = select(T.received_at).where(T.conversation_id == C.id, T.seq == C.head + 1).scalar_subquery()
queue_depths = (
    select(
        *(C.platform, C.share, C.workspace_share),
        *(func.sum(C.tail - C.head), clock() - func.coalesce(func.min(_oldest), clock())),
    )
    .where(C.next_at > 0)  # conversations_due contains exactly the conversations with unfinished turns
    .group_by(C.platform, C.share, C.workspace_share)
    .order_by(C.platform)
)
conversation_by_thread = select(*CONVERSATION).where(C.thread_id == bindparam("thread")).order_by(C.id).limit(1)
conversation_by_former_thread = (
    select(*CONVERSATION)
    .join_from(former_threads, conversations, former_threads.c.conversation_id == C.id)
    .where(former_threads.c.thread_id == bindparam("thread"))
    .order_by(C.id)
    .limit(1)
)

# ---------------------------------------------------------------- other

delete_conversation = delete(conversations).where(C.id == bindparam("conversation"))
feedback_on = select(V.turn_id, V.author, V.value).where(V.turn_id == bindparam("turn")).order_by(V.at, V.author)
get_value = select(facts.c.value).where(facts.c.name == bindparam("fact"))
replace_value = (
    update(facts)
    .where(facts.c.name == bindparam("fact"), facts.c.value == bindparam("old", type_=SafeText))
    .values(value=bindparam("new", type_=SafeText))
)
delete_value = delete(facts).where(facts.c.name == bindparam("fact"))
release_lock = delete(leases).where(leases.c.name == bindparam("lease"), leases.c.owner == bindparam("holder"))
lock_thread = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("thread"), 0)))
ping = select(1)
