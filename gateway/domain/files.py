"""Files that people attach and assistants create, and their content."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

ANY_BYTES = "application/octet-stream"
CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(?:[ ]*;[ -~]{0,200})?", re.ASCII)
"""www.rfc-editor.org/rfc/rfc6838#section-4.2, and parameters."""
JOINERS = "\u200c\u200d"
"""Invisible characters that belong to words, and to emoji."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that a person attached or the assistant created. Stored as JSON under these field names."""

    name: str
    reference: str
    """How to fetch its content. Opaque: only the adapter or backend that created it interprets it."""
    media_type: str = ""
    size: int = 0
    """In bytes; 0 if unknown."""

    @property
    def shown_name(self) -> str:
        """Returns the name in one line, without characters that hide or turn what is beside them."""
        kept = (char if char.isprintable() or char in JOINERS else " " for char in self.name)
        return " ".join("".join(kept).split()) or "a file"


def content_type_of(media_type: str) -> str:
    """Returns a media type as it may stand in a header; that of any bytes for what is none.

    What a tool, a platform or a client says may be anything, also several lines.
    """
    return media_type if CONTENT_TYPE.fullmatch(media_type) else ANY_BYTES


class Content(Protocol):
    """The content of a file, which may be too large to be in memory as a whole."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def head(self, count: int) -> bytes:
        """Returns the first bytes, at most ``count``: at once, so ask for a few hundred kilobytes at most."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Yields all of it, from the beginning; may be called again."""
        ...


@dataclass(frozen=True, slots=True)
class BytesContent:
    """A small content, in memory."""

    data: bytes = b""

    @property
    def size(self) -> int:
        return len(self.data)

    def head(self, count: int) -> bytes:
        return self.data[:count]

    async def pieces(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file with its content, or with the reason why it could not be fetched, worded for the assistant."""

    file: File
    content: Content = BytesContent()
    problem: str = ""
