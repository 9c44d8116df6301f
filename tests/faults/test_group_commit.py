"""Kill -9 between the write and the commit of messages that arrived together, and right after the commit."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.models import Turn
from storage.store import SqlStore
from tests import postgres
from tests.fakes.openai_server import FakeOpenAI
from tests.faults.crashing_process import CrashPlan, FilePlatform, end_leases, run_to_end, start_process
from tests.faults.test_kill import check_all_replies, check_assistant_saw_each_message_once, settings

KILLED_LEASE = 4.0
"""Seconds for which what a killed process claimed stays its own."""
MESSAGES = tuple((channel, f"{channel}{number}") for number in range(3) for channel in "abc")


def recorded(url: str) -> list[str]:
    """Returns the texts of the messages that are in the database."""
    store = SqlStore(url)
    found = [store.find_turn_by_message(FilePlatform.name, f"{channel}:{text}") for channel, text in MESSAGES]
    store.close()
    return [turn.message.text for turn in found if turn is not None]


@pytest.mark.parametrize(("step", "kept"), [("written, not committed", 0), ("after enqueue", len(MESSAGES))])
def test_a_group_is_recorded_as_a_whole_and_acknowledged_after_that(
    tmp_path: Path, database_url: str, fake: FakeOpenAI, step: str, kept: int
) -> None:
    whole = CrashPlan(
        database_url,
        tmp_path / "deliveries",
        settings(fake, "responses"),
        messages=MESSAGES,
        expected_deliveries=len(MESSAGES),
        together=True,
        accepted=tmp_path / "accepted",
    )
    assert run_to_end(replace(whole, crash_step=step)) == -signal.SIGKILL
    assert not (tmp_path / "accepted").exists()
    assert len(recorded(database_url)) == kept
    end_leases(database_url)
    # None was acknowledged, so all are sent again.
    assert run_to_end(whole) == 0
    assert len((tmp_path / "accepted").read_text().splitlines()) == len(MESSAGES)
    assert len(check_all_replies(tmp_path, MESSAGES)) == len(MESSAGES)
    check_assistant_saw_each_message_once(fake, MESSAGES)


def wait_until_one_listens(url: str) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        asked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        while connection.execute(asked).fetchone() is None:
            assert time.monotonic() < deadline
            pause.wait(0.05)


def last_claimed_at(turn: Turn) -> float:
    return max(entry.at for entry in turn.audit_log if entry.event is AuditEvent.CLAIMED)


def test_a_turn_that_a_process_left_to_others_before_it_was_killed_starts_before_the_lease_of_another_ends(
    tmp_path: Path, postgres_url: str, fake: FakeOpenAI
) -> None:
    postgres.delete_all_rows(postgres_url)
    messages = (("a", "claimed"), ("b", "left"))
    worker = CrashPlan(postgres_url, tmp_path / "deliveries", settings(fake, "responses"), expected_deliveries=2)
    other = start_process(worker)
    wait_until_one_listens(postgres_url)
    web = replace(worker, settings=worker.settings | {"max_runs": 1}, messages=messages, together=True)
    assert run_to_end(replace(web, crash_step="after enqueue", lease_seconds=KILLED_LEASE)) == -signal.SIGKILL
    other.join(40.0)
    assert other.exitcode == 0
    store = SqlStore(postgres_url)
    claimed, left = (store.find_turn_by_message(FilePlatform.name, name) for name in ("a:claimed", "b:left"))
    store.close()
    assert claimed is not None
    assert left is not None
    assert last_claimed_at(claimed) - claimed.received_at >= KILLED_LEASE
    assert last_claimed_at(left) < last_claimed_at(claimed)
    check_all_replies(tmp_path, messages)
    check_assistant_saw_each_message_once(fake, messages)
