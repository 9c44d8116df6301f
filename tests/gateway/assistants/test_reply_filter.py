"""What a model says to people is separated from its reasoning and marks, however its text is cut into pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.citations import with_sources
from gateway.assistants.reply_filter import ReplyFilter, clean_text
from gateway.assistants.text_calls import parse_calls

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
    "Hello 【4:0†source】",
    "Hello【1†L1-L5】",
    "<think>\n</think>Hello",
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
]


def in_pieces(text: str, sizes: list[int]) -> ReplyFilter:
    """Feeds a text in pieces of these sizes, which are repeated. The filter's text is what was shown, if it says so."""
    reply, shown, start, turn = ReplyFilter(), "", 0, 0
    while start < len(text):
        size = sizes[turn % len(sizes)]
        shown += reply.feed(text[start : start + size])
        start, turn = start + size, turn + 1
    shown += reply.finish()
    assert reply.had_orphan_end or shown == reply.text
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
    assert in_pieces(text, sizes).text == clean_text(text)


@given(st.text(max_size=200).filter(lambda text: not any(mark in text for mark in "<[◁【\ue200")))
def test_text_without_marks_is_not_changed(text: str) -> None:
    assert clean_text(text) == text


def test_reasoning_is_kept_apart() -> None:
    reply = in_pieces("<think>One.</think>A\n<think>Two.</think>B", [3])
    assert reply.text == "A\nB"
    assert reply.reasoning == "One.\n\nTwo."


@pytest.mark.parametrize("text", ["analysis of it", "A word", "x [1] y", "a < b"])
def test_ordinary_text_is_shown_as_it_comes(text: str) -> None:
    reply = ReplyFilter()
    shown = "".join(map(reply.feed, text))
    assert shown == text


def test_reasoning_that_was_cut_off_is_no_answer() -> None:
    assert clean_text("<think>Let me") == ""


def test_an_end_without_a_beginning_ends_reasoning() -> None:
    reply = in_pieces("Hm.</think>Hello", [2])
    assert (reply.text, reply.reasoning, reply.had_orphan_end) == ("Hello", "Hm.", True)


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


def test_a_source_is_named_where_it_is_known() -> None:
    mark = "【4:0†source】"
    notes = [{"type": "file_citation", "text": mark, "filename": "report.pdf"}]
    assert with_sources(f"So it is{mark}.", notes) == "So it is (report.pdf)."
    assert clean_text(with_sources(f"So it is{mark}.", [])) == "So it is."


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://example.com/a) [b](c", ""])
def test_an_address_that_is_not_plain_is_not_linked(url: str) -> None:
    note = {"type": "url_citation", "url": url, "title": "x", "start_index": 0, "end_index": 12}
    assert clean_text(with_sources("【4:0†source】!", [note])) == "!"
