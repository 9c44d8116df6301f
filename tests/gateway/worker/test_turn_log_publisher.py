"""Live log lines of a turn: from the code that writes them to where another process reads them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, cast

import pytest

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import TurnId
from gateway.domain.run_events import REASONING, PreviewEvent, TextDelta, ToolCall
from gateway.observability.turn_log import TurnLogRing
from gateway.ports.store import Store
from gateway.ports.turn_log import TurnLogLine, TurnLogs
from gateway.worker.delivering.preview_notes import noted
from gateway.worker.upkeep import turn_log_publisher
from gateway.worker.upkeep.turn_log_publisher import MAX_LINES_PER_TURN, TurnLogPublisher
from storage.store import SqlStore

ONE, TWO = TurnId("turn_1"), TurnId("turn_2")
SECRET = "sk-" + "a1B2" * 8


class Stored:
    """TurnLogs in memory: what is watched, and what is stored."""

    def __init__(self) -> None:
        self.turns: frozenset[TurnId] = frozenset()
        self.lines: list[TurnLogLine] = []
        self.is_away = False
        self.changed = threading.Event()

    def watched(self) -> frozenset[TurnId]:
        return self.turns

    def add(self, lines: Collection[TurnLogLine]) -> None:
        if self.is_away:
            raise StoreUnavailable
        self.lines += lines
        self.changed.set()

    def events(self) -> list[tuple[str, str]]:
        return [(each.turn_id, each.event) for each in self.lines]


def publisher(ring: TurnLogRing, stored: object) -> TurnLogPublisher:
    store = AsyncStore(cast("Store", None), ThreadPoolExecutor(1))
    return TurnLogPublisher(ring, store, cast("TurnLogs", stored), "host:1:ab")


def entry(event: str, turn: str = ONE, **fields: Any) -> dict[str, Any]:
    return {"event": event, "turn": turn, **fields}


# ---------------------------------------------------------------- from the log to the ring


def test_lines_about_turns_are_shown_to_the_tap_whoever_names_the_turn(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[tuple[str, str, dict[str, Any]]] = []
    logs.configure("info", "text", [])
    logs.tap_turns(lambda logger, level, fields: shown.append((logger, level, dict(fields))))
    log = logs.get_logger("gateway.worker.worker")
    log.info("about none")
    log.warning("named", turn=ONE, code="x")

    def in_a_turn() -> None:
        logs.bind_turn(TWO)
        log.info("inside")
        log.debug("below the level")

    thread = threading.Thread(target=in_a_turn)
    thread.start()
    thread.join()
    logs.note("gateway.worker", "first words", ONE)
    logs.tap_turns(None)
    log.info("nobody looks", turn=ONE)
    assert [(fields["turn"], fields["event"], level) for _, level, fields in shown] == [
        (ONE, "named", "warning"),
        (TWO, "inside", "info"),
        (ONE, "first words", "debug"),
    ]
    assert shown[0][0] == "gateway.worker.worker"
    assert "first words" not in capsys.readouterr().err


def test_the_ring_keeps_the_newest_lines_only() -> None:
    ring = TurnLogRing(max_lines=3)
    for number in range(5):
        ring.add("gateway", "info", entry(str(number)))
    assert [each.fields["event"] for each in ring.since(0)] == ["2", "3", "4"]
    assert [each.fields["event"] for each in ring.since(4)] == ["4"]


def test_many_threads_may_write_while_one_reads() -> None:
    ring, stop = TurnLogRing(max_lines=50), threading.Event()

    def write() -> None:
        while not stop.is_set():
            ring.add("gateway", "info", entry("line"))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        assert len(ring.since(0)) <= 50
    stop.set()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------- first words and tools


def test_first_words_and_tools_are_noted_without_what_they_say() -> None:
    ring, seen = TurnLogRing(), list[PreviewEvent]()
    assert noted(ONE, seen.append) == seen.append  # nobody could look: nothing is between
    logs.tap_turns(ring.add)
    show = noted(ONE, seen.append)
    events: list[PreviewEvent] = [
        ToolCall("c0", REASONING, output="I think"),
        ToolCall("c1", "weather", input="the secret place"),
        ToolCall("c1", "weather", output="the secret weather", done=True),
        TextDelta("Hello"),
        TextDelta(" you"),
    ]
    for event in events:
        show(event)
    assert seen == events
    assert [(each.fields["event"], each.fields.get("tool")) for each in ring.since(0)] == [
        ("tool called", "weather"),
        ("tool returned", "weather"),
        ("first words", None),
    ]
    assert not any(word in repr(ring.since(0)) for word in ("secret", "Hello", "think"))


# ---------------------------------------------------------------- from the ring to the database


async def test_only_watched_turns_are_stored_and_each_line_once() -> None:
    ring, stored = TurnLogRing(), Stored()
    publish = publisher(ring, stored).publish
    ring.add("gateway", "info", entry("before anybody looked"))
    ring.add("gateway", "info", entry("of another turn", TWO))
    await publish()
    assert stored.lines == []
    stored.turns = frozenset({ONE})
    await publish()
    await publish()
    ring.add("gateway", "info", entry("after"))
    await publish()
    assert stored.events() == [(ONE, "before anybody looked"), (ONE, "after")]
    stored.turns = frozenset()
    await publish()
    stored.turns = frozenset({ONE, TWO})  # somebody looks at the first one again
    await publish()
    assert stored.events()[2:] == [(TWO, "of another turn")]


async def test_lines_that_could_not_be_stored_are_stored_later() -> None:
    ring, stored = TurnLogRing(), Stored()
    publish = publisher(ring, stored).publish
    stored.turns, stored.is_away = frozenset({ONE}), True
    ring.add("gateway", "info", entry("line"))
    with pytest.raises(StoreUnavailable):
        await publish()
    stored.is_away = False
    await publish()
    assert stored.events() == [(ONE, "line")]


async def test_a_line_holds_no_secret_no_traceback_and_no_end_of_text() -> None:
    ring, stored = TurnLogRing(), Stored()
    stored.turns = frozenset({ONE})
    ring.add(
        "gateway", "error", entry("failed", key=f"Bearer {SECRET}", error="x" * 9000, n=3, exc_info=ValueError("a"))
    )
    await publisher(ring, stored).publish()
    (line,) = stored.lines
    assert set(line.fields) == {"key", "error", "n"}
    assert SECRET not in repr(line)
    assert len(line.fields["error"]) == turn_log_publisher.MAX_TEXT_CHARS
    assert (line.fields["n"], line.level, line.logger, line.process) == ("3", "error", "gateway", "host:1:ab")


async def test_a_turn_that_logs_without_end_is_cut_off() -> None:
    ring, stored = TurnLogRing(), Stored()
    stored.turns = frozenset({ONE})
    publish = publisher(ring, stored).publish
    for _ in range(3):
        for _ in range(MAX_LINES_PER_TURN // 2):
            ring.add("gateway", "info", entry("again"))
        await publish()
    assert len(stored.lines) == MAX_LINES_PER_TURN


async def test_a_line_of_a_watched_turn_is_stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_log_publisher, "POLL_SECONDS", 3600.0)
    ring, stored = TurnLogRing(), Stored()
    stored.turns = frozenset({ONE})
    running = asyncio.create_task(publisher(ring, stored).run())
    while not ring.watched:  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)
    await asyncio.to_thread(logs.note, "gateway", "from another thread", ONE)
    assert await asyncio.to_thread(stored.changed.wait, 30.0)
    assert stored.events() == [(ONE, "from another thread")]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not logs.has_tap()


async def test_another_process_reads_what_this_one_logs(sqlite_store: SqlStore, sqlite_url: str) -> None:
    with closing(SqlStore(sqlite_url)) as other:
        other.turn_logs.watch(ONE, 60.0)

        ring = TurnLogRing()
        ring.add("gateway", "info", entry("turn started", attempt=1, code=None))
        await publisher(ring, sqlite_store.turn_logs).publish()
        (line,) = other.turn_logs.lines(ONE)
        assert (line.event, line.process, line.fields) == ("turn started", "host:1:ab", {"attempt": "1"})
