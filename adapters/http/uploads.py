"""Takes the files that callers send into the database, in pieces, and reads them back for the assistant."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from adapters.http.settings import NAME
from gateway import logs
from gateway.domain.errors import MalformedRequest, StoreUnavailable
from gateway.domain.files import File
from gateway.domain.sentences import Sentence, counted
from gateway.ports.uploads import PIECE_BYTES, Uploads
from gateway.web.api.multipart import PartHead, read_parts

MAX_FILES = 10
"""Of one message."""

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that is stored."""

    file: File
    digest: str
    """Of its content."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """In bytes."""

    max_file: int
    max_message: int
    """Of all files of one message together."""


class MessageUploads:
    """The files of one message while they arrive. To be discarded unless the message is recorded."""

    def __init__(self, uploads: Uploads, limits: UploadLimits, message_id: str) -> None:
        self.received: list[ReceivedFile] = []
        self._uploads = uploads
        self._limits = limits
        self.message_id = message_id
        self._total = 0
        self._ids: list[str] = []

    async def receive(self, name: str, media_type: str, content: bytes) -> None:
        """Stores a whole file. Raises MalformedRequest (``upload_too_large``, ``too_many_files``), StoreUnavailable."""
        arriving = self.begin(name, media_type)
        await arriving.write(content)
        await arriving.finish()

    def begin(self, name: str, media_type: str) -> ArrivingFile:
        """Returns a place for the next file. Raises MalformedRequest (``too_many_files``)."""
        if len(self._ids) == MAX_FILES:
            message = counted("A message takes at most one file.", "A message takes at most {count} files.", MAX_FILES)
            raise MalformedRequest(message, code="too_many_files")
        self._ids.append(f"upl_{secrets.token_hex(16)}")
        return ArrivingFile(self, name, media_type, self._ids[-1])

    async def discard(self) -> None:
        """Deletes what was stored. Raises nothing."""
        await _delete(self._uploads, self._ids)

    def charge(self, name: str, size: int, piece: int) -> None:
        """Counts a piece of a file that now has ``size`` bytes. Raises MalformedRequest (``upload_too_large``)."""
        self._total += piece
        if size > self._limits.max_file:
            raise _too_large(_larger(name, self._limits.max_file))
        if self._total > self._limits.max_message:
            raise _too_large(_larger_together(self._limits.max_message))

    async def store(self, upload_id: str, seq: int, piece: bytes) -> None:
        """Raises StoreUnavailable."""
        await asyncio.to_thread(self._uploads.append, upload_id, seq, piece, platform=NAME, message_id=self.message_id)


class ArrivingFile:
    """One file of a message: its pieces are stored as they arrive."""

    def __init__(self, message: MessageUploads, name: str, media_type: str, upload_id: str) -> None:
        self._message = message
        self._name = name
        self._media_type = media_type
        self._upload_id = upload_id
        self._waiting = bytearray()
        self._digest = sha256()
        self._size = self._seq = 0

    async def write(self, data: bytes) -> None:
        self._size += len(data)
        self._message.charge(self._name, self._size, len(data))
        self._digest.update(data)
        self._waiting += data
        while len(self._waiting) >= PIECE_BYTES:
            await self._store(bytes(self._waiting[:PIECE_BYTES]))
            del self._waiting[:PIECE_BYTES]

    async def finish(self) -> None:
        if self._waiting or not self._seq:  # an empty file has one empty piece
            await self._store(bytes(self._waiting))
        file = File(self._name, self._upload_id, self._media_type, self._size)
        self._message.received.append(ReceivedFile(file, self._digest.hexdigest()))

    async def _store(self, piece: bytes) -> None:
        await self._message.store(self._upload_id, self._seq, piece)
        self._seq += 1


def are_unused(sent: Sequence[File], recorded: Sequence[File]) -> bool:
    """Returns whether files were stored in vain, as the message was recorded before."""
    return bool(sent) and not {file.reference for file in sent} <= {file.reference for file in recorded}


async def delete_files(uploads: Uploads, files: Sequence[File]) -> None:
    """Deletes files whose message was not recorded. Raises nothing."""
    await _delete(uploads, [file.reference for file in files])


async def _delete(uploads: Uploads, upload_ids: Sequence[str]) -> None:
    for upload_id in upload_ids:
        with suppress(StoreUnavailable):  # it is deleted in a week
            await asyncio.to_thread(uploads.delete, upload_id)


async def read_form(
    pieces: AsyncIterator[bytes], content_type: str, uploads: MessageUploads, max_field_bytes: int
) -> Mapping[str, str]:
    """Stores the files of a form as they arrive; returns its fields. Raises MalformedRequest, StoreUnavailable."""
    form = _ArrivingForm(uploads, max_field_bytes)
    async for part in read_parts(pieces, content_type):
        if isinstance(part, PartHead):
            await form.begin(part)
        else:
            await form.add(part)
    await form.end_file()
    return {name: _decode(name, value) for name, value in form.fields.items()}


class _ArrivingForm:
    """The fields of a form, and its files, which are stored as they arrive."""

    def __init__(self, uploads: MessageUploads, max_field_bytes: int) -> None:
        self.fields: dict[str, bytes] = {}
        self._uploads = uploads
        self._max_field_bytes = max_field_bytes
        self._field = ""
        self._file: ArrivingFile | None = None
        """The file to which the next pieces belong; None: they belong to the field."""

    async def begin(self, head: PartHead) -> None:
        await self.end_file()
        if head.file_name is not None:
            self._file = self._uploads.begin(head.file_name, head.media_type)
        elif head.name in self.fields:
            raise MalformedRequest(f"The form names the field {head.name} twice.", code="invalid_form")
        else:
            self._field = head.name
            self.fields[head.name] = b""

    async def add(self, piece: bytes) -> None:
        if self._file is not None:
            await self._file.write(piece)
            return
        self.fields[self._field] += piece
        if len(self.fields[self._field]) > self._max_field_bytes:
            raise MalformedRequest(f"The field {self._field} is too long.", code="payload_too_large")

    async def end_file(self) -> None:
        if self._file is not None:
            await self._file.finish()
            self._file = None


def _decode(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise MalformedRequest(f"The field {name} is not UTF-8.", code="invalid_form") from None
    if "\0" in text:
        raise MalformedRequest(f"The field {name} must not hold NUL characters.", code="invalid_field")
    return text


def _larger(name: str, most: int) -> Sentence:
    return counted(
        "The file {name} is larger than {count} byte.", "The file {name} is larger than {count} bytes.", most, name=name
    )


def _larger_together(most: int) -> Sentence:
    return counted(
        "The files of a message may have {count} byte together.",
        "The files of a message may have {count} bytes together.",
        most,
    )


def _too_large(message: str) -> MalformedRequest:
    return MalformedRequest(message, code="upload_too_large")
