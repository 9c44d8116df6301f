"""Files: those that people attach, and those that the assistant made."""

from __future__ import annotations

from collections.abc import Sequence
from mimetypes import guess_type
from typing import Any, cast

from telegram import InputFile

from adapters.base.errors import Rejected
from adapters.telegram.api_client import FILE_SECONDS, Announce, TelegramClient
from adapters.telegram.errors import Reason
from adapters.telegram.reply_target import TelegramTarget
from gateway.domain.files import ANY_BYTES, Attachment, Content, File
from gateway.domain.models import Message
from gateway.http_client import StreamedBody
from gateway.ports.platform import DeliveryContext
from gateway.ports.spool import FileWriter, Spool

PHOTO_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})
"""What Telegram shows as a picture and keeps as one. It converts other types, or refuses them."""
MAX_PHOTO_BYTES = 10_000_000
"""core.telegram.org/bots/api#sending-files"""


async def fetch(client: TelegramClient, message: Message, spool: Spool, max_bytes: int) -> Sequence[Attachment]:
    """Returns the files of a message with their content; one for each, in order. Raises nothing."""

    async def download(file: File, writer: FileWriter) -> None:
        await client.download(file.reference, writer, max_bytes)

    return await spool.receive(message.files, download, max_bytes=max_bytes)


async def upload(
    client: TelegramClient,
    target: TelegramTarget,
    delivery: DeliveryContext,
    announce: Announce,
    file: File,
    content: Content,
) -> str:
    """Sends a file; returns the id of its message. A picture that Telegram refuses as one goes as a document.

    ``announce``: called before each attempt, see ``TelegramClient.call``. Raises as ``TelegramClient.call`` does.
    """

    async def send(kind: str) -> str:
        body = StreamedBody(content.size, content.pieces, guess_type(file.name)[0] or ANY_BYTES)
        # The library passes on what it is told not to read.
        shown = InputFile(cast("Any", body), filename=file.name, read_file_handle=False)
        args: dict[str, Any] = {kind: shown, **target.args}
        sent = await client.call(
            f"send_{kind}", target.chat, delivery=delivery, seconds=FILE_SECONDS, announce=announce, **args
        )
        return str(sent.message_id)

    if file.media_type in PHOTO_TYPES and content.size <= MAX_PHOTO_BYTES:
        try:
            return await send("photo")
        except Rejected as exc:
            if exc.reason != Reason.FILE:
                raise
    return await send("document")
