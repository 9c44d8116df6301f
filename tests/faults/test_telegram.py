"""One turn in Telegram with a fault at each step: one complete reply is sent, and the assistant is asked once.

The Bot API cannot read a chat. So if the process dies or an answer is lost after a message was sent and before it was
saved, that one message may appear twice; the second one is labelled.
"""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tests.fakes.telegram_updates import GROUP, USER
from tests.faults.fault_points import DEATHS, STORE_STEPS, Strike, play
from tests.faults.telegram_scenario import LONG, SHORT, Scene, stage


@dataclass(frozen=True)
class Step:
    """An API call that delivers a reply."""

    shown: str
    """How the reply appears: ``drafted`` while it is written; ``changed`` in a group; or ``posted`` when complete."""
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
        """Only a repeated sendMessage is visible in the chat."""
        return int(self.method == "sendMessage")


KILLING = [fault for fault in DEATHS if "stop" not in fault]
"""A process told to stop finishes its turns or releases them: see test_telegram_retries.py."""
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


def test_after_a_kill_at_any_store_step_the_next_process_sends_one_complete_reply(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    def act(scene: Scene, step: str) -> None:
        text = (
            LONG if "save posted messages" in step else SHORT
        )  # two messages: the first is saved, then the second is sent
        doomed = scene.start(dies=step, TELEGRAM_STREAMING="off")
        message = scene.say(text)
        assert doomed.ended() == -signal.SIGKILL
        scene.start()
        scene.finish(message)
        scene.check({USER: [text]}, repeats=int("save posted messages" in step))

    play(tmp_path, empty_sqlite, on_stage, act, STORE_STEPS)


def test_after_a_fault_at_any_telegram_call_one_complete_reply_is_sent(tmp_path: Path, empty_sqlite: Path) -> None:
    def act(scene: Scene, fault_and_step: tuple[str, Step]) -> None:
        fault, step = fault_and_step
        if step.shown != "posted":
            scene.openai.chunk_delay = 0.1  # so that there is a preview
        streaming = "off" if step.shown == "posted" else "on"
        program = scene.start(TELEGRAM_STREAMING=streaming)
        strike = Strike(scene.telegram.faults, program, step.method, step.number)
        strike.arm(fault)
        message = scene.say(step.text, step.chat)
        if "process" in fault:
            assert strike.done.wait(20)
            program.ended()
            scene.start(TELEGRAM_STREAMING=streaming)
        scene.finish(message, step.chat)
        scene.check({step.chat: [step.text]}, repeats=step.repeats)

    play(tmp_path, empty_sqlite, on_stage, act, product(KILLING, CALLS))
