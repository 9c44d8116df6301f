"""Long texts are formatted in a thread, short ones at once."""

from __future__ import annotations

import threading

import pytest

from adapters.base.long_text import LONG_CHARS, formatted_apart


@pytest.mark.parametrize(("chars", "is_apart"), [(1, False), (LONG_CHARS, False), (LONG_CHARS + 1, True)])
async def test_only_a_long_text_is_formatted_beside_the_event_loop(chars: int, *, is_apart: bool) -> None:
    thread = await formatted_apart("a" * chars, threading.get_ident)
    assert (thread != threading.get_ident()) == is_apart
