"""The tables and indexes of what only programs see: objects of OpenAI's API, callbacks."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, Table, UniqueConstraint, text

from storage.tables.column_types import RowId, SafeText
from storage.tables.partial_indexes import partial_index
from storage.tables.schema import metadata

api_objects = Table(
    "api_objects",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("kind", SafeText, nullable=False),
    Column("owner", SafeText, nullable=False),
    Column("parent", SafeText, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("tail", BigInteger, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("request", SafeText),
    Column("body", SafeText, nullable=False),
    Column("created_at", Double, nullable=False),
)
"""Objects of OpenAI's API that are no turns: threads, their messages, assistants. ``parent``: the thread of a message.
``position``: its place among those of its parent, whose ``tail`` is the last one given. ``turns``: how many turns the
conversation of the parent had when it was added."""

Index("api_objects_place", api_objects.c.parent, api_objects.c.position)
Index("api_objects_owner", api_objects.c.owner, api_objects.c.kind, api_objects.c.created_at)
Index("api_objects_created", api_objects.c.created_at)
partial_index("api_objects_request", api_objects.c.request, where=api_objects.c.request.is_not(None))

callbacks = Table(
    "callbacks",
    metadata,
    Column("number", RowId, primary_key=True, autoincrement=True),
    Column("id", SafeText, nullable=False),
    Column("lane", SafeText, nullable=False),
    Column("url", SafeText, nullable=False),
    Column("event", SafeText, nullable=False),
    Column("turn_id", SafeText, ForeignKey("turns.id", name="callbacks_turn", ondelete="CASCADE"), nullable=False),
    Column("body", SafeText, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", SafeText, nullable=False, server_default=text("''")),
    Column("created_at", Double, nullable=False),
    Column("retried_since", Double, nullable=False),
    Column("next_at", Double),
    Column("delivered_at", Double),
    Column("dead_at", Double),
    UniqueConstraint("id", name="callbacks_id"),
)
"""What is posted to addresses of programs. ``next_at``: when it is tried next, which a claim puts off; NULL when it is
delivered or given up. The oldest of a ``lane`` that is not is tried, by its ``number``."""

_is_waiting, _is_dead = callbacks.c.next_at.is_not(None), callbacks.c.dead_at.is_not(None)
partial_index("callbacks_waiting", callbacks.c.lane, callbacks.c.number, where=_is_waiting)
partial_index("callbacks_due", callbacks.c.next_at, where=_is_waiting)
partial_index("callbacks_dead", callbacks.c.dead_at, where=_is_dead)
Index("callbacks_of", callbacks.c.turn_id)
