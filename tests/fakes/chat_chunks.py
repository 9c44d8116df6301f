"""What servers of chat completions send, to be sent by a RawServer, and what they were sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.fakes.raw_server import RawServer

DONE = b"data: [DONE]\n\n"


def event(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def chunks(*deltas: Mapping[str, object], finish: str | None = "stop", **more: object) -> list[bytes]:
    """Returns the chunks of a stream with these deltas, without ``[DONE]``; ``more`` is in the last one."""
    written: list[dict[str, object]] = [{"id": "c1", "choices": [{"delta": delta}]} for delta in deltas]
    if finish:
        written.append({"id": "c1", "choices": [{"delta": {}, "finish_reason": finish}], **more})
    return [event(chunk) for chunk in written]


def call(call_id: str | None, arguments: object, *, name: str = "add", **more: object) -> dict[str, object]:
    """Returns a whole tool call as a delta has it."""
    fields: dict[str, object] = {} if call_id is None else {"id": call_id}
    return {**fields, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def sent(raw: RawServer, number: int = -1) -> dict[str, Any]:
    """Returns the body of a request, by default of the newest."""
    body: dict[str, Any] = json.loads(raw.requests[number].partition(b"\r\n\r\n")[2])
    return body


def refuse(raw: RawServer, message: str, *, status: str = "400 Bad Request", **error: object) -> None:
    """Lets the server refuse a request with an error in OpenAI's format."""
    raw.add_response(json.dumps({"error": {"message": message, **error}}).encode(), status=status)
