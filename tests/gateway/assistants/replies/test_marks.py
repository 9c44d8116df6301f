"""Marks are found by their first characters, at the places where a search of the whole pattern finds them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.replies import marks as reply_marks
from gateway.assistants.replies.citations import CITATION

PIECES = st.sampled_from(
    [
        *("<", "<think>", "</think>", "[", "]", "[TOOL_CALLS]", "[f(", "[^", "◁", "◁think▷", "{", "`", "```json"),
        *("【", "【4:0†s】", "\ue200", "\ue202", "\ue201", "\ue205", ":", ":content", ":contentReference[oaicite:1]"),
        *("c", "ci", "cit", "cite", "f", "fi", "fil", "file", "t", "tu", "tur", "turn", "turn1", "turn0search0"),
        *("analysis", "assistant", "commentary", " to=functions.x ", "final", "json{", '{"name": ', '"name": '),
        *("<|start|>", "<|channel|>", "<|message|>", "<|im_end|>", "<answer>", "<co: 1>", "</co>", "<tool_call>"),
        *(" ", "\n", "\t", ",", "_", "1", "a", "Hello", "x"),
    ]
)
TEXTS = st.lists(PIECES, max_size=9).map("".join)

Found = tuple[tuple[int, int], str | None] | None


def place(found: re.Match[str] | None) -> Found:
    return (found.span(), found.lastgroup) if found else None


@given(TEXTS)
def test_a_mark_is_found_where_it_is(text: str) -> None:
    assert place(reply_marks.find_mark(text)) == place(reply_marks.MARK.search(text))


@given(TEXTS)
def test_the_beginning_of_a_mark_is_found_where_it_is(text: str) -> None:
    assert place(reply_marks.find_unfinished(text)) == place(reply_marks.UNFINISHED.search(text))


@given(TEXTS)
def test_a_text_with_a_mark_of_a_source_may_have_a_mark(text: str) -> None:
    assert reply_marks.may_have_mark(text) or not re.search(CITATION, text)
