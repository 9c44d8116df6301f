"""Fetches the files that people attach to a message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from adapters.base.errors import Rejected
from gateway import logs
from gateway.domain.errors import DeliveryError
from gateway.domain.models import Attachment, File, Message

CONCURRENT_DOWNLOADS = 3
"""Of one message."""

log = logs.get_logger(__name__)

Download = Callable[[File], Awaitable[bytes]]


async def fetch_attachments(message: Message, download: Download, max_bytes: int) -> Sequence[Attachment]:
    """Returns the files of a message with their content: one for each, in order. Raises nothing.

    ``download`` may raise DeliveryError; its text is then given to the assistant in place of the content.
    """
    slots = asyncio.Semaphore(CONCURRENT_DOWNLOADS)

    async def fetch_one(file: File) -> Attachment:
        async with slots:
            return await _fetch(file, download, max_bytes)

    return await asyncio.gather(*map(fetch_one, message.files))


async def _fetch(file: File, download: Download, max_bytes: int) -> Attachment:
    try:
        check_size(file.size, max_bytes)
        return Attachment(file, await download(file))
    except DeliveryError as exc:
        problem = str(exc)
    except Exception:
        log.exception("a file could not be fetched")
        problem = "something went wrong"
    return Attachment(file, problem=problem)


def check_size(size: int, max_bytes: int) -> None:
    """Raises Rejected for a file of more than ``max_bytes``."""
    if size > max_bytes:
        raise Rejected(f"it is larger than {max_bytes / 1e6:.3g} MB")
