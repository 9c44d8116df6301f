"""The tables."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    and_,
    false,
    or_,
    text,
)

from storage.tables.column_types import (
    AddressJson,
    AuditLogJson,
    FilesJson,
    MessageKindText,
    ParkingJson,
    RowId,
    SafeText,
    StringListJson,
    TurnStateText,
)
from storage.tables.message_context import ContextJson
from storage.tables.partial_indexes import partial_index
from storage.tables.sentence_parts import SentencePartsJson
from storage.tables.turn_options import CallsJson, OptionsJson, RoundsJson

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("platform", SafeText, nullable=False),
    Column("workspace", SafeText, nullable=False),
    Column("channel", SafeText, nullable=False),
    Column("topic", SafeText, nullable=False),
    Column("user_id", SafeText, nullable=False),
    Column("thread_id", SafeText),
    Column("backend", SafeText, nullable=False, server_default=text("''")),
    Column("assistant", SafeText, nullable=False, server_default=text("'default'")),
    Column("chosen", SafeText, nullable=False, server_default=text("''")),
    Column("head", Integer, nullable=False),
    Column("tail", Integer, nullable=False),
    Column("next_at", Double),
    Column("owner", SafeText),
    Column("epoch", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("share", SafeText, nullable=False, server_default=text("''")),
    Column("parked_since", Double),
    Column("parked_key", SafeText),
    Column("parked_reason", SafeText),
    Column("workspace_share", SafeText, nullable=False, server_default=text("''")),
    Column("handover_seq", Integer),
    Column("handed_over_at", Double),
    UniqueConstraint("platform", "workspace", "channel", "topic", "user_id", name="conversations_key"),
    CheckConstraint("head <= tail", name="conversations_head"),
    # An id is never reused: a lease on a deleted conversation must not be valid for a later one.
    sqlite_autoincrement=True,
)
"""``head`` and ``tail`` are the last finished and the last accepted seq. ``next_at`` is NULL without unfinished turns;
otherwise the conversation may be claimed after it, so it is also when ``owner``'s lease expires. ``parked_since``:
since when its current turn is parked, while it has no owner. ``assistant``: whose thread ``thread_id`` is.
``share``: whose share it takes; empty without unfinished turns. ``workspace_share``: of which workspace's share that
is a part; empty where workspaces have none. ``handover_seq``: of the newest turn that handed it over to a person,
``handed_over_at``: since when that person answers; both NULL while its assistant does."""

# Partial indexes: rows with NULL cost nothing.
for _name, _column in (
    ("conversations_thread", conversations.c.thread_id),
    ("conversations_due", conversations.c.next_at),
):
    partial_index(_name, _column, where=_column.is_not(None))

_waits = and_(
    conversations.c.owner.is_(None), conversations.c.next_at.is_not(None), conversations.c.parked_since.is_(None)
)
_is_timed = and_(
    conversations.c.next_at.is_not(None),
    or_(conversations.c.owner.is_not(None), conversations.c.parked_since.is_not(None)),
)
_share, _next_at, _id = conversations.c.share, conversations.c.next_at, conversations.c.id
_workspace = conversations.c.workspace_share
partial_index("conversations_waiting_in_turn", _workspace, _share, _next_at, _id, where=_waits)
partial_index("conversations_waiting", _share, _next_at, _id, where=_waits)
"""Serves processes of 0.4.0, which know no shares of workspaces."""
partial_index("conversations_timed", _next_at, _id, where=_is_timed)
"""Has those conversations with unfinished turns that are leased or parked; the others wait."""
partial_index(
    "conversations_parked",
    conversations.c.parked_key,
    conversations.c.parked_since,
    where=conversations.c.parked_since.is_not(None),
)

former_threads = Table(
    "former_threads",
    metadata,
    Column("conversation_id", RowId, nullable=False),
    Column("thread_id", SafeText, nullable=False),
    Column("backend", SafeText, nullable=False),
    Column("assistant", SafeText, nullable=False, server_default=text("'default'")),
)
"""Threads of a conversation from before a reset or a change of backend or assistant; they still exist at the backend.
Has no foreign key: to add one, a migration would have to lock both tables against writers, who lock them in the
opposite order. ``conversation_id`` 0: of a conversation that was deleted; nobody may adopt its threads."""

Index("former_threads_of", former_threads.c.conversation_id)
Index("former_threads_thread", former_threads.c.thread_id)

turns = Table(
    "turns",
    metadata,
    Column("conversation_id", RowId, ForeignKey("conversations.id", name="turns_conversation", ondelete="CASCADE")),
    Column("seq", Integer),
    Column("id", SafeText, nullable=False),
    Column("platform", SafeText, nullable=False),
    Column("message_id", SafeText, nullable=False),
    Column("text", SafeText, nullable=False),
    Column("author", SafeText, nullable=False),
    Column("address", AddressJson, nullable=False),
    Column("kind", MessageKindText, nullable=False, server_default=text("'ask'")),
    Column("files", FilesJson, nullable=False, server_default=text("'[]'")),
    Column("state", TurnStateText, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("run_id", SafeText),
    Column("reply", SafeText, nullable=False, server_default=text("''")),
    Column("made", FilesJson, nullable=False, server_default=text("'[]'")),
    Column("error_code", SafeText),
    Column("error_sentence", SafeText),
    Column("error_detail", SafeText),
    Column("error_retry_after", Double),
    Column("error_parts", SentencePartsJson),
    Column("tokens_in", Integer, nullable=False, server_default=text("0")),
    Column("tokens_out", Integer, nullable=False, server_default=text("0")),
    Column("model", SafeText, nullable=False, server_default=text("''")),
    Column("cost", BigInteger, nullable=False, server_default=text("0")),
    Column("cost_is_estimate", Boolean, nullable=False, server_default=false()),
    Column("parts", StringListJson, nullable=False, server_default=text("'[]'")),
    Column("trail", AuditLogJson, nullable=False, server_default=text("'[]'")),
    Column("caller", SafeText, nullable=False, server_default=text("''")),
    Column("context", ContextJson, nullable=False, server_default=text("''")),
    Column("options", OptionsJson, nullable=False, server_default=text("''")),
    Column("calls", CallsJson, nullable=False, server_default=text("''")),
    Column("trace", SafeText, nullable=False, server_default=text("''")),
    Column("awaited_by", SafeText),
    Column("received_at", Double, nullable=False),
    Column("started_at", Double),
    Column("answered_at", Double),
    Column("delivered_at", Double),
    Column("erased_at", Double),
    Column("parking", ParkingJson),
    Column("rounds", RoundsJson, nullable=False, server_default=text("''")),
    Column("assistant", SafeText, nullable=False, server_default=text("'default'")),
    Column("command", SafeText, nullable=False, server_default=text("''")),
    Column("handover", SafeText, nullable=False, server_default=text("''")),
    Column("returned", StringListJson),
    Column("refusal", SafeText),
    PrimaryKeyConstraint("conversation_id", "seq", name="turns_order"),
    UniqueConstraint("id", name="turns_id"),
    UniqueConstraint("platform", "message_id", name="turns_message"),
)

"""``command``: a kind that earlier versions do not know; for them ``kind`` has one that they can act on. ``handover``:
what the turn is in that, or a kind that has to do with it, of which 0.5.0 does not know. ``returned``: what goes back
with each of ``rounds``, and with ``calls`` after them; NULL for nothing. ``refusal``: the end of ``reply`` in which the
model refuses; NULL for none."""

Index("turns_received", turns.c.received_at)
partial_index("turns_failed", turns.c.received_at, where=turns.c.error_code.is_not(None))
"""Not on the state: PostgreSQL would then write to every index of the table on each change of state."""

handovers = Table(
    "handovers",
    metadata,
    Column("conversation_id", RowId, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("asked_by", SafeText, nullable=False, server_default=text("''")),
    Column("reason", SafeText, nullable=False, server_default=text("''")),
    Column("ended_at", Double),
    Column("ended_by", SafeText, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("conversation_id", "seq", name="handovers_one_each"),
    ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="handovers_conversation", ondelete="CASCADE"),
)
"""Which conversations a person has taken over, and until when. ``seq``: of the turn with which that began."""

partial_index("handovers_open", handovers.c.since, where=handovers.c.ended_at.is_(None))

verdicts = Table(
    "verdicts",
    metadata,
    Column("turn_id", SafeText, ForeignKey("turns.id", name="verdicts_turn", ondelete="CASCADE")),
    Column("author", SafeText),
    Column("value", SafeText, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("turn_id", "author", name="verdicts_one_each"),
)

joined_messages = Table(
    "joined_messages",
    metadata,
    Column("platform", SafeText),
    Column("message_id", SafeText),
    Column(
        "turn_id", SafeText, ForeignKey("turns.id", name="joined_messages_turn", ondelete="CASCADE"), nullable=False
    ),
    Column("begins", Integer, nullable=False),
    PrimaryKeyConstraint("platform", "message_id", name="joined_messages_one_each"),
)
"""The messages that became a part of another message's turn, and where in its text each begins."""

Index("joined_messages_of", joined_messages.c.turn_id)

facts = Table(
    "facts",
    metadata,
    Column("name", SafeText, primary_key=True),
    Column("value", SafeText, nullable=False),
)

tool_files = Table(
    "tool_files",
    metadata,
    Column("reference", SafeText),
    Column("turn_id", SafeText, ForeignKey("turns.id", name="tool_files_turn", ondelete="CASCADE"), nullable=False),
    Column("name", SafeText, nullable=False),
    Column("media_type", SafeText, nullable=False),
    Column("size", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("kept_at", Double, nullable=False),
    PrimaryKeyConstraint("reference", name="tool_files_one_each"),
)

Index("tool_files_of", tool_files.c.turn_id)
Index("tool_files_kept", tool_files.c.kept_at)

unparsed_updates = Table(
    "unparsed_updates",
    metadata,
    Column("platform", SafeText),
    Column("workspace", SafeText),
    Column("update_id", SafeText),
    Column("author", SafeText, nullable=False, server_default=text("''")),
    Column("channel", SafeText, nullable=False, server_default=text("''")),
    Column("body", SafeText, nullable=False),
    Column("error", SafeText, nullable=False, server_default=text("''")),
    Column("received_at", Double, nullable=False),
    PrimaryKeyConstraint("platform", "workspace", "update_id", name="unparsed_updates_one_each"),
)

Index("unparsed_updates_received", unparsed_updates.c.received_at)

schedules = Table(
    "schedules",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("owner", SafeText, nullable=False),
    Column("platform", SafeText, nullable=False),
    Column("workspace", SafeText, nullable=False),
    Column("channel", SafeText, nullable=False),
    Column("topic", SafeText, nullable=False),
    Column("text", SafeText, nullable=False),
    Column("prompt", SafeText, nullable=False),
    Column("assistant", SafeText, nullable=False),
    Column("every", SafeText, nullable=False),
    Column("time_zone", SafeText, nullable=False),
    Column("next_at", Double),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("last_turn", SafeText),
    Column("problem", SafeText, nullable=False, server_default=text("''")),
)
"""Messages that are pushed at a time, or again and again. ``next_at`` is NULL when that is over."""

_is_scheduled = schedules.c.next_at.is_not(None)
partial_index("schedules_due", schedules.c.next_at, where=_is_scheduled)
Index("schedules_of", schedules.c.owner, schedules.c.created_at)

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", SafeText),
    Column("seq", Integer),
    Column("platform", SafeText, nullable=False),
    Column("message_id", SafeText, nullable=False),
    Column("piece", LargeBinary, nullable=False),
    Column("received_at", Double, nullable=False),
    PrimaryKeyConstraint("upload_id", "seq", name="uploads_one_each"),
)
"""Files that came with a message, in pieces. The message may be recorded later, or never."""

Index("uploads_of_message", uploads.c.platform, uploads.c.message_id)
Index("uploads_received", uploads.c.received_at)

approvals = Table(
    "approvals",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("turn_id", SafeText, ForeignKey("turns.id", name="approvals_turn", ondelete="CASCADE"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("call_id", SafeText, nullable=False),
    Column("tool", SafeText, nullable=False),
    Column("arguments", SafeText, nullable=False),
    Column("approvers", StringListJson, nullable=False, server_default=text("'[]'")),
    Column("decision", SafeText),
    Column("decided_by", SafeText, nullable=False, server_default=text("''")),
    Column("decided_name", SafeText, nullable=False, server_default=text("''")),
    Column("requested_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("decided_at", Double),
    Column("started_at", Double),
    Column("posted", StringListJson, nullable=False, server_default=text("'[]'")),
)
"""Calls of tools that people have to approve, and those beside them, which have no ``approvers``."""

_is_undecided = and_(approvals.c.decision.is_(None), approvals.c.approvers != text("'[]'"))
Index("approvals_of", approvals.c.turn_id, approvals.c.round, approvals.c.place)
partial_index("approvals_undecided", approvals.c.requested_at, where=_is_undecided)

limits = Table(
    "limits",
    metadata,
    Column("name", SafeText, primary_key=True),
    Column("at", Double, nullable=False),
    Column("seen_at", Double),
)
"""Token buckets. ``at`` is when the next token is valid; a past time gives how long none was taken. ``seen_at`` is the
time of the write, to detect a clock that was set back."""

leases = Table(
    "leases",
    metadata,
    Column("name", SafeText, primary_key=True),
    Column("owner", SafeText, nullable=False),
    Column("until", Double, nullable=False),
    Column("seen_at", Double),
)

spending = Table(
    "spending",
    metadata,
    Column("scope", SafeText),
    Column("period", SafeText),
    Column("cost", BigInteger, nullable=False),
    Column("dearest", BigInteger),
    PrimaryKeyConstraint("scope", "period", name="spending_one_each"),
)
"""What was spent within a budget. ``scope``: whose; ``period``: the day or month; ``dearest``: the most of one turn."""

holds = Table(
    "holds",
    metadata,
    Column("turn_id", SafeText),
    Column("scope", SafeText),
    Column("period", SafeText),
    Column("amount", BigInteger, nullable=False),
    Column("ended_at", Double),
    PrimaryKeyConstraint("turn_id", "scope", "period", name="holds_one_each"),
)
"""Reservations: the expected cost of turns in their budgets, until the actual cost is charged. No foreign key: a turn
that is deleted while it runs is charged afterwards. ``ended_at``: when a turn that was cancelled or deleted was first
seen uncharged."""

Index("holds_budget", holds.c.scope, holds.c.period)
