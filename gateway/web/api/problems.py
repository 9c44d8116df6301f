"""Maps errors to HTTP responses: status, headers and JSON body."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from pydantic import BaseModel, Field

from gateway.domain.errors import (
    AssistantError,
    AssistantRateLimited,
    AssistantTimedOut,
    Blocked,
    Conflict,
    GatewayError,
    InputError,
    Overloaded,
    StoreUnavailable,
    ThreadNotFound,
    TooManyRounds,
    TurnNotFound,
    Unauthenticated,
)
from gateway.domain.models import Failure, TurnId
from gateway.domain.sentences import sentence
from gateway.languages import say
from gateway.logs import get_logger

JsonResponse = tuple[dict[str, Any], int, dict[str, str]]
"""Body, status and headers, as a Flask view may return them."""

STATUS_OF_CLASS: Mapping[type[GatewayError], int] = {
    GatewayError: 500,
    InputError: 400,
    Unauthenticated: 401,
    Blocked: 403,
    ThreadNotFound: 404,
    TurnNotFound: 404,
    Conflict: 409,
    Overloaded: 503,
    StoreUnavailable: 503,
    AssistantError: 502,
    AssistantRateLimited: 429,
    AssistantTimedOut: 504,
}
"""Status by error class; a class that is not listed has its parent's."""

STATUS_OF_CODE: Mapping[str, int] = {
    "blocked": 403,
    "budget_exhausted": 429,
    "caller_queue_full": 429,
    "caller_waiting_full": 429,
    "cancelled": 409,
    "not_found": 404,
    "overloaded": 503,
    "payload_too_large": 413,
    "unknown_model": 404,
    "unsupported": 400,
    "upload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "timed_out": 504,
}
"""Status by error code; it takes precedence over the class."""

FINAL_CODES: Mapping[str, str] = {
    "refused": "the assistant's server refuses the message",
    "too_long": "the message or its conversation is longer than the model can read",
    "not_allowed": "a content filter stopped it",
    "incomplete": "the answer was cut off before it had any text",
    TooManyRounds.code: "it used too many tools or tokens",
    "file_gone": "an attached file is not there any more",
    "file_too_large": "a file is too large",
    "key_rejected": "the assistant's server does not accept the operator's key",
    "no_credit": "the operator's account has no credit left",
    "model_not_found": "the assistant's server does not have the model",
    "misconfigured": "something else is wrong with the operator's settings",
}
"""Codes of failures that the same message meets again, and their meaning. Their status is 502."""

STATUS_MEANING: Mapping[int, str] = {
    400: "The request is invalid; `code` and `message` say why and what to change.",
    401: "The API key is missing or wrong (`unauthorized`).",
    403: "The operator has blocked this sender (`blocked`), the caller is none of the approvers (`not_approver`), or a "
    "page of an origin that may not call has sent it (`cross_origin`).",
    404: "There is no such thread, turn or approval for this key (`thread_not_found`, `turn_not_found`, "
    "`approval_not_found`).",
    408: "The body did not arrive in time (`request_timeout`).",
    409: "It conflicts with an earlier request (`idempotency_conflict`, `turn_finished`), the turn was `cancelled`, "
    "or somebody else has decided (`already_decided`).",
    413: "The body is too large (`payload_too_large`), or its files are (`upload_too_large`).",
    415: "The body is of another type than this route takes, or compressed (`unsupported_media_type`).",
    429: "Too many requests (`rate_limited`), too many of this caller's messages or requests wait for an answer "
    "(`caller_queue_full`, `caller_waiting_full`), or the budget is spent (`budget_exhausted`). See Retry-After.",
    502: "The assistant did not answer this time (`assistant_failed`), and may if it is asked again. With any other "
    f"code a retry does not help: {'; '.join(f'`{code}`: {meaning}' for code, meaning in FINAL_CODES.items())}.",
    503: "Too much load (`overloaded`) or no database (`store_unavailable`). Retry after the seconds in Retry-After.",
    504: "No answer in time (`timed_out`). The turn goes on: fetch it by its `turn_id`.",
}
"""Descriptions of the error statuses in the API documentation."""

DEFAULT_RETRY_AFTER: Mapping[int, float] = {429: 60.0, 503: 5.0}
"""Default Retry-After, in seconds, when the error does not give one."""

SERVER_FAULT = 500
"""From this status on it is our fault, not the caller's."""

INTERNAL_MESSAGE = sentence("Internal error in the gateway. See the gateway's log for details.")

reader_language: ContextVar[str] = ContextVar("reader_language", default="")
"""The language of whoever gets the response, set for each request. What is meant for programmers is English in any."""

log = get_logger(__name__)


class Problem(BaseModel):
    code: str = Field(description="The kind of error, for programs.", examples=["thread_not_found"])
    message: str = Field(description="What went wrong and what to do about it, for people.")
    turn_id: str | None = Field(None, description="The turn that the error is about, if any. It can be fetched.")


class Problems(BaseModel):
    """The body of every error response."""

    error: Problem


def error_response(
    status: int, code: str, message: str, *, turn_id: TurnId | None = None, retry_after: float | None = None
) -> JsonResponse:
    """Returns an error response. ``retry_after`` is in seconds; 429 and 503 always carry a Retry-After header."""
    error = {"code": code, "message": say(message, reader_language.get())} | ({"turn_id": turn_id} if turn_id else {})
    headers = {"WWW-Authenticate": "Bearer"} if status == STATUS_OF_CLASS[Unauthenticated] else {}
    if status in DEFAULT_RETRY_AFTER:
        seconds = DEFAULT_RETRY_AFTER[status] if retry_after is None else retry_after
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return {"error": error}, status, headers


def from_error(exc: GatewayError, *, turn_id: TurnId | None = None) -> JsonResponse:
    """Returns the response for an error that ends a request. Details meant only for the operator are left out."""
    if isinstance(exc, AssistantError):
        return from_failure(Failure(exc.code, exc.user_message, retry_after=exc.retry_after), turn_id=turn_id)
    status = STATUS_OF_CODE.get(exc.code) or next(
        STATUS_OF_CLASS[kind] for kind in type(exc).mro() if kind in STATUS_OF_CLASS
    )
    if status == STATUS_OF_CLASS[GatewayError]:
        return error_response(status, GatewayError.code, INTERNAL_MESSAGE, turn_id=turn_id)
    message = StoreUnavailable.default_message if isinstance(exc, StoreUnavailable) else exc.message
    return error_response(status, exc.code, message, turn_id=turn_id, retry_after=exc.retry_after)


def from_exception(exc: Exception, *, method: str, path: str) -> JsonResponse:
    """Returns the response for whatever ended a request, and logs what is our fault."""
    if not isinstance(exc, GatewayError):
        log.error("request failed unexpectedly", path=path, method=method, exc_info=exc)
        return error_response(SERVER_FAULT, GatewayError.code, INTERNAL_MESSAGE)
    answer = from_error(exc)
    if answer[1] >= SERVER_FAULT:
        log.warning("request failed", path=path, status=answer[1], code=exc.code, error=str(exc))
    return answer


def not_found(meant: str = "") -> JsonResponse:
    """``meant``: an address that there is, if the one that was asked for differs from it by a slash."""
    hint = f"Leave out the slash at its end: {meant}." if meant else "See /docs for all addresses."
    return error_response(404, "not_found", f"There is nothing at this address. {hint}")


def method_not_allowed(method: str, allowed: str) -> JsonResponse:
    """``allowed``: the value of the header ``Allow``."""
    message = f"This address does not take {method}; it takes {allowed}."
    body, status, headers = error_response(405, "method_not_allowed", message)
    return body, status, {**headers, "Allow": allowed}


def from_failure(failure: Failure, *, turn_id: TurnId | None = None) -> JsonResponse:
    """Returns the response for a turn that failed. Its code says whether a retry may help."""
    code = failure.code if failure.code in STATUS_OF_CODE or failure.code in FINAL_CODES else AssistantError.code
    status = STATUS_OF_CODE.get(code, STATUS_OF_CLASS[AssistantError])
    return error_response(status, code, failure.user_message, turn_id=turn_id, retry_after=failure.retry_after)
