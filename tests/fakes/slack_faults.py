"""Slack's own way to say no; what else can go wrong is no matter of Slack's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.web_faults import Call, Fault, Faults, Hang, Hook, Json, Lost, RateLimit, Refuse, Status

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
    """An answer of Slack's that is not ok."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.body: Json = {"ok": False, "error": code, **more}


def invalid(why: str) -> SlackError:
    """Slack's word for arguments that it cannot take, with its reason as it gives it."""
    return SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {why}"]})


@dataclass(frozen=True, slots=True)
class Error:
    """Slack says no with this code; nothing is performed."""

    code: str
    times: int | None = 1
    skip: int = 0
    more: Json = field(default_factory=dict)
    """What else stands in the answer: ``needed`` and ``provided``, for example."""
