"""Files and vector stores for tools, which are at the assistant's server: their ids, and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.repetition import Post
from adapters.openai_api.stored_objects import find_own
from adapters.openai_api.uploaded_files import FILE, SERVER, UploadedFiles
from gateway.ports.api_objects import ApiObject
from gateway.ports.inbox import AsyncInbox
from gateway.ports.server_objects import ServerObjects

STORE = "vector_store"
PURPOSE = "assistants"
DAYS = 7
"""After which an unused vector store ends that was made for a thread, as at OpenAI."""
UNSUPPORTED = (
    "is not supported here: the backend of this gateway's assistant has no files and vector stores. They are there with"
    " the backends of the Responses API (ASSISTANT_BACKEND=responses)"
)


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The content of a file that is kept in the database in pieces."""

    files: UploadedFiles
    name: str
    size: int
    beginning: bytes = b""

    def head(self, count: int) -> bytes:
        return self.beginning[:count]

    async def pieces(self) -> AsyncIterator[bytes]:
        seq = 0
        while (piece := await asyncio.to_thread(self.files.uploads.read, self.name, seq)) is not None:
            yield piece
            seq += 1


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Used on the worker's loop."""

    inbox: AsyncInbox
    files: UploadedFiles
    directory: AssistantDirectory

    @contextmanager
    def server_of(self, assistant: str, where: str) -> Iterator[ServerObjects]:
        """Gives the server of an assistant. Raises InvalidRequest if it keeps no files; ``where`` names the field."""
        with self.inbox.server_objects(assistant) as server:
            if server is None:
                raise refusal(where, UNSUPPORTED, "unsupported_parameter")
            yield server

    async def upload(self, caller: Caller, fields: Mapping[str, Any], content: StoredContent, post: Post) -> ApiObject:
        """Brings a file to the server of the caller's assistant. Raises InvalidRequest, AssistantError."""
        assistant = self.directory.default(caller).name
        with self.server_of(assistant, "purpose") as server:
            made = await server.upload(PURPOSE, fields["filename"], fields["media_type"] or "text/plain", content)
        return await self.owned(caller, FILE, made, {**fields, SERVER: assistant}, "purpose", post.name)

    async def owned(
        self,
        caller: Caller,
        kind: str,
        made: Mapping[str, Any] | None,
        body: Mapping[str, Any],
        where: str,
        request: str | None = None,
    ) -> ApiObject:
        """Notes whose an object is that was made at the server. Raises InvalidRequest if the server has none."""
        if made is None or not isinstance(made.get("id"), str):
            raise refusal(where, UNSUPPORTED, "unsupported_parameter")
        (stored,) = await asyncio.to_thread(
            self.files.objects.add, [ApiObject(made["id"], kind, caller.owner, body, request=request)]
        )
        return stored

    async def delete(self, file: ApiObject) -> None:
        with self.server_of(file.body[SERVER], "file_id") as server:
            await server.delete(f"/files/{file.id}")
        await asyncio.to_thread(self.files.objects.delete, file.id)

    async def check_files(self, caller: Caller, file_ids: Sequence[str], where: str) -> None:
        """Raises InvalidRequest unless these are files of this caller at the assistant's server."""
        for each in file_ids:
            found = await find_own(self.files.objects, caller, FILE, each)
            if found is None or SERVER not in found.body:
                explanation = f"names {each[:128]!r}, which is no file of yours with the purpose {PURPOSE!r}"
                raise refusal(where, explanation)

    async def check_resources(self, caller: Caller, resources: Mapping[str, Any] | None) -> None:
        """Raises InvalidRequest for files and vector stores of another key. What no key has made is the operator's."""
        for tool, names in (("code_interpreter", "file_ids"), ("file_search", "vector_store_ids")):
            for each in ((resources or {}).get(tool) or {}).get(names) or ():
                found = await asyncio.to_thread(self.files.objects.get, each)
                if found is not None and (found.owner != caller.owner or SERVER not in found.body):
                    where = f"tool_resources.{tool}.{names}"
                    raise InvalidRequest(f"`{where}` names {each[:128]!r}, which there is not.", param=where)

    async def with_attachments(
        self, caller: Caller, bodies: Sequence[Mapping[str, Any]], resources: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        """Returns the resources of a thread, with the files that messages attach for tools.

        Raises InvalidRequest, AssistantError.
        """
        attached = [
            (each["file_id"], tool["type"])
            for body in bodies
            for each in body["attachments"]
            for tool in each.get("tools") or ()
        ]
        if not attached:
            return resources
        await self.check_files(caller, [name for name, _ in attached], "attachments")
        found = {tool: dict(known) for tool, known in (resources or {}).items()}
        code = [name for name, tool in attached if tool == "code_interpreter"]
        if code:
            before = found.get("code_interpreter", {}).get("file_ids", [])
            found["code_interpreter"] = {"file_ids": [*dict.fromkeys([*before, *code])]}
        searched = [*dict.fromkeys(name for name, tool in attached if tool == "file_search")]
        if searched:
            stores = found.get("file_search", {}).get("vector_store_ids") or []
            found["file_search"] = {"vector_store_ids": [await self._searchable(caller, stores, searched)]}
        return found

    async def _searchable(self, caller: Caller, stores: Sequence[str], file_ids: Sequence[str]) -> str:
        """Adds files to the vector store of a thread; makes one if it has none. Returns its id."""
        assistant = self.directory.default(caller).name
        with self.server_of(assistant, "attachments") as server:
            if stores:
                for each in file_ids:
                    await server.post(f"/vector_stores/{stores[0]}/files", {"file_id": each})
                return stores[0]
            expiry = {"anchor": "last_active_at", "days": DAYS}
            made = await server.post("/vector_stores", {"file_ids": [*file_ids], "expires_after": expiry})
        return (await self.owned(caller, STORE, made, {SERVER: assistant}, "attachments")).id
