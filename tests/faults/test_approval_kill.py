"""Kill -9 at each step of a call that somebody approves: it is carried out once at most, and is answered."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

from storage.store import SqlStore
from tests.fakes.openai_server import CallTool, FakeOpenAI, Say
from tests.faults.crashing_process import CrashPlan, end_leases, read_deliveries, run_to_end
from tests.faults.test_kill import settings, with_backends

TOOL = '''
"""Pays."""

import os
import signal
from pathlib import Path


def pay(euros: int) -> str:
    """Pay somebody."""
    with Path({paid!r}).open("a") as file:
        file.write(f"{{euros}}\\n")
    if Path({dies!r}).exists():
        Path({dies!r}).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"paid {{euros}}"
'''
RUNNING = "while the tool runs"
STEPS = (
    *("before hold calls", "after hold calls", "before save question", "after save question", "before park turn"),
    *("after park turn", "before decide", "after decide", "before start calls", "after start calls", RUNNING),
    *("before set outputs", "after set outputs", "before record outcome"),
)
BEGUN = frozenset({"after start calls", RUNNING, "before set outputs"})
"""Steps at which nobody can know whether the tool did its work."""


@with_backends(STEPS)
def test_an_approved_call_is_carried_out_once_at_most(
    tmp_path: Path, sqlite_url: str, fake: FakeOpenAI, backend: str, step: str
) -> None:
    paid, dies, tools = tmp_path / "paid", tmp_path / "dies", tmp_path / "tools"
    tools.mkdir()
    (tools / "pay.py").write_text(TOOL.format(paid=str(paid), dies=str(dies)))
    (tmp_path / "gateway.toml").write_text('[tools.pay]\napprove = true\napprovers = ["operators"]\n')
    if step == RUNNING:
        dies.touch()
    calls = 2 if step == "before hold calls" and backend == "chat" else 1  # what is not stored is asked for again
    fake.script(*[CallTool("pay", {"euros": 7})] * calls, Say("It is done."), Say("It is done."))
    given = {name.upper(): str(value) for name, value in settings(fake, backend).items() if value is not None}
    environment = {**given, "GATEWAY_CONFIG": str(tmp_path / "gateway.toml"), "TOOLS_PATH": str(tools)}
    set_up = {"messages": (("a", "Pay"),), "expected_deliveries": 1, "environment": environment, "approves": True}
    plan = CrashPlan(sqlite_url, tmp_path / "deliveries", settings(fake, backend), **set_up)  # type: ignore[arg-type]  # of many types
    crash_step = "" if step == RUNNING else step
    assert run_to_end(replace(plan, crash_step=crash_step)) == -signal.SIGKILL
    end_leases(sqlite_url)
    assert run_to_end(plan) == 0
    (delivered,) = read_deliveries(tmp_path / "deliveries")
    assert delivered["reply"] == "It is done."
    times = len(paid.read_text().split()) if paid.exists() else 0
    assert times <= 1
    told = _told(sqlite_url)
    if step in BEGUN:
        assert "Nobody knows whether this call of pay was carried out" in told
    else:
        assert (times, told) == (1, "paid 7")


def _told(url: str) -> str:
    """Returns what the model was told of the call."""
    store = SqlStore(url)
    turn = store.find_turn_by_message("disk", "a:Pay")
    store.close()
    assert turn is not None
    return turn.rounds[-1].outputs[0].output
