"""The fake server: authorization, addresses, recorded requests, and the command-line program."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import (
    APIConnectionError,
    AsyncAzureOpenAI,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    OpenAI,
)
from openai.types.beta.assistant_create_params import AssistantCreateParams
from openai.types.beta.thread_create_and_run_params import ThreadCreateAndRunParamsBase
from openai.types.beta.thread_create_params import ThreadCreateParams
from openai.types.beta.threads.message_create_params import MessageCreateParams
from openai.types.beta.threads.run_create_params import RunCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.conversations.conversation_create_params import ConversationCreateParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from tests.fakes.openai_params import PARAMS
from tests.fakes.openai_script import count_tokens, split_evenly
from tests.fakes.openai_server import ASSISTANT_ID, FakeOpenAI, Hang

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")
MODEL = "gpt-5-mini"
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
ROOT = Path(__file__).parents[2]


def azure(fake: FakeOpenAI) -> AsyncAzureOpenAI:
    return AsyncAzureOpenAI(
        azure_endpoint=fake.azure_endpoint,
        api_version="2025-04-01-preview",
        api_key="key",
        max_retries=0,
        _strict_response_validation=True,
    )


async def test_a_key_is_demanded(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    with pytest.raises(AuthenticationError, match="Incorrect API key provided") as caught:
        await client.with_options(api_key="bad").models.list()
    assert caught.value.code == "invalid_api_key"
    async with aiohttp.ClientSession(fake.azure_endpoint) as web, web.get("/v1/models") as answer:
        assert answer.status == 401
        body = await answer.json()
    assert set(body["error"]) == {"message", "type", "param", "code"}


async def test_an_unknown_address_is_not_found(client: AsyncOpenAI) -> None:
    options: Any = {"headers": {"OpenAI-Beta": "assistants=v2"}}
    for method, path in (("GET", "/nothing"), ("POST", "/models"), ("POST", "/threads/a/b/c")):
        with pytest.raises(NotFoundError, match=rf"Invalid URL \({method} /v1{path}\)"):
            await (client.get if method == "GET" else client.post)(path, cast_to=object, options=options)


async def test_a_body_that_is_no_json_is_refused(fake: FakeOpenAI) -> None:
    async with (
        aiohttp.ClientSession(fake.azure_endpoint) as web,
        web.post("/v1/responses", data="{'model':", headers={"authorization": "Bearer key"}) as answer,
    ):
        assert answer.status == 400
        assert "could not parse the JSON body" in (await answer.json())["error"]["message"]


async def test_every_answer_has_a_request_id(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model=MODEL, input="x")
    assert (response._request_id or "").startswith("req_")
    with pytest.raises(NotFoundError) as caught:
        await client.responses.retrieve("resp_none")
    assert (caught.value.request_id or "").startswith("req_")


async def test_azure_has_paths_of_its_own(fake: FakeOpenAI) -> None:
    async with azure(fake) as client:
        completion = await client.chat.completions.create(model="deployed", messages=MESSAGES)
        assert completion.model == "deployed"
        thread = await client.beta.threads.create(messages=MESSAGES)
        run = await client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=ASSISTANT_ID, poll_interval_ms=1
        )
        assert run.status == "completed"
        assert (await client.responses.create(model="deployed", input="x")).output_text == "You said: x"
    seen = fake.requests[0]
    assert (seen.path, seen.deployment) == ("/chat/completions", "deployed")
    assert seen.headers["api-key"] == "key"
    assert "api-version" in seen.query


async def test_azure_demands_a_version_except_at_its_v1(fake: FakeOpenAI) -> None:
    async with azure(fake) as client:
        with pytest.raises(NotFoundError, match="Resource not found"):
            await client.beta.threads.create(extra_query={"api-version": None})
    async with AsyncOpenAI(base_url=f"{fake.azure_endpoint}/openai/v1/", api_key="key", max_retries=0) as client:
        assert (await client.responses.create(model=MODEL, input="x")).output_text
    async with AsyncOpenAI(base_url=fake.azure_endpoint, api_key="key", max_retries=0) as client:
        with pytest.raises(NotFoundError):
            await client.models.list()


async def test_a_server_may_lack_features(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.features.clear()
    with pytest.raises(NotFoundError, match=r"Invalid URL \(POST /v1/threads\)"):
        await client.beta.threads.create()
    with pytest.raises(NotFoundError, match=r"Invalid URL \(POST /v1/responses\)"):
        await client.responses.create(model=MODEL, input="x")
    with pytest.raises(NotFoundError, match=r"Invalid URL \(POST /v1/chat/completions\)"):
        await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    await client.models.list()


async def test_an_idempotency_key_counts_only_where_it_is_known(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    key = {"Idempotency-Key": "turn-1"}
    thread = (await client.beta.threads.create()).id

    async def send(text: str = "once") -> str:
        made = await client.beta.threads.messages.create(thread, role="user", content=text, extra_headers=key)
        return made.id

    assert await send() != await send()
    fake.features.add("idempotency")
    assert await send() == await send()
    assert fake.user_texts(thread) == ["once"] * 3
    with pytest.raises(BadRequestError, match="Keys for idempotent requests"):
        await send("other")


async def test_a_repeated_stream_is_sent_again(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.features.add("idempotency")
    conversation = (await client.conversations.create()).id
    told = []
    for _ in range(2):
        stream = await client.responses.create(
            model=MODEL,
            input="x",
            conversation=conversation,
            stream=True,
            extra_headers={"Idempotency-Key": "turn-1"},
        )
        told.append([event async for event in stream])
    assert told[0] == told[1]
    assert fake.user_texts(conversation) == ["x"]


async def test_requests_are_recorded_and_can_be_waited_for(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    await client.responses.create(model=MODEL, input="x", extra_headers={"X-Mine": "1"})
    await client.responses.retrieve(next(iter(fake.responses)))
    posted, got = fake.requests
    assert (posted.method, posted.path, posted.body) == ("POST", "/responses", {"model": MODEL, "input": "x"})
    assert (posted.headers["x-mine"], got.body) == ("1", None)
    assert fake.posts("/responses") == await fake.wait_for_async("POST", "/responses") == [posted]
    assert fake.wait_for("GET", "/responses/resp_.*") == [got]
    with pytest.raises(TimeoutError, match="POST /responses"):
        fake.wait_for("POST", "/responses", count=2, timeout=0.01)


async def test_a_release_applies_only_to_earlier_steps(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Hang())
    fake.release()
    await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    fake.script(Hang())
    running = await client.responses.create(model=MODEL, input="x", background=True)
    await fake.wait_until_async(lambda: fake.responses[running.id]["status"] == "in_progress")
    assert (await client.responses.retrieve(running.id)).status == "in_progress"
    fake.release()
    await fake.wait_until_async(lambda: fake.responses[running.id]["status"] == "completed")


async def test_a_stopped_server_refuses_connections_and_keeps_its_state(client: AsyncOpenAI) -> None:
    fake = FakeOpenAI()
    fake.start()
    here = client.with_options(base_url=fake.base_url)
    fake.script(Hang())
    running = await here.responses.create(model=MODEL, input="x", background=True)
    conversation = (await here.conversations.create(items=MESSAGES)).id
    fake.stop()
    with pytest.raises(APIConnectionError):
        await here.models.list()
    fake.start()
    try:
        assert (await here.responses.retrieve(running.id)).status == "cancelled"
        assert len((await here.conversations.items.list(conversation)).data) == 1
    finally:
        fake.stop()


@contextmanager
def program(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tests.fakes.openai_server", *flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_it_runs_as_a_program_until_its_stdin_closes() -> None:
    with program("--chunks", "40", "--chunk-delay", "0.0001", "--think", "0.001", "--quiet") as (process, url):
        with OpenAI(base_url=url, api_key="key", max_retries=0) as client:
            stream = client.responses.create(model=MODEL, input="hi", stream=True)
            assert [event.type for event in stream].count("response.output_text.delta") == 40
        out, errors = process.communicate(timeout=10)
        assert (process.returncode, out, errors) == (0, "", "")


def test_the_program_ends_on_sigterm() -> None:
    with program() as (process, url):
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 5, 100])
def test_a_text_is_cut_into_pieces_of_like_length(count: int) -> None:
    text = "abcdefghij"
    cut = split_evenly(text, count)
    assert "".join(cut) == text
    assert len(cut) == min(count, len(text))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_tokens_are_counted_at_least_once() -> None:
    assert (count_tokens(""), count_tokens("a" * 400, "b" * 4)) == (1, 101)


@pytest.mark.parametrize(
    ("rule", "sdk"),
    [
        ("POST /responses", [ResponseCreateParamsBase]),
        ("POST /chat/completions", [CompletionCreateParamsBase]),
        ("POST /threads/{}/runs", [RunCreateParamsBase]),
        ("POST /threads/runs", [ThreadCreateAndRunParamsBase]),
        ("POST /threads", [ThreadCreateParams]),
        ("POST /threads/{}/messages", [MessageCreateParams]),
        ("POST /assistants", [AssistantCreateParams]),
        ("POST /conversations", [ConversationCreateParams]),
    ],
)
def test_each_route_takes_the_parameters_that_the_sdk_knows(rule: str, sdk: list[Any]) -> None:
    known = {name for params in sdk for name in params.__annotations__}
    assert set(PARAMS[rule]) - {"stream"} == known - {"stream"}


async def test_an_unknown_or_mistyped_parameter_is_refused(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match="Unknown parameter: 'thread_id'") as unknown:
        await client.responses.create(model=MODEL, input="x", extra_body={"thread_id": "t"})
    assert (unknown.value.code, unknown.value.param) == ("unknown_parameter", "thread_id")
    with pytest.raises(BadRequestError, match="expected a string, but got a boolean") as mistyped:
        await client.responses.create(model=MODEL, input="x", instructions=True)  # type: ignore[call-overload]
    assert mistyped.value.code == "invalid_type"
    with pytest.raises(BadRequestError, match="expected an integer, but got a boolean"):
        await client.responses.create(model=MODEL, input="x", max_output_tokens=True)
