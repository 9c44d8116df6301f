"""Files: those that people attach, and those that the assistant made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.telegram.bot import FILE_SECONDS, Calls
from adapters.telegram.errors import Declined, Reason
from adapters.telegram.places import Place
from gateway.bringing import fetch_each, too_large
from gateway.messages import Attachment, File, Message
from gateway.ports import Outbox

PHOTOS = frozenset({"image/jpeg", "image/png", "image/webp"})
"""What Telegram shows as a picture and keeps one. Of others it makes something else, or nothing."""
LARGEST_PHOTO = 10_000_000
"""Bytes: core.telegram.org/bots/api#sending-files"""

# ---------------------------------------------------------------- what people attach


async def fetch(calls: Calls, message: Message, limit: int) -> Sequence[Attachment]:
    """The files of a message with their content, of up to ``limit`` bytes each; one for each, in order.

    A file that cannot be had says why. Raises nothing.
    """
    return await fetch_each(message, lambda file: _content(calls, file, limit))


async def _content(calls: Calls, file: File, limit: int) -> bytes:
    """Raises DeliveryError."""
    if file.size > limit:
        raise Declined(too_large(limit), reason=Reason.FILE)
    return await calls.download(file.reference, limit)


# ---------------------------------------------------------------- what the assistant made


async def upload(calls: Calls, place: Place, outbox: Outbox, file: File, content: bytes) -> str:
    """Send a file; the id of its message. A picture that Telegram will not show as one goes as any other file.

    Raises as ``Calls.call`` does.
    """
    if file.media_type in PHOTOS and len(content) <= LARGEST_PHOTO:
        try:
            return await _send(calls, place, outbox, "photo", file.name, content)
        except Declined as exc:
            if exc.reason is not Reason.FILE:
                raise
    return await _send(calls, place, outbox, "document", file.name, content)


async def _send(calls: Calls, place: Place, outbox: Outbox, kind: str, name: str, content: bytes) -> str:
    what: dict[str, Any] = {kind: content, "filename": name, **place.args}
    sent = await calls.call(f"send_{kind}", place.chat, outbox=outbox, seconds=FILE_SECONDS, **what)
    return str(sent.message_id)
