"""Vector stores of the fake API. Files are indexed at once; a search finds those whose text has a word of the query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_messages import ApiError, ApiRequest, ApiResponse, FileUpload, Json, bad_request, list_page
from tests.fakes.openai_state import FakeOpenAIState, timestamp


@dataclass
class VectorStore:
    id: str
    name: str
    metadata: dict[str, str]
    expires_after: Json | None
    created_at: int = field(default_factory=timestamp)
    files: dict[str, Json] = field(default_factory=dict)
    batches: dict[str, Json] = field(default_factory=dict)


class FakeVectorStoreRoutes:
    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state
        self._stores: dict[str, VectorStore] = {}

    def routes(self) -> dict[str, Any]:
        one, file, batch = "/vector_stores/{}", "/vector_stores/{}/files/{}", "/vector_stores/{}/file_batches/{}"
        return {
            "POST /vector_stores": self.create,
            f"GET {one}": self.retrieve,
            f"POST {one}": self.modify,
            f"DELETE {one}": self.delete,
            f"POST {one}/search": self.search,
            f"POST {one}/files": self.add_file,
            f"GET {one}/files": self.list_files,
            f"GET {file}": self.retrieve_file,
            f"POST {file}": self.modify_file,
            f"DELETE {file}": self.remove_file,
            f"GET {file}/content": self.content,
            f"POST {one}/file_batches": self.add_batch,
            f"GET {batch}": self.retrieve_batch,
            f"POST {batch}/cancel": self.retrieve_batch,
            f"GET {batch}/files": self.list_files,
        }

    async def create(self, request: ApiRequest) -> ApiResponse:
        body = request.body
        store = VectorStore(
            self._state.new_id("vs"), body.get("name") or "", body.get("metadata") or {}, body.get("expires_after")
        )
        for name in body.get("file_ids") or []:
            self._add(store, name)
        self._stores[store.id] = store
        return ApiResponse(_store_json(store))

    async def retrieve(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(_store_json(self._store(request)))

    async def modify(self, request: ApiRequest) -> ApiResponse:
        store = self._store(request)
        store.name = request.body.get("name") or store.name
        store.metadata = request.body.get("metadata") or store.metadata
        return ApiResponse(_store_json(store))

    async def delete(self, request: ApiRequest) -> ApiResponse:
        store = self._store(request)
        del self._stores[store.id]
        return ApiResponse({"id": store.id, "object": "vector_store.deleted", "deleted": True})

    async def search(self, request: ApiRequest) -> ApiResponse:
        request.require("query")
        query, found = str(request.body["query"]), []
        for name in self._store(request).files:
            upload = self._upload(name)
            if any(word in upload.content.decode() for word in query.split()):
                text = [{"type": "text", "text": upload.content.decode()}]
                found.append(
                    {"file_id": name, "filename": upload.name, "score": 1.0, "attributes": {}, "content": text}
                )
        kind = "vector_store.search_results.page"
        return ApiResponse(
            {"object": kind, "search_query": [query], "data": found, "has_more": False, "next_page": None}
        )

    async def add_file(self, request: ApiRequest) -> ApiResponse:
        request.require("file_id")
        return ApiResponse(self._add(self._store(request), request.body["file_id"]))

    async def list_files(self, request: ApiRequest) -> ApiResponse:
        return list_page(request.recorded, [*self._store(request).files.values()])

    async def retrieve_file(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self._file(request))

    async def modify_file(self, request: ApiRequest) -> ApiResponse:
        file = self._file(request)
        file["attributes"] = request.body.get("attributes")
        return ApiResponse(file)

    async def remove_file(self, request: ApiRequest) -> ApiResponse:
        file = self._file(request)
        del self._store(request).files[file["id"]]
        return ApiResponse({"id": file["id"], "object": "vector_store.file.deleted", "deleted": True})

    async def content(self, request: ApiRequest) -> ApiResponse:
        text = self._upload(self._file(request)["id"]).content.decode()
        kind = "vector_store.file_content.page"
        data = [{"type": "text", "text": text}]
        return ApiResponse({"object": kind, "data": data, "has_more": False, "next_page": None})

    async def add_batch(self, request: ApiRequest) -> ApiResponse:
        store = self._store(request)
        for name in request.body.get("file_ids") or [each["file_id"] for each in request.body.get("files") or []]:
            self._add(store, name)
        batch = {
            "id": self._state.new_id("vsfb"),
            "object": "vector_store.files_batch",
            "created_at": timestamp(),
            "vector_store_id": store.id,
            "status": "completed",
            "file_counts": _counts(len(store.files)),
        }
        store.batches[str(batch["id"])] = batch
        return ApiResponse(batch)

    async def retrieve_batch(self, request: ApiRequest) -> ApiResponse:
        found = self._store(request).batches.get(request.ids[1])
        if found is None:
            raise ApiError(404, f"No file batch found with id '{request.ids[1]}'.")
        return ApiResponse(found)

    def _store(self, request: ApiRequest) -> VectorStore:
        found = self._stores.get(request.ids[0])
        if found is None:
            raise ApiError(404, f"Vector store with id {request.ids[0]} not found.", param="vector_store_id")
        return found

    def _file(self, request: ApiRequest) -> Json:
        found = self._store(request).files.get(request.ids[1])
        if found is None:
            raise ApiError(404, f"No file found with id '{request.ids[1]}' in vector store '{request.ids[0]}'.")
        return found

    def _upload(self, name: str) -> FileUpload:
        if name not in self._state.uploads:
            raise bad_request(f"File with id {name} not found.", param="file_id", code="invalid_value")
        return self._state.uploads[name]

    def _add(self, store: VectorStore, name: str) -> Json:
        store.files[name] = {
            "id": name,
            "object": "vector_store.file",
            "usage_bytes": len(self._upload(name).content),
            "created_at": timestamp(),
            "vector_store_id": store.id,
            "status": "completed",
            "last_error": None,
        }
        return store.files[name]


def _counts(number: int) -> Json:
    return {"in_progress": 0, "completed": number, "failed": 0, "cancelled": 0, "total": number}


def _store_json(store: VectorStore) -> Json:
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created_at,
        "name": store.name,
        "usage_bytes": sum(each["usage_bytes"] for each in store.files.values()),
        "file_counts": _counts(len(store.files)),
        "status": "completed",
        **({"expires_after": store.expires_after} if store.expires_after else {}),
        "expires_at": None,
        "last_active_at": store.created_at,
        "metadata": store.metadata,
    }
