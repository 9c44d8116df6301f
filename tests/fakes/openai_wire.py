"""The forms in which OpenAI's API answers: JSON, errors, lists in pages, streams of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_faults import Seen

Json = dict[str, Any]

encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class ApiError(Exception):
    """An answer in OpenAI's form of an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def bad(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def invalid_url(seen: Seen) -> ApiError:
    """What OpenAI says of an address it does not know."""
    return ApiError(404, f"Invalid URL ({seen.method} {seen.raw_path})")


@dataclass(frozen=True)
class Upload:
    """A file as it came in a form, or as the model made it."""

    name: str
    content: bytes
    media_type: str = ""
    purpose: str = ""


@dataclass(frozen=True)
class Answer:
    body: Any
    """JSON, or the bytes of a file."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else encode(self.body).encode()

    @property
    def media_type(self) -> str:
        return "application/octet-stream" if isinstance(self.body, bytes) else "application/json"


class Feed:
    """The events of one run, as they are sent. Any number of callers may follow it, from any event on."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.closed = False
        self._waiting: list[asyncio.Future[None]] = []

    def put(self, name: str, data: Any) -> None:
        head = f"event: {name}\n" if name else ""
        self.events.append(f"{head}data: {data if isinstance(data, str) else encode(data)}\n\n".encode())
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def follow(self, start: int = 0) -> AsyncIterator[list[bytes]]:
        """All events from number ``start`` on, as many at once as there are, until the feed is closed."""
        while True:
            batch = self.events[start:]
            if batch:
                start += len(batch)
                yield batch
            elif self.closed:
                return
            else:
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future


@dataclass(frozen=True)
class Stream:
    """An answer that is a stream of events."""

    feed: Feed
    error: Callable[[], bytes]
    """Makes the protocol's own error event."""
    abandon: Callable[[], object] | None = None
    """Called when the caller has gone before the end. None: the work goes on by itself."""
    start: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A request on its way through the server."""

    seen: Seen
    ids: tuple[str, ...] = ()
    gone: bool = False
    """Whether the caller has gone before the work began."""
    cut_after: int | None = None
    """After how many events the caller will be gone, when that is known."""

    @property
    def body(self) -> Json:
        return self.seen.body if isinstance(self.seen.body, dict) else {}

    @property
    def streamed(self) -> bool:
        return self.body.get("stream") is True

    def required(self, *names: str) -> None:
        """Raise unless the body has them all."""
        for name in names:
            if self.body.get(name) is None:
                raise bad(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")

    def metadata(self) -> dict[str, str]:
        return check_metadata(self.body.get("metadata"))


def check_metadata(metadata: Any) -> dict[str, str]:
    """At most 16 strings by names of at most 64 characters, of at most 512 each."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise bad("Invalid type for 'metadata': expected an object.", param="metadata", code="invalid_type")
    if len(metadata) > 16:
        raise bad(
            f"Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an "
            f"object with {len(metadata)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise bad(f"Invalid type for 'metadata.{name}': expected a string.", param="metadata", code="invalid_type")
        if len(name) > 64 or len(value) > 512:
            raise bad(f"Invalid 'metadata.{name}': string too long.", param="metadata", code="string_above_max_length")
    return dict(metadata)


def page(seen: Seen, items: Sequence[Json], *, id_of: Callable[[Json], str] = lambda item: str(item["id"])) -> Answer:
    """A list in pages. ``items`` are oldest first; the newest come first unless ``order=asc`` is asked for."""
    limit = _limit(seen.query.get("limit", "20"))
    order = seen.query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise bad(
            f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'.", param="order", code="invalid_value"
        )
    rows = list(items) if order == "asc" else list(reversed(items))
    names = [id_of(row) for row in rows]
    if "after" in seen.query:
        rows = rows[_place(names, seen.query["after"], "after") + 1 :]
    elif "before" in seen.query:
        rows = rows[: _place(names, seen.query["before"], "before")][-limit:]
    shown = rows[:limit]
    return Answer(
        {
            "object": "list",
            "data": shown,
            "first_id": id_of(shown[0]) if shown else None,
            "last_id": id_of(shown[-1]) if shown else None,
            "has_more": len(rows) > len(shown),
        }
    )


def _limit(text: str) -> int:
    try:
        limit = int(text)
    except ValueError:
        raise bad("Invalid type for 'limit': expected an integer.", param="limit", code="invalid_type") from None
    if limit > 100:
        message = f"Invalid 'limit': integer above maximum value. Expected a value <= 100, but got {limit} instead."
        raise bad(message, param="limit", code="integer_above_max_value")
    if limit < 1:
        message = f"Invalid 'limit': integer below minimum value. Expected a value >= 1, but got {limit} instead."
        raise bad(message, param="limit", code="integer_below_min_value")
    return limit


def _place(names: Sequence[str], name: str, param: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise bad(f"Invalid '{param}': no item with id '{name}' in this list.", param=param) from None
