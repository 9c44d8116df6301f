"""Reads the files back that came with requests and are kept in the database."""

from __future__ import annotations

import asyncio

from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.domain.files import File
from gateway.ports.spool import FileWriter
from gateway.ports.uploads import Uploads

GONE = "it is no longer kept; send it again"
NOT_NOW = "the database did not answer"


async def download(uploads: Uploads, file: File, writer: FileWriter) -> None:
    """Writes the content of a stored file. Raises DeliveryError."""
    seq = 0
    try:
        while (piece := await asyncio.to_thread(uploads.read, file.reference, seq)) is not None:
            await writer.write(piece)
            seq += 1
    except StoreUnavailable as exc:
        raise DeliveryError(NOT_NOW) from exc
    if not seq:
        raise DeliveryError(GONE)
