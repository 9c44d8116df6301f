"""Reads a form as it arrives, so that a file is never in memory as a whole: RFC 7578."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.domain.errors import MalformedRequest

FORM = "multipart/form-data"
MAX_PARTS = 32
MAX_NAME_CHARS = 200
MAX_MEDIA_TYPE_CHARS = 100
EXTENDED_NAME = re.compile(rb""";\s*filename\*=\s*"?(?:([\w.-]*)'[^']*')?([^;"]*)""", re.IGNORECASE)
"""RFC 5987. RFC 7578 forbids it in forms, and yet .NET sends it beside a name that it has encoded otherwise, and old
versions of Python's urllib3 send nothing else."""


@dataclass(frozen=True, slots=True)
class PartHead:
    """What stands above the content of one part."""

    name: str
    file_name: str | None
    """The last part of the path that the client named; None for a field."""
    media_type: str


async def read_parts(pieces: AsyncIterator[bytes], content_type: str) -> AsyncIterator[PartHead | bytes]:
    """Yields the head of each part, then its content in pieces.

    Raises MalformedRequest (``invalid_form``), and what ``pieces`` raises.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _invalid("its boundary is missing from the Content-Type")
    found = _Found()
    try:
        parser = MultipartParser(boundary, found.callbacks())  # type: ignore[arg-type]  # a TypedDict of all of them
        async for piece in pieces:
            parser.write(piece)
            for event in found.take():
                yield event
    except FormParserError as exc:
        raise _invalid(str(exc)) from None
    if not found.has_ended:
        raise _invalid("it ends before its last boundary")


def file_name(written: str) -> str:
    """Returns what a client wrote as a file's name without folders and control characters."""
    last = written.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:MAX_NAME_CHARS] or "file"


class _Found:
    """Collects what the parser calls back with."""

    def __init__(self) -> None:
        self.has_ended = False
        self._events: list[PartHead | bytes] = []
        self._headers: dict[str, bytes] = {}
        self._name = self._value = b""
        self._parts = 0

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_name,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_head,
            "on_part_data": self._add_content,
            "on_end": self._end,
        }

    def take(self) -> list[PartHead | bytes]:
        events, self._events = self._events, []
        return events

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _invalid(f"it has more than {MAX_PARTS} parts")
        self._headers = {}

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value
        self._name = self._value = b""

    def _end_head(self) -> None:
        disposition = self._headers.get("content-disposition", b"")
        _, options = parse_options_header(disposition)
        media_type = parse_options_header(self._headers.get("content-type", b""))[0]
        extended = _extended_name(disposition)
        given = extended or options.get(b"filename", extended)
        self._events.append(
            PartHead(
                _text(options.get(b"name", b"")),
                None if given is None else file_name(_text(given)),
                _text(media_type)[:MAX_MEDIA_TYPE_CHARS],
            )
        )

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self._events.append(bytes(data[start:end]))

    def _end(self) -> None:
        self.has_ended = True


def _extended_name(disposition: bytes) -> bytes | None:
    """Returns a file's name that is given with its encoding, in UTF-8; None if there is none."""
    found = EXTENDED_NAME.search(disposition)
    if found is None:
        return None
    charset, name = found[1] or b"", unquote_to_bytes(found[2].strip())
    return name.decode("latin-1").encode() if charset.lower() == b"iso-8859-1" else name


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\0", "")


def _invalid(why: str) -> MalformedRequest:
    return MalformedRequest(f"The form cannot be read: {why}.", code="invalid_form")
