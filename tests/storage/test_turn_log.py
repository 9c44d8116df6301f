"""Log lines of turns that somebody looks at, on SQLite and PostgreSQL."""

from __future__ import annotations

import time

from sqlalchemy import update

from gateway.domain.models import TurnId
from gateway.ports.turn_log import TurnLogLine
from storage.store import SqlStore
from storage.turn_log import MAX_WATCHED, turn_log_lines, turn_log_watches

ONE, TWO = TurnId("turn_1"), TurnId("turn_2")


def line(event: str, turn: TurnId = ONE) -> TurnLogLine:
    return TurnLogLine(turn, time.time(), "host:1:ab", "info", "gateway.worker", event, {"seconds": "0.5", "what": "ü"})


def test_lines_of_a_turn_are_read_in_their_order_and_from_where_one_was(store: SqlStore) -> None:
    logs = store.turn_logs
    logs.add([line("a"), line("of another turn", TWO), line("b")])
    logs.add([line("c")])
    found = logs.lines(ONE)
    assert [each.event for each in found] == ["a", "b", "c"]
    assert (found[0].process, found[0].fields) == ("host:1:ab", {"seconds": "0.5", "what": "ü"})
    assert [each.event for each in logs.lines(ONE, after=found[0].number)] == ["b", "c"]
    assert [each.event for each in logs.lines(ONE, limit=1)] == ["a"]
    assert logs.lines(TurnId("turn_unknown")) == []


def test_a_turn_is_watched_for_as_long_as_somebody_asks(store: SqlStore) -> None:
    logs = store.turn_logs
    logs.watch(ONE, 60.0)
    logs.watch(TWO, 60.0)
    logs.watch(TWO, -1.0)
    assert logs.watched() == {ONE}
    for number in range(MAX_WATCHED + 10):
        logs.watch(TurnId(f"turn_of_many_{number}"), 120.0)
    assert len(logs.watched()) == MAX_WATCHED


def test_what_is_older_is_deleted(store: SqlStore) -> None:
    logs = store.turn_logs
    logs.add([line("old"), line("new")])
    logs.watch(ONE, -7200.0)
    logs.watch(TWO, 60.0)
    with store._database.transaction() as connection:
        connection.execute(
            update(turn_log_lines).where(turn_log_lines.c.event == "old").values(stored_at=store.now() - 7200)
        )
    logs.erase_older_than(3600.0)
    assert [each.event for each in logs.lines(ONE)] == ["new"]
    with store._database.read() as connection:
        assert connection.execute(turn_log_watches.select()).scalars().all() == [TWO]
