"""Files: those that people attach, and those that the assistant made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from adapters.base.errors import OutcomeUnknown, Rejected
from adapters.base.json_fields import object_or_empty
from adapters.slack import canvas
from adapters.slack.api_client import SlackClient
from adapters.slack.attached_file import CANVAS, file_of
from adapters.slack.reply_target import SlackTarget, Workspace
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Attachment, BytesContent, Content, File
from gateway.domain.models import Message
from gateway.ports.platform import DeliveryContext
from gateway.ports.spool import FileWriter, Spool

HTML = "text/html"
LOOKUP_PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each lookup: a file is shared a moment after files.completeUploadExternal was answered."""
NO_ACCESS = "Slack does not return it: the app may lack the scope files:read, or was removed from the workspace"

# ---------------------------------------------------------------- what people attach


async def fetch(
    client: SlackClient, workspace: Workspace, message: Message, spool: Spool, max_bytes: int
) -> Sequence[Attachment]:
    """Returns the files of a message with their content; one for each, in order. Raises nothing."""
    known = await asyncio.gather(*(_with_address(client, workspace, file) for file in message.files))
    found = await spool.receive(known, partial(_download, client, workspace), max_bytes=max_bytes)
    return [await _readable(each) for each in found]


async def _with_address(client: SlackClient, workspace: Workspace, file: File) -> File:
    """Returns a file as Slack knows it, if only its id is known: in channels shared with another company."""
    if _address(file) or not (file_id := object_or_empty(file.reference.encode()).get("id")):
        return file
    try:
        answer = await client.call("files.info", {"file": file_id}, workspace=workspace, delivery=None)
    except DeliveryError:
        return file  # it is asked for once more with the content, and then the error is told
    found = file_of(_object(answer.get("file")))
    return found if found and _address(found) else file


def _address(file: File) -> str:
    return str(object_or_empty(file.reference.encode()).get("url") or "")


async def _download(client: SlackClient, workspace: Workspace, file: File, writer: FileWriter) -> None:
    """Raises DeliveryError."""
    reference = json.loads(file.reference)
    url = reference.get("url") or await _find_url(client, workspace, reference["id"])
    media_type = await client.download(url, workspace, writer)
    # A token that may not read the file gets a page of HTML, with status 200. A canvas is one itself: see _readable.
    may_be_html = file.media_type == CANVAS or (file.media_type.startswith(HTML) and writer.size == file.size)
    if media_type == HTML and not may_be_html:
        raise Rejected(NO_ACCESS)


async def _readable(attachment: Attachment) -> Attachment:
    """Returns a canvas as a text."""
    if attachment.file.media_type != CANVAS or not attachment.content.size:
        return attachment
    html = b"".join([piece async for piece in attachment.content.pieces()]).decode(errors="replace")
    if canvas.is_sign_in_page(html):
        return Attachment(attachment.file, problem=NO_ACCESS)
    text = (await asyncio.to_thread(canvas.text_of, html)).encode()  # a long one takes seconds
    return Attachment(replace(attachment.file, media_type="text/plain"), BytesContent(text))


async def _find_url(client: SlackClient, workspace: Workspace, file_id: str) -> str:
    """Returns the URL of a file of which only the id is known."""
    answer = await client.call("files.info", {"file": file_id}, workspace=workspace, delivery=None)
    file = _object(answer.get("file"))
    url = file.get("url_private_download") or file.get("url_private")
    if not isinstance(url, str) or not url:
        raise Rejected("it is not stored at Slack")
    return url


# ---------------------------------------------------------------- what the assistant made


async def upload(
    client: SlackClient,
    target: SlackTarget,
    delivery: DeliveryContext,
    file: File,
    content: Content,
    *,
    before_sharing: Callable[[str], Awaitable[None]] | None = None,
) -> str:
    """Shares a file; returns its id. Raises as ``SlackClient.call`` does.

    Three steps: an address for the content, the content, and the sharing. Nobody sees anything of the first two, so
    after a failure in them the upload begins again. ``before_sharing`` is called with the id when they are done: save
    it there, and continue with ``share`` instead of this if the process dies, and after OutcomeUnknown.
    """
    if not content.size:
        raise Rejected("Slack takes no empty file", reason="missing_argument")
    args = {"filename": file.name, "length": content.size}
    address = await client.call("files.getUploadURLExternal", args, workspace=target.workspace, delivery=delivery)
    file_id = str(address.get("file_id"))
    await client.upload_content(str(address.get("upload_url")), file.name, content)
    if before_sharing is not None:
        await before_sharing(file_id)
    await _share(client, target, delivery, file, file_id)
    return file_id


async def share(client: SlackClient, target: SlackTarget, delivery: DeliveryContext, file: File, file_id: str) -> None:
    """Shares what an earlier attempt uploaded, unless that attempt did. Raises as ``SlackClient.call`` does."""
    if not await _is_shared(client, target, delivery, file_id):
        await _share(client, target, delivery, file, file_id)


async def _share(client: SlackClient, target: SlackTarget, delivery: DeliveryContext, file: File, file_id: str) -> None:
    """Does the one step that people see: after a lost answer it is not repeated, but its outcome is looked up."""
    args = {
        "files": [{"id": file_id, "title": file.name}],
        "channel_id": target.channel,
        "thread_ts": target.thread_ts or None,
    }
    try:
        await client.call("files.completeUploadExternal", args, workspace=target.workspace, delivery=delivery)
    except OutcomeUnknown:
        for pause in LOOKUP_PAUSES:
            await asyncio.sleep(pause)
            if await _is_shared(client, target, delivery, file_id):
                return
        raise


async def _is_shared(client: SlackClient, target: SlackTarget, delivery: DeliveryContext, file_id: str) -> bool:
    """Returns whether a file is in the channel: docs.slack.dev/reference/objects/file-object"""
    try:
        answer = await client.call("files.info", {"file": file_id}, workspace=target.workspace, delivery=delivery)
    except Rejected as exc:
        if exc.reason == "file_not_found":
            return False
        raise
    file = _object(answer.get("file"))
    shares = _object(file.get("shares"))
    channels = [*map(_object, shares.values()), *(file.get(kind) or () for kind in ("channels", "groups", "ims"))]
    return any(target.channel in names for names in channels)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
