"""Kill -9 at each step, then restart: each message is answered, in order, and the assistant sees it once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import CallTool, FakeOpenAI, Fault, Say
from tests.faults.crashing_process import Plan, deliveries, live_and, start

SAYS = (("a", "one"), ("a", "two"), ("a", "three"))

STEPS = (
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


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def settings(fake: FakeOpenAI, backend: str) -> dict[str, Any]:
    return {
        "assistant_backend": backend,
        "openai_api_key": "sk-test",
        "openai_base_url": fake.base_url,
        "openai_model": "gpt-test",
        "assistant_poll_seconds": 0.05,
        "assistant_id": fake.assistant_id if backend == "threads" else None,
    }


def plan(tmp_path: Path, fake: FakeOpenAI, backend: str, **options: Any) -> Plan:
    url = f"sqlite:///{tmp_path}/gateway.db"
    return Plan(url, tmp_path / "deliveries", settings(fake, backend), **options)


def check_all_replies(tmp_path: Path, says: tuple[tuple[str, str], ...] = SAYS) -> list[dict[str, str]]:
    """Asserts that each message has its own complete reply, in the order of its channel. Returns all deliveries."""
    lines = deliveries(tmp_path / "deliveries")
    for channel in {channel for channel, _ in says}:
        said = [text for where, text in says if where == channel]
        first = list(dict.fromkeys(line["text"] for line in lines if line["channel"] == channel))
        assert first == said
    for line in lines:
        assert line["reply"] == f"You said: {line['text']}"
    return lines


def check_assistant_saw_each_message_once(fake: FakeOpenAI, says: tuple[tuple[str, str], ...] = SAYS) -> None:
    expected = sorted([text for where, text in says if where == channel] for channel in {where for where, _ in says})
    used = [texts for name in (*fake.threads, *fake.conversations) if (texts := fake.user_texts(name))]
    assert sorted(used) == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_process_loses_and_repeats_nothing(tmp_path: Path, fake: FakeOpenAI, backend: str, step: str) -> None:
    whole = plan(tmp_path, fake, backend, says=SAYS, until=len(SAYS))
    assert live_and(replace(whole, dies=step)) == -signal.SIGKILL
    # A message that was not acknowledged is sent again; a retry by the platform has the same id.
    assert live_and(whole) == 0
    lines = check_all_replies(tmp_path)
    if backend != "chat":  # which has no threads at the backend
        check_assistant_saw_each_message_once(fake)
    if step not in ("after deliver", "before finish turn"):
        assert len(lines) == len(SAYS)


@pytest.mark.parametrize("backend", ["responses", "threads"])
def test_a_process_killed_while_a_run_request_is_unanswered_does_not_ask_the_assistant_twice(
    tmp_path: Path, fake: FakeOpenAI, backend: str
) -> None:
    says = (("a", "one"), ("a", "two"))
    path = "/responses" if backend == "responses" else "/threads/[^/]+/runs"
    fake.think = 0.2
    fake.faults.add(Fault(path=path, kind="drop_after"))
    process = start(plan(tmp_path, fake, backend, says=says, until=len(says)))
    fake.wait_for("POST", path)
    process.kill()
    process.join()
    assert live_and(plan(tmp_path, fake, backend, until=len(says))) == 0
    check_all_replies(tmp_path, says)
    check_assistant_saw_each_message_once(fake, says)


@pytest.mark.parametrize("backend", ["responses", "threads"])
def test_after_a_kill_while_tool_outputs_are_submitted_the_run_is_resumed(
    tmp_path: Path, fake: FakeOpenAI, backend: str
) -> None:
    says = (("a", "one"),)
    fake.script(CallTool("calculate", {"expression": "6*7"}), Say("You said: one"))
    outputs = "/responses" if backend == "responses" else ".*/submit_tool_outputs"
    count = 2 if backend == "responses" else 1
    fake.faults.add(Fault(path=outputs, kind="drop_after", skip=count - 1))
    process = start(plan(tmp_path, fake, backend, says=says, until=len(says)))
    fake.wait_for("POST", outputs, count)
    process.kill()
    process.join()
    assert live_and(plan(tmp_path, fake, backend, until=len(says))) == 0
    check_all_replies(tmp_path, says)
    check_assistant_saw_each_message_once(fake, says)
