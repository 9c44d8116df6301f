"""Implements ServerObjects by requests to the assistant's server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from gateway.assistants.api_client import AssistantApiClient
from gateway.assistants.errors.error_map import BadRequest, NotFound
from gateway.assistants.sse import Json
from gateway.domain.errors import MalformedRequest
from gateway.domain.files import Content


class ApiServerObjects:
    """Implements ServerObjects."""

    def __init__(self, api: AssistantApiClient) -> None:
        self._api = api

    async def get(self, path: str, query: Mapping[str, str]) -> Json | None:
        with _refusals(), suppress(NotFound):
            return await self._api.get(path, query)
        return None

    async def post(self, path: str, body: Json) -> Json | None:
        with _refusals(), suppress(NotFound):
            return await self._api.post(path, body)
        return None

    async def delete(self, path: str) -> None:
        with _refusals(), suppress(NotFound):
            await self._api.delete(path)

    async def upload(self, purpose: str, name: str, media_type: str, content: Content) -> Json | None:
        with _refusals(), suppress(NotFound):
            return await self._api.upload("/files", {"purpose": purpose}, name, media_type, content)
        return None


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except BadRequest as exc:
        raise MalformedRequest(f"The assistant's server refuses this: {exc}", code="refused_by_server") from exc
