"""Kill -9 at each step of a handover: nothing is lost, the assistant answers nothing meanwhile, a person once."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.worker.answering.commands import HANDED_OVER_REPLY
from storage.store import SqlStore
from tests.fakes.openai_server import FakeOpenAI
from tests.faults.crashing_process import CrashPlan, end_leases, read_deliveries, run_to_end
from tests.faults.test_kill import settings

ANSWER = "Eve here."
HANDOVER = (("take", "angry"), ("say", "two"), ("answer", ANSWER), ("say", "three"), ("resume", ""))
DELIVERED = [("angry", HANDED_OVER_REPLY), ("two", ""), ("", ANSWER), ("three", ""), ("three", "You said: three")]
STEPS = (
    *("written, not committed", "before enqueue", "after enqueue", "before hold turn", "after hold turn"),
    *("before enqueue answered", "after enqueue answered", "before give back", "after give back"),
    *("before set run", "after set run", "before record outcome", "after record outcome"),
    *("before deliver", "after deliver", "before finish turn", "after finish turn"),
)


@pytest.mark.parametrize(
    ("backend", "step"),
    [
        *(("responses", step) for step in STEPS),
        ("threads", "before finish turn"),
        ("threads", "after give back"),
        ("chat", "after give back"),
    ],
)
def test_a_killed_process_loses_and_repeats_nothing_of_a_handover(
    tmp_path: Path, sqlite_url: str, fake: FakeOpenAI, backend: str, step: str
) -> None:
    before = CrashPlan(
        *(sqlite_url, tmp_path / "deliveries", settings(fake, backend)),
        messages=(("a", "one"),),
        expected_deliveries=1,
    )
    assert run_to_end(before) == 0
    plan = replace(before, messages=(), handover=HANDOVER, expected_deliveries=1 + len(DELIVERED))
    assert run_to_end(replace(plan, crash_step=step)) == -signal.SIGKILL
    end_leases(sqlite_url)
    assert run_to_end(plan) == 0  # whoever has no answer sends it again
    lines = [(line["text"], line["reply"]) for line in read_deliveries(tmp_path / "deliveries")][1:]
    assert list(dict.fromkeys(lines)) == DELIVERED
    # A message may be taken in while the turn before it is delivered and not finished yet.
    taken_in = "enqueue" in step or step == "written, not committed"
    if not taken_in and step not in ("after deliver", "before finish turn"):
        assert len(lines) == len(DELIVERED)
    if backend != "chat":  # which has no threads at the backend
        (thread,) = (*fake.threads, *fake.conversations)
        assert fake.user_texts(thread) == ["one", "two", "three"]
        assert str([*fake.conversations.values(), *fake.threads.values()]).count(ANSWER) == 1
    store = SqlStore(sqlite_url)
    (found,) = store.handovers.of_conversation(1)
    assert (found.by, found.reason, found.ended_by) == ("staff Eve", "angry", "staff Eve")
    store.close()
