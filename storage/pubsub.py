"""Events between processes through PostgreSQL, by LISTEN and NOTIFY on one channel.

https://www.postgresql.org/docs/current/sql-notify.html: a notification is delivered after its transaction commits, once
however often it was sent in it, and only to sessions that listen at that time. So nothing may depend on one: listeners
also poll, less often. LISTEN does not work behind PgBouncer in transaction mode; events are not delivered there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Connection, Text, bindparam, func, select

from gateway import logs
from gateway.domain.models import TurnId
from gateway.ports.store import News, Notice

if TYPE_CHECKING:  # not loaded on SQLite, to save time
    import psycopg

CHANNEL: Final = "chat_gateway"
LOOK_SECONDS: Final = 0.5
"""How often ``stopped`` is checked."""
PAUSES: Final = (0.1, 0.5, 2.0, 5.0)
"""Seconds before each reconnect; the last one repeats."""
DUE: Final = Notice(News.DUE)
NEWS: Final = {news.value: news for news in News}

_notify = select(func.pg_notify(CHANNEL, func.unnest(bindparam("payloads", type_=ARRAY(Text)))))

log = logs.get(__name__)


def tell(connection: Connection, notices: Sequence[Notice]) -> None:
    """Publishes events when the transaction commits. Does nothing on SQLite, which no other process shares.

    Call it only with events that some process needs: a transaction with NOTIFY takes a global lock at commit.
    """
    if notices and connection.dialect.name == "postgresql":
        connection.execute(_notify, {"payloads": [_written(notice) for notice in notices]})


def listen(connect: Callable[[], psycopg.Connection], hear: Callable[[Notice], None], stopped: Event) -> None:
    """Implements Store.listen. ``connect`` opens an autocommit connection; it may raise psycopg.Error."""
    failures = 0
    while not stopped.is_set():
        try:
            with connect() as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                hear(DUE)  # events before this point were missed
                while not stopped.is_set():
                    _hear(connection, hear)
                    failures = 0
        except Exception as exc:  # noqa: BLE001  # any failure: without LISTEN the gateway still works, only slower
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            log.warning("PostgreSQL LISTEN connection failed; reconnecting", error=type(exc).__name__, retry_in=pause)
            stopped.wait(pause)


def _hear(connection: psycopg.Connection, hear: Callable[[Notice], None]) -> None:
    for notification in connection.notifies(timeout=LOOK_SECONDS):
        notice = _read(notification.payload)
        if notice is not None:
            hear(notice)


def _written(notice: Notice) -> str:
    return f"{notice.news} {notice.turn}" if notice.turn else notice.news.value


def _read(payload: str) -> Notice | None:
    """Returns None for an event kind of a newer version."""
    news, _, turn = payload.partition(" ")
    return Notice(NEWS[news], TurnId(turn) if turn else None) if news in NEWS else None
