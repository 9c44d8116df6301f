"""Slack's error answers; faults of the connection are in web_faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.platform_faults import Call, Fault, Faults, Hang, Hook, Json, Lost, RateLimit, Refuse, Status

__all__ = [
    "Call",
    "Error",
    "Fault",
    "Faults",
    "Hang",
    "Hook",
    "Json",
    "Lost",
    "RateLimit",
    "Refuse",
    "SlackError",
    "Status",
    "invalid",
]


class SlackError(Exception):
    """An error answer of the Web API."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.body: Json = {"ok": False, "error": code, **more}


def invalid(why: str) -> SlackError:
    """Returns ``invalid_arguments`` with the reason as Slack words it."""
    return SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {why}"]})


@dataclass(frozen=True, slots=True)
class Error:
    """The call is answered with this error code and not performed."""

    code: str
    times: int | None = 1
    skip: int = 0
    more: Json = field(default_factory=dict)
    """Additional fields of the answer: ``needed`` and ``provided``, for example."""
