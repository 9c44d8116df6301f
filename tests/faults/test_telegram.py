"""A turn in Telegram, whatever dies at whatever step: one reply stands there, whole and in order; it was asked once.

Nobody can look into a chat. So where a process dies, or an answer is lost, after a message was sent and before it was
noted, that one message may stand there twice; the second one says so.
"""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tests.fakes.telegram_updates import GROUP, USER
from tests.faults.strike import DEATHS, STORE_STEPS, Strike, play
from tests.faults.telegram_scene import LONG, SHORT, Scene, stage


@dataclass(frozen=True)
class Step:
    """A call on the way of a reply."""

    shown: str
    """``drafted`` while it is written; ``changed``, in a group; or ``posted``, when it is whole."""
    method: str
    number: int = 1

    @property
    def text(self) -> str:
        return SHORT if self.number == 1 else LONG

    @property
    def chat(self) -> int:
        return GROUP if self.shown == "changed" else USER

    @property
    def repeats(self) -> int:
        """To send is the only call that shows when it is repeated."""
        return int(self.method == "sendMessage")


KILLING = [dies for dies in DEATHS if "stop" not in dies]
"""One that is told to stop finishes what it holds, or hands it on: see test_telegram_storms.py."""
CALLS = (
    Step("posted", "sendMessage"),
    Step("posted", "sendMessage", 2),
    Step("drafted", "sendMessageDraft"),
    Step("drafted", "sendMessage"),
    Step("changed", "sendMessage"),
    Step("changed", "editMessageText"),
)


def on_stage(folder: Path, url: str, _: Any) -> AbstractContextManager[Scene]:
    return stage(folder, url)


def test_a_process_that_is_killed_at_a_step_of_its_own_leaves_one_whole_reply_to_the_next(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    def act(scene: Scene, step: str) -> None:
        text = LONG if "Brought" in step else SHORT  # a part is noted, and the next one follows
        doomed = scene.start(dies=step, TELEGRAM_STREAMING="off")
        message = scene.say(text)
        assert doomed.ended() == -signal.SIGKILL
        scene.start()
        scene.finish(message)
        scene.check({USER: [text]}, repeats=int("Brought" in step))

    play(tmp_path, empty_sqlite, on_stage, act, STORE_STEPS)


def test_what_dies_at_a_call_to_telegram_leaves_one_whole_reply(tmp_path: Path, empty_sqlite: Path) -> None:
    def act(scene: Scene, dies_at: tuple[str, Step]) -> None:
        dies, step = dies_at
        if step.shown != "posted":
            scene.openai.chunk_delay = 0.1  # so that there is something to show
        streaming = "off" if step.shown == "posted" else "on"
        program = scene.start(TELEGRAM_STREAMING=streaming)
        strike = Strike(scene.telegram.faults, program, step.method, step.number)
        strike.arm(dies)
        message = scene.say(step.text, step.chat)
        if "process" in dies:
            assert strike.done.wait(20)
            program.ended()
            scene.start(TELEGRAM_STREAMING=streaming)
        scene.finish(message, step.chat)
        scene.check({step.chat: [step.text]}, repeats=step.repeats)

    play(tmp_path, empty_sqlite, on_stage, act, product(KILLING, CALLS))
