"""The contract of every backend whose server keeps the threads: requests that arrive after they were given up."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import replace

from gateway.domain.errors import ThreadMissing
from gateway.domain.models import TurnId
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.openai_server import CallTool, FakeOpenAI, HttpFault, Say


def has_open_call(fake: FakeOpenAI, session: AssistantSession) -> bool:
    """Returns whether a thread waits for the output of a call."""
    items = fake.conversations.get(session.thread_id or "", [])
    is_waiting = any(run["status"] == "requires_action" for run in fake.runs.values())
    return is_waiting or bool(items and items[-1]["type"] == "function_call")


class LateRequestContract:
    """For backends with tools. The subclass has a tool ``add``."""

    RUN_PATH: str

    async def test_the_open_call_of_a_request_that_arrives_late_is_the_turns_own(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        late, second = threading.Event(), threading.Event()
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        fake.faults.add(HttpFault(path=self.RUN_PATH, gate=late), HttpFault(path=self.RUN_PATH, gate=second))
        given_up = asyncio.create_task(session.attempt(session.make_turn("1 + 2?"), first=True))
        await fake.wait_for_async("POST", self.RUN_PATH)
        given_up.cancel()
        with suppress(asyncio.CancelledError):
            await given_up
        again = asyncio.create_task(session.say("1 + 2?", may_have_begun=True))
        await fake.wait_for_async("POST", self.RUN_PATH, 2)
        late.set()
        await fake.wait_until_async(lambda: has_open_call(fake, session))
        second.set()
        assert await again == "Three."
        assert fake.user_texts(session.thread_id or "") == ["1 + 2?"]
        assert not any(isinstance(error, ThreadMissing) for error in session.errors)

    async def test_a_thread_goes_on_after_an_open_call_of_another_turn(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        await session.say("I am Ada.")
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        await session.begin_and_abandon("1 + 2?")
        await fake.wait_until_async(lambda: has_open_call(fake, session))
        turn = replace(session.make_turn("Never mind"), id=TurnId("turn_of_its_own"))
        assert "Never mind" in (await session.attempt(turn, first=True)).text
        assert fake.user_texts(session.thread_id or "") == ["I am Ada.", "1 + 2?", "Never mind"]
