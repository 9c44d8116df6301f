"""Files: developers.openai.com/api/reference/resources/files."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.context import ApiContext
from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.files.server_files import PURPOSE, ServerFiles, StoredContent
from adapters.openai_api.inline_files import MAX_FILE_BYTES
from adapters.openai_api.paging import paged, read_page
from adapters.openai_api.repetition import Post, read_post
from adapters.openai_api.settings import NAME
from adapters.openai_api.stored_objects import made_once
from adapters.openai_api.uploaded_files import (
    EXPIRY,
    FILE,
    FILE_PREFIX,
    KEEP_SECONDS,
    MAX_FILES,
    MAX_TOTAL_BYTES,
    SERVER,
    UploadedFiles,
    file_view,
)
from gateway.domain.errors import StoreUnavailable
from gateway.domain.files import ANY_BYTES
from gateway.ports.api_objects import ApiObject
from gateway.ports.uploads import PIECE_BYTES
from gateway.web.api.multipart import FORM, PartHead, read_parts
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response

PATH = "/v1/files"
KEPT = ("vision", "user_data")
"""Purposes of files that become parts of messages."""
PURPOSES = ("assistants_output", "batch", "batch_output", "fine-tune", "evals", *KEPT)
ANCHOR, SECONDS = f"{EXPIRY}[anchor]", f"{EXPIRY}[seconds]"
MIN_EXPIRY = 3600
"""As at OpenAI."""
MAX_FIELD_BYTES = 1024
MAX_LISTED = 10_000
"""developers.openai.com/api/reference/resources/files/methods/list"""


@dataclass
class Arrived:
    """A form, as far as it has arrived."""

    fields: dict[str, bytes] = field(default_factory=dict)
    name: str | None = None
    """Of the file; None: there is none."""
    media_type: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class FileRoutes:
    """The handlers. They run on the worker's loop."""

    api: ApiContext
    files: UploadedFiles
    server_files: ServerFiles

    def routes(self) -> Sequence[Route]:
        one = f"{PATH}/<file_id>"
        return (
            Route("POST", PATH, self.create),
            Route("GET", PATH, self.list_all),
            Route("GET", one, self.retrieve),
            Route("DELETE", one, self.delete),
            Route("GET", f"{one}/content", self.content),
        )

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller = self.api.callers.reader(request)
        if not request.headers.get("content-type", "").lower().startswith(FORM):
            raise InvalidRequest(f"Send the file as {FORM}, with the fields `purpose` and `file`.", param="file")
        await self._check_room(caller)
        name = f"{FILE_PREFIX}{secrets.token_hex(12)}"
        kept = None
        try:
            fields, digest = await self._store(request, name)
            post = read_post(caller, request, json.dumps([fields, digest]).encode())
            make = partial(self._make, caller, name, fields, post)
            (kept,) = await made_once(self.files.objects, self.api.attempts, post, make)
        finally:
            if kept is None or kept.id != name:
                with suppress(StoreUnavailable):  # it is deleted in a week
                    await asyncio.shield(asyncio.to_thread(self.files.uploads.delete, name))
        return json_response(file_view(kept))

    async def _make(self, caller: Caller, name: str, fields: Mapping[str, Any], post: Post) -> Sequence[ApiObject]:
        """Notes whose a file is. One for tools is brought to the assistant's server, and not kept here."""
        if fields["purpose"] == PURPOSE:
            content = StoredContent(self.files, name, fields["bytes"])
            return [await self.server_files.upload(caller, fields, content, post)]
        made = ApiObject(name, FILE, caller.owner, fields, request=post.name)
        return await asyncio.to_thread(self.files.objects.add, [made])

    async def _check_room(self, caller: Caller) -> None:
        """Raises InvalidRequest when the caller has uploaded as much as one may."""
        known = await self.files.list_all(caller)
        if len(known) >= MAX_FILES or sum(each.body["bytes"] for each in known) >= MAX_TOTAL_BYTES:
            limit = f"A key may keep {MAX_FILES} files with {MAX_TOTAL_BYTES} bytes together here. Delete some."
            raise InvalidRequest(limit, param="file", code="file_limit_reached")

    async def _store(self, request: HttpRequest, name: str) -> tuple[Mapping[str, Any], str]:
        """Stores a file while it arrives; returns what is known of it, and the digest of its content.

        Raises InvalidRequest, MalformedRequest.
        """
        pieces = request.body_pieces(MAX_FILE_BYTES + 2**16)
        arrived, waiting, seq, digest = Arrived(), bytearray(), 0, sha256()
        async for piece in _content(pieces, request.headers["content-type"], arrived):
            waiting += piece
            digest.update(piece)
            while len(waiting) >= PIECE_BYTES:
                await self._append(name, seq, bytes(waiting[:PIECE_BYTES]))
                del waiting[:PIECE_BYTES]
                seq += 1
        purpose = arrived.fields.get("purpose", b"").decode("utf-8", "replace")
        _check(purpose, arrived)
        if waiting or not seq:
            await self._append(name, seq, bytes(waiting))
        fields: dict[str, Any] = {
            "filename": arrived.name or "file",
            "media_type": arrived.media_type,
            "bytes": arrived.size,
            "purpose": purpose,
            **_expiry(purpose, arrived),
        }
        return fields, digest.hexdigest()

    async def _append(self, name: str, seq: int, piece: bytes) -> None:
        await asyncio.to_thread(self.files.uploads.append, name, seq, piece, platform=NAME, message_id=name)

    async def list_all(self, request: HttpRequest) -> HttpResponse:
        caller, purpose = self.api.callers.reader(request), request.query_value("purpose")
        known = await self.files.list_all(caller)
        shown = [file_view(each) for each in known if purpose in ("", each.body["purpose"])]
        return json_response(paged(shown, read_page(request, MAX_LISTED, MAX_LISTED)))

    async def retrieve(self, request: HttpRequest) -> HttpResponse:
        return json_response(file_view(await self._find(request)))

    async def delete(self, request: HttpRequest) -> HttpResponse:
        file = await self._find(request)
        await (self.server_files if SERVER in file.body else self.files).delete(file)
        return json_response({"id": file.id, "object": "file", "deleted": True})

    async def content(self, request: HttpRequest) -> HttpResponse:
        file = await self._find(request)
        if SERVER in file.body:
            raise InvalidRequest(f"Not allowed to download files of purpose: {file.body['purpose']}")
        headers = {
            "Content-Type": ANY_BYTES,
            "Content-Length": str(file.body["bytes"]),
            "Content-Disposition": "attachment",
        }
        return HttpResponse(headers=headers, stream=StoredContent(self.files, file.id, 0).pieces())

    async def _find(self, request: HttpRequest) -> ApiObject:
        return await self.files.find(self.api.callers.reader(request), request.path_values["file_id"])


async def _content(pieces: AsyncIterator[bytes], content_type: str, arrived: Arrived) -> AsyncIterator[bytes]:
    """Yields the content of the file of a form, and notes the rest. Raises InvalidRequest, MalformedRequest."""
    head = PartHead("", None, "")
    async for part in read_parts(pieces, content_type):
        if isinstance(part, PartHead):
            head = part
            if part.file_name is not None and arrived.name is not None:
                raise refusal("file", "is there twice: send one file")
            if part.file_name is not None:
                arrived.name, arrived.media_type = part.file_name, part.media_type
        elif head.file_name is None:
            arrived.fields[head.name] = arrived.fields.get(head.name, b"") + part
            if len(arrived.fields[head.name]) > MAX_FIELD_BYTES:
                raise refusal(head.name[:100], "is too long")
        else:
            arrived.size += len(part)
            if arrived.size > MAX_FILE_BYTES:
                raise refusal("file", f"is larger than {MAX_FILE_BYTES} bytes", "file_too_large")
            yield part


def _expiry(purpose: str, arrived: Arrived) -> Mapping[str, int]:
    """Returns after how many seconds a file is to end. Raises InvalidRequest for what cannot be done here."""
    given = {name: arrived.fields.get(name, b"").decode("utf-8", "replace") for name in (ANCHOR, SECONDS)}
    if not any(given.values()):
        return {}
    if purpose == PURPOSE:
        raise refusal(EXPIRY, "is not supported for files of tools: they are kept until they are deleted")
    if given[ANCHOR] != "created_at":
        raise refusal(ANCHOR, "must be created_at")
    seconds = int(given[SECONDS]) if given[SECONDS].isascii() and given[SECONDS].isdecimal() else 0
    if not MIN_EXPIRY <= seconds <= KEEP_SECONDS:
        raise refusal(SECONDS, f"must be from {MIN_EXPIRY} to {KEEP_SECONDS}, as long as files are kept here")
    return {EXPIRY: seconds}


def _check(purpose: str, arrived: Arrived) -> None:
    """Raises InvalidRequest unless it is a file that can be kept here."""
    missing = "file" if arrived.name is None else "" if purpose else "purpose"
    if missing:
        message = f"Missing required parameter: `{missing}`."
        raise InvalidRequest(message, param=missing, code="missing_required_parameter")
    if unknown := [name for name in arrived.fields if name not in ("purpose", ANCHOR, SECONDS)]:
        raise refusal(unknown[0][:100], "is not supported here", "unsupported_parameter")
    if purpose in (*KEPT, PURPOSE):
        return
    if purpose in PURPOSES:
        raise refusal(
            "purpose", f"{purpose!r} is not supported here; {PURPOSE}, {' and '.join(KEPT)} are", "unsupported_purpose"
        )
    raise refusal("purpose", f"must be one of {', '.join((PURPOSE, *KEPT))}")
