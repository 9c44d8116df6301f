"""Replies in Discord's Markdown say what the assistant wrote."""

from __future__ import annotations

import pytest

from adapters.base.markdown.code_blocks import WORD_JOINER as JOINER
from adapters.discord import formatter


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


@pytest.mark.parametrize("ticks", [3, 4, 5, 6, 7])
def test_backticks_in_a_block_of_code_do_not_end_it(ticks: int) -> None:
    (written,) = formatter.parts(f"~~~\na {'`' * ticks} b\n~~~")
    assert written.replace(JOINER, "") == f"```\na {'`' * ticks} b\n```"
    assert written.count("```") == 2


@pytest.mark.parametrize(
    ("markdown", "written"),
    [
        ("<https://de.wikipedia.org/wiki/Übergröße>", "https://de.wikipedia.org/wiki/Übergröße"),
        ("[https://例え.jp](https://例え.jp)", "https://例え.jp"),
        ("[https://x.org](https://x.org/)", "https://x.org"),
        ("[x.org/a](https://x.org/a)", "https://x.org/a"),
        ("<a@x.org> [a@x.org](mailto:a@x.org)", "a@x.org a@x.org"),
        ("[Ann](mailto:a_b@x.org) [home](/a)", "Ann (a\\_b@x.org) home (/a)"),
        ("[https://x.org](https://y.org)", "https://x.org (https://y.org)"),
        (
            "| a |\n|---|\n| <a@x.org> |\n| <https://x.org/é> |\n| [b](https://x.org/) |",
            "```\na\na@x.org\nhttps://x.org/é\nb (https://x.org/)\n```",
        ),
    ],
)
def test_an_address_is_said_once(markdown: str, written: str) -> None:
    assert formatter.parts(markdown) == [written]


@pytest.mark.parametrize(
    ("markdown", "written"),
    [
        ("see \\[x\\](https://x.org)", "see \\[x](https://x.org)"),
        ("a\\[x](https://x.org), \\[y](z)", "a\\[x](https://x.org), \\[y](z)"),
        ("\\<@123> and \\<t:0>", "\\<@123> and \\<t:0>"),
        ("1 \\* 2 &amp; 3", "1 \\* 2 & 3"),
    ],
)
def test_what_the_source_escapes_stays_text(markdown: str, written: str) -> None:
    assert formatter.parts(markdown) == [written]


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("python", "python"),
        ("{.python .x}", "python"),
        ("rust,ignore", "rust"),
        ("c++ title=x", "c++"),
        ("", ""),
        ("{}", ""),
    ],
)
def test_a_fence_names_its_language_alone(info: str, language: str) -> None:
    assert formatter.parts(f"```{info}\nx\n```") == [f"```{language}\nx\n```"]


def test_items_keep_their_numbers_where_discord_would_count_on() -> None:
    assert formatter.parts("3. a\n2. b\n3. c\n   - d") == ["3. a\n2\\. b\n3. c\n   - d"]


def test_columns_are_aligned_by_what_their_characters_take() -> None:
    table = "| word | a |\n|---|---|\n| 日本 | b |\n| ok 👍 | c |\n| café | d |"
    assert formatter.parts(table) == ["```\nword  | a\n日本  | b\nok 👍 | c\ncafé  | d\n```"]
