"""One reading of the assistant's Markdown: what every platform written in Python shows of it."""

from __future__ import annotations

import re
import time
from functools import cache
from html import escape
from io import StringIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from adapters.base.markdown.code_blocks import WORD_JOINER
from adapters.base.markdown.reading import commonmark, literal, parser
from adapters.base.markdown.standing_text import FORMULAS, NAME
from adapters.console.markdown import RenderedMarkdown
from adapters.discord import formatter as discord
from adapters.slack import formatter as slack
from adapters.slack.commonmark import HAIR_SPACE
from adapters.slack.mrkdwn import ZERO_WIDTH_SPACE
from adapters.telegram import formatter as telegram
from tests.examples import examples
from tests.fakes.telegram_formatting import format_text
from tests.markdown_cases import LITERAL, STYLED

INVISIBLE = str.maketrans("", "", WORD_JOINER + ZERO_WIDTH_SPACE + HAIR_SPACE)
read, read_by_slack = cache(parser), cache(commonmark)


def in_telegram(markdown: str) -> str:
    messages = telegram.parts(markdown)
    for message in messages:
        format_text(message.text, "", [entity.to_dict() for entity in message.entities])
    return "".join(message.text for message in messages)


def in_slack(markdown: str) -> str:
    """As a markdown block: what CommonMark finds in it; URLs are found before anything else."""
    return html_text(read_by_slack().render(slack.adapted(markdown)))


def in_older_slack(markdown: str) -> str:
    shown = "".join(slack.plain(markdown)).translate(INVISIBLE)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def on_console(markdown: str) -> str:
    file = StringIO()
    Console(file=file, width=500, color_system=None).print(RenderedMarkdown(markdown))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip()


def html_text(html: str) -> str:
    text = re.sub(r"<[^>]*>", "", html).translate(INVISIBLE)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&").strip()


def in_discord(markdown: str) -> str:
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", "".join(discord.parts(markdown)))


SURFACES = {
    "telegram": in_telegram,
    "slack": in_slack,
    "older slack": in_older_slack,
    "discord": in_discord,
    "console": on_console,
}


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("text", LITERAL)
def test_what_is_not_meant_as_markup_stands_as_it_was_written(surface: str, text: str) -> None:
    if surface == "slack" and "://" in text:
        assert slack.adapted(text) == text  # Slack finds URLs itself; nothing in one may be changed
    else:
        assert SURFACES[surface](text) == text


@pytest.mark.parametrize("text", ["[ERROR]: timeout", "[Step 1]: install (twice)", "Total\n===", "Text\n--"])
def test_slack_takes_no_line_for_a_definition_or_an_underline(text: str) -> None:
    whole = MarkdownIt("commonmark").render(slack.adapted(f"{text}\n\nmore"))
    assert html_text(whole) == f"{text}\nmore"


@pytest.mark.parametrize(("markdown", "html"), STYLED)
def test_emphasis_is_found_where_it_is_meant(markdown: str, html: str) -> None:
    assert read().renderInline(markdown).replace("&quot;", '"') == html
    assert read_by_slack().renderInline(slack.adapted(markdown)).translate(INVISIBLE).replace("&quot;", '"') == html


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(
    "name",
    ["Ann | Acme", "A > B #1", "back\\slash", "_Ann_ *x* [y](z) <b> ~~s~~ `c` $1$", "**A**", "&amp; R&D", "<@U1>"],
)
def test_a_name_is_shown_as_it_is(surface: str, name: str) -> None:
    assert SURFACES[surface](f"Approved by {literal(name)}.") == f"Approved by {name}."


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("cell", ["1*2*3", "__init__", "a_b_c", "2**10"])
def test_a_cell_of_a_table_stands_as_it_was_written(surface: str, cell: str) -> None:
    assert cell in SURFACES[surface](f"| a | b |\n|---|---|\n| {cell} | x |")


@pytest.mark.parametrize("surface", ["telegram", "older slack", "discord", "console"])
@pytest.mark.parametrize("row", ["| `a|b` | x |", "| y | ``a|b`` |", "`a|b`|x", "| `a|b` | x | z |"])
def test_a_bar_in_code_ends_no_cell(surface: str, row: str) -> None:
    assert re.search(r"(?<![`\w])a\|b(?![`\w])", SURFACES[surface](f"| a | b |\n|---|---|\n{row}"))


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("row", ["| $|v|$ | x |", r"| y | \(|v|\) |", "| $5 | $|v|$ |"])
def test_a_bar_in_a_formula_ends_no_cell(surface: str, row: str) -> None:
    shown = SURFACES[surface](f"| a | b |\n|---|---|\n{row}")
    assert "|v|" in shown
    assert shown.count("$") == row.count("$")


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("row", ["| one | two | three |", "one | two | three", "| one | `a|b` | three |"])
def test_no_cell_beyond_the_header_is_lost(surface: str, row: str) -> None:
    shown = SURFACES[surface](f"| a | b |\n|---|---|\n{row}\n| four | five |")
    cells = re.compile("one|two|three|four|five|a[|]b")
    assert cells.findall(shown) == [*cells.findall(row), "four", "five"]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("tag", ["<br>", "<br/>", "<BR />"])
def test_a_break_ends_a_line_and_in_a_table_a_word(surface: str, tag: str) -> None:
    assert SURFACES[surface](f"one{tag}two").split() == ["one", "two"]
    table = SURFACES[surface](f"| a |\n|---|\n| one{tag}two |")
    assert "br" not in table.lower()
    assert re.search(r"one\s+two", table)
    assert SURFACES[surface](f"write `{tag}`").replace("`", "") == f"write {tag}"


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize(("opening", "closing"), [("$$", "$$"), (r"\[", r"\]"), (r"\begin{a}", r"\end{a}")])
def test_no_line_of_a_formula_begins_a_list(surface: str, opening: str, closing: str) -> None:
    shown = SURFACES[surface](f"x\n\n{opening}\na_{{1}} * b\n- c*d*e\n+ f \\\\ g\n{closing}\n\ny")
    assert " ".join(shown.split()) == f"x {opening} a_{{1}} * b - c*d*e + f \\\\ g {closing} y"


@pytest.mark.parametrize("surface", ["telegram", "discord"])
@pytest.mark.parametrize(("opening", "closing"), [("$$", "$$"), (r"\[", r"\]"), (r"\begin{a}", r"\end{a}")])
@pytest.mark.parametrize("before", [*range(59, 63), *range(129, 133)])
def test_a_formula_is_not_cut(surface: str, opening: str, closing: str, before: int) -> None:
    formula = f"{opening}\nx_{{1}} * y\n+ a*b*c\n{closing}"
    shown = SURFACES[surface]("\n".join(["some words of a long paragraph"] * before) + f"\n{formula}\nThe end.")
    assert "x_{1} * y" in shown
    assert "+ a*b*c" in shown


@pytest.mark.parametrize("surface", ["telegram", "older slack", "console"])
@pytest.mark.parametrize(
    ("markdown", "numbers"),
    [
        ("3. a\n2. b\n1. c", "3 2 1"),
        ("1. a\n1. b\n1. c", "1 2 3"),
        ("1. a\n- x\n2. b\n- y\n3. c", "1 2 3"),
        ("1. a\n  - x\n    4. y\n 2. b", "1 4 2"),
        ("1. a\n2. b\n2. c\n7. d", "1 2 2 7"),
        ("1. [x] a\n2. [ ] b", "1 2"),
    ],
)
def test_items_keep_their_numbers(surface: str, markdown: str, numbers: str) -> None:
    assert re.findall(r"\d+", SURFACES[surface](markdown)) == numbers.split()


# ---------------------------------------------------------------- properties

NAMES = st.sampled_from(["x", "y2", "n", "alpha", "f(x)", "a[i]", "π", "10", "0.5"])
WIDE_NAMES = st.sampled_from(["x", "值", "변수", "元", "3", "f(x)"])
OPERATORS = st.sampled_from(["*", "**", " * ", "+", " - ", "/", "^", " = ", "_", "__", "~", " < ", "~~"])


def formulas(names: st.SearchStrategy[str], operators: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    further = st.lists(st.tuples(operators, names).map("".join), max_size=6).map("".join)
    return st.tuples(names, further).map("".join)


FORMULA = formulas(NAMES, OPERATORS)
PLAIN_FORMULA = formulas(NAMES, OPERATORS.filter(lambda operator: not set("_~") & set(operator))) | formulas(
    WIDE_NAMES, st.sampled_from(["*", " * ", "+", "=", "/"])
)
PATHS = st.sampled_from(
    ["/srv/*.log", "*.py", "src/**/*.ts", "C:\\new\\_x", "\\\\host\\share", "__init__.py", "a_b/c_d"]
)
LATEX = st.sampled_from(["\\frac{a}{b}", "\\, dx", "\\{a\\}", "\\|v\\|", "\\hat{y}_i", "$a_1 * b_2$", "\\(x*y*z\\)"])
URLS = st.sampled_from(
    ["https://x.y/_a_/*b*", "https://x.y/@here?q=1*2*3", "https://x.y/~u/~v/", "https://zh.y/中文_(a)"]
)
CODE = st.sampled_from(["`a*b*c`", "`__x__`", "`f[i](x)`", "`\\_`", "`@here`", "`~x~`"])
WORDS = st.sampled_from(
    ["and", "then", "然后", "그리고", "。", "(see", "so)", "—", "ends.", "“so”", "$5", "100%", "#1", "e.g."]
)
STRONG = st.sampled_from(["**重点**", "**bold**", "*it*", "**「引用」**", "~~gone~~", "__two words__"])
PROSE = st.lists(st.one_of(FORMULA, PATHS, LATEX, URLS, CODE, WORDS, STRONG), min_size=1, max_size=9).map(" ".join)


def letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


@pytest.mark.parametrize("surface", SURFACES)
@settings(max_examples=examples(25))
@given(PROSE)
def test_no_word_and_no_digit_of_prose_is_lost(surface: str, prose: str) -> None:
    assert letters(SURFACES[surface](prose)) == letters(prose)


@pytest.mark.parametrize("surface", SURFACES)
@settings(max_examples=examples(40))
@given(
    st.lists(st.one_of(FORMULA.filter(lambda text: not set("_~") & set(text)), LATEX, PATHS), min_size=1, max_size=5)
)
@example(["长*宽*高", "2**10"])
def test_no_operator_is_lost(surface: str, parts: list[str]) -> None:
    text = ", ".join(parts)
    assert SURFACES[surface](text) == text


@settings(max_examples=examples(40))
@given(PROSE)
def test_slack_finds_what_everybody_else_does(prose: str) -> None:
    prose = re.sub(r"https://\S*", "", prose)
    adapted = read_by_slack().renderInline(slack.adapted(prose)).translate(INVISIBLE)
    assert adapted.replace("@" + WORD_JOINER, "@") == read().renderInline(prose)


@settings(max_examples=examples(25))
@given(PROSE)
def test_slack_gets_code_urls_and_destinations_unchanged(prose: str) -> None:
    linked = f"{prose} [to](https://x.y/@here/_a_) [file](<https://x.y/a @here_b.pdf>)"
    for shown in (slack.adapted(linked), "".join(slack.plain(linked))):
        for kept in re.findall(r"https://[^\s()>]+|`[^`]*`", linked):
            if "<" not in kept and (" " not in kept or shown == slack.adapted(linked)):
                assert escape(kept, quote=False) in shown or kept in shown


@pytest.mark.parametrize("opened", ["__a", "\\begin{a}", "\\(", "\\[ "])
def test_what_is_opened_often_and_never_closed_is_read_in_a_time_like_its_length(opened: str) -> None:
    text, started = opened * 16_000, time.process_time()
    for number in range(len(text)):
        for pattern in (*FORMULAS.values(), NAME):
            assert pattern.match(text, number) is None
    assert time.process_time() - started < 3, "seconds; it took up to half a minute when each had all behind it read"


def test_formulas_that_are_begun_in_each_line_are_read_in_a_time_like_their_number() -> None:
    started = time.process_time()
    read().parse("\\[\n" * 8000)
    assert time.process_time() - started < 5, (
        "seconds; it took minutes when each was looked for an end to the last line"
    )
