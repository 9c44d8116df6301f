"""Requests and responses of the fake API: JSON, errors, paged lists, streams of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_faults import RecordedRequest

Json = dict[str, Any]

encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class ApiError(Exception):
    """An error response in OpenAI's format."""

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


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def invalid_url(request: RecordedRequest) -> ApiError:
    """Returns OpenAI's error for an unknown URL."""
    return ApiError(404, f"Invalid URL ({request.method} {request.raw_path})")


@dataclass(frozen=True)
class FileUpload:
    """A file from a multipart form, or made by the model."""

    name: str
    content: bytes
    media_type: str = ""
    purpose: str = ""
    created_at: int = 0


@dataclass(frozen=True)
class ApiResponse:
    body: Any
    """JSON value, or the bytes of a file."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body_bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else encode(self.body).encode()

    @property
    def media_type(self) -> str:
        return "application/octet-stream" if isinstance(self.body, bytes) else "application/json"


class EventLog:
    """The encoded events of one run. Any number of callers may follow it, starting at any event."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.closed = False
        self._followers: list[asyncio.Future[None]] = []

    def put(self, name: str, data: Any) -> None:
        head = f"event: {name}\n" if name else ""
        self.events.append(f"{head}data: {data if isinstance(data, str) else encode(data)}\n\n".encode())
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._followers = self._followers, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def follow(self, start: int = 0) -> AsyncIterator[list[bytes]]:
        """Yields batches of events from number ``start`` on, until the log is closed."""
        while True:
            batch = self.events[start:]
            if batch:
                start += len(batch)
                yield batch
            elif self.closed:
                return
            else:
                future = asyncio.get_running_loop().create_future()
                self._followers.append(future)
                await future


@dataclass(frozen=True)
class StreamedResponse:
    """A response that is a stream of events."""

    event_log: EventLog
    error_event: Callable[[], bytes]
    """Returns an error event in the format of the API."""
    abandon: Callable[[], object] | None = None
    """Called when the caller disconnects before the end. None: the work continues without a caller."""
    start: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ApiRequest:
    """A request while it is processed."""

    recorded: RecordedRequest
    ids: tuple[str, ...] = ()
    caller_gone: bool = False
    """Whether the caller disconnected before the request was processed."""
    cut_after: int | None = None
    """The caller disconnects after this many events (None: unknown)."""

    @property
    def body(self) -> Json:
        return self.recorded.body if isinstance(self.recorded.body, dict) else {}

    @property
    def streamed(self) -> bool:
        return self.body.get("stream") is True

    def require(self, *names: str) -> None:
        """Raises ApiError unless the body has all these parameters."""
        for name in names:
            if self.body.get(name) is None:
                raise bad_request(
                    f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
                )

    def metadata(self) -> dict[str, str]:
        return check_metadata(self.body.get("metadata"))


def check_metadata(metadata: Any) -> dict[str, str]:
    """Validates metadata: at most 16 strings of at most 512 characters, with names of at most 64."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise bad_request("Invalid type for 'metadata': expected an object.", param="metadata", code="invalid_type")
    if len(metadata) > 16:
        raise bad_request(
            f"Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an "
            f"object with {len(metadata)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise bad_request(
                f"Invalid type for 'metadata.{name}': expected a string.", param="metadata", code="invalid_type"
            )
        if len(name) > 64 or len(value) > 512:
            raise bad_request(
                f"Invalid 'metadata.{name}': string too long.", param="metadata", code="string_above_max_length"
            )
    return dict(metadata)


def list_page(
    request: RecordedRequest, items: Sequence[Json], *, id_of: Callable[[Json], str] = lambda item: str(item["id"])
) -> ApiResponse:
    """Returns one page of a list. ``items`` are oldest first; the page is newest first unless ``order=asc``."""
    limit = _limit(request.query.get("limit", "20"))
    order = request.query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise bad_request(
            f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'.", param="order", code="invalid_value"
        )
    rows = list(items) if order == "asc" else list(reversed(items))
    names = [id_of(row) for row in rows]
    if "after" in request.query:
        rows = rows[_index_of(names, request.query["after"], "after") + 1 :]
    elif "before" in request.query:
        rows = rows[: _index_of(names, request.query["before"], "before")][-limit:]
    shown = rows[:limit]
    return ApiResponse(
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
        raise bad_request(
            "Invalid type for 'limit': expected an integer.", param="limit", code="invalid_type"
        ) from None
    if limit > 100:
        message = f"Invalid 'limit': integer above maximum value. Expected a value <= 100, but got {limit} instead."
        raise bad_request(message, param="limit", code="integer_above_max_value")
    if limit < 1:
        message = f"Invalid 'limit': integer below minimum value. Expected a value >= 1, but got {limit} instead."
        raise bad_request(message, param="limit", code="integer_below_min_value")
    return limit


def _index_of(names: Sequence[str], item_id: str, param: str) -> int:
    try:
        return names.index(item_id)
    except ValueError:
        raise bad_request(f"Invalid '{param}': no item with id '{item_id}' in this list.", param=param) from None
