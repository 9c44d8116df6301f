"""Vector stores, which are at the assistant's server: developers.openai.com/api/reference/resources/vector_stores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.context import ApiContext
from adapters.openai_api.errors import InvalidRequest, NoSuchObject
from adapters.openai_api.files.server_files import STORE, ServerFiles
from adapters.openai_api.ids import OBJECT_ID
from adapters.openai_api.paging import between, list_body, read_page
from adapters.openai_api.repetition import Post, read_post
from adapters.openai_api.request_body import SMALL_BYTES
from adapters.openai_api.stored_objects import find_own, made_once
from adapters.openai_api.uploaded_files import SERVER
from gateway.ports.api_objects import ApiObject
from gateway.web.api.json_body import read_object
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response

PATH = "/v1/vector_stores"
ONE = f"{PATH}/<store_id>"
FILES, BATCHES = f"{ONE}/files", f"{ONE}/file_batches"
BATCH = "file_batch"
PASSED_ON = ("limit", "order", "after", "before", "filter")
MAX_STORES = 1000
"""Of one API key."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VectorStoreRoutes:
    """The handlers. They run on the worker's loop. What is in a store is read and checked by the server."""

    api: ApiContext
    server_files: ServerFiles

    def routes(self) -> Sequence[Route]:
        batch, file = f"{BATCHES}/<batch_id>", f"{FILES}/<file_id>"
        return (
            Route("POST", PATH, self.create),
            Route("GET", PATH, self.list_all),
            Route("DELETE", ONE, self.delete),
            *(Route("GET", path, self.read) for path in (ONE, FILES, file, f"{file}/content", batch, f"{batch}/files")),
            *(Route("POST", path, self.change) for path in (ONE, f"{ONE}/search", FILES, file)),
            Route("POST", BATCHES, self.add_batch),
            Route("POST", f"{batch}/cancel", self.change),
            Route("DELETE", file, self.remove_file),
        )

    async def create(self, request: HttpRequest) -> HttpResponse:
        caller = self.api.callers.reader(request)
        body = await request.read_body(SMALL_BYTES)
        asked, post = read_object(body or b"{}"), read_post(caller, request, body)
        await self._check_files(caller, asked)
        (made,) = await self._once(post, partial(self._create, caller, asked, post))
        return json_response(await self._read(made, f"/vector_stores/{made.id}", {}))

    async def _once(self, post: Post, make: Callable[[], Awaitable[Sequence[ApiObject]]]) -> Sequence[ApiObject]:
        return await made_once(self.server_files.files.objects, self.api.attempts, post, make)

    async def _create(self, caller: Caller, asked: Json, post: Post) -> Sequence[ApiObject]:
        files, assistant = self.server_files.files, self.server_files.directory.default(caller).name
        if len(await asyncio.to_thread(files.objects.list_of_owner, caller.owner, STORE)) >= MAX_STORES:
            raise InvalidRequest(f"A key may have {MAX_STORES} vector stores here. Delete some.")
        with self.server_files.server_of(assistant, "vector_stores") as server:
            made = await server.post("/vector_stores", asked)
        return [await self.server_files.owned(caller, STORE, made, {SERVER: assistant}, "vector_stores", post.name)]

    async def list_all(self, request: HttpRequest) -> HttpResponse:
        caller, page, files = self.api.callers.reader(request), read_page(request), self.server_files.files
        known = {each.id: each for each in await asyncio.to_thread(files.objects.list_of_owner, caller.owner, STORE)}
        names = [each["id"] for each in between([{"id": name} for name in known], page)]
        nearest = names[::-1] if page.is_backward else names
        found = list[Json]()
        while nearest and len(found) <= page.limit:  # some have ended at the server
            asked, nearest = nearest[: page.limit + 1], nearest[page.limit + 1 :]
            shown = await asyncio.gather(*(self._shown(known[name]) for name in asked))
            found += [each for each in shown if each is not None]
        kept = found[: page.limit]
        return json_response(list_body(kept[::-1] if page.is_backward else kept, has_more=len(found) > page.limit))

    async def _shown(self, store: ApiObject) -> Json | None:
        """Returns a store as the server shows it; None if it has ended there."""
        with self.server_files.server_of(store.body[SERVER], "store_id") as server:
            return await server.get(f"/vector_stores/{store.id}", {})

    async def read(self, request: HttpRequest) -> HttpResponse:
        store = await self._store(request)
        query = {name: value for name in PASSED_ON if (value := request.query_value(name))}
        return json_response(await self._read(store, _path(request), query))

    async def _read(self, store: ApiObject, path: str, query: Mapping[str, str]) -> Json:
        with self.server_files.server_of(store.body[SERVER], "store_id") as server:
            return _there(await server.get(path, query), path)

    async def change(self, request: HttpRequest) -> HttpResponse:
        caller, store = await self._caller_and_store(request)
        asked = read_object(await request.read_body(SMALL_BYTES) or b"{}")
        await self._check_files(caller, asked)
        path = _path(request)
        with self.server_files.server_of(store.body[SERVER], "store_id") as server:
            return json_response(_there(await server.post(path, asked), path))

    async def add_batch(self, request: HttpRequest) -> HttpResponse:
        caller, store = await self._caller_and_store(request)
        body = await request.read_body(SMALL_BYTES)
        asked, post = read_object(body or b"{}"), read_post(caller, request, body)
        await self._check_files(caller, asked)
        path = _path(request)
        (made,) = await self._once(post, partial(self._add_batch, store, path, asked, post))
        return json_response(await self._read(store, f"{path}/{made.id}", {}))

    async def _add_batch(self, store: ApiObject, path: str, asked: Json, post: Post) -> Sequence[ApiObject]:
        """Adds files to a store. Notes the batch, so that a repeated request finds it."""
        with self.server_files.server_of(store.body[SERVER], "store_id") as server:
            made = _there(await server.post(path, asked), path)
        note = ApiObject(str(made.get("id", "")), BATCH, store.owner, {}, parent=store.id, request=post.name)
        return await asyncio.to_thread(self.server_files.files.objects.add, [note])

    async def delete(self, request: HttpRequest) -> HttpResponse:
        store, files = await self._store(request), self.server_files.files
        with self.server_files.server_of(store.body[SERVER], "store_id") as server:
            await server.delete(f"/vector_stores/{store.id}")
        await asyncio.to_thread(files.objects.delete, store.id)
        return json_response({"id": store.id, "object": "vector_store.deleted", "deleted": True})

    async def remove_file(self, request: HttpRequest) -> HttpResponse:
        """Takes a file out of a store. The file itself stays."""
        store = await self._store(request)
        with self.server_files.server_of(store.body[SERVER], "store_id") as server:
            await server.delete(_path(request))
        name = request.path_values["file_id"]
        return json_response({"id": name, "object": "vector_store.file.deleted", "deleted": True})

    async def _store(self, request: HttpRequest) -> ApiObject:
        """Returns the store that the path names. Raises NoSuchObject, also for one of another key."""
        return (await self._caller_and_store(request))[1]

    async def _caller_and_store(self, request: HttpRequest) -> tuple[Caller, ApiObject]:
        caller, name, files = self.api.callers.reader(request), request.path_values["store_id"], self.server_files.files
        found = await find_own(files.objects, caller, STORE, name) if OBJECT_ID.fullmatch(name) else None
        if found is None:
            raise NoSuchObject(f"No vector store found with id '{name[:128]}'.")
        return caller, found

    async def _check_files(self, caller: Caller, asked: Json) -> None:
        """Raises InvalidRequest for files of others."""
        for where, name in _files_in(asked):
            if not isinstance(name, str):
                raise refusal(where, "must be the id of a file")
            await self.server_files.check_files(caller, [name], where)


def _files_in(asked: Json) -> Iterator[tuple[str, Any]]:
    """Yields the ids of files in a request, each with the name of its field."""
    if "file_id" in asked:
        yield "file_id", asked["file_id"]
    for each in _list(asked, "file_ids"):
        yield "file_ids", each
    for each in _list(asked, "files"):
        yield "files", each.get("file_id") if isinstance(each, dict) else None


def _list(asked: Json, name: str) -> list[Any]:
    found = asked.get(name) or []
    if not isinstance(found, list):
        raise refusal(name, "must be a list")
    return found


def _path(request: HttpRequest) -> str:
    """Returns the path as the server has it. Raises NoSuchObject for what cannot be an id."""
    for value in request.path_values.values():
        if not OBJECT_ID.fullmatch(value):
            raise NoSuchObject(f"There is no {value[:128]!r}.")
    return request.path.removeprefix("/openai").removeprefix("/v1")


def _there(found: Json | None, path: str) -> Json:
    if found is None:
        raise NoSuchObject(f"There is no {path} at the assistant's server.")
    return found
