"""Reads bodies that may hold files: large ones only as many at a time as the process has memory for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.said import CallerInput
from gateway.domain.errors import Overloaded
from gateway.web.api.routes import HttpRequest

SMALL_BYTES = 2**20
"""A body of this size is read at any time."""
MAX_BYTES = 32 * 2**20
"""Of one body: some 20 MB of files in base64, which is what other platforms take."""
MAX_CHARS = 4_000_000
"""Of instructions, history and results: more than the largest models read. It is stored with the turn."""
MAX_BYTES_AT_ONCE = 256 * 2**20
"""Of all bodies above SMALL_BYTES that are being read and parsed."""


class BodyReader:
    """Reads the bodies of one process. Used on one event loop."""

    def __init__(self, max_bytes_at_once: int = MAX_BYTES_AT_ONCE) -> None:
        self._left = max_bytes_at_once

    @asynccontextmanager
    async def reading(self, request: HttpRequest) -> AsyncIterator[bytes]:
        """Gives the body, until the context ends. Raises MalformedRequest, Overloaded, ClientDisconnected.

        A body without a declared length may be small only.
        """
        declared = request.headers.get("content-length", "")
        size = min(int(declared), MAX_BYTES) if declared.isdecimal() and len(declared) < len(str(2**62)) else 0
        reserved = size if size > SMALL_BYTES else 0
        if reserved > self._left:
            raise Overloaded("Too many large requests are being read. Try again in a moment.", retry_after=1.0)
        self._left -= reserved
        try:
            yield await request.read_body(MAX_BYTES if reserved or declared else SMALL_BYTES)
        finally:
            self._left += reserved


def check_length(said: CallerInput, max_chars: int, where: str) -> None:
    """Raises InvalidRequest for a message that is too long, or a past that no model could read."""
    if len(said.text) > max_chars:
        message = f"The new message in `{where}` has {len(said.text)} characters; V1_MAX_MESSAGE_CHARS is {max_chars}."
        raise InvalidRequest(message, param=where, code="string_above_max_length")
    if (size := _chars(said)) > MAX_CHARS:
        message = f"`{where}` has {size} characters; at most {MAX_CHARS} are taken."
        raise InvalidRequest(message, param=where, code="context_length_exceeded")


def _chars(said: CallerInput) -> int:
    """Returns the characters of all that was said, without files."""
    texts = [said.instructions, *(each.output for each in said.outputs)]
    for each in said.history:
        texts += [each.text, each.reply, each.returned]
        texts += [*(one.output for one in each.outputs), *(one.arguments for one in each.calls)]
    return sum(map(len, texts))
