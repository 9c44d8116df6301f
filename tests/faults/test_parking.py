"""Kill -9 while a turn is parked for its budget, and while the turn that it waits for wakes it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeOpenAI
from tests.faults.crashing_process import CrashPlan, run_to_end
from tests.faults.test_kill import check_all_replies, check_assistant_saw_each_message_once, settings

MESSAGES = (("a", "one"), ("b", "two"), ("b", "three"))
STEPS = ("before park turn", "after park turn", "before charge", "after charge")
BUDGET = {"BUDGET_PLATFORM_DAY": "100", "PRICES": "gpt-test=1/1"}
"""What the first turn costs is not known before it ends, so the others wait for it."""


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        server.think = 0.1
        yield server


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_parking_or_waking_loses_and_repeats_nothing(
    tmp_path: Path, fake: FakeOpenAI, step: str
) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    plan = CrashPlan(url, tmp_path / "deliveries", settings(fake, "responses"), MESSAGES, len(MESSAGES))
    budgeted = replace(plan, together=True, environment=BUDGET)
    assert run_to_end(replace(budgeted, crash_step=step)) == -signal.SIGKILL
    assert run_to_end(budgeted) == 0
    check_all_replies(tmp_path, MESSAGES)
    check_assistant_saw_each_message_once(fake, MESSAGES)
