"""Files of ``/files`` that the gateway itself keeps: pictures and documents of messages, whatever the backend is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import RequestFile, refusal
from adapters.openai_api.errors import NoSuchObject
from adapters.openai_api.stored_objects import find_own
from gateway.domain.files import File
from gateway.ports.api_objects import ApiObject, ApiObjects
from gateway.ports.uploads import Uploads

FILE = "file"
SERVER = "server"
"""The field of an object's body with the name of the assistant at whose server it is; without it, it is kept here."""
EXPIRY = "expires_after"
"""The field with the seconds after which its uploader wants it to end."""
FILE_PREFIX = "file-"
"""Ids of these files, which are also the names under which their content is kept."""
KEEP_SECONDS = 7 * 86_400
"""As long as the database keeps what callers send, see ``Uploads``."""
MAX_FILES, MAX_TOTAL_BYTES = 1000, 2**29
"""Of one API key."""


@dataclass(frozen=True, slots=True)
class UploadedFiles:
    """Used on the worker's loop; the database is called from other threads."""

    objects: ApiObjects
    uploads: Uploads

    async def find(self, caller: Caller, file_id: str) -> ApiObject:
        """Returns a file of this caller. Raises NoSuchObject."""
        found = await find_own(self.objects, caller, FILE, file_id)
        if found is None or has_expired(found):
            raise NoSuchObject(f"No such File object: {file_id[:128]}")
        return found

    async def list_all(self, caller: Caller) -> Sequence[ApiObject]:
        """Returns the files of this caller, oldest first. Deletes what has expired."""
        known = await asyncio.to_thread(self.objects.list_of_owner, caller.owner, FILE)
        for each in filter(has_expired, known):
            await self.delete(each)
        return [each for each in known if not has_expired(each)]

    async def delete(self, file: ApiObject) -> None:
        await asyncio.to_thread(self.objects.delete, file.id)
        await asyncio.to_thread(self.uploads.delete, file.id)

    async def named(self, caller: Caller, file: RequestFile) -> RequestFile:
        """Returns a file that a request names by its id, with what is known of it. Raises InvalidRequest."""
        try:
            found = await self.find(caller, file.file_id)
        except NoSuchObject as exc:
            raise refusal(file.where, f"names a file that there is not: {exc}") from None
        body = found.body
        if SERVER in body:
            explanation = f"names a file with the purpose {body['purpose']}: upload it with vision or user_data"
            raise refusal(file.where, explanation)
        return RequestFile(body["filename"], body["media_type"], b"", file.file_id, file.where, body["bytes"])


def as_file(file: RequestFile) -> File:
    """Returns a kept file as a turn's message has it."""
    return File(file.name, file.file_id, file.media_type, file.size)


def has_expired(file: ApiObject) -> bool:
    return SERVER not in file.body and _expires_at(file) < time.time()


def _expires_at(file: ApiObject) -> float:
    """Returns when a file ends that is kept here."""
    return file.created_at + int(file.body.get(EXPIRY, KEEP_SECONDS))


def file_view(file: ApiObject) -> dict[str, Any]:
    created = int(file.created_at)
    expiry = {} if SERVER in file.body else {"expires_at": int(_expires_at(file))}
    return expiry | {
        "id": file.id,
        "object": "file",
        "bytes": file.body["bytes"],
        "created_at": created,
        "filename": file.body["filename"],
        "purpose": file.body["purpose"],
        "status": "processed",
    }
