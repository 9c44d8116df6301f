"""Files: those that people attach, and those that the assistant made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.base.errors import Rejected
from adapters.base.files import fetch_attachments
from adapters.telegram.api_client import FILE_SECONDS, Announce, TelegramClient
from adapters.telegram.errors import Reason
from adapters.telegram.reply_target import TelegramTarget
from gateway.domain.models import Attachment, File, Message
from gateway.ports.platform import DeliveryContext

PHOTO_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})
"""What Telegram shows as a picture and keeps as one. It converts other types, or refuses them."""
MAX_PHOTO_BYTES = 10_000_000
"""core.telegram.org/bots/api#sending-files"""


async def fetch(client: TelegramClient, message: Message, max_bytes: int) -> Sequence[Attachment]:
    """Returns the files of a message with their content; one for each, in order. Raises nothing."""
    return await fetch_attachments(message, lambda file: client.download(file.reference, max_bytes), max_bytes)


async def upload(
    client: TelegramClient,
    target: TelegramTarget,
    outbox: DeliveryContext,
    announce: Announce,
    file: File,
    content: bytes,
) -> str:
    """Sends a file; returns the id of its message. A picture that Telegram refuses as one goes as a document.

    ``announce``: called before each attempt, see ``TelegramClient.call``. Raises as ``TelegramClient.call`` does.
    """

    async def send(kind: str) -> str:
        args: dict[str, Any] = {kind: content, "filename": file.name, **target.args}
        sent = await client.call(
            f"send_{kind}", target.chat, outbox=outbox, seconds=FILE_SECONDS, announce=announce, **args
        )
        return str(sent.message_id)

    if file.media_type in PHOTO_TYPES and len(content) <= MAX_PHOTO_BYTES:
        try:
            return await send("photo")
        except Rejected as exc:
            if exc.reason != Reason.FILE:
                raise
    return await send("document")
