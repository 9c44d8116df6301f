"""Slack's error answers; faults of the connection are in web_faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.platform_faults import (
    ConnectionRefused,
    HangingCall,
    Hook,
    HttpStatus,
    Json,
    PlatformFault,
    PlatformFaults,
    RateLimit,
    RecordedCall,
    ResponseLost,
)

__all__ = [
    "ConnectionRefused",
    "HangingCall",
    "Hook",
    "HttpStatus",
    "Json",
    "PlatformFault",
    "PlatformFaults",
    "RateLimit",
    "RecordedCall",
    "ResponseLost",
    "SlackError",
    "SlackErrorFault",
    "invalid_arguments",
]


class SlackError(Exception):
    """An error answer of the Web API."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.body: Json = {"ok": False, "error": code, **more}


def invalid_arguments(reason: str) -> SlackError:
    """Returns ``invalid_arguments`` with the reason as Slack words it."""
    return SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {reason}"]})


@dataclass(frozen=True, slots=True)
class SlackErrorFault:
    """The call is answered with this error code and not performed."""

    code: str
    times: int | None = 1
    skip: int = 0
    extra_fields: Json = field(default_factory=dict)
    """Additional fields of the answer: ``needed`` and ``provided``, for example."""
