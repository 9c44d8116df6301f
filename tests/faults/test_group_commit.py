"""Kill -9 between the write and the commit of messages that arrived together, and right after the commit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.store import SqlStore
from tests.fakes.openai_server import FakeOpenAI
from tests.faults.crashing_process import CrashPlan, FilePlatform, run_to_end
from tests.faults.test_kill import check_all_replies, check_assistant_saw_each_message_once, settings

MESSAGES = tuple((channel, f"{channel}{number}") for number in range(3) for channel in "abc")


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


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
    # None was acknowledged, so all are sent again.
    assert run_to_end(whole) == 0
    assert len((tmp_path / "accepted").read_text().splitlines()) == len(MESSAGES)
    assert len(check_all_replies(tmp_path, MESSAGES)) == len(MESSAGES)
    check_assistant_saw_each_message_once(fake, MESSAGES)
