"""Maps errors to HTTP responses: status, headers and JSON body."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from gateway.domain.errors import (
    AssistantError,
    Blocked,
    Conflict,
    GatewayError,
    InputError,
    Overloaded,
    RateLimited,
    StoreUnavailable,
    ThreadNotFound,
    TimedOut,
    TurnNotFound,
    Unverified,
)
from gateway.domain.models import Failure, TurnId

Answer = tuple[dict[str, Any], int, dict[str, str]]
"""Body, status and headers, as a Flask view may return them."""

STATUS: Mapping[type[GatewayError], int] = {
    GatewayError: 500,
    InputError: 400,
    Unverified: 401,
    Blocked: 403,
    ThreadNotFound: 404,
    TurnNotFound: 404,
    Conflict: 409,
    Overloaded: 503,
    StoreUnavailable: 503,
    AssistantError: 502,
    RateLimited: 429,
    TimedOut: 504,
}
"""Status by error class; a class that is not listed has its parent's."""

STATUS_OF_CODE: Mapping[str, int] = {
    "budget_exhausted": 429,
    "cancelled": 409,
    "overloaded": 503,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "timed_out": 504,
}
"""Status by error code; it takes precedence over the class."""

MEANING: Mapping[int, str] = {
    400: "The request is invalid; `code` and `message` say why and what to change.",
    401: "The API key is missing or wrong (`unauthorized`).",
    403: "The operator has blocked this sender (`blocked`).",
    404: "There is no such thread or turn for this key (`thread_not_found`, `turn_not_found`).",
    408: "The body did not arrive in time (`request_timeout`).",
    409: "It conflicts with an earlier request (`idempotency_conflict`, `turn_finished`), or the turn was `cancelled`.",
    413: "The body is too large (`payload_too_large`).",
    415: "The body is not JSON (`unsupported_media_type`).",
    429: "Too many requests (`rate_limited`), or the budget is spent (`budget_exhausted`). See Retry-After.",
    502: "The assistant could not answer (`assistant_failed`).",
    503: "Too much load (`overloaded`) or no database (`store_unavailable`). Retry after the seconds in Retry-After.",
    504: "No answer in time (`timed_out`). The turn goes on: fetch it by its `turn_id`.",
}
"""Descriptions of the error statuses in the API documentation."""

SECONDS_TO_WAIT: Mapping[int, float] = {429: 60.0, 503: 5.0}
"""Default Retry-After, in seconds, when the error does not give one."""

INTERNAL = "Internal error in the gateway. See the gateway's log for details."


class Problem(BaseModel):
    code: str = Field(description="The kind of error, for programs.", examples=["thread_not_found"])
    message: str = Field(description="What went wrong and what to do about it, for people.")
    turn_id: str | None = Field(None, description="The turn that the error is about, if any. It can be fetched.")


class Problems(BaseModel):
    """The body of every error response."""

    error: Problem


def problem(
    status: int, code: str, message: str, *, turn: TurnId | None = None, retry_after: float | None = None
) -> Answer:
    """Returns an error response. ``retry_after`` is in seconds; 429 and 503 always carry a Retry-After header."""
    error = {"code": code, "message": message} | ({"turn_id": turn} if turn else {})
    headers = {"WWW-Authenticate": "Bearer"} if status == STATUS[Unverified] else {}
    if status in SECONDS_TO_WAIT:
        seconds = SECONDS_TO_WAIT[status] if retry_after is None else retry_after
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return {"error": error}, status, headers


def of_error(exc: GatewayError, *, turn: TurnId | None = None) -> Answer:
    """Returns the response for an error that ends a request. Details meant only for the operator are left out."""
    if isinstance(exc, AssistantError):
        return of_failure(Failure(exc.code, exc.sentence, retry_after=exc.retry_after), turn=turn)
    status = STATUS_OF_CODE.get(exc.code) or next(STATUS[kind] for kind in type(exc).mro() if kind in STATUS)
    if status == STATUS[GatewayError]:
        return problem(status, GatewayError.code, INTERNAL, turn=turn)
    message = StoreUnavailable.__doc__ or "" if isinstance(exc, StoreUnavailable) else str(exc)
    return problem(status, exc.code, message, turn=turn, retry_after=exc.retry_after)


def of_failure(failure: Failure, *, turn: TurnId | None = None) -> Answer:
    """Returns the response for a turn that failed."""
    code = failure.code if failure.code in STATUS_OF_CODE else AssistantError.code
    status = STATUS_OF_CODE.get(code, STATUS[AssistantError])
    return problem(status, code, failure.sentence, turn=turn, retry_after=failure.retry_after)
