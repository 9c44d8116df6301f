"""What can be shown of a text that is still being written, and what a workspace turned out not to have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base.capabilities import Capabilities
from adapters.base.errors import Rejected
from adapters.slack.capabilities import SlackCapability, learn
from adapters.slack.formatter import pieces
from adapters.slack.preview_buffer import SlackBuffer, presentable
from gateway.domain.run_events import ToolCall
from tests.fakes.slack_events import TEAM


@given(st.lists(st.text(alphabet="ab \n`|~é世", max_size=30), max_size=12))
def test_what_was_shown_stays_how_the_text_begins(tellings: list[str]) -> None:
    piece = shown = ""
    for told in tellings:
        piece += told
        grown = presentable(piece, shown)
        assert piece.startswith(grown)
        assert grown.startswith(shown)
        shown = grown


@pytest.mark.parametrize(
    "text",
    [
        "use `npm i <package> --save` now and `a < b` or ``c ` <d> e`` to the end",
        "so \\( a * b * c \\) and $x * y$ hold, at $5 and *more* of it",
        "[a <label> with *words*](https://x.org/a_b) and **strong <words>** end",
        "| a | b |\n|---|---|\n| `x|y` | z |\n| one | two | three |\n\nafter it",
        "a | b\n---|---\none | two | three\n\nafter it",
    ],
)
def test_a_text_grows_by_what_stays_as_it_is(text: str) -> None:
    shown = ""
    for length in range(1, len(text) + 1):
        for piece in pieces(text[:length]):
            again = presentable(piece, shown)
            assert again.startswith(shown)
            assert piece.startswith(again)
            shown = again
    assert shown == " ".join(pieces(text)[0].split(" ")[:-1])


def test_words_are_shown_whole_and_long_pieces_by_blocks() -> None:
    assert presentable("One two thr", "") == "One two"
    assert presentable("世" * 100, "") == "世" * 100
    block = "word " * 1500
    assert presentable(f"{block}\n\nmore of it", block.rstrip()) == block.rstrip()
    assert presentable(f"{block}\n\nmore of it\n\nand", block.rstrip()) == f"{block}\n\nmore of it"


async def test_a_draft_tells_each_task_once() -> None:
    draft = SlackBuffer()
    draft.put(ToolCall("c", "tool"))
    tasks = draft.new_tasks()
    draft.mark_shown(tasks)
    assert draft.new_tasks() == []
    draft.put(ToolCall("c", "tool", done=True))
    assert [chunk["status"] for chunk in draft.new_tasks()] == ["complete"]


def test_what_a_workspace_lacks_is_tried_again_after_an_hour() -> None:
    now = 0.0
    capabilities = Capabilities(lambda: now)
    learn(capabilities, TEAM, SlackCapability.STREAM, Rejected(reason="user_not_found"))
    assert capabilities.has(TEAM, SlackCapability.STREAM)
    learn(capabilities, TEAM, SlackCapability.STREAM, Rejected(reason="feature_not_enabled"))
    assert not capabilities.has(TEAM, SlackCapability.STREAM)
    assert capabilities.has(TEAM, SlackCapability.STATUS)
    assert capabilities.has("T0OTHER", SlackCapability.STREAM)
    now = 3600.0
    assert capabilities.has(TEAM, SlackCapability.STREAM)
