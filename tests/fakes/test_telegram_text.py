"""Texts and entities that the fake Telegram accepts, after the rules in the server's source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.platform_faults import Json
from tests.fakes.telegram_faults import TelegramError
from tests.fakes.telegram_formatting import ParsedText, format_text
from tests.fakes.telegram_messages import utf16_length


def bold(offset: int, length: int, **more: object) -> Json:
    return {"type": "bold", "offset": offset, "length": length, **more}


def refused(text: str, *entities: object, parse_mode: str = "") -> str:
    with pytest.raises(TelegramError) as refusal:
        format_text(text, parse_mode, list(entities))
    assert refusal.value.status == 400
    return refusal.value.description.removeprefix("Bad Request: ")


def taken(text: str, *entities: Json) -> ParsedText:
    return format_text(text, "", list(entities))


@pytest.mark.parametrize("text", [" \n ", "\u200b", "\u2060\u2800", "\r\n", "\u202e"])
def test_an_invisible_text_is_refused(text: str) -> None:
    assert refused(text) == "text must be non-empty"
    assert refused("") == "message text is empty"


def test_a_draft_can_be_empty() -> None:
    assert format_text("", "", None, allow_empty=True) == ParsedText("")


@pytest.mark.parametrize(
    ("entity", "why"),
    [
        (bold(1, 2), "entity begins in a middle of a UTF-16 symbol at byte offset 1"),
        (bold(0, 1), "entity beginning at UTF-16 offset 0 ends in a middle of a UTF-16 symbol at byte offset 1"),
        (bold(2, 9), "entity beginning at UTF-16 offset 2 ends after the end of the text at UTF-16 offset 11"),
        (bold(9, 1), "entity begins after the end of the text at UTF-16 offset 9"),
        (bold(-1, 1), "receive an entity with incorrect offset -1"),
        (bold(0, 1_000_001), "receive an entity with incorrect length 1000001"),
        ({"type": "loud", "offset": 0, "length": 2}, "can't parse MessageEntity: Unsupported type specified"),
        ({"type": "bold", "offset": 0}, "can't parse MessageEntity: Can't find field \"length\""),
        ({"type": "text_link", "offset": 0, "length": 2}, "can't parse MessageEntity: Can't find field \"url\""),
        ("bold", "can't parse MessageEntity: expected an Object"),
    ],
)
def test_an_entity_must_cover_whole_characters_of_the_text(entity: object, why: str) -> None:
    assert refused("😀 ab", entity) == why


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/a?b#c",
        "example.com/path",
        "HTTPS://EXAMPLE.COM",
        "https://пример.рф/путь",
        "http://[::1]/",
        "http://127.0.0.1:80",
        "https://user:pw@example.com/",
        "tg://user?id=5",
        "https://example.com/a b",
    ],
)
def test_valid_link_urls(url: str) -> None:
    assert taken("x", {"type": "text_link", "offset": 0, "length": 1, "url": url}).entities[0]["url"] == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("/path", "URL host is empty"),
        ("#anchor", "URL host is empty"),
        ("", "URL host is empty"),
        ("src/app", "Wrong HTTP URL"),
        ("http://localhost:8000/x", "Wrong HTTP URL"),
        ("ftp://example.com", "Unsupported URL protocol"),
        ("mailto:a@b", "Wrong HTTP URL"),
        ("http://exa mple.com", "Disallowed character in URL host"),
        ("http://example.com:99999", "Wrong port number specified in the URL"),
        ("http://example.com:port", "Wrong port number specified in the URL"),
        ("https://a<b>.com", "Disallowed character in URL host"),
        ("https://a%zz.com", "Disallowed character in URL host"),
    ],
)
def test_invalid_link_urls(url: str, why: str) -> None:
    entity = {"type": "text_link", "offset": 0, "length": 1, "url": url}
    assert refused("x", entity) == f"entity URL '{url}' is invalid: {why}"


def test_entities_beyond_the_hundredth_are_ignored() -> None:
    entities = [bold(0, 1)] * 100
    assert len(taken("ab", *entities, bold(7, 7)).entities) == 100
    assert "after the end" in refused("ab", *entities[1:], bold(7, 7))


def test_empty_and_detected_entities_are_ignored() -> None:
    assert taken("abc", bold(1, 0), {"type": "url", "offset": 0, "length": 3}).entities == ()


def test_entities_are_sorted_with_outer_before_inner() -> None:
    assert taken("abcd", bold(2, 1), bold(0, 1), bold(0, 4)).entities == (bold(0, 4), bold(0, 1), bold(2, 1))


def test_a_text_and_its_entities_are_trimmed() -> None:
    assert taken("  ab \n", bold(2, 4)) == ParsedText("ab", (bold(0, 2),))
    assert taken("  ab  ", bold(0, 6)) == ParsedText("  ab", (bold(0, 4),)), "an entity holds what is before it"


def test_hidden_characters_are_removed() -> None:
    assert taken("a\r\nb\tc\u202ed", bold(3, 1), bold(7, 1)) == ParsedText("a\nb cd", (bold(2, 1), bold(5, 1)))


def test_invalid_text_is_refused() -> None:
    assert refused("a\ud800") == "strings must be encoded in UTF-8"
    assert refused("é" * 16_385) == "text is too long"
    assert refused("*a*", parse_mode="MarkdownV2") == "unsupported parse_mode"


@given(st.text(alphabet="aé😀\r\t \n\u202e", max_size=20), st.data())
def test_an_entity_still_marks_the_same_characters(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    entity = bold(utf16_length(text[:start]), utf16_length(text[start:end]))
    kept = taken(f"{text}.", entity)
    marked = "".join(_cut(kept.text, one) for one in kept.entities)
    shown = text[start:end].translate({ord("\r"): None, 0x202E: None, ord("\t"): " "})
    assert marked == shown


def _cut(text: str, entity: Json) -> str:
    raw = text.encode("utf-16-le")
    start = 2 * entity["offset"]
    return raw[start : start + 2 * entity["length"]].decode("utf-16-le")
