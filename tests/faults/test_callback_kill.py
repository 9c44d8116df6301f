"""Kill -9 at each step of a callback: each is posted at least once, always with the same id, and in order."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.receiver import FakeReceiver
from tests.faults.crashing_process import CrashPlan, end_leases, run_to_end
from tests.faults.matrix.callback_senders import CALLBACKS
from tests.faults.test_kill import settings

MESSAGES = (("a", "one"), ("a", "two"))
STEPS = (
    *("before add callback", "after add callback", "after claim callback"),
    *("before mark_delivered callback", "after mark_delivered callback"),
)


def make_due(url: str) -> None:
    """Ends what a killed process has claimed, as time would."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE callbacks SET next_at = 1 WHERE next_at IS NOT NULL"))
    engine.dispose()


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_process_loses_and_reorders_no_callback(tmp_path: Path, sqlite_url: str, step: str) -> None:
    with FakeOpenAI() as fake, FakeReceiver(path="/hook") as receiver:
        environment = {**CALLBACKS, "CALLBACK_EVENTS_URL": receiver.url}
        plan = CrashPlan(
            *(sqlite_url, tmp_path / "deliveries", settings(fake, "chat"), MESSAGES),
            expected_deliveries=len(MESSAGES),
            environment=environment,
            awaits_callbacks=True,
        )
        assert run_to_end(replace(plan, crash_step=step)) == -signal.SIGKILL
        end_leases(sqlite_url)
        make_due(sqlite_url)
        assert run_to_end(plan) == 0
        told = [(each.headers["webhook-id"], each.json["data"]["message"]) for each in receiver.received]
    assert [said for _, said in dict.fromkeys(told)] == ["one", "two"]
    if step != "before mark_delivered callback":  # here the receiver has it and the database does not know it
        assert len(told) == 2
