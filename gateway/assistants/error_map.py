"""Maps every error of the vendor to an AssistantError: by exception class, HTTP status, error code or message."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import httpx2
import openai
from openai.lib.azure import MutuallyExclusiveAuthError

from gateway import logs
from gateway.assistants.json_fields import part, text
from gateway.domain.errors import (
    AssistantError,
    Misconfigured,
    RateLimited,
    Refused,
    ThreadBusy,
    ThreadLost,
    Unavailable,
)

BUSY_SECONDS = 1.0
"""Retry delay for a locked thread: the servers say "in a few seconds", but one is mostly enough."""
MAX_RETRY_AFTER = 3600.0
MAX_DETAIL = 500

NO_KEY = "The server does not accept the key. Check OPENAI_API_KEY (or AZURE_OPENAI_API_KEY)"
NO_CREDIT = "The assistant's account has no credit left. Please tell the person who runs it."
TOO_LONG = "This is too long for the assistant. Please send less, or start a new conversation."
NOT_ALLOWED = "The assistant is not allowed to answer this message."
CUT_SHORT = "The answer became too long for the assistant. Please ask for less at once."


class BadRequest(Refused):
    """The server rejects the request as invalid."""

    param: str = ""


class BadFile(BadRequest):
    """The server, or its model, rejects a file of the message."""


class NotThere(Refused):
    """The server does not have the object that the path names, or not the path itself."""


class TooLong(Refused):
    """The input is longer than the model can read."""

    code = "too_long"
    default_sentence = TOO_LONG


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error as the server reported it. ``status`` is 0 for errors inside streams and runs."""

    message: str
    code: str = ""
    param: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def detail(self) -> str:
        """The error for the operator: without secrets, in one line of limited length."""
        what = " ".join(part for part in (str(self.status or ""), self.code, self.message) if part)
        return logs.mask(" ".join(what.split()))[:MAX_DETAIL]


Decision = Callable[[Complaint], AssistantError]


def _bad_request(said: Complaint) -> AssistantError:
    rejection = BadRequest(said.detail)
    rejection.param = said.param
    return rejection


def _bad_file(said: Complaint) -> AssistantError:
    return BadFile(said.detail)


def _busy(said: Complaint) -> AssistantError:
    return ThreadBusy(said.detail, retry_after=_retry_after(said) or BUSY_SECONDS)


def _limited(said: Complaint) -> AssistantError:
    return RateLimited(said.detail, retry_after=_retry_after(said))


def _unavailable(said: Complaint) -> AssistantError:
    return Unavailable(said.detail, retry_after=_retry_after(said))


def _not_there(said: Complaint) -> AssistantError:
    return NotThere(said.detail)


def _lost(said: Complaint) -> AssistantError:
    return ThreadLost(said.detail)


def _too_long(said: Complaint) -> AssistantError:
    return TooLong(said.detail)


def _not_allowed(said: Complaint) -> AssistantError:
    return Refused(said.detail, code="not_allowed", sentence=NOT_ALLOWED)


def _no_credit(said: Complaint) -> AssistantError:
    return Misconfigured(said.detail, code="no_credit", sentence=NO_CREDIT)


def _no_model(said: Complaint) -> AssistantError:
    return Misconfigured(f"The server does not have the model. Check OPENAI_MODEL: {said.detail}")


def _no_key(said: Complaint) -> AssistantError:
    return Misconfigured(f"{NO_KEY}: {said.detail}")


def _forbidden(said: Complaint) -> AssistantError:
    return Misconfigured(f"The server denies this request. Check the permissions of the API key: {said.detail}")


def _misconfigured(said: Complaint) -> AssistantError:
    return Misconfigured(said.detail)


def _by_status(said: Complaint) -> AssistantError:
    """Decides by status, where the SDK has no exception class or one class for several statuses."""
    decide = STATUSES.get(said.status)
    if decide is None:
        decide = _unavailable if said.status >= httpx2.codes.INTERNAL_SERVER_ERROR else _bad_request
    return decide(said)


STATUSES: dict[int, Decision] = {
    301: _misconfigured,  # a redirect that could not be followed: the base URL is wrong
    302: _misconfigured,
    307: _misconfigured,
    308: _misconfigured,
    402: _no_credit,
    405: _not_there,
    408: _unavailable,
    410: _not_there,
    413: _too_long,
    425: _unavailable,
    501: _not_there,
}

BAD_FILE = re.compile(
    # The codes of a failed response (openai.types.responses.ResponseError) and of file search.
    r"invalid_image|invalid_base64_image|image_too_(?:large|small)|image_parse_error|unsupported_(?:image|file)|"
    r"image_file_(?:too_large|not_found)|empty_image_file|failed_to_download_image|not supported for retrieval|"
    # Models without vision: OpenRouter with status 404 (github.com/NousResearch/hermes-agent/pull/23411), llama.cpp
    # with 500 (ggml-org/llama.cpp/issues/15377), Ollama with 400 (ollama/ollama/issues/17301), LM Studio
    # (lmstudio-ai/lmstudio-bug-tracker/issues/362).
    r"support image input|image input is not supported|content part type|does not support images",
    re.IGNORECASE,
)

# The error message has precedence over the status. Tried in this order; each pattern is searched in "code message".
SIGNALS: tuple[tuple[re.Pattern[str], Decision], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), decide)
    for pattern, decide in (
        (r"conversation_locked|currently operating on this conversation", _busy),
        # Two messages about threads that come without a code (github.com/openai/openai-python/issues/1023).
        (r"already has an active run|while a run \S+ is active", _busy),
        (r"no tool output found for function call", _lost),
        (r"duplicate tool output found", _busy),  # an earlier attempt submitted it meanwhile: look it up again
        (r"insufficient_quota|billing_hard_limit|billing_not_active|exceeded your current quota", _no_credit),
        (r"context_length_exceeded|maximum context length|exceeds the context window|exceed_context_size", _too_long),
        (r"request too large for|string_above_max_length|prompt is too long", _too_long),
        (r"model_not_found|DeploymentNotFound|the model \S+ does not exist|model \S+ not found", _no_model),
        (r"invalid_api_key|incorrect api key", _no_key),
        (r"content_filter|content_policy|invalid_prompt|_policy", _not_allowed),
        (BAD_FILE.pattern, _bad_file),
    )
)
# Used only where there is no status: codes of errors inside streams and runs.
CODES: dict[str, Decision] = {
    "rate_limit_exceeded": _limited,
    "rate_limit_error": _limited,
    "429": _limited,
    "invalid_request_error": _bad_request,
    "400": _bad_request,
}

TABLE: dict[type[BaseException], Decision] = {
    openai.BadRequestError: _bad_request,
    openai.AuthenticationError: _no_key,
    openai.OAuthError: _no_key,
    openai.PermissionDeniedError: _forbidden,
    openai.NotFoundError: _not_there,
    openai.ConflictError: _busy,
    openai.UnprocessableEntityError: _bad_request,
    openai.RateLimitError: _limited,
    openai.InternalServerError: _by_status,
    openai.APIStatusError: _by_status,
    openai.APITimeoutError: _unavailable,
    openai.APIConnectionError: _unavailable,
    openai.APIResponseValidationError: _unavailable,
    openai.APIError: _unavailable,
    openai.LengthFinishReasonError: _too_long,
    openai.ContentFilterFinishReasonError: _not_allowed,
    openai.WebSocketConnectionClosedError: _unavailable,
    openai.WebSocketQueueFullError: _unavailable,
    openai.InvalidWebhookSignatureError: _bad_request,
    MutuallyExclusiveAuthError: _misconfigured,
    openai.OpenAIError: _misconfigured,  # raised by the SDK before it sends a request
    httpx2.InvalidURL: _misconfigured,
    httpx2.UnsupportedProtocol: _misconfigured,
    httpx2.HTTPError: _unavailable,
    httpx2.StreamError: _unavailable,
    aiohttp.ClientError: _unavailable,
    OSError: _unavailable,  # connections, TLS and time-outs
    ValueError: _unavailable,  # invalid JSON or UTF-8
    Exception: _unavailable,  # the port promises to raise nothing but AssistantError
}


def translate(exc: Exception) -> AssistantError:
    """Returns the AssistantError for an exception of a request."""
    said = _complaint(exc)
    decide = next(TABLE[kind] for kind in type(exc).__mro__ if kind in TABLE)
    return (_signal(said) or decide)(said)


def complaint_in(error: Any) -> AssistantError:
    """Returns the AssistantError for an error object inside a stream or a run."""
    fields = part(error)
    said = Complaint(
        message=text(fields.get("message")) or text(error) or "no reason given",
        code=str(fields.get("code") or fields.get("type") or ""),  # some servers repeat the status as a number
        param=text(fields.get("param")),
    )
    return (_signal(said) or CODES.get(said.code, _unavailable))(said)


@contextmanager
def our_words() -> Iterator[None]:
    """Converts every exception raised inside to an AssistantError."""
    try:
        yield
    except AssistantError:
        raise
    except Exception as exc:
        raise translate(exc) from exc


def _signal(said: Complaint) -> Decision | None:
    what = f"{said.code} {said.message}"
    if said.status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        return _bad_file if BAD_FILE.search(what) else None
    return next((decide for pattern, decide in SIGNALS if pattern.search(what)), None)


def _complaint(exc: Exception) -> Complaint:
    if not isinstance(exc, openai.APIError):
        return Complaint(f"{type(exc).__name__}: {exc}")
    body = part(exc.body)
    message = body.get("message") or body.get("detail") or body.get("error") or exc.body or _reason(exc)
    response = getattr(exc, "response", None)
    return Complaint(
        message=str(message),
        code=text(exc.code) or text(exc.type),
        param=text(exc.param),
        status=response.status_code if response is not None else 0,
        headers=response.headers if response is not None else {},
    )


def _reason(exc: openai.APIError) -> str:
    cause = exc.__cause__
    return f"{exc.message} ({type(cause).__name__}: {cause})" if cause else exc.message


def _retry_after(said: Complaint) -> float | None:
    """Returns the seconds to wait from the headers, else from the message."""
    seconds = _milliseconds(said.headers.get("retry-after-ms")) or _seconds(said.headers.get("retry-after"))
    if seconds is None and (found := re.search(r"try again in (?:(\d+)m)?(\d+(?:\.\d+)?)(ms|s)", said.message)):
        minutes, number, unit = found.groups()
        seconds = int(minutes or 0) * 60 + float(number) / (1000 if unit == "ms" else 1)
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _milliseconds(value: str | None) -> float | None:
    try:
        return float(value) / 1000 if value else None
    except ValueError:
        return None


def _seconds(value: str | None) -> float | None:
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # a date without a zone cannot be compared
        return None
