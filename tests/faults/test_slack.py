"""A turn in Slack, whatever dies at whatever step: one reply stands there, whole and in order; it was asked once.

The steps of one kind of death are played at the same time, each on a stage of its own: most of it is waiting.
"""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.slack_scene import LONG, SHORT, Scene, stage
from tests.faults.strike import DEATHS, STORE_STEPS, Strike, play


@dataclass(frozen=True)
class Step:
    """A call on the way of a reply."""

    shown: str
    """``streamed``; ``changed``, where Slack has no streams; or ``posted``, when it is whole."""
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
    return stage(folder, url, streaming=getattr(step, "shown", "") != "changed")


def test_a_process_that_is_killed_at_a_step_of_its_own_leaves_one_whole_reply_to_the_next(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    def act(scene: Scene, step: str) -> None:
        text = LONG if "Brought" in step else SHORT  # a part is noted, and the next one follows
        doomed = scene.start(dies=step, SLACK_PREVIEW="off")
        ts = scene.say(text)
        assert doomed.ended() == -signal.SIGKILL
        scene.start()
        scene.finish(ts)
        scene.check(text, ts)

    play(tmp_path, empty_sqlite, on_stage, act, STORE_STEPS)


@pytest.mark.parametrize("dies", DEATHS)
def test_what_dies_at_a_call_to_slack_leaves_one_whole_reply(tmp_path: Path, empty_sqlite: Path, dies: str) -> None:
    def act(scene: Scene, step: Step) -> None:
        if step.shown != "posted":
            scene.openai.chunk_delay = 0.1  # so that there is something to show
        shown = "off" if step.shown == "posted" else "stream"
        program = scene.start(SLACK_PREVIEW=shown)
        strike = Strike(scene.slack.faults, program, step.method, step.number)
        strike.arm(dies)
        ts = scene.say(step.text)
        if "process" in dies:
            assert strike.done.wait(20)
            program.ended()
            scene.start(SLACK_PREVIEW=shown)
        scene.finish(ts)
        scene.check(step.text, ts)

    play(tmp_path, empty_sqlite, on_stage, act, CALLS)
