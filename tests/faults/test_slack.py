"""A turn in Slack, whatever dies at whatever step: one reply stands there, whole and in order; it was asked once.

The steps of one kind of death are played at the same time, each on a stage of its own: most of it is waiting.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.slack_scene import LONG, SHORT, Scene, Strike, stage

AT_ONCE = 5
STORE_STEPS = (
    "before record",
    "after record",
    "before Bound",
    "after Started",
    "before Settled",
    "after Settled",
    "before Brought",
    "after Brought",
    "before Finished",
    "after Finished",
)
DEATHS = (
    "the process, before Slack acts",
    "the process, once it has acted",
    "the process, which is told to stop",
    "the call",
    "the answer",
)


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


def play(folder: Path, database: Path, act: Callable[[Scene, Any], None], steps: Iterable[Any]) -> None:
    """Play an act with each of the steps. Raises what one of them raised, with the name of the step."""

    def at(step: Any) -> None:
        home = folder / str(step)
        home.mkdir()
        shutil.copy(database, home / "gateway.db")
        streaming = getattr(step, "shown", "") != "changed"
        with stage(home, f"sqlite:///{home}/gateway.db", streaming=streaming) as scene:
            try:
                act(scene, step)
            except BaseException as exc:
                exc.add_note(f"at {step}; see {home}/log")
                raise

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(at, steps):
            pass


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

    play(tmp_path, empty_sqlite, act, STORE_STEPS)


@pytest.mark.parametrize("dies", DEATHS)
def test_what_dies_at_a_call_to_slack_leaves_one_whole_reply(tmp_path: Path, empty_sqlite: Path, dies: str) -> None:
    def act(scene: Scene, step: Step) -> None:
        if step.shown != "posted":
            scene.openai.chunk_delay = 0.1  # so that there is something to show
        shown = "off" if step.shown == "posted" else "stream"
        program = scene.start(SLACK_PREVIEW=shown)
        strike = Strike(scene, step.method, step.number)
        strike.arm(dies)
        ts = scene.say(step.text)
        if "process" in dies:
            assert strike.done.wait(20)
            program.ended()
            scene.start(SLACK_PREVIEW=shown)
        scene.finish(ts)
        scene.check(step.text, ts)

    play(tmp_path, empty_sqlite, act, CALLS)
