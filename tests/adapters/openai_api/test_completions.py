"""POST /v1/chat/completions through a whole gateway, asked by the SDK with strict validation."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.adapters.openai_api.program_site import KEY, ProgramSite, open_site
from tests.fakes.openai_server import CallTool, Fail, Incomplete, MakeImage, Say
from tests.waiting import until

USER: Any = {"role": "user", "content": "Hello"}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module", params=["chat", "responses"])
def site(request: pytest.FixtureRequest, sqlite_module_url: str) -> Iterator[ProgramSite]:
    with open_site(sqlite_module_url, request.param) as opened:
        yield opened


def ask(site: ProgramSite, *messages: Any, **options: Any) -> Any:
    return site.client.chat.completions.create(model="default", messages=[*messages], **options)


def allowed(mode: str, *tools: Any) -> Any:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*tools]}}


def refused(site: ProgramSite, *messages: Any, **options: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(site, *messages, **options)
    return caught.value


def test_the_history_is_the_callers(site: ProgramSite) -> None:
    answer = ask(
        site,
        {"role": "system", "content": "Be kind."},
        USER,
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "Who am I?"},
    )
    assert answer.choices[0].message.content == "You said: Who am I?"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "default"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    contents = [message["content"] for message in site.said()]
    assert contents[-3:] == ["Hello", "Hi!", "Who am I?"]
    told = site.sent().get("instructions") or contents[0]
    assert told == "You are ours.\n\nBe kind."
    assert "conversation" not in site.sent()


def test_a_stream_ends_with_its_usage(site: ProgramSite) -> None:
    chunks = list(ask(site, USER, stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "You said: Hello"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0


def test_without_being_asked_a_stream_tells_no_usage(site: ProgramSite) -> None:
    assert all(chunk.choices and chunk.usage is None for chunk in ask(site, USER, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_functions_of_the_caller_come_back_as_calls_and_their_results_go_on(site: ProgramSite, stream: bool) -> None:  # noqa: FBT001  # a parameter of the test
    site.fake.script(CallTool("weather", {"city": "Paris"}), Say("Sunny in Paris."))
    if stream:
        with site.client.chat.completions.stream(model="default", messages=[USER], tools=[WEATHER]) as events:
            called: Any = events.until_done().get_final_completion().choices[0]
    else:
        called = ask(site, USER, tools=[WEATHER]).choices[0]
    assert called.finish_reason == "tool_calls"
    (call,) = called.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    answer = ask(site, USER, called.message.model_dump(), result, tools=[WEATHER])
    assert answer.choices[0].message.content == "Sunny in Paris."
    outputs = [each for each in site.said() if "sunny" in json.dumps(each)]
    assert [each.get("tool_call_id", each.get("call_id")) for each in outputs] == [call.id]


def test_a_call_of_the_assistants_own_tool_is_run_here(site: ProgramSite) -> None:
    site.fake.script(CallTool("calculate", {"expression": "6*7"}), Say("42"))
    answer = ask(site, USER, tools=[WEATHER], tool_choice="required")
    assert answer.choices[0].message.content == "42"
    assert answer.choices[0].message.tool_calls is None
    assert "tool_choice" not in site.sent()


def test_parameters_reach_the_server(site: ProgramSite) -> None:
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    ask(
        site,
        USER,
        temperature=0.2,
        max_tokens=50,
        reasoning_effort="low",
        tool_choice={"type": "function", "function": {"name": "weather"}},
        tools=[WEATHER],
        response_format={"type": "json_schema", "json_schema": schema},
    )
    body = site.sent()
    assert body["temperature"] == 0.2
    if "messages" in body:
        assert (body["max_tokens"], body["reasoning_effort"]) == (50, "low")
        assert body["response_format"] == {"type": "json_schema", "json_schema": schema}
        assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    else:
        assert (body["max_output_tokens"], body["reasoning"]) == (50, {"effort": "low"})
        assert body["text"] == {"format": {"type": "json_schema", **schema}}
        assert body["tool_choice"] == {"type": "function", "name": "weather"}


def test_only_the_functions_that_are_allowed_may_be_called(site: ProgramSite) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    site.fake.script(CallTool("calculate", {"expression": "6*7"}), Say("42"))
    ask(site, USER, tools=[WEATHER], tool_choice=allowed("required", named))
    first, last = (each.body["tool_choice"] for each in site.fake.posts(site.run_path)[-2:])
    if site.backend == "chat":
        assert (first, last) == (allowed("required", named), allowed("auto", named))
    else:
        flat = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}
        assert (first, last) == (flat, {**flat, "mode": "auto"})


def test_what_programs_send_unasked_and_means_nothing_is_taken(site: ProgramSite) -> None:
    neutral: Any = {"presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "stop": [], "n": 1}
    left_out = {"functions": None, "audio": None, "prediction": None, "top_logprobs": 0}
    tool = {**WEATHER, "function": {**WEATHER["function"], "defer": None}}
    answer = ask(site, USER, response_format={"type": "text"}, tools=[tool], **neutral, extra_body=left_out)
    assert answer.choices[0].message.content == "You said: Hello"
    assert not {"presence_penalty", "stop", "logit_bias"} & site.sent().keys()


def test_files_of_an_answer_are_named(site: ProgramSite) -> None:
    if site.backend == "chat":
        return
    answer: Any = [MakeImage(PNG), Say("Here.")]
    site.fake.script(answer, answer, answer)
    named = re.compile(r"Here\.\n\n\[file: [^\n\]]+\]")
    assert named.fullmatch(ask(site, USER).choices[0].message.content)
    assert named.fullmatch("".join(chunk.choices[0].delta.content or "" for chunk in ask(site, USER, stream=True)))
    with site.client.responses.stream(model="default", input="Hello") as stream:
        assert named.fullmatch(stream.until_done().get_final_response().output_text)


def test_a_message_may_have_whole_documents(site: ProgramSite) -> None:
    document = "x" * 256_000
    site.fake.script(Say("A long one."))
    assert ask(site, {"role": "user", "content": document}).choices[0].message.content == "A long one."
    assert document in json.dumps(site.said()[-1])


def test_what_the_backend_has_not_is_refused_by_name(site: ProgramSite) -> None:
    if site.backend == "chat":
        assert ask(site, USER, seed=3).choices
        return
    error = refused(site, USER, seed=3)
    assert (error.status_code, error.type) == (400, "invalid_request_error")
    assert (error.param, error.code) == ("seed", "unsupported_parameter")
    assert "`seed` is not supported" in error.message


def test_pictures_are_attached_those_of_earlier_messages_too(site: ProgramSite) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    seen = {
        "role": "user",
        "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}],
    }
    ask(site, seen, {"role": "assistant", "content": "A dot."}, {"role": "user", "content": "What colour?"})
    sent = json.dumps(site.said())
    assert sent.count(url) == 1
    assert "What colour?\\n[attached: image.png]" in sent
    until(lambda: site.count("uploads") == 0)


def test_a_named_thread_is_joined(site: ProgramSite) -> None:
    ask(site, {"role": "user", "content": "I am Ann"}, extra_headers={"X-Thread-Id": f"of-ann-{site.backend}"})
    repeated = [USER, {"role": "assistant", "content": "what the program thinks was said"}]
    answer = ask(site, *repeated, {"role": "user", "content": "Who?"}, metadata={"thread_id": f"of-ann-{site.backend}"})
    assert answer.choices[0].message.content == "You said: Who?"
    if site.backend == "chat":
        assert [each["content"] for each in site.said()][1:] == ["I am Ann", "You said: I am Ann", "Who?"]
    else:
        assert site.sent()["conversation"]
    others = site.other_client.chat.completions.create(
        model="default", messages=[USER], extra_headers={"X-Thread-Id": f"of-ann-{site.backend}"}
    )
    assert others.choices
    assert "I am Ann" not in json.dumps(site.said())


def test_an_answer_that_was_cut_off_says_so_without_a_line_of_ours(site: ProgramSite) -> None:
    site.fake.script([Say("Half an"), Incomplete()])
    answer = ask(site, USER, max_tokens=16).choices[0]
    assert (answer.finish_reason, answer.message.content) == ("length", "Half an")
    site.fake.script(Incomplete(), Incomplete())
    answer = ask(site, USER, max_tokens=16).choices[0]
    assert (answer.finish_reason, answer.message.content) == ("length", "")
    assert list(ask(site, USER, stream=True))[-1].choices[0].finish_reason == "length"


def test_a_failure_has_openais_form(site: ProgramSite) -> None:
    site.fake.script(Fail("invalid_prompt"))
    error = refused(site, USER)
    assert (error.status_code, error.type, error.code) == (400, "invalid_request_error", "content_filter")
    assert error.body.keys() == {"message", "type", "param", "code"}  # type: ignore[attr-defined]  # a dict
    site.fake.script(Fail("invalid_prompt"))
    with pytest.raises(openai.APIError):
        list(ask(site, USER, stream=True))


def test_what_programs_read_unasked_is_there(site: ProgramSite) -> None:
    answer = ask(site, USER)
    streamed = list(ask(site, USER, stream=True, stream_options={"include_usage": True}))[-1]
    for usage in (answer.usage, streamed.usage):
        assert (usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens) == (0, 0)
    assert answer.choices[0].message.annotations == []


def test_what_is_not_served_is_refused_by_its_name(site: ProgramSite) -> None:
    calls: dict[str, Callable[[openai.OpenAI], Any]] = {
        "Embeddings": lambda client: client.embeddings.create(model="default", input="Hello"),
        "Audio": lambda client: client.audio.speech.create(model="default", voice="alloy", input="Hello"),
        "Batches": lambda client: client.batches.list(),
        "Containers": lambda client: client.containers.list(),
        "Legacy completions": lambda client: client.completions.create(model="default", prompt="Hello"),
        "Counting of input tokens": lambda client: client.responses.input_tokens.count(model="default", input="Hello"),
    }
    for name, call in calls.items():
        with pytest.raises(openai.NotFoundError, match=f"{name}: not served"):
            call(site.client)
    azure = openai.AzureOpenAI(azure_endpoint=site.api.base_url, api_key=KEY, api_version="2024-10-21", max_retries=0)
    with azure, pytest.raises(openai.NotFoundError, match="Embeddings: not served"):
        azure.embeddings.create(model="default", input="Hello")


def test_azures_client_is_answered(site: ProgramSite) -> None:
    azure = openai.AzureOpenAI(azure_endpoint=site.api.base_url, api_key=KEY, api_version="2024-10-21", max_retries=0)
    answer = azure.chat.completions.create(model="default", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content == "You said: Hi"


def test_models_are_the_assistants(site: ProgramSite) -> None:
    assert [model.id for model in site.client.models.list()] == ["default"]
    assert site.client.models.retrieve("default").owned_by == "gateway"
    with pytest.raises(openai.NotFoundError, match="The models here are: default") as caught:
        site.client.chat.completions.create(model="gpt-9", messages=[USER])
    assert caught.value.code == "model_not_found"


def test_a_wrong_key_is_refused(site: ProgramSite) -> None:
    stranger = openai.OpenAI(base_url=f"{site.api.base_url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_request_without_a_model_is_told_so(site: ProgramSite) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        site.client.chat.completions.create(model="", messages=[USER])
    assert (caught.value.param, caught.value.code) == ("model", "missing_required_parameter")


@pytest.mark.parametrize(
    ("messages", "options", "param"),
    [
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}], {}, None),
        ([{"role": "user", "content": [{"type": "video", "video": 1}]}], {}, "messages[0].content[0]"),
        ([{"role": "user", "content": 5}], {}, "messages[0].content"),
        ([{"role": "user"}], {}, "messages[0].content"),
        ([{"role": "system", "content": None}, USER], {}, "messages[0].content"),
        ([{"role": "robot", "content": "x"}], {}, "messages[0].role"),
        ([USER, {"role": "assistant", "content": "x"}], {}, "messages[1]"),
        ([USER, {"role": "tool", "tool_call_id": "call_1", "content": "x"}], {}, "messages[1]"),
        ([USER], {"n": 2}, "n"),
        ([USER], {"logprobs": True}, "logprobs"),
        ([USER], {"temperature": 9}, "temperature"),
        ([USER], {"extra_body": {"foo": 1}}, "foo"),
        ([USER], {"response_format": {"type": "grammar"}}, "response_format"),
        ([USER], {"tool_choice": {"type": "function"}}, "tool_choice"),
        ([USER], {"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ([USER], {"tool_choice": allowed("auto")}, "tool_choice"),
        ([USER], {"tool_choice": allowed("none", {"type": "function", "function": {"name": "a"}})}, "tool_choice"),
        ([USER], {"tool_choice": allowed("auto", {"type": "web_search"})}, "tool_choice"),
        ([USER], {"metadata": {"thread_id": "no blanks"}}, "metadata.thread_id"),
        ([{"role": "user", "content": "x" * 256_001}], {}, "messages"),
    ],
)
def test_what_is_wrong_is_named(site: ProgramSite, messages: Any, options: Any, param: str | None) -> None:
    error = refused(site, *messages, **options)
    assert (error.status_code, error.type) == (400, "invalid_request_error")
    assert error.param == (param or "messages[0].content[0].image_url.url")
