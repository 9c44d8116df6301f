"""Files and vector stores at an assistant's server, which its own tools read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from gateway.domain.files import Content

Json = dict[str, Any]


class ServerObjects(Protocol):
    """Requests to the server with the operator's key. On the worker's loop.

    Every method does I/O and raises AssistantError; MalformedRequest, with the server's words, for what it refuses.
    ``path``: below the server's address, such as ``/vector_stores``; ids in it are checked by the caller.
    """

    async def get(self, path: str, query: Mapping[str, str]) -> Json | None:
        """Returns an object or a list; None if the server has no such thing."""
        ...

    async def post(self, path: str, body: Json) -> Json | None:
        """Returns the answer; None if the server has no such thing."""
        ...

    async def delete(self, path: str) -> None:
        """Deletes an object; no error if there is none."""
        ...

    async def upload(self, purpose: str, name: str, media_type: str, content: Content) -> Json | None:
        """Uploads a file and returns it; None if the server takes none."""
        ...


@runtime_checkable
class HasServerObjects(Protocol):
    """A backend whose server may have files and vector stores."""

    server_objects: ServerObjects | None
