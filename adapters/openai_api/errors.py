"""Errors in the form of OpenAI's API: platform.openai.com/docs/guides/error-codes/api-errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.domain.errors import AssistantError, Conflict, InputError, MalformedRequest
from gateway.web.api.problems import FINAL_CODES, STATUS_OF_CLASS, JsonResponse

INVALID_REQUEST, BAD_REQUEST = "invalid_request_error", 400
TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
    500: "server_error",
}
"""The type of an error, by its status; of any other status: ``invalid_request_error``."""
UNSUPPORTED = "unsupported"
"""The code of a failure that is about a field of the request, which its message names first."""
CODES: Mapping[str, str] = {
    "not_found": "",
    "unknown_model": "model_not_found",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "caller_queue_full": "rate_limit_exceeded",
    "caller_waiting_full": "rate_limit_exceeded",
    "budget_exhausted": "insufficient_quota",
    "refused": "invalid_prompt",
    "too_long": "context_length_exceeded",
    "not_allowed": "content_filter",
    UNSUPPORTED: "unsupported_parameter",
}
"""Codes that OpenAI names otherwise."""
FIELD = re.compile(r"`([\w.]+)`")
REFUSED = frozenset({"refused", "too_long", "not_allowed", "file_too_large", "file_gone", UNSUPPORTED, "blocked"})
"""Codes of failures that are about the message."""
UPSTREAM = STATUS_OF_CLASS[AssistantError]
"""The status of a failure of the assistant. At OpenAI it is 400 if it is about the message, and some programs retry any
other, each time as a new turn."""
FINAL = frozenset({*FINAL_CODES, Conflict.code, "idempotency_conflict", "cancelled", "budget_exhausted"})
"""Codes of errors that a retry meets again, although the SDKs retry their statuses."""
NO_RETRY = {"x-should-retry": "false"}
"""What openai-python and openai-node obey before the status (``_should_retry`` in _base_client.py)."""
LOCKED = "conversation_locked"
"""OpenAI's code, with the status 400, for a conversation that is in use. The SDKs try again only if told to."""
RETRY = {"x-should-retry": "true"}


class InvalidRequest(MalformedRequest):
    """A request that OpenAI's API would refuse with status 400."""

    code = ""

    def __init__(self, message: str, *, param: str | None = None, code: str = "") -> None:
        """``param``: the field at fault."""
        super().__init__(message, code=code)
        self.param = param


def missing(field: str) -> InvalidRequest:
    """Returns the error for a field that a request must have."""
    return InvalidRequest(f"Missing required parameter: `{field}`.", param=field, code="missing_required_parameter")


class NoSuchObject(InputError):
    """There is no such object for this caller."""

    code = "not_found"


def error_form(response: JsonResponse) -> JsonResponse:
    """Returns an error response of the gateway as OpenAI's API would send it."""
    given, status, headers = response
    problem = given["error"]
    code = problem["code"]
    if status == UPSTREAM and code in REFUSED:
        status = BAD_REQUEST
    if code in FINAL:
        headers = {**headers, **NO_RETRY}
    named = FIELD.search(problem["message"]) if code == UNSUPPORTED else None
    body = error_body(problem["message"], status, code=CODES.get(code, code) or None, param=named and named[1])
    return body, status, headers


def invalid_request(error: InvalidRequest) -> JsonResponse:
    headers = RETRY if error.code == LOCKED else {}
    return error_body(str(error), BAD_REQUEST, code=error.code or None, param=error.param), BAD_REQUEST, headers


def error_body(message: str, status: int, *, code: str | None, param: str | None = None) -> dict[str, Any]:
    kind = TYPES.get(status, INVALID_REQUEST)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
