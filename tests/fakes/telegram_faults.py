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

    def __init__(self, status: int, reason: str = "", **parameters: int) -> None:
        self.status = status
        self.description = error_description(status, reason)
        self.parameters = parameters
        super().__init__(self.description)

    @property
    def body(self) -> Json:
        return error_body(self.status, self.description, self.parameters)


def error_description(status: int, reason: str = "") -> str:
    """Returns the description as the server words it: the status's name, then the reason, lower-cased unless it is a
    code.
    """
    name = REASONS.get(status, "Error")
    if not reason or reason.startswith(name):
        return reason or name
    small = reason if reason[1:2].isupper() or reason[1:2] == "_" else reason[0].lower() + reason[1:]
    return f"{name}: {small}"


def error_body(status: int, description: str, parameters: Json) -> Json:
    body: Json = {"ok": False, "error_code": status, "description": description}
    return body | ({"parameters": parameters} if parameters else {})


def bad_request(reason: str) -> TelegramError:
    return TelegramError(400, reason)


def too_many_requests(seconds: int) -> TelegramError:
    return TelegramError(429, f"retry after {seconds}", retry_after=seconds)


@dataclass(frozen=True, slots=True)
class TelegramErrorFault:
    """The call is answered with this error and not performed.

    ``Error(400, "message is not modified")``, ``Error(403, "bot was blocked by the user")``.
    """

    status: int
    reason: str = ""
    times: int | None = 1
    skip: int = 0
    parameters: Json = field(default_factory=dict)
    """``migrate_to_chat_id``, for example."""
