"""Replies in Telegram's form: nothing lost, nothing too long, nothing that makes Telegram refuse a message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram import MessageEntity

from adapters.telegram.formatter import MAX_ENTITIES, FormattedParts, FormattedText, parts, plain
from adapters.telegram.links import is_link
from tests.examples import examples
from tests.fakes.telegram_formatting import check_url


def said(message: FormattedText) -> list[tuple[str, str, str]]:
    """Each entity: what it is, the words, its address or language."""
    units = message.text.encode("utf-16-le")
    return [
        (
            str(entity.type),
            units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le"),
            entity.url or entity.language or "",
        )
        for entity in message.entities
    ]


def only(markdown: str) -> FormattedText:
    (message,) = parts(markdown)
    return message


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("markdown", "text", "entities"),
    [
        ("plain & simple < > \\*x\\*", "plain & simple < > *x*", []),
        (
            "**b** *i* ~~s~~ `c`",
            "b i s c",
            [("bold", "b", ""), ("italic", "i", ""), ("strikethrough", "s", ""), ("code", "c", "")],
        ),
        ("**a *b* c**", "a b c", [("bold", "a b c", ""), ("italic", "b", "")]),
        ("**a `b` c**", "a b c", [("bold", "a ", ""), ("code", "b", ""), ("bold", " c", "")]),
        ("**`b`**", "b", [("code", "b", "")]),
        ("## Title **x**\nText", "Title x\nText", [("bold", "Title x", "")]),
        ("text\n---\nmore", "text\n———\nmore", []),
        ("👍 **x** 🎉*y*", "👍 x 🎉y", [("bold", "x", ""), ("italic", "y", "")]),
        ("```py\nif a < b:\n\tpass\n```", "if a < b:\n    pass", [("pre", "if a < b:\n    pass", "py")]),
        ("```\nx", "x", [("pre", "x", "")]),
        ('```js title="a.js"\nx\n```', 'js title="a.js"\nx', [("pre", "x", "js")]),
        ("```Here is, a thought\nx\n```", "Here is, a thought\nx", [("pre", "x", "")]),
        ("```python\n```", "python", []),
        ("    indented", "indented", [("pre", "indented", "")]),
        ("std::vector<int> a <b>c</b><!-- d -->", "std::vector<int> a <b>c</b><!-- d -->", []),
        ("one<br>two<BR />three", "one\ntwo\nthree", []),
        ("&lt;b&gt; &amp;amp;", "<b> &amp;", []),
        ("> a\n> b\n\nc", "a\nb\n\nc", [("blockquote", "a\nb", "")]),
        ("> a\n> > b\n> > - c", "a\n> b\n> • c", [("blockquote", "a\n> b\n> • c", "")]),
        (">\n\na", "a", []),
        ("[name]: https://x.y", "[name]: https://x.y", []),
        ("![](https://x.y/z.png)", "https://x.y/z.png", []),
        ("`a`\n\n\n\nb", "a\n\nb", [("code", "a", "")]),
    ],
)
def test_markdown_becomes_text_with_entities(markdown: str, text: str, entities: list[tuple[str, str, str]]) -> None:
    message = only(markdown)
    assert (message.text.lstrip("\n"), said(message)) == (text, entities)
    assert message.markdown == markdown


@pytest.mark.parametrize(
    ("markdown", "names"),
    [
        ("@alice_b, ask (@BobRay) or @carl/@dora.", ["alice_b", "BobRay", "carl", "dora"]),
        ("**@alice** *said*\n# To @bobray", ["alice", "bobray"]),
        ("ask@alice.org @abc @2024 é@alice @aliceé `@alice` https://x.org/@alice x.org/a/@alice", []),
        ("[@alice](https://x.org)", []),
    ],
)
def test_a_name_notifies_nobody(markdown: str, names: list[str]) -> None:
    message = only(markdown)
    links = [entity for entity in said(message) if entity[0] == "text_link" and "t.me" in entity[2]]
    assert links == [("text_link", f"@{name}", f"https://t.me/{name}") for name in names]


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("- a\n  more\n  - b\n    - c\n      - d\n- e", "• a\n    more\n    ◦ b\n        ▪ c\n            ▪ d\n• e"),
        ("- a\n\n- b\n\n  c", "• a\n\n• b\n\n    c"),
        ("1. a\n1. b\n1. c", "1. a\n2. b\n3. c"),
        ("3) a\n4) b", "3) a\n4) b"),
        ("3. a\n2. b\n1. c", "3. a\n2. b\n1. c"),
        ("- [ ] a\n- [x] b\n- [X] **c**\n- [y] d", "☐ a\n☑ b\n☑ c\n• [y] d"),
        ("1. a\n   ```sh\n   ls\n   ```\n2. b", "1. a\nls\n2. b"),
        ("- ```\n  x\n  ```", "• \nx"),
        ("- > q\n- b", "• \nq\n• b"),
        ("- - a", "• ◦ a"),
        ("-\n- b", "• \n• b"),
        ("1. [ ] a\n2. [x] b", "1. ☐ a\n2. ☑ b"),
        ("1. a\n2. b\n2. c", "1. a\n2. b\n2. c"),
        ("text\n- a\n\nmore", "text\n• a\n\nmore"),
    ],
)
def test_lists_look_like_lists(markdown: str, text: str) -> None:
    assert only(markdown).text == text


@pytest.mark.parametrize(
    ("markdown", "text", "links"),
    [
        ("[a **b**](https://x.y/?a=1&b=2)", "a b", ["https://x.y/?a=1&b=2"]),
        ("[`code`](https://x.y)", "code", ["https://x.y"]),
        ("[a](tg://resolve?domain=x)", "a", ["tg://resolve?domain=x"]),
        ("[a](https://пример.рф/ü)", "a", ["https://пример.рф/ü"]),
        ('[a](https://x.y "the title")', "a (the title)", ["https://x.y"]),
        ("![alt](https://x.y/z.png)", "alt", ["https://x.y/z.png"]),
        ("[![alt](https://x.y/z.png)](https://x.y)", "alt (https://x.y/z.png)", ["https://x.y"]),
        ("<https://x.y> [https://x.y](https://x.y)", "https://x.y https://x.y", []),
        ("<a@b.c> [mail](mailto:a@b.c)", "a@b.c mail (a@b.c)", []),
        ("[docs](/path)", "docs (/path)", []),
        ("[f](src/app.py)", "f (src/app.py)", []),
        ("[a](#anchor)", "a (#anchor)", []),
        ("[l](http://localhost:8000/x)", "l (http://localhost:8000/x)", []),
        ("[j](javascript:alert(1))", "j (javascript:alert(1))", []),
        ("[u](tg://user?id=1)", "u (tg://user?id=1)", []),
        ("[x]() [](https://x.y) [](/p)", "x https://x.y /p", []),
        ("![i](images/x.png)", "i (images/x.png)", []),
    ],
)
def test_only_what_telegram_takes_becomes_a_link(markdown: str, text: str, links: list[str]) -> None:
    message = only(markdown)
    assert message.text == text
    assert [entity.url for entity in message.entities if entity.type == MessageEntity.TEXT_LINK] == links


def test_a_table_stands_in_columns() -> None:
    message = only("| a | b |\n|---|:-:|\n| 中文 | **x** [l](https://q.w)<br>y |\n| 1 |\n")
    assert message.text.splitlines() == [
        "a    │ b",
        "─────┼────────────────────",
        "中文 │ x l (https://q.w) y",
        "1    │",
    ]
    assert [kind for kind, *_ in said(message)] == ["pre"]


def test_no_cell_of_a_table_is_lost() -> None:
    assert "3" in only("a | b\n-|-\n1 | 2 | 3").text
    assert only("> | a |\n> |---|\n> | 1 | 2 | 3 |").text.splitlines()[-1] == "1 │ 2 │ 3"


def test_a_table_in_a_fence_stays_as_it_is() -> None:
    table = "| a |\n|---|\n| 1 | 2 |"
    assert only(f"```\n{table}\n```").text == table


def test_a_table_too_wide_for_columns_is_not_filled_up() -> None:
    message = only(f"| a | b |\n|---|---|\n| {'x' * 100} | y |\n| 1 | |")
    assert message.text == f"a | b\n{'x' * 100} | y\n1"


def test_a_table_that_grows_by_being_drawn_is_cut_between_rows() -> None:
    wide = f"| {'x' * 40} | b |\n|---|---|\n" + "".join(f"| {number} | y |\n" for number in range(300))
    messages = parts(wide)
    assert len(messages) > 1
    assert all(message.text.startswith("x" * 40) for message in messages)


def test_a_long_fence_is_closed_and_opened_again() -> None:
    messages = parts("Look:\n\n```python\n" + "print('hello')\n" * 1000 + "```\n\nDone.")
    assert len(messages) == 4
    assert all(("pre", "python") in {(kind, more) for kind, _, more in said(message)} for message in messages)


def test_messages_are_filled_with_entities_up_to_a_hundred() -> None:
    counts = [len(message.entities) for message in parts(" ".join(f"**w{number}**" for number in range(257)))]
    assert sum(counts) == 257
    assert [count for count in counts if count > MAX_ENTITIES] == []
    assert min(counts[:-1]) > 90


@given(st.lists(st.sampled_from([" ", ", ", ". ", "\n", "\n\n", "\n- "]), min_size=110, max_size=220))
@settings(max_examples=examples(3))
def test_where_a_message_ends_does_not_change_while_the_reply_grows(gaps: list[str]) -> None:
    text, known = "", FormattedParts()
    ends: list[str] = []
    for number, gap in enumerate(gaps):
        text += f"**w{number}**{gap}"
        if number % 40 == 39:
            now = [message.markdown for message in parts(text, known)]
            assert now[: len(ends)] == ends
            ends = now[:-1]
    assert parts(text, known) == parts(text)


@pytest.mark.parametrize("nothing", ["", " \n\t\n", "\u200b\u2800", "&nbsp;", "&#8203;&#x2800;\n\n"])
def test_of_nothing_to_see_there_is_no_part(nothing: str) -> None:
    assert [part for part in parts(nothing) if part.text == nothing.strip() and "&" not in nothing] == []
    assert len(parts(nothing)) <= ("&" in nothing)


@pytest.mark.parametrize("markup", ["#", "```\n```", "![]()", "[]()", "> ", "- "])
def test_markup_around_nothing_is_shown_as_it_is(markup: str) -> None:
    assert only(markup).text.strip()


@pytest.mark.parametrize(
    "deep", [">" * 4000 + "x", "- " * 1000 + "x", "".join(f"{'  ' * level}- a{level}\n" for level in range(60))]
)
def test_what_is_too_deep_to_be_read_is_shown_as_it_is(deep: str) -> None:
    assert "".join(message.text for message in parts(deep)) == deep


@pytest.mark.parametrize("mark", ["[", "![", "*a ", "_a*", "<", "[a](b ", "](", "[*a_`", "`", "|", "&", "~~a"])
def test_what_is_never_closed_is_shown_as_it_is(mark: str) -> None:
    text = mark * (3600 // len(mark))
    assert "".join(filter(str.isalnum, "".join(message.text for message in parts(text)))) == "".join(
        filter(str.isalnum, text)
    )


def test_half_a_surrogate_pair_can_be_sent() -> None:
    assert only("a \ud83d **b** \ud83d\udc4d").text == "a \ufffd b 👍"
    assert plain("a \ud83d") == ["a \ufffd"]


def test_the_plain_text_is_what_was_written() -> None:
    markdown = "# A **b**\r\n\r\n| a |\r\n|---|\r\n"
    assert plain(markdown) == [markdown.replace("\r\n", "\n")]
    assert " ".join(plain("word " * 2000)).split() == ["word"] * 2000
    assert plain(" \n") == []


# ---------------------------------------------------------------- links


@pytest.mark.parametrize(
    "address",
    [
        "http://x.y",
        "HTTPS://x.y:8443/a b?c#d",
        "https://127.0.0.1/x",
        "https://a_b.example.com",
        "tg://resolve?domain=a",
        "TG://settings/",
    ],
)
def test_a_good_address_is_a_link(address: str) -> None:
    assert is_link(address)
    check_url(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x.y",
        "/a",
        "http:x.y",
        "http://",
        "http://.",
        "https://localhost",
        "https://x.y:0",
        "https://x.y:65536",
        "https://x.y:a",
        "https://x.y:",
        "https://x y.z/",
        "ftp://x.y",
        "tg:x",
        "tg://user?id=5",
        "tg://a.b",
        "tg://a:1",
        "mailto:a@b.c",
        "https://a:b@c.d",
    ],
)
def test_a_bad_or_doubtful_address_is_none(address: str) -> None:
    assert not is_link(address)
