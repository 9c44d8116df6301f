"""Replies in Discord's Markdown say what the assistant wrote."""

from __future__ import annotations

import pytest

from adapters.discord import formatter
from adapters.discord.formatter import WORD_JOINER as JOINER


@pytest.mark.parametrize(
    ("markdown", "written"),
    [
        ("`a`", "`a`"),
        ("``a`b``", "``a`b``"),
        ("```` ` ````", "`` ` ``"),
        ("x ```a``b```", "x `a``b`"),
        ("x ````a``b`c````", f"x ``a`{JOINER}`b`c``"),
    ],
)
def test_code_ends_where_it_did(markdown: str, written: str) -> None:
    assert formatter.parts(markdown) == [written]


def test_columns_are_aligned_by_what_their_characters_take() -> None:
    table = "| word | a |\n|---|---|\n| 日本 | b |\n| ok 👍 | c |\n| café | d |"
    assert formatter.parts(table) == ["```\nword  | a\n日本  | b\nok 👍 | c\ncafé  | d\n```"]
