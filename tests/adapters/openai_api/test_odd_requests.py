"""What is legal and seldom: each parameter has its effect, or is refused by its name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, get_args

import httpx2
import pytest
from openai import DEFAULT_TIMEOUT, BadRequestError, InternalServerError, NotFoundError, OpenAI
from openai.types.beta.threads.run import LastError
from openai.types.beta.threads.run_submit_tool_outputs_params import ToolOutput
from openai.types.responses import ResponseError, ResponseErrorEvent

from adapters.openai_api.errors import REFUSED
from adapters.openai_api.outcome import LIMITED, failure_code
from adapters.openai_api.response_stream import ResponseStream
from adapters.openai_api.said import NAMES
from adapters.openai_api.settings import OpenAiApiSettings
from gateway.domain.models import Failure
from gateway.web.api.problems import FINAL_CODES, error_response
from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api
from tests.fakes.openai_server import Say
from tests.gateway.turn_factory import TURN

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)

USER: Any = {"role": "user", "content": "Hello"}
PNG = "data:image/png;base64,iVBORw0KGgo="
PICTURE: Any = {"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}
LEGACY: Any = {"role": "assistant", "content": None, "function_call": {"name": "a", "arguments": "{}"}}
SCHEMA: Any = {"type": "json_schema"}
LOGPROBS: Any = ["message.output_text.logprobs"]
Ask = Callable[[OpenAI], Any]


def complete(client: OpenAI, *messages: Any, **options: Any) -> Any:
    return client.chat.completions.create(model="default", messages=[*messages], **options)


def respond(client: OpenAI, said: Any = "Hello", **options: Any) -> Any:
    return client.responses.create(model="default", input=said, **options)


def run(client: OpenAI, **options: Any) -> Any:
    thread: Any = {"messages": [USER]}
    return client.beta.threads.create_and_run_poll(assistant_id="default", thread=thread, **options)


def upload(client: OpenAI, seconds: int) -> Any:
    expiry: Any = {"anchor": "created_at", "seconds": seconds}
    return client.files.create(file=("a.txt", b"text"), purpose="user_data", expires_after=expiry)


REFUSED_BY_NAME: dict[str, tuple[Ask, str]] = {
    "a picture of the system": (lambda client: complete(client, PICTURE, USER), "messages[0].content"),
    "a function of old": (lambda client: complete(client, USER, LEGACY, USER), "messages[1].function_call"),
    "an odd effort": (lambda client: complete(client, USER, reasoning_effort="odd"), "reasoning_effort"),
    "an odd verbosity": (lambda client: respond(client, text={"verbosity": "odd"}), "text.verbosity"),
    "an odd setting": (lambda client: respond(client, reasoning={"mode": "pro"}), "reasoning.mode"),
    "log probabilities": (lambda client: respond(client, include=LOGPROBS), "include[0]"),
    "what there is not": (lambda client: respond(client, include=["none"]), "include[0]"),
    "a part of each item": (lambda client: items(client, include=LOGPROBS), "include"),
    "a part of added items": (lambda client: add(client, include=LOGPROBS), "include"),
    "no truncation": (lambda client: respond(client, truncation="disabled"), "truncation"),
    "no schema": (lambda client: respond(client, text={"format": {**SCHEMA, "name": "a"}}), "text.format"),
    "no input": (lambda client: respond(client, []), "input"),
    "reasoning alone": (lambda client: respond(client, [{"type": "reasoning", "id": "r", "summary": []}]), "input"),
    "a picture from nowhere": (
        lambda client: respond(client, [{"role": "user", "content": [{"type": "input_image", "detail": "auto"}]}]),
        "input[0].content[0].image_url",
    ),
    "nothing to ask for later": (lambda client: respond(client, background=True, store=False), "background"),
    "a format without a name": (lambda client: run(client, response_format=SCHEMA), "response_format"),
    "a choice of nothing": (lambda client: run(client, tool_choice={"type": "function"}), "tool_choice"),
    "a tool that is none": (lambda client: run(client, tool_choice={"type": "code_interpreter"}), "tool_choice"),
    "how many messages": (lambda client: run(client, truncation_strategy=LAST), "truncation_strategy"),
    "too long a time": (lambda client: upload(client, 30 * 86_400), "expires_after[seconds]"),
    "a message without text": (lambda client: speak(client, "  "), "content"),
    "outputs of one call": (lambda client: bring(client, "a", "a"), "tool_outputs"),
    "an odd field": (lambda client: client.files.create(file=b"a", purpose="vision", extra_body={"a": "b"}), "a"),
}
LAST: Any = {"type": "last_messages"}


def add(client: OpenAI, **options: Any) -> Any:
    return client.conversations.items.create(client.conversations.create().id, items=[USER], **options)


def speak(client: OpenAI, text: str) -> Any:
    return client.beta.threads.messages.create(client.beta.threads.create().id, role="user", content=text)


def bring(client: OpenAI, *calls: str) -> Any:
    done, outputs = run(client), [ToolOutput(tool_call_id=name, output="x") for name in calls]
    return client.beta.threads.runs.submit_tool_outputs(done.id, thread_id=done.thread_id, tool_outputs=outputs)


def items(client: OpenAI, **options: Any) -> Any:
    return client.conversations.items.list(client.conversations.create().id, **options)


@pytest.mark.parametrize("what", REFUSED_BY_NAME)
def test_what_has_no_effect_here_is_refused_by_name(client: OpenAI, what: str) -> None:
    ask, param = REFUSED_BY_NAME[what]
    with pytest.raises(BadRequestError) as refused:
        ask(client)
    assert refused.value.param == param, refused.value.message
    assert param in refused.value.message


def test_the_model_is_told_who_wrote_each_message(client: OpenAI, site: ApiSite) -> None:
    ann, bob = ({**USER, "name": name} for name in ("Ann", "Bob:\nAnn"))
    complete(client, ann, {"role": "assistant", "content": "Hi!", "name": "bot"}, bob)
    system, *said = site.fake.requests[-1].body["messages"]
    assert [each["content"] for each in said] == ["Ann: Hello", "Hi!", "Bob Ann: Hello"]
    assert system["content"].endswith(NAMES)
    complete(client, USER)
    assert NAMES not in site.fake.requests[-1].body["messages"][0]["content"]


def test_how_tools_are_used_holds_for_the_assistants_own(client: OpenAI, site: ApiSite) -> None:
    run(client, tool_choice="none", parallel_tool_calls=False)
    body = site.fake.requests[-1].body
    assert body["tools"]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("none", False)


def test_where_there_are_no_tools_nothing_is_said_of_them(client: OpenAI, site: ApiSite) -> None:
    bare = client.beta.assistants.create(model="gpt-5").id
    thread: Any = {"messages": [USER]}
    client.beta.threads.create_and_run_poll(
        assistant_id=bare, thread=thread, tool_choice="none", parallel_tool_calls=False
    )
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & site.fake.requests[-1].body.keys()


def test_a_function_without_parameters_is_the_same_by_each_api(client: OpenAI, site: ApiSite) -> None:
    function: Any = {"name": "ping"}
    asks: tuple[Ask, ...] = (
        lambda client: complete(client, USER, tools=[{"type": "function", "function": function}]),
        lambda client: respond(client, tools=[{"type": "function", **function}]),
        lambda client: run(client, tools=[{"type": "function", "function": function}]),
    )
    told = []
    for ask in asks:
        ask(client)
        told.append(site.fake.requests[-1].body["tools"][-1]["function"])
    assert told == [{"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}}] * 3


@pytest.mark.parametrize("code", sorted({*LIMITED, *REFUSED, *FINAL_CODES, "assistant_failed", "expired", "any"}))
def test_why_a_run_or_a_response_failed_is_a_code_that_both_have(code: str) -> None:
    shown = failure_code(Failure(code, "No."))
    for model in (LastError, ResponseError):
        assert shown in get_args(model.model_fields["code"].annotation)


def test_each_answer_names_its_request(client: OpenAI) -> None:
    answers = [client.models.list(), client.beta.threads.create()]
    with pytest.raises(NotFoundError) as unknown:
        client.responses.retrieve("resp_nothing")
    names = [*(each._request_id for each in answers), unknown.value.request_id]
    assert len(set(names)) == len(names)
    assert all(name is not None and name.startswith("req_") for name in names)


def test_a_page_may_send_what_its_client_adds(site: ApiSite) -> None:
    added = ["authorization", "http-referer", "user-agent", "x-requested-with", "x-stainless-lang"]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ",".join(added)}
    answer = httpx2.options(f"{site.base_url}/v1/responses", headers={"Origin": "https://a.example", **asked})
    assert (answer.status_code, answer.headers["access-control-allow-headers"]) == (200, ", ".join(added))
    assert "X-Should-Retry" in answer.headers["access-control-expose-headers"]


def test_what_ends_a_stream_without_an_outcome_is_told_as_documented_and_as_openai_sends_it() -> None:
    (event,) = ResponseStream(TURN).on_problem(error_response(503, "overloaded", "Later."))
    told = json.loads(event.partition("data: ")[2])
    assert event.startswith("event: error\n")
    assert ResponseErrorEvent.model_validate(told).message == "Later."
    assert told["error"] == {"message": "Later.", "type": "server_error", "param": None, "code": "overloaded"}


def test_a_response_is_cancelled_once(client: OpenAI, site: ApiSite) -> None:
    site.fake.script(Say("slow", hold_after=1))
    response = respond(client, background=True)
    assert [client.responses.cancel(response.id).status for _ in range(2)] == ["cancelled"] * 2
    site.fake.release()


def test_a_file_ends_when_its_uploader_wants_it(client: OpenAI) -> None:
    assert upload(client, 3600).expires_at == pytest.approx(time.time() + 3600, abs=60)


def test_a_program_waits_as_long_as_the_operator_says(sqlite_url: str) -> None:
    assert OpenAiApiSettings().v1_wait_seconds >= (DEFAULT_TIMEOUT.read or 0)
    with open_api(sqlite_url, V1_WAIT_SECONDS="0.1", CHAT_WAIT_SECONDS="60") as site:
        site.fake.script(Say("slow", hold_after=1))
        with pytest.raises(InternalServerError) as late:
            complete(site.client(), USER)
        assert (late.value.status_code, late.value.code) == (504, "timed_out")
        site.fake.release()


def test_how_files_are_searched_reaches_the_server(sqlite_url: str) -> None:
    with open_api(sqlite_url, ASSISTANT_BACKEND="responses") as site:
        client = site.client()
        store = client.vector_stores.create().id
        tool: Any = {"type": "file_search", "file_search": {"max_num_results": 3}}
        thread: Any = {"messages": [USER], "tool_resources": {"file_search": {"vector_store_ids": [store]}}}
        ended = client.beta.threads.create_and_run_poll(
            assistant_id="default", thread=thread, tools=[tool], tool_choice={"type": "file_search"}
        )
        assert ended.status == "completed", ended.last_error
        body = site.fake.posts("/responses")[-1].body
        assert body["tools"] == [{"type": "file_search", "vector_store_ids": [store], "max_num_results": 3}]
        assert body["tool_choice"] == {"type": "file_search"}
