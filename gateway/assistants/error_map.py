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
from gateway.assistants.json_fields import as_object, as_text
from gateway.domain.errors import (
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
    SettingsError,
    ThreadBusy,
    ThreadMissing,
)

BUSY_RETRY_SECONDS = 1.0
"""Retry delay for a locked thread: the servers say "in a few seconds", but one is mostly enough."""
MAX_RETRY_AFTER = 3600.0
MAX_DETAIL_CHARS = 500

KEY_REJECTED = "The server does not accept the key. Check OPENAI_API_KEY (or AZURE_OPENAI_API_KEY)"
NO_CREDIT = "The assistant's account has no credit left. Please tell the person who runs it."
TOO_LONG = "This is too long for the assistant. Please send less, or start a new conversation."
NOT_ALLOWED = "The assistant is not allowed to answer this message."
CUT_SHORT = "The answer became too long for the assistant. Please ask for less at once."


class BadRequest(AssistantRefused):
    """The server rejects the request as invalid."""

    param: str = ""


class BadFile(BadRequest):
    """The server, or its model, rejects a file of the message."""


class NotFound(AssistantRefused):
    """The server does not have the object that the path names, or not the path itself."""


class InputTooLong(AssistantRefused):
    """The input is longer than the model can read."""

    code = "too_long"
    default_user_message = TOO_LONG


@dataclass(frozen=True, slots=True)
class VendorError:
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
        return logs.mask(" ".join(what.split()))[:MAX_DETAIL_CHARS]


ErrorFactory = Callable[[VendorError], AssistantError]


def _bad_request(error: VendorError) -> AssistantError:
    rejection = BadRequest(error.detail)
    rejection.param = error.param
    return rejection


def _bad_file(error: VendorError) -> AssistantError:
    return BadFile(error.detail)


def _busy(error: VendorError) -> AssistantError:
    return ThreadBusy(error.detail, retry_after=_retry_after(error) or BUSY_RETRY_SECONDS)


def _rate_limited(error: VendorError) -> AssistantError:
    return AssistantRateLimited(error.detail, retry_after=_retry_after(error))


def _unavailable(error: VendorError) -> AssistantError:
    return AssistantUnavailable(error.detail, retry_after=_retry_after(error))


def _not_found(error: VendorError) -> AssistantError:
    return NotFound(error.detail)


def _thread_missing(error: VendorError) -> AssistantError:
    return ThreadMissing(error.detail)


def _too_long(error: VendorError) -> AssistantError:
    return InputTooLong(error.detail)


def _not_allowed(error: VendorError) -> AssistantError:
    return AssistantRefused(error.detail, code="not_allowed", user_message=NOT_ALLOWED)


def _no_credit(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(error.detail, code="no_credit", user_message=NO_CREDIT)


def _no_model(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(f"The server does not have the model. Check OPENAI_MODEL: {error.detail}")


def _key_rejected(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(f"{KEY_REJECTED}: {error.detail}")


def _forbidden(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(
        f"The server denies this request. Check the permissions of the API key: {error.detail}"
    )


def _misconfigured(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(error.detail)


def _by_status(error: VendorError) -> AssistantError:
    """Decides by status, where the SDK has no exception class or one class for several statuses."""
    decide = BY_STATUS.get(error.status)
    if decide is None:
        decide = _unavailable if error.status >= httpx2.codes.INTERNAL_SERVER_ERROR else _bad_request
    return decide(error)


BY_STATUS: dict[int, ErrorFactory] = {
    301: _misconfigured,  # a redirect that could not be followed: the base URL is wrong
    302: _misconfigured,
    303: _misconfigured,
    307: _misconfigured,
    308: _misconfigured,
    402: _no_credit,
    405: _not_found,
    408: _unavailable,
    410: _not_found,
    413: _too_long,
    425: _unavailable,
    501: _not_found,
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
BY_MESSAGE: tuple[tuple[re.Pattern[str], ErrorFactory], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), decide)
    for pattern, decide in (
        (r"conversation_locked|currently operating on this conversation", _busy),
        # Two messages about threads that come without a code (github.com/openai/openai-python/issues/1023).
        (r"already has an active run|while a run \S+ is active", _busy),
        (r"no tool output found for function call", _thread_missing),
        (r"duplicate tool output found", _busy),  # an earlier attempt submitted it meanwhile: look it up again
        (r"insufficient_quota|billing_hard_limit|billing_not_active|exceeded your current quota", _no_credit),
        (r"context_length_exceeded|maximum context length|exceeds the context window|exceed_context_size", _too_long),
        (r"request too large for|string_above_max_length|prompt is too long", _too_long),
        (r"model_not_found|DeploymentNotFound|the model \S+ does not exist|model \S+ not found", _no_model),
        (r"invalid_api_key|incorrect api key", _key_rejected),
        (r"content_filter|content_policy|invalid_prompt|_policy", _not_allowed),
        (BAD_FILE.pattern, _bad_file),
    )
)
# Used only where there is no status: codes of errors inside streams and runs.
BY_CODE: dict[str, ErrorFactory] = {
    "rate_limit_exceeded": _rate_limited,
    "rate_limit_error": _rate_limited,
    "429": _rate_limited,
    "invalid_request_error": _bad_request,
    "400": _bad_request,
}

BY_EXCEPTION: dict[type[BaseException], ErrorFactory] = {
    openai.BadRequestError: _bad_request,
    openai.AuthenticationError: _key_rejected,
    openai.OAuthError: _key_rejected,
    openai.PermissionDeniedError: _forbidden,
    openai.NotFoundError: _not_found,
    openai.ConflictError: _busy,
    openai.UnprocessableEntityError: _bad_request,
    openai.RateLimitError: _rate_limited,
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
    aiohttp.InvalidURL: _misconfigured,
    aiohttp.NonHttpUrlClientError: _misconfigured,
    SettingsError: _misconfigured,  # a proxy or certificates that cannot be used
    aiohttp.ClientError: _unavailable,
    OSError: _unavailable,  # connections, TLS and time-outs
    ValueError: _unavailable,  # invalid JSON or UTF-8
    Exception: _unavailable,  # the port promises to raise nothing but AssistantError
}


def translate(exc: Exception) -> AssistantError:
    """Returns the AssistantError for an exception of a request."""
    said = _vendor_error(exc)
    decide = next(BY_EXCEPTION[kind] for kind in type(exc).__mro__ if kind in BY_EXCEPTION)
    return (_match_message(said) or decide)(said)


def error_from_object(error: Any) -> AssistantError:
    """Returns the AssistantError for an error object inside a stream or a run."""
    fields = as_object(error)
    said = VendorError(
        message=as_text(fields.get("message")) or as_text(error) or "no reason given",
        code=str(fields.get("code") or fields.get("type") or ""),  # some servers repeat the status as a number
        param=as_text(fields.get("param")),
    )
    return (_match_message(said) or BY_CODE.get(said.code, _unavailable))(said)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Converts every exception raised inside to an AssistantError."""
    try:
        yield
    except AssistantError:
        raise
    except Exception as exc:
        raise translate(exc) from exc


def _match_message(error: VendorError) -> ErrorFactory | None:
    what = f"{error.code} {error.message}"
    if error.status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        return _bad_file if BAD_FILE.search(what) else None
    return next((decide for pattern, decide in BY_MESSAGE if pattern.search(what)), None)


def _vendor_error(exc: Exception) -> VendorError:
    if not isinstance(exc, openai.APIError):
        return VendorError(f"{type(exc).__name__}: {exc}")
    body = as_object(exc.body)
    message = body.get("message") or body.get("detail") or body.get("error") or exc.body or _with_cause(exc)
    response = getattr(exc, "response", None)
    return VendorError(
        message=str(message),
        code=as_text(exc.code) or as_text(exc.type),
        param=as_text(exc.param),
        status=response.status_code if response is not None else 0,
        headers=response.headers if response is not None else {},
    )


def _with_cause(exc: openai.APIError) -> str:
    cause = exc.__cause__
    return f"{exc.message} ({type(cause).__name__}: {cause})" if cause else exc.message


def _retry_after(error: VendorError) -> float | None:
    """Returns the seconds to wait from the headers, else from the message."""
    seconds = _parse_milliseconds(error.headers.get("retry-after-ms")) or _parse_seconds_or_date(
        error.headers.get("retry-after")
    )
    if seconds is None and (found := re.search(r"try again in (?:(\d+)m)?(\d+(?:\.\d+)?)(ms|s)", error.message)):
        minutes, number, unit = found.groups()
        seconds = int(minutes or 0) * 60 + float(number) / (1000 if unit == "ms" else 1)
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _parse_milliseconds(value: str | None) -> float | None:
    try:
        return float(value) / 1000 if value else None
    except ValueError:
        return None


def _parse_seconds_or_date(value: str | None) -> float | None:
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
