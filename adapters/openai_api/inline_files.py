"""Keeps files that came inside of requests until their turns have ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import RequestFile, numbered
from adapters.openai_api.uploaded_files import FILE_PREFIX, UploadedFiles, as_file
from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.domain.files import Attachment, File
from gateway.domain.models import Message, Turn
from gateway.ports.spool import Spool
from gateway.ports.uploads import PIECE_BYTES, Uploads
from gateway.web.api.stored_files import NOT_NOW, download

MAX_FILE_BYTES = 20_000_000
"""As the other platforms take."""


class InlineFileKeeper:
    """Used on the worker's loop; the database is called from other threads."""

    def __init__(self, uploads: Uploads, kept: UploadedFiles) -> None:
        self._uploads = uploads
        self._kept = kept

    async def attached(self, caller: Caller, message: Message, files: Sequence[RequestFile]) -> Message:
        """Saves the files of a message and returns it with them, and with those that it names.

        Raises InvalidRequest for an id of none, StoreUnavailable.
        """
        if not files:
            return message
        known = [await self._kept.named(caller, file) if file.file_id else file for file in files]
        attached = [as_file(file) if file.file_id else await self._saved(file, message) for file in numbered(known)]
        return replace(message, files=(*message.files, *attached))

    async def _saved(self, file: RequestFile, message: Message) -> File:
        name = f"upl_{secrets.token_hex(16)}"
        await asyncio.to_thread(self._save, name, file.data, message)
        return File(file.name, name, file.media_type, len(file.data))

    async def fetch(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        """Returns the files of a turn's message. Raises nothing."""
        return await spool.receive(turn.message.files, partial(download, self._uploads), max_bytes=MAX_FILE_BYTES)

    async def forget(self, turn: Turn) -> None:
        """Deletes the files of a turn whose caller sends all again with the next one. Raises DeliveryError.

        Others are kept as those of ``/chat``, so that an operator can retry a turn that failed.
        """
        if not turn.options.is_last:
            return
        try:
            for file in turn.message.files:
                if file.reference.startswith(FILE_PREFIX):
                    continue  # its caller deletes it
                await asyncio.to_thread(self._uploads.delete, file.reference)
        except StoreUnavailable as exc:
            raise DeliveryError(NOT_NOW, retry_after=1.0) from exc

    def _save(self, name: str, data: bytes, message: Message) -> None:
        place = {"platform": message.key.platform, "message_id": message.message_id}
        for seq, start in enumerate(range(0, max(len(data), 1), PIECE_BYTES)):
            self._uploads.append(name, seq, data[start : start + PIECE_BYTES], **place)
