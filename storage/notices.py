"""What processes tell each other through PostgreSQL, by LISTEN and NOTIFY on one channel.

https://www.postgresql.org/docs/current/sql-notify.html: a notice is brought after its transaction has committed, once
however often it was given in it, and to nobody who does not listen just then. So nothing may depend on one: whoever
listens looks by itself, too, if less often. PgBouncer in transaction mode lets nobody listen; notices go nowhere there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Connection, Text, bindparam, func, select

from gateway import logs
from gateway.messages import TurnId
from gateway.storing import News, Notice

if TYPE_CHECKING:  # on SQLite nobody needs the time that loading it takes
    import psycopg

CHANNEL: Final = "chat_gateway"
LOOK_SECONDS: Final = 0.5
"""How long the end of listening may go unnoticed."""
PAUSES: Final = (0.1, 0.5, 2.0, 5.0)
"""Seconds before connecting again; the last one goes on."""
DUE: Final = Notice(News.DUE)
NEWS: Final = {news.value: news for news in News}

_notify = select(func.pg_notify(CHANNEL, func.unnest(bindparam("payloads", type_=ARRAY(Text)))))

log = logs.get(__name__)


def tell(connection: Connection, notices: Sequence[Notice]) -> None:
    """Tell them when the transaction has committed. Where nobody else can be, it is nothing to do.

    Only what somebody must know: a transaction that tells something takes a lock that all of them share.
    """
    if notices and connection.dialect.name == "postgresql":
        connection.execute(_notify, {"payloads": [_written(notice) for notice in notices]})


def listen(connect: Callable[[], psycopg.Connection], hear: Callable[[Notice], None], stopped: Event) -> None:
    """See gateway.storing.Store. ``connect`` opens a connection that commits by itself; may raise psycopg.Error."""
    failures = 0
    while not stopped.is_set():
        try:
            with connect() as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                hear(DUE)  # what was told before nobody here has heard
                while not stopped.is_set():
                    _hear(connection, hear)
                    failures = 0
        except Exception as exc:  # noqa: BLE001  # whatever it is: whoever does not listen still works, only slower
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            log.warning("not listening to other processes", error=type(exc).__name__, retry_in=pause)
            stopped.wait(pause)


def _hear(connection: psycopg.Connection, hear: Callable[[Notice], None]) -> None:
    for notification in connection.notifies(timeout=LOOK_SECONDS):
        notice = _read(notification.payload)
        if notice is not None:
            hear(notice)


def _written(notice: Notice) -> str:
    return f"{notice.news} {notice.turn}" if notice.turn else notice.news.value


def _read(payload: str) -> Notice | None:
    """None for what only a newer version would say."""
    news, _, turn = payload.partition(" ")
    return Notice(NEWS[news], TurnId(turn) if turn else None) if news in NEWS else None
