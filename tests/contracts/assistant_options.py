"""The contract of every backend that takes what a turn's sender asks: parameters, and functions that it runs."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.errors import AssistantRefused
from gateway.domain.exchange import CallOutput
from gateway.domain.turn_options import TurnOptions
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.openai_server import CallTool, FakeOpenAI, HttpFault, Say

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
WITH_WEATHER = TurnOptions(functions=(WEATHER,))


class OptionsContract:
    """For backends with functions of the sender."""

    RUN_PATH: str

    def newest(self, fake: FakeOpenAI) -> dict[str, Any]:
        body: dict[str, Any] = fake.posts(self.RUN_PATH)[-1].body
        return body

    async def test_what_the_sender_asks_reaches_the_server(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        session.options = TurnOptions(additional_instructions="Be kind.", parameters={"temperature": 0.25})
        await session.say("Hello")
        assert self.newest(fake)["temperature"] == 0.25
        assert "Be kind." in str(self.newest(fake))

    async def test_what_there_is_not_is_refused_by_name(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        session.options = TurnOptions(parameters={"audio": {}})
        with pytest.raises(AssistantRefused, match="`audio`") as caught:
            await session.say("Hello")
        assert (caught.value.code, "`audio`" in caught.value.user_message) == ("unsupported", True)
        assert not fake.posts(self.RUN_PATH)

    async def test_what_the_server_refuses_is_named_to_the_sender(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        error = {"error": {"message": "0.25 is too cold", "param": "temperature", "type": "invalid_request_error"}}
        fake.faults.add(HttpFault(path=self.RUN_PATH, status=400, body=error))
        session.options = TurnOptions(parameters={"temperature": 0.25})
        with pytest.raises(AssistantRefused) as caught:
            await session.say("Hello")
        assert "`temperature` is refused" in caught.value.user_message

    async def test_a_refused_function_of_one_sender_does_not_cost_the_others_their_tools(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        error = {"error": {"message": "tools is invalid", "param": "tools", "type": "invalid_request_error"}}
        fake.faults.add(HttpFault(path=self.RUN_PATH, status=400, body=error))
        session.options = WITH_WEATHER
        with pytest.raises(AssistantRefused):
            await session.say("Hello")
        session.options = None
        await session.say("Hello")
        assert self.newest(fake)["tools"]

    async def test_a_call_of_the_senders_function_ends_the_run_and_its_result_goes_on(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script([Say("I look."), CallTool("weather", {"city": "Rome"})], Say("It is sunny."))
        session.options = WITH_WEATHER
        assert await session.say("Weather?") == "I look."
        (call,) = session.answer.calls
        assert (call.name, call.arguments, call.output) == ("weather", '{"city": "Rome"}', None)
        session.options = TurnOptions(functions=(WEATHER,), outputs=(CallOutput(call.id, "sunny"),))
        assert await session.say("") == "It is sunny."
        assert "sunny" in str(self.newest(fake))
        session.options = None
        assert "Thanks" in await session.say("Thanks")

    async def test_a_call_that_the_model_wrote_as_text_is_one_and_its_result_goes_on(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(Say('{"name": "weather", "arguments": {"city": "Rome"}}'), Say("It is sunny."))
        session.options = WITH_WEATHER
        assert await session.say("Weather?") == ""
        (call,) = session.answer.calls
        assert (call.name, call.arguments) == ("weather", '{"city": "Rome"}')
        session.options = TurnOptions(functions=(WEATHER,), outputs=(CallOutput(call.id, "sunny"),))
        assert await session.say("") == "It is sunny."
        assert "sunny" in str(self.newest(fake))
        assert session.errors == [], "the thread goes on"

    async def test_results_are_posted_once_whatever_dies(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("weather", {"city": "Rome"}), Say("It is sunny."))
        session.options = WITH_WEATHER
        await session.say("Weather?")
        (call,) = session.answer.calls
        session.options = TurnOptions(functions=(WEATHER,), outputs=(CallOutput(call.id, "sunny"),))
        if session.assistant.resumes_runs:
            await session.begin_and_abandon("")
            session.run_id = None
            assert await session.say("", may_have_begun=True) == "It is sunny."
        else:
            assert await session.say("") == "It is sunny."
