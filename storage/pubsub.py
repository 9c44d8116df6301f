"""Events between processes through PostgreSQL, by LISTEN and NOTIFY on one channel.

https://www.postgresql.org/docs/current/sql-notify.html: a notification is delivered after its transaction commits, once
however often it was sent in it, and only to sessions that listen at that time. So nothing may depend on one: listeners
also poll, less often. LISTEN does not work behind PgBouncer in transaction mode; events are not delivered there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Connection, Text, bindparam, func, select

from gateway import logs
from gateway.domain.models import TurnId
from gateway.ports.cluster import ClusterEvent, EventKind, WorkerLoad

if TYPE_CHECKING:  # not loaded on SQLite, to save time
    import psycopg

CHANNEL: Final = "chat_gateway"
POLL_SECONDS: Final = 0.5
"""How often ``stopped`` is checked."""
RECONNECT_DELAYS: Final = (0.1, 0.5, 2.0, 5.0)
"""Seconds before each reconnect; the last one repeats."""
DUE: Final = ClusterEvent(EventKind.DUE)
LOAD: Final = re.compile(r"(\d+) ([01]) (.+)")
EVENT_KINDS: Final = {news.value: news for news in EventKind}

_notify_statement = select(func.pg_notify(CHANNEL, func.unnest(bindparam("payloads", type_=ARRAY(Text)))))

log = logs.get_logger(__name__)


def publish(connection: Connection, events: Sequence[ClusterEvent]) -> None:
    """Publishes events when the transaction commits. Does nothing on SQLite, which no other process shares.

    Call it only with events that some process needs: a transaction with NOTIFY takes a global lock at commit.
    """
    if events and connection.dialect.name == "postgresql":
        connection.execute(_notify_statement, {"payloads": [_encode(notice) for notice in events]})


def listen(connect: Callable[[], psycopg.Connection], on_event: Callable[[ClusterEvent], None], stopped: Event) -> None:
    """Implements Store.listen. ``connect`` opens an autocommit connection; it may raise psycopg.Error."""
    failures = 0
    while not stopped.is_set():
        try:
            with connect() as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                on_event(DUE)  # events before this point were missed
                while not stopped.is_set():
                    _receive(connection, on_event)
                    failures = 0
        except Exception as exc:  # noqa: BLE001  # any failure: without LISTEN the gateway still works, only slower
            pause = RECONNECT_DELAYS[min(failures, len(RECONNECT_DELAYS) - 1)]
            failures += 1
            log.warning("PostgreSQL LISTEN connection failed; reconnecting", error=type(exc).__name__, retry_in=pause)
            stopped.wait(pause)


def _receive(connection: psycopg.Connection, on_event: Callable[[ClusterEvent], None]) -> None:
    for notification in connection.notifies(timeout=POLL_SECONDS):
        notice = _decode(notification.payload)
        if notice is not None:
            on_event(notice)


def _encode(event: ClusterEvent) -> str:
    if event.load is not None:
        return f"{event.kind} {event.load.in_progress} {event.load.has_capacity:d} {event.load.owner}"
    return f"{event.kind} {event.turn_id}" if event.turn_id else event.kind.value


def _decode(payload: str) -> ClusterEvent | None:
    """Returns None for an event of a newer version."""
    news, _, rest = payload.partition(" ")
    if news == EventKind.LOAD:
        load = LOAD.fullmatch(rest)
        return load and ClusterEvent(EventKind.LOAD, load=WorkerLoad(load[3], int(load[1]), load[2] == "1"))
    return ClusterEvent(EVENT_KINDS[news], TurnId(rest) if rest else None) if news in EVENT_KINDS else None
