"""Bodies of requests. Files in JSON, as data URLs, are encoded piece by piece while the request is sent.

In memory such a body would be there several times over: as bytes, in base64, as text, in the JSON and encoded.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from gateway.assistants.sse import Json
from gateway.domain.files import Content
from gateway.http_client import StreamedBody

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class DataUrl:
    """The content of a file as a value in JSON."""

    media_type: str
    content: Content

    @property
    def prefix(self) -> bytes:
        """What is before the base64, escaped as in a JSON string."""
        return json.dumps(f"data:{self.media_type};base64,", ensure_ascii=False)[1:-1].encode()

    @property
    def size(self) -> int:
        """In bytes, as it is sent."""
        return len(self.prefix) + 4 * -(-self.content.size // 3)

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self.prefix
        left = b""
        async for piece in self.content.pieces():
            whole = left + piece if left else piece
            end = len(whole) - len(whole) % 3  # what is left over would be padded, and that only at the end
            left = whole[end:]
            yield base64.b64encode(whole[:end] if left else whole)
        if left:
            yield base64.b64encode(left)


class _Encoder(json.JSONEncoder):
    """Encodes as the SDK does."""

    def __init__(self) -> None:
        super().__init__(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _MarkingEncoder(_Encoder):
    """Puts a mark in the place of each data URL."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = ""
        self.urls: list[DataUrl] = []

    def default(self, o: Any) -> Any:
        if not isinstance(o, DataUrl):
            return super().default(o)
        self.mark = self.mark or secrets.token_hex(16)
        self.urls.append(o)
        return self.mark


_encode = _Encoder().encode


def encode_body(body: Json) -> bytes | StreamedBody:
    """Returns a body that may contain data URLs. Raises ValueError for what cannot be JSON."""
    try:
        return _encode(body).encode()
    except TypeError:  # for a data URL, which few bodies contain
        return _with_data_urls(body)


def _with_data_urls(body: Json) -> StreamedBody:
    encoder = _MarkingEncoder()
    text = encoder.encode(body)
    texts = [part.encode() for part in text.split(encoder.mark)]
    size = sum(map(len, texts)) + sum(url.size for url in encoder.urls)

    async def pieces() -> AsyncIterator[bytes]:
        for before, url in zip(texts, encoder.urls, strict=False):
            yield before
            async for piece in url.pieces():
                yield piece
        yield texts[-1]

    return StreamedBody(size, pieces, JSON_TYPE)
