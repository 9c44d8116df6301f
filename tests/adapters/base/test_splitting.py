"""Every part fits, reads as Markdown by itself, and together they are the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.base.markdown.splitting import cut, finished, utf8_bytes, utf16_units

MEASURES: tuple[Callable[[str], int], ...] = (len, utf16_units, utf8_bytes)
PARSER = MarkdownIt("commonmark").enable("table")
LONG = "word " * 60


def bare(text: str) -> str:
    return "".join(text.split())


def without_additions(part: str) -> Iterator[str]:
    """Every way to leave out what a cut may have added: fence lines at both ends, a header, a quotation's mark."""
    lines = part.splitlines()
    for first in range(3):
        fence, table = r"[\s>\d.*+-]*(```|~~~)", r".*\|"
        if first and not all(re.match(fence if first == 1 else table, line) for line in lines[:first]):
            continue
        for last in (None, -1) if lines[first:] and re.fullmatch(r"[\s>]*(`{3,}|~{3,})", lines[-1]) else (None,):
            rest = bare("\n".join(lines[first:last]))
            yield rest
            yield rest.lstrip(">")


def together(parts: list[str], text: str) -> bool:
    """Whether the parts, less what cuts added, are the text, white space aside."""
    whole = bare(text)
    reached = {0}
    for part in parts:
        reached = {at + len(rest) for at in reached for rest in without_additions(part) if whole.startswith(rest, at)}
    return len(whole) in reached


def code_of(text: str) -> str:
    return bare("".join(token.content for token in PARSER.parse(text) if token.type == "fence"))


words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
sentences = st.lists(words, min_size=1, max_size=25).map(lambda some: " ".join(some).capitalize() + ".")
paragraphs = st.lists(sentences, min_size=1, max_size=6).map(" ".join)
headings = st.tuples(st.sampled_from(["# ", "## ", "### "]), words).map("".join)
lists = st.lists(sentences, min_size=1, max_size=6).map(lambda some: "\n".join(f"- {line}" for line in some))
code_lines = st.lists(st.tuples(st.sampled_from(["", "    "]), sentences).map("".join) | st.just(""), max_size=20)
fences = st.builds(
    lambda mark, info, lines: "\n".join([f"{mark}{info}", *lines, mark]),
    st.sampled_from(["```", "~~~", "````"]),
    st.sampled_from(["", "python", 'js title="a.js"']),
    code_lines,
)
rows = st.tuples(words, words).map(lambda row: f"| {row[0]} | {row[1]} |")
tables = st.lists(rows, min_size=1, max_size=20).map(lambda some: "\n".join(["| a | b |", "|---|:-:|", *some]))
documents = st.lists(paragraphs | headings | lists | fences | tables, max_size=8).map("\n\n".join)

scraps = st.lists(
    st.sampled_from(
        [
            *(
                "```",
                "~~~",
                "````",
                "```py\n",
                "\n```\n",
                "\n",
                "\n\n",
                " ",
                "    ",
                "- ",
                "1. ",
                "> ",
                "# ",
                "|",
                "\n|-|-|\n",
            ),
            *(
                "word ",
                "end. ",
                "x" * 90,
                "漢字。",
                "👩‍👩‍👧",
                "🇩🇪",
                "👍🏽",
                "e\u0301",
                "\r\n",
                "\t",
                "\ud83d",
                "\ude00",
                "\0",
            ),
        ]
    )
    | st.text(max_size=5),
    max_size=80,
).map("".join)
limits = st.integers(64, 400)


@given(documents | scraps, limits, st.sampled_from(MEASURES))
@example("```python\n" + "x" * 500, 64, len)
@example("```\n" + "é" * 500 + "\n```", 64, utf8_bytes)
@example("a" + "\u0301" * 1000, 64, utf8_bytes)
@example("\n" * 1000, 64, len)
@example("|" * 70 + "\n|" + "-|" * 70 + "\n" + "|a" * 300, 64, len)
def test_every_part_fits_and_together_they_are_the_text(text: str, limit: int, measure: Callable[[str], int]) -> None:
    parts = cut(text, limit, measure)
    assert all(0 < measure(part) <= limit for part in parts)
    assert all(part.strip() for part in parts)
    assert together(parts, text)


@given(documents, limits)
def test_code_stays_code_and_text_stays_text(text: str, limit: int) -> None:
    parts = cut(text, limit)
    assert "".join(map(code_of, parts)) == code_of(text)


@given(documents, limits)
def test_a_short_word_is_never_cut(text: str, limit: int) -> None:
    ends = re.escape("`~|-:") + r"\s"
    for part in cut(text, limit):
        for word in re.findall(rf"[^{ends}]+", part):
            assert re.search(rf"(?:^|[{ends}]){re.escape(word)}(?:$|[{ends}])", text)


@given(
    st.lists(
        st.sampled_from(
            ["👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏽", "🇩🇪", "e\u0301\u0323", "1\ufe0f\u20e3", "❤️", "각", "\ud83d\ude00", "a"]
        ),
        min_size=30,
    )
)
def test_what_a_reader_takes_for_one_character_stays_whole(characters: list[str]) -> None:
    rest = iter(characters)
    for part in cut("".join(characters), 64, utf16_units):
        built = ""
        while built != part:
            built += next(rest)
            assert part.startswith(built)


@given(st.text(max_size=64))
def test_what_fits_is_left_alone(text: str) -> None:
    assert cut(text, 64) == ([text] if text.strip() else [])


@pytest.mark.parametrize("limit", [63, 0, -1])
def test_a_limit_too_small_to_be_useful_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="too small"):
        cut("text", limit)


def test_it_cuts_between_paragraphs_rather_than_lines() -> None:
    first, second = "first line\n" * 4, "second line\n" * 4
    assert cut(f"{first}\n{second}", 80) == [first.strip(), second]


def test_it_does_not_end_a_part_that_has_hardly_begun() -> None:
    assert len(cut("Hi.\n\n" + "word " * 40, 100)[0]) > 90


def test_it_cuts_between_lines_rather_than_sentences() -> None:
    lines = [f"Line {number}. It has two sentences." for number in range(4)]
    assert cut("\n".join(lines), 80) == ["\n".join(lines[:2]), "\n".join(lines[2:])]


def test_it_cuts_between_sentences_rather_than_words() -> None:
    assert cut("One two three four five six seven. " * 3, 80) == [
        "One two three four five six seven. One two three four five six seven.",
        "One two three four five six seven. ",
    ]


SPANS = [
    "`git commit -m x`",
    "``a ` b c``",
    "[a long label](https://x.org/a)",
    "**strong words**",
    "$a + b$",
    "\\(a + b\\)",
    "![a b](x.png)",
]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("filler", ["word ", "字", "。"])
def test_it_does_not_cut_what_is_markup_only_as_a_whole(span: str, filler: str) -> None:
    for before in range(60, 130):
        text = (filler * before)[:before] + span + filler * 40
        for measure in MEASURES[:2]:
            assert any(span in part for part in cut(text, 130, measure)), before


@pytest.mark.parametrize("span", SPANS)
def test_what_may_still_be_completed_is_cut_where_it_will_be(span: str) -> None:
    text = "word " * 23 + span + " word" * 40
    firsts = {cut(text[:length], 130)[0] for length in range(131, len(text))}
    assert len(firsts) == 1


def test_it_cuts_japanese_behind_a_full_stop() -> None:
    assert cut("これは文です。" * 20, 64) == ["これは文です。" * 9, "これは文です。" * 9, "これは文です。" * 2]


def test_a_blank_line_in_a_fence_is_no_end_of_a_block() -> None:
    code = "```\n" + "one\n\n" * 15 + "```"
    before = "words " * 5
    assert cut(f"{before}\n\n{code}", 90)[0] == before.strip()


def test_a_heading_stays_with_what_it_heads() -> None:
    parts = cut("Some text before it. " * 3 + "\n\n## Heading\n\n" + "Text below it. " * 3, 80)
    assert [part.splitlines()[0][:10] for part in parts] == ["Some text ", "## Heading"]


def test_a_fence_is_closed_and_opened_again_with_its_opening_line() -> None:
    lines = [f"print({number:02})" for number in range(10)]
    parts = cut("\n".join(["````python title=x", *lines, "````"]), 70)
    assert all(part.startswith("````python title=x\n") and part.endswith("\n````") for part in parts)
    assert [line for part in parts for line in part.splitlines()[1:-1]] == lines


@pytest.mark.parametrize(
    ("opening", "ended", "again", "closing"),
    [
        ("   ~~~", "   ~~~", "   ~~~", "   ~~~"),
        ("1. ```sh", "   ```", "   ```sh", "   ```"),
        ("> ```sh", "> ```", "> ```sh", "> ```"),
        ("- - ```", "    ```", "```", "```"),
        ("``` " + "i" * 27, "```", "```", "```"),
    ],
)
def test_a_fence_keeps_its_indentation_unless_it_would_be_code(
    opening: str, ended: str, again: str, closing: str
) -> None:
    line = "> some code" if opening.startswith(">") else "    some code"
    parts = cut("\n".join([opening, *[line] * 8, ended]), 64)
    assert len(parts) > 1
    assert parts[0].startswith(opening)
    assert parts[0].splitlines()[-1] == ended
    assert all(part.splitlines()[0] == again for part in parts[1:])
    assert all(part.splitlines()[-1] == closing for part in parts[1:])


NESTED = [
    "1. An item\n" + "    - one below it\n        - deeper\n" * 9 + "2. Another\n" + "    - one below it\n" * 9,
    "- An item\n\n" + "    A paragraph of it.\n\n" * 9,
    "1. An item:\n\n    ```sh\n" + "    some code\n      more\n" * 9 + "    ```\n\n    After it.",
    "1. An item:\n\n    | a | b |\n    |---|---|\n" + "    | one | two |\n" * 9,
    "-\tAn item\n" + "\t- one below it\n" * 9,
    "- An item\n" + "    - one below it\n        - deeper\n          and more\n" * 9,
]


@pytest.mark.parametrize("text", NESTED)
@pytest.mark.parametrize("limit", range(64, 90, 5))
def test_what_is_nested_in_a_list_does_not_become_code(text: str, limit: int) -> None:
    tokens = [token for part in cut(text, limit) for token in PARSER.parse(part)]
    assert not [token.content for token in tokens if token.type == "code_block"]
    assert "".join(map(code_of, cut(text, limit))) == code_of(text)


def test_code_that_is_indented_stays_so() -> None:
    code = "    some code\n" * 12
    for before in ("- An item\n\nText.\n\n", "1.5 apples\n\n"):
        parts = cut(before + code, 64)
        assert sum(part.count("    some code") for part in parts) == 12


def test_a_fence_ends_with_the_quotation_that_it_is_in() -> None:
    assert "".join(cut("> ```\n> code\n\n" + "And words after it. " * 8, 64)).count("```") == 1
    assert finished("> ```\n> code\nA line.\n\nAnother") == len("> ```\n> code\nA line.\n\n")


def quoted_in(text: str) -> str:
    """Returns what stands in quotations."""
    said, depth = [], 0
    for token in PARSER.parse(text):
        depth += (token.type == "blockquote_open") - (token.type == "blockquote_close")
        said += [token.content] if depth else []
    return bare("".join(said))


@pytest.mark.parametrize(
    "text",
    [
        f"> {LONG}\n\n{LONG}",
        f"> > {LONG}\n>\n> {LONG}\n{LONG}",
        f"1. item\n   - > {LONG}\n\n   {LONG}",
        f"> # {LONG}\n{LONG}",
        f"> said\nby them {LONG}\n{LONG}\n- {LONG}",
        f"> ```\n> {LONG}\n> {LONG}\n> ```\n\n{LONG}",
        f"```\n> {LONG}\n{LONG}\n```",
        f"> - {LONG}\n> - {LONG}\n\n{LONG}",
    ],
)
def test_what_is_quoted_stays_quoted_and_nothing_else_is(text: str) -> None:
    assert "".join(map(quoted_in, cut(text, 120))) == quoted_in(text)


def test_a_fence_that_never_ends_is_not_ended_in_the_last_part() -> None:
    parts = cut("```\n" + "code\n" * 20, 64)
    assert all(part.endswith("\n```") for part in parts[:-1])
    assert parts[-1].endswith("code\n")


@given(st.integers(8, 20), st.integers(64, 80))
@example(12, 67)
def test_the_end_of_a_fence_is_not_alone(lines: int, limit: int) -> None:
    parts = cut("```\n" + "some code\n" * lines + "```\nAnd words after it.", limit)
    assert all("code\n```" in part for part in parts if "```" in part)


def test_backticks_inside_a_longer_fence_do_not_end_it() -> None:
    text = "````md\n" + "```py\ncode\n```\n" * 8 + "````"
    assert "".join(map(code_of, cut(text, 64))) == code_of(text)


def test_a_line_of_code_that_is_too_long_is_cut_inside_the_fence() -> None:
    parts = cut("```\n" + "x" * 200 + "\n```", 64)
    assert all(part.startswith("```\nx") and part.endswith("x\n```") for part in parts)
    assert sum(part.count("x") for part in parts) == 200


def test_a_table_is_cut_between_rows_and_has_its_header_again() -> None:
    rows = [f"| {number} | {number * number} |" for number in range(20)]
    head = ["| n | n² |", "|---|---:|"]
    parts = cut("\n".join([*head, *rows]), 100)
    assert len(parts) > 1
    assert all(part.splitlines()[:2] == head for part in parts)
    assert [line for part in parts for line in part.splitlines()[2:]] == rows


def test_a_table_is_not_cut_off_from_its_header() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"
    assert cut("Some words that fill the part nearly, so that there is room for two lines.\n" + table, 100)[1] == table


def test_one_very_long_line_is_cut() -> None:
    assert len(cut("x" * 100_000, 4000)) == 25


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("A line\nand another", ""),
        ("A paragraph.\n\n", ""),
        ("A paragraph.\n\nAnother", "A paragraph.\n\n"),
        ("- item\n\n  more of it", ""),
        ("```\ncode\n\ncode\n", ""),
        ("```\ncode\n```", ""),
        ("```\ncode\n```\ntext", "```\ncode\n```\n"),
        ("~~~\n```\n\ntext", ""),
    ],
)
def test_blocks_are_finished_when_another_begins(text: str, whole: str) -> None:
    assert text[: finished(text)] == whole


@given(documents, st.data())
def test_what_is_finished_stays_so(text: str, data: st.DataObject) -> None:
    written = data.draw(st.integers(0, len(text)))
    assert finished(text[:written]) <= finished(text)


@given(documents, st.data())
def test_what_is_finished_reads_the_same_by_itself(text: str, data: st.DataObject) -> None:
    end = finished(text[: data.draw(st.integers(0, len(text)))])
    apart = PARSER.parse(text[:end]) + PARSER.parse(text[end:])
    assert [token.content for token in apart if token.content] == [
        token.content for token in PARSER.parse(text) if token.content
    ]
