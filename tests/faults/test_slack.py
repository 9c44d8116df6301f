"""One turn in Slack with a fault at each step: one complete reply is posted, and the assistant is asked once.

The steps of one kind of fault run in parallel, each with its own setup, as most of it is waiting.
"""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_points import CALL_FAULTS, CRASH_STEPS, CallFault, run_in_parallel
from tests.faults.slack_scenario import LONG, SHORT, SlackScenario, open_scenario


@dataclass(frozen=True)
class SlackCallStep:
    """An API call that delivers a reply."""

    display: str
    """How the reply appears: ``streamed``; ``changed``, where Slack has no streaming; or ``posted`` when complete."""
    method: str
    number: int = 1

    @property
    def text(self) -> str:
        return SHORT if self.number == 1 else LONG


CALL_STEPS = (
    SlackCallStep("posted", "chat.postMessage"),
    SlackCallStep("posted", "chat.postMessage", 2),
    SlackCallStep("streamed", "chat.startStream"),
    SlackCallStep("streamed", "chat.appendStream"),
    SlackCallStep("streamed", "chat.stopStream"),
    SlackCallStep("changed", "chat.postMessage"),
    SlackCallStep("changed", "chat.update"),
)


def open_step_scenario(folder: Path, url: str, step: Any) -> AbstractContextManager[SlackScenario]:
    return open_scenario(folder, url, streaming=not (isinstance(step, SlackCallStep) and step.display == "changed"))


def test_after_a_kill_at_any_store_step_the_next_process_posts_one_complete_reply(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    def act(scene: SlackScenario, step: str) -> None:
        text = (
            LONG if "save posted messages" in step else SHORT
        )  # two messages: the first is saved, then the second is sent
        doomed = scene.start_process(crash_step=step, SLACK_PREVIEW="off")
        ts = scene.send(text)
        assert doomed.wait_for_exit() == -signal.SIGKILL
        scene.start_process()
        scene.wait_until_delivered(ts)
        scene.assert_one_reply(text, ts)

    run_in_parallel(tmp_path, empty_sqlite, open_step_scenario, act, CRASH_STEPS)


@pytest.mark.parametrize("fault", CALL_FAULTS)
def test_after_a_fault_at_any_slack_call_one_complete_reply_is_posted(
    tmp_path: Path, empty_sqlite: Path, fault: str
) -> None:
    def act(scene: SlackScenario, step: SlackCallStep) -> None:
        if step.display != "posted":
            scene.openai.chunk_delay = 0.1  # so that there is a preview
        shown = "off" if step.display == "posted" else "stream"
        program = scene.start_process(SLACK_PREVIEW=shown)
        strike = CallFault(scene.slack.faults, program, step.method, step.number)
        strike.arm(fault)
        ts = scene.send(step.text)
        if "process" in fault:
            assert strike.triggered.wait(20)
            program.wait_for_exit()
            scene.start_process(SLACK_PREVIEW=shown)
        scene.wait_until_delivered(ts)
        scene.assert_one_reply(step.text, ts)

    run_in_parallel(tmp_path, empty_sqlite, open_step_scenario, act, CALL_STEPS)
