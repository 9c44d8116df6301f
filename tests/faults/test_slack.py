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

from tests.faults.fault_points import DEATHS, STORE_STEPS, Strike, play
from tests.faults.slack_scenario import LONG, SHORT, Scene, stage


@dataclass(frozen=True)
class Step:
    """An API call that delivers a reply."""

    shown: str
    """How the reply appears: ``streamed``; ``changed``, where Slack has no streaming; or ``posted`` when complete."""
    method: str
    number: int = 1

    @property
    def text(self) -> str:
        return SHORT if self.number == 1 else LONG


CALLS = (
    Step("posted", "chat.postMessage"),
    Step("posted", "chat.postMessage", 2),
    Step("streamed", "chat.startStream"),
    Step("streamed", "chat.appendStream"),
    Step("streamed", "chat.stopStream"),
    Step("changed", "chat.postMessage"),
    Step("changed", "chat.update"),
)


def on_stage(folder: Path, url: str, step: Any) -> AbstractContextManager[Scene]:
    return stage(folder, url, streaming=not (isinstance(step, Step) and step.shown == "changed"))


def test_after_a_kill_at_any_store_step_the_next_process_posts_one_complete_reply(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    def act(scene: Scene, step: str) -> None:
        text = (
            LONG if "save posted messages" in step else SHORT
        )  # two messages: the first is saved, then the second is sent
        doomed = scene.start(dies=step, SLACK_PREVIEW="off")
        ts = scene.say(text)
        assert doomed.ended() == -signal.SIGKILL
        scene.start()
        scene.finish(ts)
        scene.check(text, ts)

    play(tmp_path, empty_sqlite, on_stage, act, STORE_STEPS)


@pytest.mark.parametrize("fault", DEATHS)
def test_after_a_fault_at_any_slack_call_one_complete_reply_is_posted(
    tmp_path: Path, empty_sqlite: Path, fault: str
) -> None:
    def act(scene: Scene, step: Step) -> None:
        if step.shown != "posted":
            scene.openai.chunk_delay = 0.1  # so that there is a preview
        shown = "off" if step.shown == "posted" else "stream"
        program = scene.start(SLACK_PREVIEW=shown)
        strike = Strike(scene.slack.faults, program, step.method, step.number)
        strike.arm(fault)
        ts = scene.say(step.text)
        if "process" in fault:
            assert strike.done.wait(20)
            program.ended()
            scene.start(SLACK_PREVIEW=shown)
        scene.finish(ts)
        scene.check(step.text, ts)

    play(tmp_path, empty_sqlite, on_stage, act, CALLS)
