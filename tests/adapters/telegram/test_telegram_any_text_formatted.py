"""Whatever an assistant may write: Telegram takes it, and no word of it is lost."""

from __future__ import annotations

import html
import re
import unicodedata
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.base.markdown.splitting import utf16_units
from adapters.telegram.formatter import MAX_ENTITIES, MAX_UNITS, FormattedText, parts, plain
from adapters.telegram.links import is_link
from tests.examples import examples
from tests.fakes.telegram_faults import TelegramError
from tests.fakes.telegram_formatting import check_url, format_text

FAMILY = "👨‍👩‍👧‍👦"
FLAG = "🇩🇪"

WORDS = st.sampled_from(
    [
        *(
            "word",
            "two words",
            "snake_case_name",
            "__init__",
            "2*3*4",
            "x<y>z",
            "List<int>",
            "<b>",
            "</details>",
            "a|b",
        ),
        *("&", "&lt;", "\\*", "$x_1$", "\\(a\\)", "C:\\dir", "*", "**", "_", "~~", "`", "``", "[", "](", "!", "#", ">"),
        *("שלום עולם", "مرحبا", "中文「强调」", "e\u0301", FAMILY, FLAG, "👍🏽", "1️⃣", "\u200b", "\u2800", "\t", "\x07"),
        *("<https://x.y/a>", "https://x.y/?a=1", "\ud83d", "\u2028", "́", "x" * 300, FAMILY * 60),
    ]
)
ADDRESS = st.sampled_from(
    ["https://x.y/§", "/path§", "http://localhost:1/x§", "tg://settings?§", "a b§", "", "#a§", "https://.§"]
)


def numbered(text: str) -> str:
    """With no two addresses the same: one that is its own text is shown once, and here that is never so."""
    numbers = count()
    return re.sub("§", lambda _: str(next(numbers)), text)


INLINE = st.recursive(
    st.lists(WORDS, max_size=5).map(" ".join),
    lambda inner: st.one_of(
        st.builds(lambda mark, text: f"{mark}{text}{mark}", st.sampled_from(["*", "**", "_", "~~", "`", "***"]), inner),
        st.builds(lambda text, to: f"[{text}]({to})", inner, ADDRESS),
        st.builds(lambda text, to: f"![{text}]({to})", inner, ADDRESS),
        st.lists(inner, max_size=4).map("".join),
    ),
    max_leaves=8,
)
CODE = st.lists(st.one_of(WORDS, st.sampled_from(["", "    if a < b:", "\tx", "```", "| a |"])), max_size=6).map(
    "\n".join
)
INFO = st.sampled_from(["", "python", "c++", 'js title="x"', "a thought, unfinished", "`", "x" * 50, "mermaid {a}"])
ROW = st.lists(INLINE, min_size=1, max_size=4).map(lambda cells: f"| {' | '.join(cells)} |")
BLOCK = st.recursive(
    st.one_of(
        INLINE,
        st.builds(lambda level, text: f"{'#' * level} {text}", st.integers(1, 6), INLINE),
        st.builds(
            lambda fence, info, code, end: f"{fence}{info}\n{code}\n{end}",
            st.sampled_from(["```", "~~~", "````"]),
            INFO,
            CODE,
            st.sampled_from(["```", "~~~", "````", ""]),
        ),
        st.builds(
            lambda head, rows: "\n".join([head, "|" + "---|" * head.count(" | ") + "---|", *rows]), ROW, st.lists(ROW)
        ),
        st.sampled_from(["---", "***", "===", "    code"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map("\n\n".join),
        st.lists(inner, max_size=4).map("\n".join),
        inner.map(lambda text: "\n".join(f"> {line}" for line in text.split("\n"))),
        st.builds(
            lambda mark, items: "\n".join(mark + item.replace("\n", "\n" + " " * len(mark)) for item in items),
            st.sampled_from(["- ", "* ", "1. ", "7) ", "- [ ] ", "- [x] "]),
            st.lists(inner, max_size=4),
        ),
    ),
    max_leaves=10,
)
MARKDOWN = st.one_of(BLOCK, BLOCK.map(lambda text: text.replace("\n", "\r\n"))).map(numbered) | st.text(max_size=300)
LONG = st.builds(lambda text, times: f"{text}\n\n" * times, BLOCK.map(numbered), st.integers(2, 40))


def letters(text: str) -> str:
    """What is no markup, in one spelling."""
    return "".join(char for char in text if char.isalnum())


def sent_letters(message: FormattedText) -> str:
    """Of what is shown, and of what is there with it: languages before their code, addresses behind their words."""
    units = message.text.encode("utf-16-le")
    hidden = sorted(
        (entity.offset, entity.language) if entity.language else (entity.offset + entity.length, entity.url or "")
        for entity in message.entities
    )
    at, found = 0, []
    for place, word in hidden:
        found += [units[2 * at : 2 * place].decode("utf-16-le"), word]
        at = place
    return letters("".join([*found, units[2 * at :].decode("utf-16-le")]))


def of_source(markdown: str) -> str:
    """The letters of a source that must be sent: without numbers and boxes of lists, and names of characters."""
    text = re.sub(r"(?m)^([ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+)+(\[[xX ]\][ \t])?", " ", markdown)
    return letters(html.unescape(re.sub(r"<br[ \t]*/?>", " ", text)))


def is_within(letters_: str, others: str) -> bool:
    rest = iter(others)
    return all(letter in rest for letter in letters_)


def accepted(messages: list[FormattedText]) -> None:
    for message in messages:
        assert utf16_units(message.text) <= MAX_UNITS
        assert len(message.entities) <= MAX_ENTITIES
        try:
            format_text(message.text, "", [entity.to_dict() for entity in message.entities])
        except TelegramError as error:
            pytest.fail(f"{error} for {message!r}")


@settings(max_examples=examples(40))
@given(MARKDOWN)
@example("| a |\n|---|\n| 1 | 2 |")
@example("> - **`x`**\n>   > y")
def test_telegram_takes_whatever_an_assistant_may_write_and_no_word_is_lost(markdown: str) -> None:
    messages = parts(markdown)
    accepted(messages)
    assert is_within(of_source(markdown), "".join(map(sent_letters, messages)))


@settings(max_examples=examples(8))
@given(LONG)
def test_of_a_long_reply_every_part_is_taken_and_no_word_is_lost(markdown: str) -> None:
    messages = parts(markdown)
    accepted(messages)
    assert is_within(of_source(markdown), "".join(map(sent_letters, messages)))


@settings(max_examples=examples(8))
@given(st.lists(st.sampled_from([FAMILY, FLAG, "👍🏽", "1️⃣", "e\u0301", "中", "a"]), min_size=1, max_size=40))
def test_what_a_reader_takes_for_one_character_is_never_cut(characters: list[str]) -> None:
    text = "".join(characters) * 4100
    messages = parts(text[: 4100 * 3])
    assert "".join(message.text for message in messages) == text[: 4100 * 3]
    for message in messages[1:]:
        assert not unicodedata.category(message.text[0]).startswith("M")
        assert message.text[0] not in "\u200d🏽"


@given(MARKDOWN)
def test_the_plain_text_is_taken_too(markdown: str) -> None:
    for part in plain(markdown):
        assert utf16_units(part) <= MAX_UNITS
        format_text(part, "", [])


ADDRESSES = st.text("htps:/.?#@[]%:tgx-_a0189é \\", max_size=20) | st.builds(
    str.__add__, st.sampled_from(["http://", "https://", "tg://", "tg:"]), st.text("x.:/?#@[]%a-_0é \\", max_size=12)
)


@given(ADDRESSES)
def test_what_is_taken_for_a_link_telegram_takes(address: str) -> None:
    if is_link(address):
        check_url(address)
