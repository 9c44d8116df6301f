"""Kill -9 at every step, start again: each message is answered, in order, and the assistant saw it once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import CallTool, FakeOpenAI, Fault, Say
from tests.faults.doomed import Plan, deliveries, live_and, start

SAYS = (("a", "one"), ("a", "two"), ("a", "three"))

STEPS = (
    "after record",
    "before Bound",
    "after Bound",
    "before Started",
    "after Started",
    "while it streams",
    "before Settled",
    "after Settled",
    "before deliver",
    "after deliver",
    "before Finished",
    "after Finished",
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


def check_everybody_was_answered(tmp_path: Path, says: tuple[tuple[str, str], ...] = SAYS) -> list[dict[str, str]]:
    """Each message has its own whole reply, in the order of its channel. Returns every delivery."""
    lines = deliveries(tmp_path / "deliveries")
    for channel in {channel for channel, _ in says}:
        said = [text for where, text in says if where == channel]
        first = list(dict.fromkeys(line["text"] for line in lines if line["channel"] == channel))
        assert first == said
    for line in lines:
        assert line["reply"] == f"You said: {line['text']}"
    return lines


def check_the_assistant_saw_each_message_once(fake: FakeOpenAI, says: tuple[tuple[str, str], ...] = SAYS) -> None:
    expected = sorted([text for where, text in says if where == channel] for channel in {where for where, _ in says})
    used = [texts for name in (*fake.threads, *fake.conversations) if (texts := fake.user_texts(name))]
    assert sorted(used) == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_is_killed_loses_nothing_and_repeats_nothing(
    tmp_path: Path, fake: FakeOpenAI, backend: str, step: str
) -> None:
    whole = plan(tmp_path, fake, backend, says=SAYS, until=len(SAYS))
    assert live_and(replace(whole, dies=step)) == -signal.SIGKILL
    # People whose message was not acknowledged send it again; the platform's retry is the same message.
    assert live_and(whole) == 0
    lines = check_everybody_was_answered(tmp_path)
    if backend != "chat":  # which keeps no threads
        check_the_assistant_saw_each_message_once(fake)
    if step not in ("after deliver", "before Finished"):
        assert len(lines) == len(SAYS)


@pytest.mark.parametrize("backend", ["responses", "threads"])
def test_a_process_that_is_killed_while_the_assistant_has_the_message_does_not_post_it_again(
    tmp_path: Path, fake: FakeOpenAI, backend: str
) -> None:
    says = (("a", "one"), ("a", "two"))
    path = "/responses" if backend == "responses" else "/threads/[^/]+/runs"
    fake.think = 0.2
    fake.faults.add(Fault(path=path, kind="drop_after"))
    doomed = start(plan(tmp_path, fake, backend, says=says, until=len(says)))
    fake.wait_for("POST", path)
    doomed.kill()
    doomed.join()
    assert live_and(plan(tmp_path, fake, backend, until=len(says))) == 0
    check_everybody_was_answered(tmp_path, says)
    check_the_assistant_saw_each_message_once(fake, says)


@pytest.mark.parametrize("backend", ["responses", "threads"])
def test_a_process_that_is_killed_between_a_tool_and_its_answer_goes_on_from_there(
    tmp_path: Path, fake: FakeOpenAI, backend: str
) -> None:
    says = (("a", "one"),)
    fake.script(CallTool("calculate", {"expression": "6*7"}), Say("You said: one"))
    outputs = "/responses" if backend == "responses" else ".*/submit_tool_outputs"
    count = 2 if backend == "responses" else 1
    fake.faults.add(Fault(path=outputs, kind="drop_after", skip=count - 1))
    doomed = start(plan(tmp_path, fake, backend, says=says, until=len(says)))
    fake.wait_for("POST", outputs, count)
    doomed.kill()
    doomed.join()
    assert live_and(plan(tmp_path, fake, backend, until=len(says))) == 0
    check_everybody_was_answered(tmp_path, says)
    check_the_assistant_saw_each_message_once(fake, says)
