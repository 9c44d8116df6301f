"""Replies in Slack's form: nothing lost, nothing too long, nothing that pings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from adapters.base.markdown.code_blocks import WORD_JOINER as JOINER
from adapters.base.markdown.splitting import FENCE, utf8_bytes
from adapters.slack import formatter
from adapters.slack.mrkdwn import first_words, mrkdwn, without_markup, words
from adapters.slack.posted_reply import OutgoingMessage

CALLS = re.compile(r"<!(channel|here|everyone|group|subteam\^)|<[@#][A-Z0-9]{2,}")
LINKS = re.compile(r"<(https?://|mailto:)[^<>\n]+>")


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(
    "markdown",
    [
        "# Title\n\nSome **bold**, *italic*, ~~gone~~ and `code` & more.\n",
        "- one\n  - two\n    1. three\n- [ ] open\n- [x] done\n",
        "| a | b |\n|---|:-:|\n| 1 | `xy` |\n",
        "> quoted\n> > deeper\n\n---\n\nafter",
        "```python\nif a < b and c > d: pass  # @here\n```\n",
        "See [this](https://example.com/?a=1&b=2) or <https://example.com/x> or <https://example.com|a label>.",
        "`a < b` and ``List<int> ` <b>``",
        "![a chart](https://example.com/chart.png)",
        "```html\n<!DOCTYPE html>\n<!-- a comment -->\n```",
        "5 > 3, a -> b, mail me at someone@here.com or @channels",
        "See https://www.youtube.com/@here and [docs](https://www.npmjs.com/package/@here/harp.gl), or @here/harp.gl.",
        "[report](<https://example.com/q3 report.pdf>) https://example.com/_a_/*b*/~c~?d=<e>"[:-6],
        "![x](https://example.com/@channel/_a_.png) `@here` ``a`@here`b``",
        "text\n\n    @here *in* indented code_\n",
    ],
)
def test_what_slack_renders_goes_as_it_is(markdown: str) -> None:
    assert formatter.pieces(markdown) == [markdown]


@pytest.mark.parametrize(
    ("markdown", "adapted"),
    [
        ("A List<int> of Map<str, T>", "A List&lt;int> of Map&lt;str, T>"),
        ("Hi <@U123>, <!here>, <#C1|x>", "Hi &lt;@U123>, &lt;!here>, &lt;#C1|x>"),
        ("@channel and (@here) and **@everyone**", f"@{JOINER}channel and (@{JOINER}here) and **@{JOINER}everyone**"),
        (r"\<b> \\<b> \\\<b>", r"&lt;b> \\\\&lt;b> \\\\&lt;b>"),
        ("`<!channel>` and `<@U12>`", f"`<{JOINER}!channel>` and `<{JOINER}@U12>`"),
        ("```\n<!everyone>\n```\n<!everyone>", f"```\n<{JOINER}!everyone>\n```\n&lt;!everyone>"),
        ("> ```\n> @here\n@here *a* 2*3", f"> ```\n> @here\n@{JOINER}here *a* 2\\*3"),
        ("one ` <!here> tick", "one ` &lt;!here> tick"),
        ("one<br>two<BR />three", "one\ntwo\nthree"),
        ("| a<br/>b | c |", "| a b | c |"),
        ("![](https://example.com/x.png)", "![image](https://example.com/x.png)"),
        ("See [](https://x.y), a[]`(b)`", "See [link](https://x.y), a[]`(b)`"),
        ("<https://x.y><!here>", "<https://x.y>&lt;!here>"),
        ("<https://x.y|<!here>>", "&lt;https://x.y|&lt;!here>>"),
        ("2*3*4 f[i](x)", r"2\*3\*4 f\[i](x)"),
        (r"\{a\} x \\ y", r"\\{a\\} x \\\ y"),
        ("含**「重点」**内容", "含\u200a**「重点」**\u200a内容"),
        ("[@here](https://x.y/@here)", f"[@{JOINER}here](https://x.y/@here)"),
        ("| a |\n|---|\n| `b|c` |\nd | e | f\n", "| a |\n|---|\n| `b\\|c` |\nd \\| e \\| f\n"),
        ("| a \\| b | x |\n|---|---|\n| \\|y\\| | $|z|$ |", "| a \\| b | x |\n|---|---|\n| \\|y\\| | $\\|z\\|$ |"),
        ("3. a\n2. *b*\n1. c", "3. a\n2\\. *b*\n1\\. c"),
        ("1. a\n1. b\n   1. c\n   2. d\n2. e", "1. a\n1. b\n   1. c\n   2. d\n2. e"),
        ("1. a\n   - b\n3. c\n# D\n1. e", "1. a\n   - b\n3\\. c\n# D\n1. e"),
        ("1. a\n\nText\n\n1. b\n- c\n5. d\n\n1. e", "1. a\n\nText\n\n1. b\n- c\n5. d\n\n1\\. e"),
        ("Text\n---\nmore", "Text\n\n---\nmore"),
        ("Text\n--\n===\nmore", "Text\n\\--\n\\===\nmore"),
        ("[ERROR]: timeout\n[a b]: x (beta)", "\\[ERROR]: timeout\n\\[a b]: x (beta)"),
        ("[1]: https://x.y 'T'\n[^2]: two words\nsee [a]: b", "[1]: https://x.y 'T'\n[^2]: two words\nsee [a]: b"),
        ("the norm \\|x\\| of x", "the norm \\\\|x\\\\| of x"),
    ],
)
def test_what_slack_would_read_otherwise_is_spelled_out(markdown: str, adapted: str) -> None:
    assert formatter.adapted(markdown) == adapted


@pytest.mark.parametrize(
    ("markdown", "adapted"),
    [
        ("$$\na*b*c\n$$\n- **x**", "$$\na\\*b\\*c\n$$\n- **x**"),
        ("> $$\n> a*b*c\n> $$\n> **x**", "> $$\n> a\\*b\\*c\n> $$\n> **x**"),
        (">> $$\n>> > 5\n>> $$", ">> $$\n>> \\> 5\n>> $$"),
        ("- $$\n  - a\n  $$\n- **x**", "- $$\n  \\- a\n  $$\n- **x**"),
        ("It is $$\na*b*c\n$$\n- **x**", "It is $$\na\\*b\\*c\n$$\n- **x**"),
        ("$$\na\n$$ with **x**", "$$\na\n$$ with **x**"),
        ("\\[ \\begin{a}\n- b\n\\end{a} \\]\n**x**", "\\\\\\[ \\\\begin{a}\n\\- b\n\\\\end{a} \\\\\\]\n**x**"),
        ("\\begin{a}\n- *b*\n\\end{a}\n**x**", "\\\\begin{a}\n\\- \\*b\\*\n\\\\end{a}\n**x**"),
        ("$$\n```\na*b\n```\n**x**", "$$\n```\na*b\n```\n**x**"),
        ("- Sushi: $$\n- **Pizza**: $$\n- $$ is *cheap*", "- Sushi: $$\n- **Pizza**: $$\n- $$ is *cheap*"),
        ("text\n\n    $$\n    a*b\n", "text\n\n    $$\n    a*b\n"),
    ],
)
def test_a_formula_of_several_lines_is_escaped_to_its_end(markdown: str, adapted: str) -> None:
    assert formatter.adapted(markdown) == adapted


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("# One *two*\n\ntext", "*One _two_*\n\ntext"),
        ("**bold** *it* ~~no~~ `a<b`", "*bold* _it_ ~no~ `a&lt;b`"),
        ("[a **b**](https://x.y/?a=1&b=2) <https://x.y>", "<https://x.y/?a=1&amp;b=2|a *b*> <https://x.y>"),
        ("[t](https://x.y/a|b) <https://x.y/a|b>", "<https://x.y/a%7Cb|t> <https://x.y/a%7Cb|https://x.y/a|b>"),
        ("[local](/path) [bad](javascript:x)", "local (/path) [bad](javascript:x)"),
        ("<tel:+123> <slack://x>", "tel:+123 slack://x"),
        ("![alt](https://x.y/z.png)", "<https://x.y/z.png|alt>"),
        ("- one\n  more\n  - two\n- three", "• one\n    more\n    • two\n• three"),
        ("3. three\n4. four\n\n   again", "3. three\n4. four\n    again"),
        ("> one\n> two", "> one\n> two"),
        ("```py\na < b\n```", "```\na &lt; b\n```"),
        ("````\n```\n````", f"```\n`{JOINER}``\n```"),
        ("~~~\n`````\n~~~", f"```\n`{JOINER}`{JOINER}`{JOINER}``\n```"),
        (
            "| a | bb |\n|---|---|\n| 1 & 2 | **x** [l](https://q.w) |",
            "```\na     | bb\n1 &amp; 2 | x l (https://q.w)\n```",
        ),
        ("a &lt;!here> b & c", "a &lt;!here&gt; b &amp; c"),
        ("one\n\n---\n\ntwo", "one\n\n———\n\ntwo"),
        ("[name]: https://x.y", "[name]: https://x.y"),
        (r"\*plain\* \*", f"{JOINER}*{JOINER}plain{JOINER}*{JOINER} *"),
        ("~5 to ~10, 2*3", f"{JOINER}~{JOINER}5 to {JOINER}~{JOINER}10, 2*3"),
        ("f(*args)", "f(*args)"),
        ("含**「重点」**内容", "含\u200b*「重点」*\u200b内容"),
        ("https://x.y/_a_/@here and _b", f"https://x.y/_a_/@here and {JOINER}_{JOINER}b"),
        ("3. a\n2. b", "3. a\n2. b"),
        ("[a](<https://x.y/q3 r.pdf>)", "<https://x.y/q3%20r.pdf|a>"),
        ("[![b](https://x.y/b.png)](https://x.y)", "<https://x.y|b (https://x.y/b.png)>"),
        ("[**![](https://x.y/b.png)**\nnext line](https://x.y)", "<https://x.y|*https://x.y/b.png* next line>"),
        ("``a`*b*``", f"a{JOINER}`*{JOINER}b{JOINER}*{JOINER}"),
    ],
)
def test_slacks_older_markup_says_the_same(markdown: str, shown: str) -> None:
    assert mrkdwn(markdown) == shown


def test_a_table_too_wide_to_be_filled_up_is_whole_all_the_same() -> None:
    (shown,) = formatter.plain(f"| a | b |\n|---|---|\n| {'x' * 200} | y |")
    assert shown == f"```\na | b\n{'x' * 200} | y\n```"


def test_a_table_that_grows_by_being_filled_up_is_cut_within_its_fence() -> None:
    rows = "".join(f"| {number} | y |\n" for number in range(300))
    parts = formatter.plain(f"| a | b |\n|---|---|\n| {'x' * 100} | y |\n{rows}")
    assert len(parts) > 1
    assert all(len(part) <= formatter.MAX_PLAIN_CHARACTERS and part.count("```") == 2 for part in parts)


def test_the_buttons_stand_under_the_last_piece_and_are_read_again() -> None:
    buttons = formatter.feedback_block("turn_1", "")
    _, asking = OutgoingMessage("x", below=(buttons,)).args()["blocks"]
    (buttons,) = asking["elements"]
    assert (asking["type"], buttons["type"], buttons["action_id"]) == (
        "context_actions",
        "feedback_buttons",
        formatter.FEEDBACK_ACTION,
    )
    assert Block.parse(asking).to_dict() == asking  # type: ignore[union-attr]  # theirs; it is one
    assert formatter.read_feedback(buttons["positive_button"]["value"]) == ("turn_1", "good")
    assert formatter.read_feedback(buttons["negative_button"]["value"]) == ("turn_1", "bad")


@pytest.mark.parametrize("value", ["", "good", "good:", "great:turn_1", ":turn_1"])
def test_a_value_of_another_button_is_not_read(value: str) -> None:
    assert formatter.read_feedback(value) is None


def test_a_notification_shows_the_first_words_without_markup() -> None:
    assert formatter.fallback("# Hi\n\n**you** & `<me>`\n```py\nx\n```") == "Hi you &amp; &lt;me&gt; x"
    assert formatter.fallback("---") == "---"
    assert formatter.fallback("word " * 100).endswith("word…")


@pytest.mark.parametrize("nothing", ["", " \n\t\n", "\u200b\u2060"])
def test_of_nothing_there_is_no_piece(nothing: str) -> None:
    assert formatter.pieces(nothing) == []


# ---------------------------------------------------------------- properties

SNARES = [
    "<!here>",
    "<!channel|x>",
    "<@U123>",
    "<#C12>",
    "@channel",
    "<b>",
    "<",
    ">",
    "&",
    "&lt;",
    "\\",
    "`",
    "``",
    "```",
]
SNARES += [
    "~~~",
    "\n",
    "\n\n",
    "<https://x.y|",
    "<https://x.y>",
    "<br>",
    "**",
    "_",
    "|",
    "# ",
    "- ",
    "> ",
    "![](",
    "[![a](https://x.y/b.png)](https://x.y)",
    ")",
    " ",
]
ANYTHING = st.lists(st.sampled_from(SNARES) | st.text(max_size=4), max_size=40).map("".join)


@settings(deadline=None)
@given(ANYTHING)
def test_nothing_calls_anybody(markdown: str) -> None:
    for piece in formatter.pieces(markdown):
        assert not CALLS.search(piece)
        assert "<" not in formatter.fallback(piece)
        for part in formatter.plain(piece):
            assert "<" not in LINKS.sub("", part)


@settings(deadline=None)
@given(ANYTHING, ANYTHING)
def test_what_was_made_of_whole_lines_stays_when_more_follow(first: str, more: str) -> None:
    assert formatter.adapted(f"{first}\n{more}").startswith(formatter.adapted(f"{first}\n"))


@settings(deadline=None)
@given(st.text(max_size=400))
def test_a_notification_is_short(piece: str) -> None:
    assert len(formatter.fallback(piece)) <= formatter.MAX_FALLBACK_CHARACTERS


ALMOST_MARKUP = st.sampled_from(
    [*"ab 1.)-+=>\n\t:!'\"(){}/$%^;?,@é漢", "\u00a0", "\u2028", "\x0b", "\x85", "    ", "$$", "@here", "://a.b"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ALMOST_MARKUP, max_size=30).map("".join))
def test_what_has_no_markup_is_read_by_no_parser_and_says_the_same(piece: str) -> None:
    assert words(piece) == " ".join(without_markup(piece).split())
    assert formatter.adapted(piece) == formatter.by_line(piece)


SIMPLE = st.sampled_from(
    [
        *("**b c**", "*i*", "`c *d* e`", "[l m](https://a.b/c?d=e)", "word", "a-b", "ü", "…", ": ", "! ", "?", "("),
        *(")", " ", "  ", "\n", "\n\n", "- ", "* ", "  - ", "   * ", "# ", "### ", "@", "=", "10", "\u2028", "\x0b"),
    ]
)
ANYTHING = SIMPLE | st.sampled_from(
    [*("**", "*", "`", "_x_", "<a>", "&amp;", "```", "|", "\\", "~", "\t", "    ", "> ", "1. ", "+ ", "---", "![", "$")]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SIMPLE, max_size=12).map("".join), st.lists(ANYTHING, max_size=6).map("".join), st.integers(0, 40))
def test_the_first_words_are_those_that_a_parser_finds(piece: str, more: str, needed: int) -> None:
    text = f"{piece}\n{more}"
    found, whole = first_words(text, needed), words(text)
    assert whole.startswith(found)
    assert len(found) >= needed or found == whole


WORD = st.sampled_from(
    ["fox", "größer", "世界世界", "👩‍👩‍👧", "a<b", "R&D", "List<int>", "**bold**", "`c<d`", "x" * 700, "<!here>"]
)
LINE = st.lists(WORD, min_size=1, max_size=12).map(" ".join)
BLOCK = st.one_of(
    LINE,
    LINE.map(lambda line: f"## {line}"),
    st.lists(LINE, min_size=1, max_size=8).map(lambda lines: "\n".join(f"- {line}" for line in lines)),
    st.lists(LINE, min_size=1, max_size=8).map(lambda lines: "\n".join(f"> {line}" for line in lines)),
    st.lists(LINE, min_size=1, max_size=30).map(lambda lines: "\n".join(["```", *lines, "```"])),
    st.lists(LINE, min_size=1, max_size=20).map(
        lambda lines: "\n".join(["| a | b |", "|---|---|", *(f"| {line} | y |" for line in lines)])
    ),
)


def numbered(blocks: list[str]) -> str:
    """With a word of its own at every place where there was a fox."""
    count = 0
    parts: list[str] = []
    for part in re.split("(fox)", "\n\n".join(blocks)):
        count += part == "fox"
        parts.append(f"fox{count}." if part == "fox" else part)
    return "".join(parts)


def foxes(parts: list[str]) -> list[int]:
    """In the order in which they first come."""
    return list(dict.fromkeys(int(number) for number in re.findall(r"fox(\d+)\.", "\n".join(parts))))


def open_at_end(piece: str) -> bool:
    mark = ""
    for line in piece.splitlines():
        found = FENCE.match(line)
        if mark and line.strip() == mark:
            mark = ""
        elif found and not mark:
            mark = found["mark"]
    return bool(mark)


@settings(deadline=None)
@given(st.lists(BLOCK, min_size=1, max_size=12).map(numbered))
def test_no_word_is_lost_and_no_limit_is_passed(markdown: str) -> None:
    pieces = formatter.pieces(markdown)
    assert all(0 < utf8_bytes(piece) <= formatter.MAX_PIECE_BYTES for piece in pieces)
    assert foxes(pieces) == foxes([markdown])
    assert not any(map(open_at_end, pieces))
    parts = [part for piece in pieces for part in formatter.plain(piece)]
    assert all(0 < len(part) <= formatter.MAX_PLAIN_CHARACTERS for part in parts)
    assert foxes(parts) == foxes([markdown])
    assert not any(map(open_at_end, parts))
    assert not re.search(r"&(?!amp;|lt;|gt;)", "".join(parts))


@settings(deadline=None)
@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"]), max_size=300))
def test_plain_words_come_out_as_they_went_in(words: str) -> None:
    assert " ".join(" ".join(formatter.plain(words)).split()) == " ".join(words.split())
