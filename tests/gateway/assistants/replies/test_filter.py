"""What a model says to people is separated from its reasoning and marks, however its text is cut into pieces."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.replies.citations import with_sources
from gateway.assistants.replies.filter import PLAIN, ReplyFilter, ReplyFilters
from gateway.assistants.replies.text_calls import parse_calls

HARMONY = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello<|return|>"
HELLO = [
    "<think>Hm.</think>\n\nHello",
    "<thinking>Hm.</thinking>Hello",
    "[THINK]Hm.[/THINK]Hello",
    "◁think▷Hm.◁/think▷Hello",
    "<|START_THINKING|>Hm.<|END_THINKING|>Hello",
    HARMONY,
    HARMONY.removeprefix("<|channel|>analysis<|message|>Hm.<|end|>"),
    "analysisHm, so.assistantfinalHello",
    "Hello<|im_end|>",
    "Hello</s>",
    "Hello<end_of_turn>",
    "<|im_start|>assistant\nHello",
    "Hello\ue200cite\ue202turn0search0\ue202turn1view2\ue201",
    "Hello citeturn0search12turn1news0",
    "Hellociteturn0search0",
    "Hello 【4:0†source】",
    "Hello【1†L1-L5】",
    "<think>\n</think>Hello",
    '<think effort="high">Hm.</think>Hello',
    "<THINK>Hm.</THINK>Hello",
    "<seed:think>Hm.</seed:think>Hello",
    "<think>Use `x, or ```py.</think>Hello",
    "<reflection>Hm.</reflection>Hello",
    "<|channel>thought\nHm.\n<channel|>Hello",
    '<details type="reasoning" done="true">Hm.</details>Hello',
    "<think>Hm.</think><answer>Hello</answer>",
    "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Hello<|END_RESPONSE|>",
    "Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello",
    "analysis We think. assistantfinal Hello",
    "assistantfinalHello",
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>",
    "<|begin_of_box|>Hello<|end_of_box|>",
    "<s>Hello",
    "Hello<|im_end|><|im_start|>user\nAnd you?<|im_end|><|im_start|>assistant\nI",
    "Hello<turn|><|turn>user\nAnd you?",
    "Hello<tool_response>3</tool_response>",
    "Hello[oaicite:0]{index=0}",
    "Hello:contentReference[oaicite:3]{index=3}",
    "<co: 0>Hello</co: 0>",
    "Hello turn0search0",
    "Hello[citation:3][^1^]",
    "\ue203Hello\ue204\ue200cite\ue202turn0search0\ue201",
    "Hello\ue200cite\ue202turn0sea",
    "Hello【4:0†sou",
    'Hello<grok:render card_id="1"><argument name="citation_id">1</argument></grok:render>',
]
UNCHANGED = [
    "Use `<think>` and `</think>` around it.",
    "```xml\n<think>\nHm.\n</think>\n<|im_end|>\n```",
    "`citeturn0search0` is a mark, and ``【1†source】`` too",
    "a < b, x<y>z, [link](https://example.com/a_b), f[i](x), [TODO], 2 > 1",
    "【重点】内容 cite this file",
    "analysis of the data",
    "Analysis<T> is a class; an [ARRAY] too",
    "x </div> <tool> <thinker>",
    "One <think> in the middle of a line",
    "`<function=add>` and `<invoke name=x>` call it",
    '{"name": "Ada", "age": 36}',
    '[{"name": "sub", "arguments": {}}]',
    '```json\n{"name": "Ada"}\n```\nThat is all.',
    "[print(1)]",
    "assistants are commentary to you; <reasoning> too",
    "As XML:\n<reasoning>\nHm.\n</reasoning>",
    "x <| f |> y, a :: b, c: d, turn 3, [1][2], Turn0 and turn2left",
]


def said_of(text: str) -> str:
    return PLAIN.read(text).text


def in_pieces(text: str, sizes: list[int]) -> ReplyFilter:
    """Feeds a text in pieces of these sizes, which are repeated. The filter's text is what was shown, if it says so."""
    reply, shown, start, turn = ReplyFilter(tools=["add"]), "", 0, 0
    while start < len(text):
        size = sizes[turn % len(sizes)]
        shown += reply.feed(text[start : start + size])
        start, turn = start + size, turn + 1
    shown += reply.finish()
    assert reply.retracted or shown == reply.text
    return reply


@given(st.sampled_from(HELLO), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_only_what_is_for_people_is_left(text: str, sizes: list[int]) -> None:
    assert in_pieces(text, sizes).text == "Hello"


@given(st.sampled_from(UNCHANGED), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_what_only_looks_like_a_mark_is_kept(text: str, sizes: list[int]) -> None:
    assert in_pieces(text, sizes).text == text


@given(
    st.text(st.sampled_from("ab <>[]()`*_\n|/†【】:c"), max_size=60),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_the_pieces_do_not_matter(text: str, sizes: list[int]) -> None:
    assert in_pieces(text, sizes).text == said_of(text)


@given(st.text(max_size=200).filter(lambda text: not any(mark in text for mark in "<[◁【\ue200")))
def test_text_without_marks_is_not_changed(text: str) -> None:
    assert said_of(text) == text


def test_reasoning_is_kept_apart() -> None:
    reply = in_pieces("<think>One.</think>A\n<think>Two.</think>B", [3])
    assert reply.text == "A\nB"
    assert reply.reasoning == "One.\n\nTwo."


@pytest.mark.parametrize("text", ["analysis of it", "A word", "x [1] y", "a < b"])
def test_ordinary_text_is_shown_as_it_comes(text: str) -> None:
    reply = ReplyFilter()
    shown = "".join(map(reply.feed, text))
    assert shown == text


def test_a_mark_of_a_turn_inside_of_a_line_ends_nothing() -> None:
    assert said_of("After <|user|> comes the question, after <|im_start|>user too.") == (
        "After  comes the question, after  too."
    )


@pytest.mark.parametrize(
    "mark", ["<think> ", "`<function=add>` ", "【1†x】", "<|user|> ", "a `<tool_call>` ", "[TODO "]
)
def test_a_text_of_many_marks_takes_no_longer_than_its_length(mark: str) -> None:
    started = time.process_time()
    PLAIN.read("A " + mark * 4000)
    assert time.process_time() - started < 2, "seconds; it took minutes when each mark read the rest again"


@pytest.mark.parametrize(
    "text",
    [
        "get<arg_key>" + "<arg_key>a</arg_key><arg_value>" * 1000,
        "<name></name><arguments>" * 1000,
        "<function=a>" + "<parameter=a>" * 8000,
        "<function=" * 8000,
        '<invoke name="a">' + '<parameter name="a">' * 8000,
        "call:a{}x" * 8000,
        "call:a{" + "b:1," * 8000 + "}",
        "add" + " " * 30_000,
        "{}" * 20_000 + "x",
        "print(" + "a." * 1000 + "b())",
    ],
    ids=lambda text: text[:24],
)
def test_a_call_of_any_form_takes_no_longer_than_its_length(text: str) -> None:
    started = time.process_time()
    parse_calls(text)
    assert time.process_time() - started < 2, "seconds; it took up to hours when each mark read the rest again"


def test_blanks_without_end_take_no_longer_than_their_number() -> None:
    reply, started = ReplyFilter(), time.process_time()
    for _ in range(6000):
        reply.feed(" \n ")
    assert time.process_time() - started < 4, "seconds; it took minutes when each piece had all before it read again"
    assert (reply.feed("Hello") + reply.finish()).strip() == "Hello"
    PLAIN.read("x\ncommentary to=a" + " " * 30_000)
    assert time.process_time() - started < 4


def test_keys_without_quotes_are_read_beside_texts_with_colons() -> None:
    ((name, given),) = parse_calls('call:add{a:<|"|>x, b: y<|"|>,c : [1],d_1:{e:2}}')
    assert (name, json.loads(given)) == ("add", {"a": "x, b: y", "c": [1], "d_1": {"e": 2}})


def test_reasoning_that_was_cut_off_is_no_answer() -> None:
    assert said_of("<think>Let me") == ""


def test_an_end_without_a_beginning_ends_reasoning() -> None:
    reply = in_pieces("Hm.</think>Hello", [2])
    assert (reply.text, reply.reasoning, reply.ended_unopened_thought) == ("Hello", "Hm.", True)


@pytest.mark.parametrize(("text", "said"), [("Hm.</think>Hello", "Hello"), ("Hello", "Hello")])
def test_a_model_known_to_begin_in_thought_shows_nothing_of_it(text: str, said: str) -> None:
    reply = ReplyFilter(begins_in_thought=True)
    shown = "".join(map(reply.feed, text)) + reply.finish()
    assert shown == reply.text == said


SUM = {"a": 1, "b": "x y"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"name": "add", "arguments": SUM}),
        json.dumps({"name": "add", "parameters": SUM}),
        json.dumps([{"function": {"name": "add", "arguments": json.dumps(SUM)}}]),
        "<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nx y\n</parameter>\n</function>",
        f"<function=add>{json.dumps(SUM)}</function>",
        "add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>b</arg_key>\n<arg_value>x y</arg_value>",
        f"add[ARGS]{json.dumps(SUM)}",
        f"<|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{json.dumps(SUM)}<|tool_call_end|>",
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{json.dumps(SUM)}\n```<｜tool▁call▁end｜>",  # noqa: RUF001
    ],
)
def test_calls_are_read_in_many_forms(text: str) -> None:
    assert [(name, json.loads(arguments)) for name, arguments in parse_calls(text)] == [("add", SUM)]


@pytest.mark.parametrize("text", ["", "{", "hello", "[1, 2]", '{"a": 1}', "<function="])
def test_what_is_no_call_is_none(text: str) -> None:
    assert parse_calls(text) == []


def test_several_calls_are_read() -> None:
    one = json.dumps({"name": "add", "arguments": {}})
    assert [name for name, _ in parse_calls(f"{one}\n{one}")] == ["add", "add"]


CALLS = [
    '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>',
    '<tool_call>\n```json\n{"name": "add", "arguments": {"a": 1}}\n```\n</tool_call>',
    "<tool_call>{'name': 'add', 'arguments': {'a': 1}}</tool_call>",
    '<tool_call>{"name": "add", "arguments": {"a": 1}}',
    '<tool_calls>\n<tool_call>add\n```json\n{"a": 1}\n```\n</tool_call>\n</tool_calls>',
    '<tool_call><name>add</name><arguments>{"a": 1}</arguments></tool_call>',
    '<minimax:tool_call><invoke name="add"><parameter name="a">1</parameter></invoke></minimax:tool_call>',
    '<function_calls><invoke name="add"><parameter name="a">1</parameter></invoke></function_calls>',
    '<invoke name="add"><parameter name="a">1</parameter></invoke>',
    "<|tool_call>call:add{a:1}<tool_call|>",
    "<start_function_call>call:add{a:1}<end_function_call>",
    '[TOOL_CALLS]add[CALL_ID]x1[ARGS]{"a": 1}',
    "<|python_start|>[add(a=1)]<|python_end|>",
    '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "add", "parameters": {"a": 1}}]<|END_ACTION|>',
    '<|start|>assistant to=functions.add<|channel|>commentary <|constrain|>json<|message|>{"a": 1}<|call|>',
    '<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1}<|call|>',
    'analysisHm, so.assistantcommentary to=functions.add json{"a": 1}',
    '{"name": "add", "parameters": {"a": 1}}',
    '```json\n{"name": "add", "arguments": {"a": 1}}\n```',
    "```tool_code\nprint(add(a=1))\n```",
    "[add(a=1)]",
    '{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
]


@given(st.sampled_from(CALLS), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_a_call_written_as_text_is_one_and_no_text(text: str, sizes: list[int]) -> None:
    reply = in_pieces(text, sizes)
    assert [(name, json.loads(arguments)) for name, arguments in reply.calls] == [("add", {"a": 1})]
    assert reply.text == ""


def test_a_call_whose_json_is_broken_is_one_too() -> None:
    assert parse_calls('{"name": "add", "arguments": {"a": 1,}') == [("add", '{"a": 1,}')]


def test_what_the_name_of_a_model_promises_is_believed_until_it_is_not_so() -> None:
    filters = ReplyFilters("DeepSeek-R1-Distill")
    first = filters.create()
    assert (first.feed("Hm"), first.finish()) == ("", "Hm")
    filters.learn(first)
    assert filters.create().feed("Hm") == "Hm"


def test_reasoning_that_the_server_keeps_apart_ends_the_wait_for_its_end() -> None:
    reply = ReplyFilters("qwq").create()
    reply.begin_in_text()
    assert reply.feed("Hello") == "Hello"


def test_a_source_is_named_where_it_is_known() -> None:
    mark = "【4:0†source】"
    notes = [{"type": "file_citation", "text": mark, "filename": "report.pdf"}]
    assert with_sources(f"So it is{mark}.", notes) == "So it is (report.pdf)."
    assert said_of(with_sources(f"So it is{mark}.", [])) == "So it is."


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://example.com/a) [b](c", ""])
def test_an_address_that_is_not_plain_is_not_linked(url: str) -> None:
    note = {"type": "url_citation", "url": url, "title": "x", "start_index": 0, "end_index": 12}
    assert said_of(with_sources("【4:0†source】!", [note])) == "!"
