"""Reads the message of a request: JSON with small files in it, or a form whose files are stored as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from adapters.http.chat_request import (
    INLINE_BYTES,
    ChatRequestParser,
    ParsedChatRequest,
    content_of,
    message_id_of,
    with_files,
)
from adapters.http.uploads import MessageUploads, UploadLimits, read_form
from gateway.domain.errors import Overloaded
from gateway.domain.sentences import sentence
from gateway.ports.platform import Request
from gateway.ports.uploads import Uploads
from gateway.web.api.multipart import FORM, file_name
from gateway.web.api.request_limit import RequestLimit
from gateway.web.api.routes import HttpRequest

MAX_LARGE_BODIES = 8
"""Bodies with files in JSON that are in memory at the same time, of one process."""


@dataclass(frozen=True, slots=True)
class MessageReader:
    """Reads what callers say, while they may say more."""

    parser: ChatRequestParser
    limit: RequestLimit
    uploads: Uploads
    upload_limits: UploadLimits
    large_bodies: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, MAX_LARGE_BODIES))

    async def read(self, request: HttpRequest, owner: str, network: str) -> ParsedChatRequest:
        """Reads a message, and stores the files that come with it.

        Raises MalformedRequest, Overloaded (also ``rate_limited``), StoreUnavailable.
        """
        if request.headers.get("content-type", "").lower().startswith(FORM):
            await self.check_limit(owner or network)
            return await self._read_form(request, owner)
        async with self._room_for(request) as max_bytes:
            body = await request.read_body(max_bytes)
            asked = self.parser.parse_for(owner, Request(request.headers, body))
            await self.check_limit(owner or network)
            return await self._store_inline(asked) if asked.inline else asked

    @asynccontextmanager
    async def _room_for(self, request: HttpRequest) -> AsyncIterator[int]:
        """Gives the largest body that may be read into memory: one with files is, while few others are.

        Raises Overloaded.
        """
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or int(length) <= self.parser.max_body_bytes:
            yield self.parser.max_body_bytes
            return
        if self.large_bodies.locked():
            message = sentence("Too many requests with files at once. Try again, or send multipart/form-data.")
            raise Overloaded(message)
        async with self.large_bodies:
            yield self.parser.max_body_bytes + INLINE_BYTES

    async def _store_inline(self, asked: ParsedChatRequest) -> ParsedChatRequest:
        async with self._receiving(asked.message.message_id) as uploads:
            for file in asked.inline:
                await uploads.receive(file_name(file.name), *content_of(file))
            return replace(asked, message=with_files(asked.message, uploads), inline=())

    async def _read_form(self, request: HttpRequest, owner: str) -> ParsedChatRequest:
        async with self._receiving(message_id_of(owner, request.headers)) as uploads:
            pieces = request.body_pieces(self.upload_limits.max_message + self.parser.max_body_bytes)
            form = read_form(pieces, request.headers["content-type"], uploads, self.parser.max_body_bytes)
            return self.parser.parse_form(owner, request.headers, await form, uploads)

    @asynccontextmanager
    async def _receiving(self, message_id: str) -> AsyncIterator[MessageUploads]:
        """Discards what was stored if the request turns out to be wrong, or breaks off."""
        uploads = MessageUploads(self.uploads, self.upload_limits, message_id)
        try:
            yield uploads
        except BaseException:
            await uploads.discard()
            raise

    async def check_limit(self, caller: str) -> None:
        """Raises Overloaded (``rate_limited``), StoreUnavailable."""
        if not self.limit.take_held(caller):
            await asyncio.to_thread(self.limit.check, caller)
