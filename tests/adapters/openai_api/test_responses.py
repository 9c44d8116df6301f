"""/v1/responses and /v1/conversations through a whole gateway, asked by the SDK with strict validation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage

from tests.adapters.openai_api.program_site import ProgramSite, open_site
from tests.fakes.openai_server import CallTool, Fail, Incomplete, Say
from tests.waiting import until

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
NAMED = {"type": "function", "name": "weather"}
TEXT_EVENTS = [
    *("response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"),
    *("response.output_text.delta", "response.output_text.done", "response.content_part.done"),
    *("response.output_item.done", "response.completed"),
]


@pytest.fixture(scope="module", params=["chat", "responses"])
def site(request: pytest.FixtureRequest, sqlite_module_url: str) -> Iterator[ProgramSite]:
    with open_site(sqlite_module_url, request.param) as opened:
        yield opened


def ask(site: ProgramSite, said: Any, **options: Any) -> Any:
    return site.client.responses.create(model="default", input=said, **options)


def call_of(response: Any) -> ResponseFunctionToolCall:
    (call,) = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    return call


def remembers(site: ProgramSite, *texts: str) -> bool:
    """Whether the newest request carries exactly these texts of users, or a thread at the server does."""
    if site.backend == "chat":
        return [each["content"] for each in site.said() if each["role"] == "user"] == list(texts)
    return site.fake.user_texts(site.sent()["conversation"]) == list(texts)


def test_a_response_repeats_what_was_asked(site: ProgramSite) -> None:
    answer = ask(
        site, "Hello", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5, max_output_tokens=99, user="ann"
    )
    assert (answer.status, answer.output_text, answer.model) == ("completed", "You said: Hello", "default")
    assert (answer.instructions, answer.metadata, answer.user) == ("Be brief.", {"a": "b"}, "ann")
    assert (answer.temperature, answer.max_output_tokens, answer.store) == (0.5, 99, True)
    assert answer.usage.total_tokens > 0
    assert "You are ours.\n\nBe brief." in json.dumps(site.sent(), ensure_ascii=False).replace("\\n", "\n")
    assert site.client.responses.retrieve(answer.id) == answer
    (item,) = site.client.responses.input_items.list(answer.id)
    assert texts_of([item]) == ["Hello"]


def test_responses_follow_each_other(site: ProgramSite) -> None:
    first = ask(site, "one")
    second = ask(site, "two", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert remembers(site, "one", "two")


def test_items_may_be_named_by_their_ids(site: ProgramSite) -> None:
    site.fake.script(CallTool("weather", {"city": "Rome"}), Say("Rain in Rome."))
    user: Any = {"role": "user", "content": "Weather?"}
    call = call_of(ask(site, [user], tools=[WEATHER]))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    said: Any = [user, {"type": "item_reference", "id": call.id}, result]
    answer = ask(site, said, tools=[WEATHER])
    assert answer.output_text == "Rain in Rome."
    ask(site, [*said, {"id": answer.output[0].id}, {"role": "user", "content": "Thanks"}])
    told = memory(site)
    assert [told.count(text) for text in ("Weather?", '"weather"', '"rain"', "Rain in Rome.")] == [1] * 4
    begun = site.client.conversations.create(items=[{"type": "item_reference", "id": answer.output[0].id}])
    (item,) = site.client.conversations.items.list(begun.id)
    ask(site, [user, {"type": "item_reference", "id": item.id}, {"role": "user", "content": "Thanks"}])
    assert memory(site).count("Rain in Rome.") == 1


def memory(site: ProgramSite) -> str:
    """Returns what the newest request carries, or its thread at the server, as JSON."""
    thread = site.sent().get("conversation")
    return json.dumps(site.fake.conversations[thread] if thread else site.said())


def test_an_item_that_is_not_kept_for_this_caller_cannot_be_named(site: ProgramSite) -> None:
    kept, not_kept, deleted = ask(site, "one"), ask(site, "two", store=False), ask(site, "three")
    site.client.responses.delete(deleted.id)
    for client, name in (
        (site.other_client, kept.output[0].id),
        (site.client, not_kept.output[0].id),
        (site.client, deleted.output[0].id),
        (site.client, f"{kept.output[0].id}_9"),
        (site.client, "rs_1"),
    ):
        with pytest.raises(openai.NotFoundError, match="not found"):
            client.responses.create(model="default", input=[{"type": "item_reference", "id": name}])


def test_two_responses_may_follow_the_same_one(site: ProgramSite) -> None:
    first = ask(site, "one")
    ask(site, "two", previous_response_id=first.id)
    third = ask(site, "three", previous_response_id=first.id)
    assert remembers(site, "one", "three")
    ask(site, "four", previous_response_id=third.id)
    assert remembers(site, "one", "three", "four")


def test_an_input_may_bring_the_past(site: ProgramSite) -> None:
    past = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}]
    first = ask(site, [*past, {"role": "user", "content": "two"}])
    assert remembers(site, "one", "two")
    ask(site, [{"role": "user", "content": "three"}, *past[1:], {"role": "user", "content": "four"}], **after(first))
    assert remembers(site, "one", "two", "three", "four")


def test_what_a_request_says_of_the_past_is_listed(site: ProgramSite) -> None:
    called: Any = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
    result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
    past = [{"role": "user", "content": "one"}, called, result, {"role": "assistant", "content": "1"}]
    begun = site.client.conversations.create(items=[{"role": "user", "content": "zero"}])
    answer = ask(site, [*past, {"role": "user", "content": "two"}], conversation=begun.id)
    said = [*site.client.responses.input_items.list(answer.id, order="asc")]
    assert [item.type for item in said] == ["message", "function_call", "function_call_output", "message", "message"]
    assert texts_of([said[0], *said[3:]]) == ["one", "1", "two"]
    kept = [*site.client.conversations.items.list(begun.id, order="asc")]
    assert [item.id for item in kept][1:-1] == [item.id for item in said]
    assert texts_of([kept[0], kept[-1]]) == ["zero", "You said: two"]


def texts_of(items: Iterable[Any]) -> list[str]:
    return [item.content[0].text for item in items]


def after(response: Any) -> dict[str, Any]:
    return {"previous_response_id": response.id}


def test_the_events_of_a_text_are_the_documented_ones(site: ProgramSite) -> None:
    with site.client.responses.stream(model="default", input="Hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert list(dict.fromkeys(kinds)) == TEXT_EVENTS
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "You said: Hello"
    assert site.client.responses.retrieve(final.id).output_text == final.output_text


@pytest.mark.parametrize("stream", [False, True])
def test_functions_of_the_caller_are_called_and_answered(site: ProgramSite, stream: bool) -> None:  # noqa: FBT001  # a parameter of the test
    site.fake.script(CallTool("weather", {"city": "Rome"}), Say("Rain in Rome."))
    if stream:
        with site.client.responses.stream(model="default", input="Weather?", tools=[WEATHER]) as events:
            kinds = [event.type for event in events]
            called: Any = events.get_final_response()
        assert kinds[2:] == [
            *("response.output_item.added", "response.function_call_arguments.delta"),
            *("response.function_call_arguments.done", "response.output_item.done", "response.completed"),
        ]
    else:
        called = ask(site, "Weather?", tools=[WEATHER])
    assert json.loads(call_of(called).arguments) == {"city": "Rome"}
    with pytest.raises(openai.BadRequestError, match="results of the calls"):
        ask(site, "Never mind", **after(called))
    result = {"type": "function_call_output", "call_id": call_of(called).call_id, "output": "rain"}
    answer = ask(site, [result], tools=[WEATHER], **after(called))
    assert answer.output_text == "Rain in Rome."
    assert "rain" in json.dumps(site.said())
    ask(site, "Thanks", **after(answer))
    if site.backend == "chat":
        assert [each["role"] for each in site.said()] == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_results_may_be_brought_again_after_a_failure(site: ProgramSite) -> None:
    if site.backend == "responses":
        return  # it leaves a call out of new threads that it takes for what was filtered
    conversation = site.client.conversations.create().id
    asked: Any = {"tools": [WEATHER], "conversation": conversation}
    site.fake.script(CallTool("weather", {"city": "Rome"}), Fail("invalid_prompt"), Say("Rain in Rome."))
    call_id = call_of(ask(site, "Weather?", **asked)).call_id
    result = {"type": "function_call_output", "call_id": call_id, "output": "rain"}
    with pytest.raises(openai.APIStatusError):
        ask(site, [result], **asked)
    with pytest.raises(openai.BadRequestError, match="results of the calls"):
        ask(site, "Never mind", **asked)
    assert ask(site, [result], **asked).output_text == "Rain in Rome."


def test_a_program_may_say_all_again_but_what_the_assistant_said(site: ProgramSite) -> None:
    asked: Any = {"tools": [WEATHER], "conversation": site.client.conversations.create().id}
    site.fake.script(CallTool("weather", {"city": "Rome"}), CallTool("weather", {"city": "Oslo"}), Say("Rain, snow."))
    said: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
    for output in ("rain", "snow"):
        call_id = call_of(ask(site, said, **asked)).call_id
        said.append({"type": "function_call_output", "call_id": call_id, "output": output})
    assert ask(site, said, **asked).output_text == "Rain, snow."
    assert ask(site, [*said, {"role": "user", "content": "So?"}], **asked).output_text == "You said: So?"
    told = memory(site)
    assert [told.count(text) for text in ("Weather?", '"rain"', '"snow"', "Rain, snow.")] == [1] * 4
    with pytest.raises(openai.BadRequestError, match="not among those before it"):
        ask(site, said, **asked)


def test_results_may_come_after_what_the_user_says_meanwhile(site: ProgramSite) -> None:
    asked: Any = {"tools": [WEATHER], "conversation": site.client.conversations.create().id}
    site.fake.script(CallTool("weather", {"city": "Rome"}))
    call_id = call_of(ask(site, "Weather?", **asked)).call_id
    result: Any = {"type": "function_call_output", "call_id": call_id, "output": "rain"}
    hurry: Any = {"role": "user", "content": "Hurry"}
    for item in (hurry, result):
        site.client.conversations.items.create(asked["conversation"], items=[item])
    assert ask(site, "So?", **asked).output_text == "You said: So?"


def test_calls_and_results_may_be_items_of_a_conversation(site: ProgramSite) -> None:
    called: Any = [
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
    ]
    result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
    first = site.client.conversations.create(items=called).id
    assert ask(site, [result], tools=[WEATHER], conversation=first).output_text
    second = site.client.conversations.create(items=[*called, result]).id
    assert ask(site, "So?", tools=[WEATHER], conversation=second).output_text == "You said: So?"


def test_a_call_of_an_own_tool_beside_one_of_the_caller_leaves_the_thread_usable(site: ProgramSite) -> None:
    both: Any = [CallTool("calculate", {"expression": "6*7"}), CallTool("weather", {"city": "Rome"})]
    site.fake.script(both, Say("42 and rain"))
    called = ask(site, "Both?", tools=[WEATHER])
    result = {"type": "function_call_output", "call_id": call_of(called).call_id, "output": "rain"}
    assert ask(site, [result], tools=[WEATHER], **after(called)).output_text == "42 and rain"


def test_a_conversation_keeps_what_was_said(site: ProgramSite) -> None:
    begun: Any = [{"role": "user", "content": "I am Ann"}, {"role": "assistant", "content": "Hello Ann"}]
    made = site.client.conversations.create(metadata={"a": "b"}, items=begun)
    assert site.client.conversations.retrieve(made.id) == made
    answer = ask(site, "Who?", conversation=made.id)
    assert answer.conversation.id == made.id
    assert remembers(site, "I am Ann", "Who?")
    added = site.client.conversations.items.create(made.id, items=[{"role": "user", "content": "By the way"}])
    (item,) = added.data
    assert site.client.conversations.items.retrieve(item.id or "", conversation_id=made.id) == item
    ask(site, "Again?", conversation={"id": made.id})
    assert remembers(site, "I am Ann", "Who?", "By the way", "Again?")
    pages = site.client.conversations.items.list(made.id, order="asc", limit=2)
    assert texts_of(pages) == [
        *("I am Ann", "Hello Ann", "Who?", "You said: Who?", "By the way", "Again?", "You said: Again?")
    ]
    assert site.client.conversations.update(made.id, metadata={"c": "d"}).metadata == {"c": "d"}
    assert site.client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        site.client.conversations.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        ask(site, "Who?", conversation=made.id)


def test_a_response_in_the_background_is_asked_for_later(site: ProgramSite) -> None:
    begun = ask(site, "Hello", background=True)
    assert begun.background
    until(lambda: site.client.responses.retrieve(begun.id).status == "completed")
    assert site.client.responses.retrieve(begun.id).output_text == "You said: Hello"
    with pytest.raises(openai.BadRequestError, match="completed already"):
        site.client.responses.cancel(begun.id)


def test_a_response_in_the_background_is_cancelled(site: ProgramSite) -> None:
    site.fake.script(Say(chunks=4, hold_after=1))
    before = len(site.fake.posts(site.run_path))
    begun = ask(site, "Hello", background=True)
    until(lambda: len(site.fake.posts(site.run_path)) > before)  # else the model would be left with its script
    assert site.client.responses.cancel(begun.id).status == "cancelled"
    assert site.client.responses.retrieve(begun.id).status == "cancelled"


def test_items_wait_until_the_response_of_their_conversation_is_there(site: ProgramSite) -> None:
    conversation = site.client.conversations.create().id
    site.fake.script(Say("Hello", hold_after=1))
    begun = ask(site, "Hello", conversation=conversation, background=True)
    item: Any = {"type": "message", "role": "user", "content": "And this."}
    with pytest.raises(openai.BadRequestError) as refused:
        site.client.conversations.items.create(conversation, items=[item])
    assert (refused.value.code, refused.value.response.headers["x-should-retry"]) == ("conversation_locked", "true")
    site.fake.release()
    until(lambda: site.client.responses.retrieve(begun.id).status == "completed")
    assert site.client.conversations.items.create(conversation, items=[item]).data


def test_what_is_cut_off_is_incomplete(site: ProgramSite) -> None:
    site.fake.script([Say("Half an"), Incomplete()])
    answer = ask(site, "Hello")
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.output_text == "Half an"


def test_what_is_cut_off_before_any_text_is_no_failure(site: ProgramSite) -> None:
    site.fake.script(Incomplete(), Incomplete())
    answer = ask(site, "Hello", max_output_tokens=16)
    assert (answer.status, answer.output_text, answer.error) == ("incomplete", "", None)
    with site.client.responses.stream(model="default", input="Hello") as stream:
        assert [each.type for each in stream][-1] == "response.incomplete"


def test_an_empty_answer_is_told_as_it_is(site: ProgramSite) -> None:
    conversation = site.client.conversations.create().id
    asked: Any = {"tools": [WEATHER], "conversation": conversation}
    site.fake.script(CallTool("weather", {"city": "Rome"}), Say(""), Say(""))
    call_id = call_of(ask(site, "Weather?", **asked)).call_id
    answer = ask(site, [{"type": "function_call_output", "call_id": call_id, "output": "rain"}], **asked)
    assert (answer.status, answer.output_text, answer.error) == ("completed", "", None)
    assert next(iter(site.client.conversations.items.list(conversation, limit=1))).id == answer.output[0].id
    with site.client.responses.stream(model="default", input="Hello") as stream:
        assert [each.type for each in stream][-1] == "response.completed"
    assert ask(site, "Thanks", **asked).output_text == "You said: Thanks"


def test_a_failure_ends_a_stream_and_is_kept(site: ProgramSite) -> None:
    site.fake.script(Fail("invalid_prompt"))
    with site.client.responses.stream(model="default", input="Hello") as stream:
        events: list[Any] = list(stream)
    assert events[-1].type == "response.failed"
    assert site.client.responses.retrieve(events[-1].response.id).error is not None
    site.fake.script(Fail("invalid_prompt"))
    with pytest.raises(openai.APIStatusError):
        ask(site, "Hello")


def test_who_may_see_a_response(site: ProgramSite) -> None:
    kept, not_kept, deleted = ask(site, "one"), ask(site, "two", store=False), ask(site, "three")
    site.client.responses.delete(deleted.id)
    for client, identity in (
        (site.other_client, kept.id),
        (site.client, not_kept.id),
        (site.client, deleted.id),
        (site.client, "resp_nonsense"),
    ):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(identity)
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="default", input="x", previous_response_id=identity)
        assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize(
    ("said", "options", "param"),
    [
        ([{"type": "computer_call"}], {}, "input[0]"),
        ([{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}], {}, None),
        ([{"type": "function_call_output", "call_id": "call_1", "output": "x"}], {}, "input[0]"),
        ("x", {"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ("x", {"text": {"format": {"type": "grammar"}}}, "text.format"),
        ("x", {"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ("x", {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice"),
        ("x", {"tool_choice": {"type": "allowed_tools", "mode": "any", "tools": [NAMED]}}, "tool_choice"),
        ("x", {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}}, "tool_choice"),
        ("x", {"conversation": "conv_1", "previous_response_id": "resp_1"}, "conversation"),
        ("x", {"prompt": {"id": "pmpt_1"}}, "prompt"),
    ],
)
def test_what_is_wrong_is_named(site: ProgramSite, said: Any, options: Any, param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(site, said, **options)
    assert caught.value.param == (param or "input[0].content[0].file_id")


def test_only_the_functions_that_are_allowed_may_be_called(site: ProgramSite) -> None:
    choice: Any = {"type": "allowed_tools", "mode": "required", "tools": [NAMED]}
    answer = ask(site, "Hello", tools=[WEATHER], tool_choice=choice)
    assert answer.tool_choice.model_dump() == choice
    function = {"type": "function", "function": {"name": "weather"}}
    of_completions = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function]}}
    assert site.sent()["tool_choice"] == (of_completions if site.backend == "chat" else choice)


def test_the_message_of_an_answer_has_its_turns_name(site: ProgramSite) -> None:
    answer = ask(site, "Hello")
    (message,) = answer.output
    assert isinstance(message, ResponseOutputMessage)
    assert message.id.removeprefix("msg_") == answer.id.removeprefix("resp_")
