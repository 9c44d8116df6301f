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
from tests.faults.fault_points import CALL_FAULTS, CRASH_STEPS, CallFault, run_in_parallel
from tests.faults.telegram_scenario import LONG, SHORT, TelegramScenario, open_scenario


@dataclass(frozen=True)
class TelegramCallStep:
    """An API call that delivers a reply."""

    display: str
    """How the reply appears: ``drafted`` while it is written; ``changed`` in a group; or ``posted`` when complete."""
    method: str
    number: int = 1

    @property
    def text(self) -> str:
        return SHORT if self.number == 1 else LONG

    @property
    def chat(self) -> int:
        return GROUP if self.display == "changed" else USER

    @property
    def allowed_repeats(self) -> int:
        """Only a repeated sendMessage is visible in the chat."""
        return int(self.method == "sendMessage")


FATAL_CALL_FAULTS = [fault for fault in CALL_FAULTS if "stop" not in fault]
"""A process told to stop finishes its turns or releases them: see test_telegram_retries.py."""
CALL_STEPS = (
    TelegramCallStep("posted", "sendMessage"),
    TelegramCallStep("posted", "sendMessage", 2),
    TelegramCallStep("drafted", "sendMessageDraft"),
    TelegramCallStep("drafted", "sendMessage"),
    TelegramCallStep("changed", "sendMessage"),
    TelegramCallStep("changed", "editMessageText"),
)


def open_step_scenario(folder: Path, url: str, _: Any) -> AbstractContextManager[TelegramScenario]:
    return open_scenario(folder, url)


def test_after_a_kill_at_any_store_step_the_next_process_sends_one_complete_reply(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    def act(scene: TelegramScenario, step: str) -> None:
        text = (
            LONG if "save posted messages" in step else SHORT
        )  # two messages: the first is saved, then the second is sent
        doomed = scene.start_process(crash_step=step, TELEGRAM_STREAMING="off")
        message = scene.send(text)
        assert doomed.wait_for_exit() == -signal.SIGKILL
        scene.start_process()
        scene.wait_until_delivered(message)
        unsaved = "save posted messages" in step or step == "before finish turn"  # the last id is saved with the finish
        scene.assert_replies({USER: [text]}, repeats=int(unsaved))

    run_in_parallel(tmp_path, empty_sqlite, open_step_scenario, act, CRASH_STEPS)


def test_after_a_fault_at_any_telegram_call_one_complete_reply_is_sent(tmp_path: Path, empty_sqlite: Path) -> None:
    def act(scene: TelegramScenario, fault_and_step: tuple[str, TelegramCallStep]) -> None:
        fault, step = fault_and_step
        if step.display != "posted":
            scene.openai.chunk_delay = 0.1  # so that there is a preview
        streaming = "off" if step.display == "posted" else "on"
        program = scene.start_process(TELEGRAM_STREAMING=streaming)
        strike = CallFault(scene.telegram.faults, program, step.method, step.number)
        strike.arm(fault)
        message = scene.send(step.text, step.chat)
        if "process" in fault:
            assert strike.triggered.wait(20)
            program.wait_for_exit()
            scene.start_process(TELEGRAM_STREAMING=streaming)
        scene.wait_until_delivered(message, step.chat)
        scene.assert_replies({step.chat: [step.text]}, repeats=step.allowed_repeats)

    run_in_parallel(tmp_path, empty_sqlite, open_step_scenario, act, product(FATAL_CALL_FAULTS, CALL_STEPS))
