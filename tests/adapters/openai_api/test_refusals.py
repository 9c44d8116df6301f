"""A model's refusal, which every API shows apart from text, by OpenAI's SDK with strict validation."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from openai import OpenAI

from adapters.openai_api.assistants.run_stream import RunStream
from adapters.openai_api.completion_view import CompletionStream
from adapters.openai_api.response_stream import ResponseStream
from gateway.domain.run_events import TextDelta
from gateway.web.api.event_stream import TurnWriter, event_stream
from tests.adapters.openai_api.program_site import ProgramSite, open_site
from tests.adapters.openai_api.site import IGNORED_WARNINGS
from tests.fakes.openai_server import Say
from tests.gateway.turn_factory import TURN

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)

NO = "I would rather not."


@pytest.fixture(scope="module", params=["chat", "responses", "threads"])
def site(request: pytest.FixtureRequest, sqlite_module_url: str) -> Iterator[ProgramSite]:
    with open_site(sqlite_module_url, request.param) as opened:
        yield opened


@pytest.fixture
def client(site: ProgramSite) -> OpenAI:
    site.fake.script(Say(NO, refusal=True, chunks=3))
    return site.client


USER: Any = [{"role": "user", "content": "Do it"}]


def test_of_a_completion(client: OpenAI) -> None:
    (choice,) = client.chat.completions.create(model="default", messages=USER).choices
    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == (None, NO, "stop")


def test_of_a_completion_that_is_streamed(client: OpenAI) -> None:
    with client.chat.completions.stream(model="default", messages=USER) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert (message.content or "", message.refusal) == ("", NO)
    assert "refusal.delta" in kinds
    assert kinds[-1] == "refusal.done"


def test_of_a_response(client: OpenAI) -> None:
    response = client.responses.create(model="default", input="Do it")
    assert response.output_text == ""
    assert parts_of(response) == [("refusal", NO)]
    assert parts_of(client.responses.retrieve(response.id)) == [("refusal", NO)]


def test_of_a_response_that_is_streamed(client: OpenAI) -> None:
    with client.responses.stream(model="default", input="Do it") as stream:
        events = list(stream)
        assert parts_of(stream.get_final_response()) == [("refusal", NO)]
    told = [event.type.removeprefix("response.") for event in events if "refusal" in event.type]
    assert (set(told[:-1]), told[-1]) == ({"refusal.delta"}, "refusal.done")


def test_of_a_run(client: OpenAI) -> None:
    run = client.beta.threads.create_and_run_poll(assistant_id="default", thread={"messages": USER})
    reply, _ = client.beta.threads.messages.list(run.thread_id)
    assert (run.status, [part.to_dict() for part in reply.content]) == (
        "completed",
        [{"type": "refusal", "refusal": NO}],
    )


def test_of_a_run_that_is_streamed(client: OpenAI) -> None:
    with client.beta.threads.create_and_run_stream(assistant_id="default", thread={"messages": USER}) as stream:
        stream.until_done()
        (message,) = stream.get_final_messages()
    assert [part.to_dict() for part in message.content] == [{"type": "refusal", "refusal": NO}]


MIXED = replace(TURN, reply=f"Let me see.\n\n{NO}", refusal=NO)
PIECES = [TextDelta("Let me "), TextDelta("see.\n\n"), TextDelta("I would", is_refusal=True)]


@pytest.mark.parametrize("shown", range(len(PIECES) + 1))
@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: CompletionStream(TURN, "default", with_usage=False), r'"(content|refusal)":"([^"]+)"}'),
        (lambda: ResponseStream(TURN), r'"response.(output_text|refusal).delta",.*"delta":"([^"]+)"'),
        (lambda: RunStream(TURN, []), r'"index":(0|1),.*"(?:value|refusal)":"([^"]+)".*}}$'),
    ],
)
async def test_behind_a_text_both_are_streamed_whole(shown: int, make: Callable[[], TurnWriter], found: str) -> None:
    async def updates() -> AsyncGenerator[Any, None]:
        for piece in PIECES[:shown]:
            yield piece
        yield MIXED

    written = [part async for part in event_stream(TURN, updates(), make(), ping_seconds=60.0)]
    told = [match for part in written for match in re.findall(found, part.strip())]
    kinds = list(dict.fromkeys(kind for kind, _ in told))
    whole = ["".join(text for kind, text in told if kind == each) for each in kinds]
    assert whole == ["Let me see.\\n\\n", NO]


def parts_of(response: Any) -> list[tuple[str, str]]:
    (message,) = response.output
    return [(part.type, part.refusal) for part in message.content]
