"""Keeps files that came inside of requests until their turns have ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace

from adapters.openai_api.content_parts import InlineFile
from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.domain.models import Attachment, File, Message, Turn
from gateway.ports.file_contents import FileContents
from gateway.ports.spool import FileWriter, Spool

MAX_FILE_BYTES = 20_000_000
"""As the other platforms take."""
GONE = "its content is not kept any more"
NOT_NOW = "the database cannot be reached"


class InlineFileKeeper:
    """Used on the worker's loop; the database is called from other threads."""

    def __init__(self, contents: FileContents) -> None:
        self._contents = contents

    async def attached(self, message: Message, files: Sequence[InlineFile]) -> Message:
        """Saves the files of a message and returns it with them. Raises StoreUnavailable."""
        if not files:
            return message
        named = [(f"file_{secrets.token_hex(12)}", file) for file in files]
        await asyncio.to_thread(self._contents.save_files, {name: file.data for name, file in named})
        saved = (File(file.name, name, file.media_type, len(file.data)) for name, file in named)
        return replace(message, files=(*message.files, *saved))

    async def fetch(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        """Returns the files of a turn's message. Raises nothing."""
        return await spool.receive(turn.message.files, self._load, max_bytes=MAX_FILE_BYTES)

    async def forget(self, turn: Turn) -> None:
        """Deletes the files of a turn that has ended. Raises DeliveryError with ``retry_after``."""
        names = [file.reference for file in turn.message.files]
        if not names:
            return
        try:
            await asyncio.to_thread(self._contents.delete_files, names)
        except StoreUnavailable as exc:
            raise DeliveryError(NOT_NOW, retry_after=1.0) from exc

    async def _load(self, file: File, writer: FileWriter) -> None:
        """Raises DeliveryError."""
        try:
            data = await asyncio.to_thread(self._contents.load_file, file.reference)
        except StoreUnavailable as exc:
            raise DeliveryError(NOT_NOW) from exc
        if data is None:
            raise DeliveryError(GONE)
        await writer.write(data)
