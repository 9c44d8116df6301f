"""What people write reads the same in every language: whom it calls upon, and what is left without the address."""

from __future__ import annotations

import pytest

from adapters.base.text_input import MENTION, bare_kind, bare_word, calling, resolve_mentions
from gateway.domain.models import MessageKind

# ruff: noqa: RUF001  # as people write


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("@bob can you check?", True),
        ("Guten Morgen @bob, schaust du mal?", True),
        ("¡hola @bob!", True),
        ("Hola @bob, ¿puedes?", True),
        ("Bonjour, @bob !", True),
        ("Olá @bob", True),
        ("Привет, @bob, посмотри", True),
        ("你好，@bob 能看一下吗？", True),
        ("こんにちは、@bob", True),
        ("能看一下吗，@bob？", True),
        ("見てくれますか。@bob", True),
        ("هل يمكنك، @bob؟", True),
        ("holanda @bob", False),
        ("что сказал @bob ?", False),
        ("请问 @bob 说了什么？", False),
    ],
)
def test_who_is_called_upon_is_meant_in_every_language(text: str, *, calls: bool) -> None:
    assert bool(calling("@bob").search(text)) is calls


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@bot，你好", "你好"),
        ("@bot：你好", "你好"),
        ("@bot、こんにちは", "こんにちは"),
        ("你好，@bot。", "你好。"),
        ("能看一下吗，@bot？", "能看一下吗？"),
        ("مرحبا، @bot", "مرحبا"),
        ("你好，@bot，能看吗", "你好，@you，能看吗"),
    ],
)
def test_of_the_address_nothing_is_left(text: str, said: str) -> None:
    assert resolve_mentions(text.replace("@bot", MENTION)) == said


@pytest.mark.parametrize("text", ["stop！", "Stop。", " stop!", "`stop`", "*Stop!*", "_stop_."])
def test_a_command_may_end_with_a_mark_and_be_emphasised(text: str) -> None:
    assert bare_kind(bare_word(text)) is MessageKind.STOP
