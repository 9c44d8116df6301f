"""Files: those that people attach, and those that the assistant made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from adapters.slack.calls import Calls
from adapters.slack.errors import Declined, Unsure
from adapters.slack.places import Place, Workspace
from gateway.bringing import fetch_each, too_large
from gateway.messages import Attachment, File, Message
from gateway.ports import Outbox

HTML = "text/html"
LOOKS = (0.5, 1.0, 2.0)
"""Seconds before each look: a file is shared a moment after files.completeUploadExternal was answered."""
SIGN_IN = "Slack does not hand it over: the app may lack the scope files:read, or was removed from the workspace"

# ---------------------------------------------------------------- what people attach


async def fetch(calls: Calls, workspace: Workspace, message: Message, limit: int) -> Sequence[Attachment]:
    """The files of a message with their content, of up to ``limit`` bytes each; one for each, in order.

    A file that cannot be had says why. Raises nothing.
    """
    return await fetch_each(message, lambda file: _content(calls, workspace, file, limit))


async def _content(calls: Calls, workspace: Workspace, file: File, limit: int) -> bytes:
    """Raises DeliveryError."""
    if file.size > limit:
        raise Declined(too_large(limit))
    reference = json.loads(file.reference)
    url = reference.get("url") or await _find(calls, workspace, reference["id"])
    content, media_type = await calls.download(url, workspace, limit)
    # Who may not read the file gets a page of HTML, with status 200.
    if media_type == HTML and (not file.media_type.startswith(HTML) or len(content) != file.size):
        raise Declined(SIGN_IN)
    return content


async def _find(calls: Calls, workspace: Workspace, file_id: str) -> str:
    """Where the content of a file is of which only the id is known: in channels shared with another company."""
    answer = await calls.call("files.info", {"file": file_id}, workspace=workspace, outbox=None)
    file = _object(answer.get("file"))
    url = file.get("url_private_download") or file.get("url_private")
    if not isinstance(url, str) or not url:
        raise Declined("it is not stored at Slack")
    return url


# ---------------------------------------------------------------- what the assistant made


async def upload(
    calls: Calls,
    place: Place,
    outbox: Outbox,
    file: File,
    content: bytes,
    *,
    before_sharing: Callable[[str], Awaitable[None]] | None = None,
) -> str:
    """Share a file; its id. Raises as ``Calls.call`` does.

    Three steps: an address for the content, the content, and to share what is there. Nobody sees anything of the first
    two, so after a failure in them one simply begins again. ``before_sharing`` is told the id when they are done: note
    it there, and go on with ``share`` instead of this if the process dies, and after Unsure.
    """
    if not content:
        raise Declined("Slack takes no empty file", slack_error="missing_argument")
    args = {"filename": file.name, "length": len(content)}
    address = await calls.call("files.getUploadURLExternal", args, workspace=place.workspace, outbox=outbox)
    file_id = str(address.get("file_id"))
    await calls.upload_bytes(str(address.get("upload_url")), file.name, content)
    if before_sharing is not None:
        await before_sharing(file_id)
    await _share(calls, place, outbox, file, file_id)
    return file_id


async def share(calls: Calls, place: Place, outbox: Outbox, file: File, file_id: str) -> None:
    """Share what was uploaded, unless that is done: for an earlier attempt of which nobody knows what became.

    Raises as ``Calls.call`` does.
    """
    if not await _is_shared(calls, place, outbox, file_id):
        await _share(calls, place, outbox, file, file_id)


async def _share(calls: Calls, place: Place, outbox: Outbox, file: File, file_id: str) -> None:
    """The one step that people see: after a lost answer it is not repeated, but its outcome looked for."""
    args = {
        "files": [{"id": file_id, "title": file.name}],
        "channel_id": place.channel,
        "thread_ts": place.thread_ts or None,
    }
    try:
        await calls.call("files.completeUploadExternal", args, workspace=place.workspace, outbox=outbox)
    except Unsure:
        for pause in LOOKS:
            await asyncio.sleep(pause)
            if await _is_shared(calls, place, outbox, file_id):
                return
        raise


async def _is_shared(calls: Calls, place: Place, outbox: Outbox, file_id: str) -> bool:
    """Whether a file stands in the channel: docs.slack.dev/reference/objects/file-object"""
    try:
        answer = await calls.call("files.info", {"file": file_id}, workspace=place.workspace, outbox=outbox)
    except Declined as exc:
        if exc.slack_error == "file_not_found":
            return False
        raise
    file = _object(answer.get("file"))
    shares = _object(file.get("shares"))
    places = [*map(_object, shares.values()), *(file.get(kind) or () for kind in ("channels", "groups", "ims"))]
    return any(place.channel in channels for channels in places)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
