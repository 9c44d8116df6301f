"""Kill -9 at each step, then restart: each message is answered, in order, and the assistant sees it once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import CallTool, FakeOpenAI, HttpFault, Say
from tests.faults.crashing_process import CrashPlan, end_leases, read_deliveries, run_to_end, start_process

MakePlan = Callable[..., CrashPlan]

MESSAGES = (("a", "one"), ("a", "two"), ("a", "three"))

STEPS = (
    "written, not committed",
    "after enqueue",
    "before set thread",
    "after set thread",
    "before set run",
    "after set run",
    "while it streams",
    "before record outcome",
    "after record outcome",
    "before deliver",
    "after deliver",
    "before finish turn",
    "after finish turn",
)
BACKENDS = ("responses", "threads", "chat")


def with_backends(steps: Sequence[str]) -> pytest.MarkDecorator:
    """Runs a test for each step with one of the backends; with the others as well in `make slow`."""
    pairs = [
        pytest.param(backend, step, marks=() if number % len(BACKENDS) == turn else pytest.mark.slow)
        for number, step in enumerate(steps)
        for turn, backend in enumerate(BACKENDS)
    ]
    return pytest.mark.parametrize(("backend", "step"), pairs)


def settings(fake: FakeOpenAI, backend: str) -> dict[str, Any]:
    return {
        "assistant_backend": backend,
        "openai_api_key": "sk-test",
        "openai_base_url": fake.base_url,
        "openai_model": "gpt-test",
        "assistant_poll_seconds": 0.05,
        "assistant_id": fake.assistant_id if backend == "threads" else None,
    }


@pytest.fixture
def crash_plan(tmp_path: Path, sqlite_url: str, fake: FakeOpenAI) -> MakePlan:
    """Returns a function that makes a plan, given the backend and what differs from the defaults."""
    return lambda backend, **options: CrashPlan(sqlite_url, tmp_path / "deliveries", settings(fake, backend), **options)


def check_all_replies(tmp_path: Path, says: tuple[tuple[str, str], ...] = MESSAGES) -> list[dict[str, str]]:
    """Asserts that each message has its own complete reply, in the order of its channel. Returns all deliveries."""
    lines = read_deliveries(tmp_path / "deliveries")
    for channel in {channel for channel, _ in says}:
        said = [text for where, text in says if where == channel]
        first = list(dict.fromkeys(line["text"] for line in lines if line["channel"] == channel))
        assert first == said
    for line in lines:
        assert line["reply"] == f"You said: {line['text']}"
    return lines


def check_assistant_saw_each_message_once(fake: FakeOpenAI, says: tuple[tuple[str, str], ...] = MESSAGES) -> None:
    expected = sorted([text for where, text in says if where == channel] for channel in {where for where, _ in says})
    used = [texts for name in (*fake.threads, *fake.conversations) if (texts := fake.user_texts(name))]
    assert sorted(used) == expected


@with_backends(STEPS)
def test_a_killed_process_loses_and_repeats_nothing(
    tmp_path: Path, fake: FakeOpenAI, crash_plan: MakePlan, backend: str, step: str
) -> None:
    whole = crash_plan(backend, messages=MESSAGES, expected_deliveries=len(MESSAGES))
    assert run_to_end(replace(whole, crash_step=step)) == -signal.SIGKILL
    end_leases(whole.url)
    # A message that was not acknowledged is sent again; a retry by the platform has the same id.
    assert run_to_end(whole) == 0
    lines = check_all_replies(tmp_path)
    if backend != "chat":  # which has no threads at the backend
        check_assistant_saw_each_message_once(fake)
    if step not in ("after deliver", "before finish turn"):
        assert len(lines) == len(MESSAGES)


@pytest.mark.parametrize("backend", ["responses", "threads"])
def test_a_process_killed_while_a_run_request_is_unanswered_does_not_ask_the_assistant_twice(
    tmp_path: Path, fake: FakeOpenAI, crash_plan: MakePlan, backend: str
) -> None:
    says = (("a", "one"), ("a", "two"))
    path = "/responses" if backend == "responses" else "/threads/[^/]+/runs"
    fake.think = 0.2
    fake.faults.add(HttpFault(path=path, kind="drop_after"))
    plan = crash_plan(backend, messages=says, expected_deliveries=len(says))
    process = start_process(plan)
    fake.wait_for("POST", path)
    process.kill()
    process.join()
    end_leases(plan.url)
    assert run_to_end(plan) == 0  # with all messages, as the second may not have been accepted before
    check_all_replies(tmp_path, says)
    check_assistant_saw_each_message_once(fake, says)


@pytest.mark.parametrize("backend", ["responses", "threads"])
def test_after_a_kill_while_tool_outputs_are_submitted_the_run_is_resumed(
    tmp_path: Path, fake: FakeOpenAI, crash_plan: MakePlan, backend: str
) -> None:
    says = (("a", "one"),)
    fake.script(CallTool("calculate", {"expression": "6*7"}), Say("You said: one"))
    outputs = "/responses" if backend == "responses" else ".*/submit_tool_outputs"
    count = 2 if backend == "responses" else 1
    fake.faults.add(HttpFault(path=outputs, kind="drop_after", skip=count - 1))
    plan = crash_plan(backend, messages=says, expected_deliveries=len(says))
    process = start_process(plan)
    fake.wait_for("POST", outputs, count)
    process.kill()
    process.join()
    end_leases(plan.url)
    assert run_to_end(replace(plan, messages=())) == 0
    check_all_replies(tmp_path, says)
    check_assistant_saw_each_message_once(fake, says)
