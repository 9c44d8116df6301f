"""Kill -9 at each step of a push and of a scheduled one: it is brought once, in its place, and remembered once."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.models import ConversationKey
from gateway.ports.schedules import Push, Schedule
from storage.store import SqlStore
from tests.fakes.openai_server import FakeOpenAI
from tests.faults.crashing_process import CrashPlan, end_leases, read_deliveries, run_to_end
from tests.faults.test_kill import settings

PUSHED = "The build has failed."
STEPS = (
    *("before enqueue answered", "after enqueue answered", "before deliver", "after deliver"),
    *("before finish turn", "after finish turn"),
)
MAY_REPEAT = ("after deliver", "before finish turn")
"""Here the platform, which cannot be asked, has the text and the database does not know it."""


def brought(folder: Path) -> list[str]:
    return [line["reply"] for line in read_deliveries(folder / "deliveries")]


def remembered(fake: FakeOpenAI) -> int:
    return str([*fake.conversations.values(), *fake.threads.values()]).count(PUSHED)


@pytest.mark.parametrize(
    ("backend", "step"), [*(("responses", step) for step in STEPS), ("threads", "before finish turn")]
)
def test_a_killed_process_loses_and_repeats_no_push(
    tmp_path: Path, sqlite_url: str, fake: FakeOpenAI, backend: str, step: str
) -> None:
    before = CrashPlan(
        *(sqlite_url, tmp_path / "deliveries", settings(fake, backend)),
        messages=(("a", "one"),),
        expected_deliveries=1,
    )
    assert run_to_end(before) == 0
    push = replace(before, messages=(), pushes=(("a", PUSHED),), expected_deliveries=2)
    assert run_to_end(replace(push, crash_step=step)) == -signal.SIGKILL
    end_leases(sqlite_url)
    assert run_to_end(push) == 0  # whoever has no answer sends it again
    replies = brought(tmp_path)
    assert list(dict.fromkeys(replies)) == ["You said: one", PUSHED]
    if step not in MAY_REPEAT:
        assert len(replies) == 2
    assert remembered(fake) == 1


@pytest.mark.parametrize(
    "step", ["before enqueue answered", "after enqueue answered", "before advance", "after advance"]
)
def test_a_tick_is_one_turn_whatever_dies(tmp_path: Path, sqlite_url: str, fake: FakeOpenAI, step: str) -> None:
    store = SqlStore(sqlite_url)
    now, _ = store.schedules.due(["disk"], 1)
    push = Push(ConversationKey("disk", channel="a"), PUSHED)
    store.schedules.add(Schedule("sch_1", "push key", push, "* * * * *", "UTC", now - 1.0))
    plan = CrashPlan(sqlite_url, tmp_path / "deliveries", settings(fake, "responses"), expected_deliveries=1)
    assert run_to_end(replace(plan, crash_step=step)) == -signal.SIGKILL
    end_leases(sqlite_url)
    assert run_to_end(plan) == 0
    assert brought(tmp_path) == [PUSHED]
    assert store.count_turns(push.place, "", 3600.0) == 1
    store.close()
