"""What can be shown of a text that is still being written, and what a workspace turned out not to have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.abilities import Abilities, Ability
from adapters.slack.draft import Draft, presentable
from adapters.slack.errors import Declined
from gateway.messages import ToolCall
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


def test_words_are_shown_whole_and_long_pieces_by_blocks() -> None:
    assert presentable("One two thr", "") == "One two"
    assert presentable("世" * 100, "") == "世" * 100
    block = "word " * 1500
    assert presentable(f"{block}\n\nmore of it", block.rstrip()) == block.rstrip()
    assert presentable(f"{block}\n\nmore of it\n\nand", block.rstrip()) == f"{block}\n\nmore of it"


async def test_a_draft_tells_each_task_once() -> None:
    draft = Draft()
    draft.put(ToolCall("c", "tool"))
    tasks = draft.tasks()
    draft.told(tasks)
    assert draft.tasks() == []
    draft.put(ToolCall("c", "tool", done=True))
    assert [chunk["status"] for chunk in draft.tasks()] == ["complete"]


def test_what_a_workspace_lacks_is_tried_again_after_an_hour() -> None:
    now = 0.0
    abilities = Abilities(lambda: now)
    abilities.learn(TEAM, Ability.STREAM, Declined(slack_error="user_not_found"))
    assert abilities.has(TEAM, Ability.STREAM)
    abilities.learn(TEAM, Ability.STREAM, Declined(slack_error="feature_not_enabled"))
    assert not abilities.has(TEAM, Ability.STREAM)
    assert abilities.has(TEAM, Ability.STATUS)
    assert abilities.has("T0OTHER", Ability.STREAM)
    now = 3600.0
    assert abilities.has(TEAM, Ability.STREAM)
