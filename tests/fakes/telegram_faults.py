"""Telegram's error answers: core.telegram.org/bots/api#making-requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes.platform_faults import Json

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


class TelegramError(Exception):
    """An error answer of the Bot API."""

    def __init__(self, status: int, why: str = "", **parameters: int) -> None:
        self.status = status
        self.description = described(status, why)
        self.parameters = parameters
        super().__init__(self.description)

    @property
    def body(self) -> Json:
        return refusal(self.status, self.description, self.parameters)


def described(status: int, why: str = "") -> str:
    """Returns the description as the server words it: the status's name, then the reason, lower-cased unless it is a
    code.
    """
    reason = REASONS.get(status, "Error")
    if not why or why.startswith(reason):
        return why or reason
    small = why if why[1:2].isupper() or why[1:2] == "_" else why[0].lower() + why[1:]
    return f"{reason}: {small}"


def refusal(status: int, description: str, parameters: Json) -> Json:
    body: Json = {"ok": False, "error_code": status, "description": description}
    return body | ({"parameters": parameters} if parameters else {})


def bad(why: str) -> TelegramError:
    return TelegramError(400, why)


def too_many(seconds: int) -> TelegramError:
    return TelegramError(429, f"retry after {seconds}", retry_after=seconds)


@dataclass(frozen=True, slots=True)
class Error:
    """The call is answered with this error and not performed.

    ``Error(400, "message is not modified")``, ``Error(403, "bot was blocked by the user")``.
    """

    status: int
    why: str = ""
    times: int | None = 1
    skip: int = 0
    parameters: Json = field(default_factory=dict)
    """``migrate_to_chat_id``, for example."""
