"""What goes back to a server with the outputs of tools: everything that came, in a form that it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.domain.exchange import CallRound, Exchange
from gateway.domain.models import Turn, Usage
from gateway.domain.past import as_asked, open_rounds
from gateway.domain.run_events import CallsHeld, RunCompleted, RunEvent
from gateway.domain.turn_options import TurnOptions
from gateway.tools import ToolBox
from tests.contracts.assistant_approvals import REFUND, look
from tests.contracts.assistant_online import TOOL_RUNS, add
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.chat_chunks import DONE, call, chunks, event, sent
from tests.fakes.raw_server import RawServer

CONFIG = AssistantConfig("gpt-4o")
SUM = '{"a": 1, "b": 2}'
ORDER = '{"order": 1}'


@pytest.fixture
def session(raw_client: openai.AsyncOpenAI) -> AssistantSession:
    return AssistantSession(ChatBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add]), retry_seconds=0.001))


async def round_trip(
    raw: RawServer, session: AssistantSession, *deltas: Mapping[str, object]
) -> list[dict[str, object]]:
    """Plays one round with these deltas and an answer. Returns what went back: the message, and the outputs."""
    raw.add_stream(*chunks(*deltas, finish="tool_calls"), DONE)
    raw.add_stream(*chunks({"content": "Three."}), DONE)
    assert await session.say("1 + 2?") == "Three."
    messages: list[dict[str, object]] = sent(raw)["messages"][1:]
    return messages


async def test_reasoning_goes_back_joined(raw: RawServer, session: AssistantSession) -> None:
    message, _ = await round_trip(
        raw, session, {"reasoning_content": "Ad"}, {"reasoning_content": "d."}, {"tool_calls": [call("x", SUM)]}
    )
    assert message["reasoning_content"] == "Add."


@pytest.mark.parametrize("more", [{}, {"tool_calls": None}, {"tool_calls": []}])
async def test_a_call_in_the_form_before_tools_is_one(
    raw: RawServer, session: AssistantSession, more: dict[str, object]
) -> None:
    pieces = [{"name": "add", "arguments": ""}, {"arguments": SUM[:5]}, {"name": None, "arguments": SUM[5:]}]
    message, output = await round_trip(raw, session, *({"function_call": piece, **more} for piece in pieces))
    assert [one["function"] for one in message["tool_calls"]] == [{"name": "add", "arguments": SUM}]  # type: ignore[attr-defined]  # a list
    assert output["content"] == "3"


@pytest.mark.parametrize(
    "name", ["functions.add", "add<|channel|>commentary", "functions.add<|constrain|>json", " add"]
)
async def test_a_name_is_understood_with_what_gpt_oss_writes_around_it(
    raw: RawServer, session: AssistantSession, name: str
) -> None:
    message, output = await round_trip(raw, session, {"tool_calls": [call("x", SUM, name=name)]})
    assert output["content"] == "3"
    assert [one["function"]["name"] for one in message["tool_calls"]] == ["add"]  # type: ignore[attr-defined]  # a list


async def test_a_call_in_both_forms_is_one(raw: RawServer, session: AssistantSession) -> None:
    both = {"function_call": {"name": "add", "arguments": SUM}, "tool_calls": [call("x", SUM)]}
    message, _ = await round_trip(raw, session, both, {"function_call": None})
    assert [one["id"] for one in message["tool_calls"]] == ["x"]  # type: ignore[attr-defined]  # a list


@pytest.mark.parametrize("vendor", ["google", "vertex"])
async def test_a_signature_goes_back_with_its_call(raw: RawServer, session: AssistantSession, vendor: str) -> None:
    extra = {vendor: {"thought_signature": "c2ln"}}
    signed = call("x", SUM, extra_content=extra, index=0)
    message, _ = await round_trip(raw, session, {"role": "assistant", "tool_calls": [signed]})
    assert message["tool_calls"][0]["extra_content"] == extra  # type: ignore[index]


def run_again(session: AssistantSession, turn: Turn) -> AsyncGenerator[RunEvent, None]:
    """Runs a turn again, whose calls have all their outputs."""

    async def history() -> Sequence[Exchange]:
        return open_rounds(turn)

    assert session.thread_id is not None
    return session.assistant.run(as_asked(turn), session.thread_id, history, session.attachments)


def with_outputs(turn: Turn, rounds: Sequence[CallRound]) -> Turn:
    *earlier, last = rounds
    return replace(turn, rounds=(*earlier, last.with_outputs({call.id: "done" for call in last.calls})))


async def test_what_came_with_calls_goes_back_when_people_have_decided_about_one(
    raw: RawServer, raw_client: openai.AsyncOpenAI
) -> None:
    toolbox = ToolBox([REFUND, look], time_limit=5.0)
    session = AssistantSession(ChatBackend(AssistantApiClient(raw_client), CONFIG, toolbox, retry_seconds=0.001))
    first, second = ({"google": {"thought_signature": name}} for name in ("Zmlyc3Q", "c2Vjb25k"))
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
    looks, refunds = call("x", ORDER, name="look", extra_content=first), call("y", ORDER, name="refund")
    raw.add_stream(*chunks({"reasoning_content": "Look."}, {"tool_calls": [looks]}, finish="tool_calls"))
    refunds["function"] = {**refunds["function"], "signature": "z"}  # type: ignore[dict-item]  # it is a mapping
    raw.add_stream(*chunks({"content": thinking}, {"tool_calls": [refunds | {"extra_content": second}]}))
    raw.add_stream(*chunks({"content": "Done."}))
    turn, thread = session.make_turn("Refund 1"), await session.open_thread()
    held = [event async for event in session.assistant.run(turn, thread, *session.loaders)][-1]
    assert isinstance(held, CallsHeld)
    asked = CallRound(tuple(each.call for each in held.calls), held.text, returned=held.returned)
    turn = with_outputs(turn, (*held.earlier, asked))
    assert isinstance([event async for event in run_again(session, turn)][-1], RunCompleted)
    _, looked, _, refunded, _ = sent(raw)["messages"]
    assert (looked["reasoning_content"], looked["tool_calls"][0]["extra_content"]) == ("Look.", first)
    assert (refunded["content"], refunded["tool_calls"][0]["extra_content"]) == (thinking, second)
    assert refunded["tool_calls"][0]["function"] == {"name": "refund", "arguments": ORDER, "signature": "z"}


async def test_what_came_with_calls_goes_back_with_the_outputs_of_their_caller(
    raw: RawServer, session: AssistantSession
) -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    raw.add_stream(*chunks({"tool_calls": [call("x", ORDER, name="weather", extra_content=extra)]}))
    raw.add_stream(*chunks({"content": "Done."}))
    session.options = TurnOptions(functions=({"name": "weather"},), waits_for_outputs=True)
    turn, thread = session.make_turn("How is it?"), await session.open_thread()
    called = [event async for event in session.assistant.run(turn, thread, *session.loaders)][-1]
    assert isinstance(called, RunCompleted)
    turn = with_outputs(turn, (CallRound(called.calls, called.text, returned=called.returned),))
    assert isinstance([event async for event in run_again(session, turn)][-1], RunCompleted)
    assert sent(raw)["messages"][1]["tool_calls"][0]["extra_content"] == extra


async def test_reasoning_details_go_back_as_one_item_for_each_index(raw: RawServer, session: AssistantSession) -> None:
    def detail(**fields: object) -> dict[str, object]:
        return {"reasoning_details": [{"type": "reasoning.text", "index": 0, **fields}]}

    message, _ = await round_trip(
        raw,
        session,
        detail(text="Ad"),
        detail(text="d."),
        detail(signature="sig"),
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "xyz", "id": "x"}]},
        {"tool_calls": [call("x", SUM)]},
    )
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "Add.", "signature": "sig"},
        {"type": "reasoning.encrypted", "index": 1, "data": "xyz", "id": "x"},
    ]


async def test_reasoning_in_content_parts_goes_back_in_parts(raw: RawServer, session: AssistantSession) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    content = [thinking, {"type": "text", "text": "Let me see."}]
    raw.add_stream(*chunks({"content": content}, {"tool_calls": [call("x", SUM)]}))
    raw.add_stream(*chunks({"content": "Three."}))
    assert await session.say("1 + 2?") == "Let me see.\n\nThree."
    assert sent(raw)["messages"][1]["content"] == content


@pytest.mark.parametrize("content", [None, ""])
async def test_content_is_a_string_beside_calls(raw: RawServer, session: AssistantSession, content: str | None) -> None:
    message, _ = await round_trip(raw, session, {"content": content, "tool_calls": [call("x", SUM)]})
    assert message["content"] == ""


@pytest.mark.parametrize("arguments", ['{"a": 1, "b"', "not json", "[1]", "7"])
async def test_broken_arguments_go_back_as_an_object(raw: RawServer, session: AssistantSession, arguments: str) -> None:
    message, output = await round_trip(raw, session, {"tool_calls": [call("x", arguments)]})
    assert isinstance(json.loads(message["tool_calls"][0]["function"]["arguments"]), dict)  # type: ignore[index]
    assert "argument" in str(output["content"])


@pytest.mark.parametrize("arguments", ["", None, "null", '""'])
async def test_empty_arguments_go_back_as_an_empty_object(
    raw: RawServer, session: AssistantSession, arguments: object
) -> None:
    message, _ = await round_trip(raw, session, {"tool_calls": [call("x", arguments)]})
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"  # type: ignore[index]


@pytest.mark.parametrize("arguments", [json.loads(SUM), json.dumps(SUM), json.dumps(json.dumps(SUM))])
async def test_arguments_as_an_object_or_encoded_twice_are_understood(
    raw: RawServer, session: AssistantSession, arguments: object
) -> None:
    message, output = await round_trip(raw, session, {"tool_calls": [call("x", arguments)]})
    assert output["content"] == "3"
    assert message["tool_calls"][0]["function"]["arguments"] == SUM  # type: ignore[index]


@pytest.mark.parametrize("ids", [("x", "x"), (None, None), ("", "x")])
async def test_the_calls_of_one_round_get_ids_of_their_own(
    raw: RawServer, session: AssistantSession, ids: tuple[str | None, str | None]
) -> None:
    calls = [call(ids[0], SUM, index=0), call(ids[1], '{"a": 3, "b": 4}', index=1)]
    message, *outputs = await round_trip(raw, session, {"tool_calls": calls})
    used = [one["id"] for one in message["tool_calls"]]  # type: ignore[attr-defined]
    assert len(set(used)) == 2
    assert [output["tool_call_id"] for output in outputs] == used
    assert [output["content"] for output in outputs] == ["3", "7"]


@pytest.mark.parametrize("call_id", [None, "call_0"])
async def test_the_calls_of_two_rounds_get_ids_of_their_own(
    raw: RawServer, session: AssistantSession, call_id: str | None
) -> None:
    raw.add_stream(*chunks({"tool_calls": [call(call_id, SUM)]}))
    messages = await round_trip(raw, session, {"tool_calls": [call(call_id, SUM)]})
    used = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert len(set(used)) == 2


async def test_calls_with_one_index_and_different_ids_are_two(raw: RawServer, session: AssistantSession) -> None:
    deltas = [call("x", SUM, index=0), call("y", '{"a": 3, "b": 4}', index=0)]
    message, *outputs = await round_trip(raw, session, *({"tool_calls": [delta]} for delta in deltas))
    assert [one["id"] for one in message["tool_calls"]] == ["x", "y"]  # type: ignore[attr-defined]
    assert [output["content"] for output in outputs] == ["3", "7"]


async def test_later_deltas_of_a_call_need_no_id_and_no_index(raw: RawServer, session: AssistantSession) -> None:
    rest = {"function": {"arguments": '1, "b": 2}'}}
    _, output = await round_trip(raw, session, {"tool_calls": [call("x", '{"a": ')]}, {"tool_calls": [rest]})
    assert output["content"] == "3"


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>',
        "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n2\n</parameter>\n</function>\n</tool_call>",
        '<function=add>{"a": 1, "b": 2}</function>',
        '[TOOL_CALLS][{"name": "add", "arguments": {"a": 1, "b": 2}}]',
        '<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1, "b": 2}<|call|>',
    ],
)
async def test_a_call_written_as_text_is_run(raw: RawServer, session: AssistantSession, text: str) -> None:
    TOOL_RUNS.clear()
    raw.add_stream(*chunks(*({"content": text[start : start + 5]} for start in range(0, len(text), 5))))
    raw.add_stream(*chunks({"content": "Three."}))
    assert await session.say("1 + 2?") == "Three."
    assert TOOL_RUNS == [1]
    assert session.shown_text == "Three."


async def test_a_call_that_was_cut_off_is_not_run(raw: RawServer, session: AssistantSession) -> None:
    TOOL_RUNS.clear()
    raw.add_stream(*chunks({"content": "Let me"}, {"tool_calls": [call("x", '{"a": 1')]}, finish="length"))
    assert (await session.say("1 + 2?")).startswith("Let me\n\n")
    assert TOOL_RUNS == []


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 5.0, "completion_tokens": 2.0}, Usage(5, 2)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(5, 12),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 12,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(5, 12),
        ),
        ({"prompt_tokens": True, "completion_tokens": -1}, Usage()),
    ],
)
async def test_usage_is_counted_in_many_forms(
    raw: RawServer, session: AssistantSession, usage: dict[str, object], counted: Usage
) -> None:
    raw.add_stream(*chunks({"content": "Hi"}, usage=usage))
    await session.say("Hello")
    assert session.answer.usage == counted


async def test_usage_may_be_inside_the_choice(raw: RawServer, session: AssistantSession) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    last = {"id": "c1", "choices": [{"delta": {}, "finish_reason": "stop", "usage": usage}]}
    raw.add_stream(*chunks({"content": "Hi"}, finish=None), event(last), DONE)
    await session.say("Hello")
    assert session.answer.usage == Usage(5, 2)
