"""The contract of every backend that runs tools: calls that people have to approve are held, and go on later."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from gateway.domain.errors import TooManyRounds
from gateway.domain.exchange import CallRound, Exchange
from gateway.domain.models import RunId, Turn, Usage
from gateway.domain.past import as_asked, exchanges_of, open_rounds
from gateway.domain.run_events import CallsHeld, RunCompleted, RunEvent, RunStarted
from gateway.ports.assistant import Assistant
from gateway.tools import ToolBox, tool
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.openai_server import CallTool, FakeOpenAI, Say

RAN: list[str] = []


@tool
async def refund(order: int) -> str:
    """Refund an order."""
    RAN.append(f"refund {order}")
    return f"refunded {order}"


@tool
async def look(order: int) -> str:
    """Look an order up."""
    RAN.append(f"look {order}")
    return f"order {order}: shoes"


REFUND = replace(refund, approvers=("asker",))


class HeldCallContract:
    """What every backend does that calls tools, a package's too. The subclass makes ``assistant`` with ``toolbox``."""

    asking = ""
    """A message to which it calls ``refund`` with the order 1."""

    @pytest.fixture
    def toolbox(self) -> ToolBox:
        return ToolBox([REFUND, look], time_limit=5.0)

    async def test_a_call_that_people_approve_ends_the_run_and_its_output_goes_on(self, assistant: Assistant) -> None:
        RAN.clear()
        session = AssistantSession(assistant)
        turn, thread = session.make_turn(self.asking), await session.open_thread()
        events = [event async for event in assistant.run(turn, thread, *session.loaders)]
        held = events[-1]
        assert isinstance(held, CallsHeld)
        (call,) = held.calls
        assert (call.call.name, json.loads(call.call.arguments), call.approvers) == ("refund", {"order": 1}, ("asker",))
        assert RAN == []
        asked = CallRound((call.call,)).with_outputs({call.call.id: "it is refunded"})
        again = as_asked(replace(turn, rounds=(asked,)))
        for run in (
            assistant.run(again, thread, *session.loaders),
            assistant.resume(again, thread, None, *session.loaders),
        ):
            completed = [event async for event in run][-1]
            assert isinstance(completed, RunCompleted)
            assert "it is refunded" in completed.text
        assert RAN == []


class ApprovalContract:
    """The subclass makes ``assistant`` with ``fake`` and ``toolbox``."""

    KEEPS_HISTORY = True
    """Whether the server keeps what was said."""

    is_resumed = False
    """Whether another process may have given the outputs to the assistant before."""

    @pytest.fixture(autouse=True)
    def _nothing_ran(self) -> None:
        RAN.clear()

    @pytest.fixture(autouse=True, params=[False, True], ids=["run", "resume"])
    def _goes_on(self, request: pytest.FixtureRequest) -> None:
        self.is_resumed = request.param

    @pytest.fixture
    def toolbox(self) -> ToolBox:
        return ToolBox([REFUND, look], time_limit=5.0)

    def was_sent(self, fake: FakeOpenAI, text: str) -> bool:
        """Returns whether the server knows a text: with the last request, where it keeps nothing."""
        posts = [seen for seen in fake.requests if seen.method == "POST"]
        return any(text in str(seen.body) for seen in (posts if self.KEEPS_HISTORY else posts[-1:]))

    async def hold(self, session: AssistantSession, turn: Turn, *, first: bool = True) -> tuple[Turn, CallsHeld]:
        """Runs a turn until its calls are held; returns it as the store has it then."""
        thread = await session.open_thread()
        run = session.assistant.run(turn, thread, *session.loaders) if first else self.resumed(session, turn)
        async with aclosing(run) as events:
            async for event in events:
                if isinstance(event, RunStarted):
                    session.run_id = event.run_id
                if isinstance(event, CallsHeld):
                    rounds = (*event.earlier, CallRound(tuple(each.call for each in event.calls), event.text))
                    return replace(turn, rounds=(*turn.rounds, *rounds)), event
        raise AssertionError("nothing was held")

    def resumed(
        self, session: AssistantSession, turn: Turn, run_id: RunId | None = None
    ) -> AsyncGenerator[RunEvent, None]:
        async def history() -> Sequence[Exchange]:
            return (*session.exchanges, *open_rounds(turn))

        thread = session.thread_id
        assert thread is not None
        if self.is_resumed:
            return session.assistant.resume(as_asked(turn), thread, run_id, history, session.attachments)
        return session.assistant.run(as_asked(turn), thread, history, session.attachments)

    async def go_on(self, session: AssistantSession, turn: Turn, **outputs: str) -> RunCompleted:
        """Gives the turn to the assistant again, with the outputs of all calls of its last round, by their names."""
        last = turn.rounds[-1]
        given = last.with_outputs({call.id: outputs[call.name] for call in last.calls})
        turn = replace(turn, rounds=(*turn.rounds[:-1], given))
        async with aclosing(self.resumed(session, turn)) as events:
            async for event in events:
                if isinstance(event, RunCompleted):
                    session.exchanges += exchanges_of([replace(turn, reply=event.text)])
                    return event
        raise AssertionError("no answer")

    async def test_a_call_that_people_approve_is_held_and_its_output_goes_to_the_model(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script([Say("A moment."), CallTool("refund", {"order": 1})], Say("Done."))
        turn, held = await self.hold(session, session.make_turn("Refund 1"))
        ((call,), (approvers,)) = zip(*((each.call, each.approvers) for each in held.calls), strict=True)
        assert (call.name, json.loads(call.arguments), approvers) == ("refund", {"order": 1}, ("asker",))
        assert held.text in {"A moment.", ""}
        assert RAN == []
        reply = await self.go_on(session, turn, refund="it is refunded")
        assert reply.text == "Done."
        assert self.was_sent(fake, "it is refunded")
        assert RAN == []
        assert await session.say("Thanks")

    async def test_rounds_before_are_kept(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("look", {"order": 1}), CallTool("refund", {"order": 1}), Say("Done."))
        turn, _ = await self.hold(session, session.make_turn("Refund 1"))
        assert RAN == ["look 1"]
        reply = await self.go_on(session, turn, refund="it is refunded")
        assert reply.text == "Done."
        assert self.was_sent(fake, "order 1: shoes")
        assert self.was_sent(fake, "it is refunded")
        assert RAN == ["look 1"]

    async def test_a_call_beside_waits_too(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([CallTool("refund", {"order": 1}), CallTool("look", {"order": 1})], Say("Done."))
        turn, held = await self.hold(session, session.make_turn("Refund 1"))
        assert [(each.call.name, bool(each.approvers)) for each in held.calls] == [("refund", True), ("look", False)]
        assert RAN == []
        assert (await self.go_on(session, turn, refund="no", look="shoes")).text == "Done."

    async def test_arguments_that_do_not_fit_are_asked_nobody_about(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("refund", {"order": "all"}), Say("Sorry."))
        assert await session.say("Refund all") == "Sorry."
        assert RAN == []

    async def test_a_held_call_can_be_followed_by_another(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("refund", {"order": 1}), CallTool("refund", {"order": 2}), Say("Done."))
        turn, _ = await self.hold(session, session.make_turn("Refund"))
        turn = replace(turn, rounds=(turn.rounds[0].with_outputs({turn.rounds[0].calls[0].id: "one"}),))
        turn, held = await self.hold(session, turn, first=False)
        assert json.loads(held.calls[0].call.arguments) == {"order": 2}
        assert (await self.go_on(session, turn, refund="two")).text == "Done."

    async def test_the_tokens_before_it_waited_count_for_those_of_the_turn(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("refund", {"order": 1}), Say("Done."))
        turn = replace(session.make_turn("Refund 1"), usage=Usage(10**9, 0))
        with pytest.raises(TooManyRounds):
            await self.hold(session, turn)

    async def test_the_message_is_in_the_thread_once(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("refund", {"order": 1}), Say("Done."), Say(" | ".join))
        turn, _ = await self.hold(session, session.make_turn("Refund one"))
        await self.go_on(session, turn, refund="yes")
        assert (await session.say("And?")).count("Refund one") == 1

    async def test_a_process_that_dies_before_the_calls_are_stored_loses_nothing(
        self, fake: FakeOpenAI, session: AssistantSession, assistant: Assistant
    ) -> None:
        fake.script(*[CallTool("refund", {"order": 1})] * (1 if assistant.resumes_runs else 2), Say("Done."))
        turn = session.make_turn("Refund 1")
        await self.hold(session, turn)
        thread = session.thread_id
        assert thread is not None
        async with aclosing(assistant.resume(turn, thread, session.run_id, *session.loaders)) as events:
            (held,) = [event async for event in events if isinstance(event, CallsHeld)]
        rounds = (CallRound(tuple(each.call for each in held.calls)),)
        assert (await self.go_on(session, replace(turn, rounds=rounds), refund="yes")).text == "Done."
