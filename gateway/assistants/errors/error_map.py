"""Maps every error of the vendor to an AssistantError: by exception class, HTTP status, error code or message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import httpx2

from gateway import logs
from gateway.assistants import sdk
from gateway.assistants.errors import server_sentences as sentences
from gateway.assistants.errors.retry_after import retry_after
from gateway.assistants.json_fields import as_object, as_text
from gateway.assistants.sse import Json, WebPageReceived
from gateway.domain.errors import (
    AnswerLost,
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
    SettingsError,
    ThreadBusy,
    ThreadMissing,
)
from gateway.domain.sentences import sentence
from gateway.http_client import reason_of

BUSY_RETRY_SECONDS = 1.0
"""Retry delay for a locked thread: the servers say "in a few seconds", but one is mostly enough."""
MAX_DETAIL_CHARS = 500
CODE_FIELDS = ("code", "type", "error_code", "status_code", "statusCode", "status")
ERROR_TEXT_FIELDS = ("message", "detail", "msg", "error_msg", "errors")

KEY_REJECTED = "The server does not accept the key. Check OPENAI_API_KEY (or AZURE_OPENAI_API_KEY)"
NO_CREDIT = sentence("The assistant's account has no credit left. Please tell the person who runs it.")
TOO_LONG = sentence("This is too long for the assistant. Please send less, or start a new conversation.")
FILTERED = sentence("A content filter stopped the answer. Please put it in other words, or ask something else.")


class BadRequest(AssistantRefused):
    """The server rejects the request as invalid."""

    param: str = ""


class ToolServerAway(BadRequest):
    """The server cannot list the tools of an MCP server that it is to call itself."""


class BadFile(BadRequest):
    """The server, or its model, rejects a file of the message."""


class ImagesRefused(BadFile):
    """The model takes no images at all."""


class Filtered(AssistantRefused):
    """A content filter of the server stopped the message, what was said before, or the answer."""

    code = "not_allowed"
    default_user_message = FILTERED


class ModelLoading(AssistantUnavailable):
    """The server is up, and its model not yet: nothing was run."""


class NotFound(AssistantRefused):
    """The server does not have the object that the path names, or not the path itself."""


class InputTooLong(AssistantRefused):
    """The input is longer than the model can read."""

    code = "too_long"
    default_user_message = TOO_LONG


class CallsUnmatched(ThreadMissing):
    """A call in the thread has no result, or a result has no call: the server goes on with neither."""


REFUSALS = (BadRequest, InputTooLong, Filtered)
"""What a server may take in another form."""


@dataclass(frozen=True, slots=True)
class VendorError:
    """An error as the server reported it. ``status`` is 0 for errors inside streams and runs that name none."""

    message: str
    code: str = ""
    param: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    """Its type, if there is a code too."""
    hints: str = ""
    """What came with it, in which the time to wait may be."""
    is_page: bool = False
    """Whether it came as a web page, of a proxy, whose words mean nothing here."""

    @property
    def retry_after(self) -> float | None:
        """The seconds after which the server wants to be asked again; None if it does not say."""
        return retry_after(self.headers, f"{self.message} {self.hints}")

    @property
    def detail(self) -> str:
        """The error for the operator: without secrets, in one line of limited length."""
        code = "" if self.code == str(self.status) else self.code
        what = " ".join(part for part in (str(self.status or ""), code, self.message) if part)
        return logs.mask(" ".join(what.split()))[:MAX_DETAIL_CHARS]


ErrorFactory = Callable[[VendorError], AssistantError]


def _bad_request(error: VendorError) -> AssistantError:
    rejection = BadRequest(error.detail)
    rejection.param = error.param
    return rejection


def _tool_server_away(error: VendorError) -> AssistantError:
    return ToolServerAway(error.detail)


def _bad_file(error: VendorError) -> AssistantError:
    return BadFile(error.detail)


def _busy(error: VendorError) -> AssistantError:
    return ThreadBusy(error.detail, retry_after=error.retry_after or BUSY_RETRY_SECONDS)


def _rate_limited(error: VendorError) -> AssistantError:
    return AssistantRateLimited(error.detail, retry_after=error.retry_after)


def _unavailable(error: VendorError) -> AssistantError:
    return AssistantUnavailable(error.detail, retry_after=error.retry_after)


def _not_found(error: VendorError) -> AssistantError:
    return NotFound(error.detail)


def _thread_missing(error: VendorError) -> AssistantError:
    return ThreadMissing(error.detail)


def _calls_unmatched(error: VendorError) -> AssistantError:
    return CallsUnmatched(error.detail)


def _too_long(error: VendorError) -> AssistantError:
    """Returns a rate limit for a limit of tokens per minute, unless this one request is above it."""
    if error.status == httpx2.codes.TOO_MANY_REQUESTS and "too large" not in error.message.lower():
        return _rate_limited(error)
    return InputTooLong(error.detail)


def _filtered(error: VendorError) -> AssistantError:
    return Filtered(error.detail)


def _loading(error: VendorError) -> AssistantError:
    return ModelLoading(error.detail, retry_after=error.retry_after)


def _no_images(error: VendorError) -> AssistantError:
    return ImagesRefused(error.detail)


def _no_quota(error: VendorError) -> AssistantError:
    return (_no_credit if error.retry_after is None else _rate_limited)(error)


def _no_credit(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(error.detail, code="no_credit", user_message=NO_CREDIT)


def _no_model(error: VendorError) -> AssistantError:
    detail = f"The server does not have the model. Check OPENAI_MODEL: {error.detail}"
    return AssistantMisconfigured(detail, code="model_not_found")


def _key_rejected(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(f"{KEY_REJECTED}: {error.detail}", code="key_rejected")


def _forbidden(error: VendorError) -> AssistantError:
    return AssistantMisconfigured(
        f"The server denies this request. Check the permissions of the API key: {error.detail}"
    )


def _web_page(_: VendorError) -> AssistantError:
    return AssistantMisconfigured(
        "The server answers with a web page. Check OPENAI_BASE_URL: it is the address of the API, mostly with /v1."
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
    401: _key_rejected,
    403: _forbidden,
    404: _not_found,
    409: _busy,
    429: _rate_limited,
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

Rule = tuple[re.Pattern[str], ErrorFactory]

# The error message has precedence over the status. Tried in this order; each pattern is searched in "code message".
BY_MESSAGE: tuple[Rule, ...] = (
    (re.compile(r"conversation_locked|currently operating on this conversation", re.IGNORECASE), _busy),
    # Two messages about threads that come without a code (github.com/openai/openai-python/issues/1023).
    (re.compile(r"already has an active run|while a run \S+ is active", re.IGNORECASE), _busy),
    # An earlier attempt submitted it meanwhile: look it up again.
    (re.compile(r"duplicate tool output found", re.IGNORECASE), _busy),
    (sentences.NO_TOOL_LIST, _tool_server_away),
    (sentences.LOADING, _loading),
    (sentences.CALLS_UNMATCHED, _calls_unmatched),
    (sentences.CANNOT_CONTINUE, _thread_missing),
    (sentences.NO_CREDIT, _no_credit),
    (sentences.QUOTA, _no_quota),
    (sentences.TOO_LONG, _too_long),
    (sentences.NO_MODEL, _no_model),
    (sentences.KEY_REJECTED, _key_rejected),
    (sentences.BAD_FILE, _bad_file),
    (sentences.NO_IMAGES, _no_images),
    (sentences.NO_TOOLS, _bad_request),
    (sentences.NO_SYSTEM_ROLE, _bad_request),
    (sentences.MUST_ALTERNATE, _bad_request),
    (sentences.FILTERED, _filtered),
)
# What is a refusal also with a status of 500 and above, which some servers send for everything.
BY_MESSAGE_OF_FAILURE: tuple[Rule, ...] = tuple(
    rule for rule in BY_MESSAGE if rule[1] in {_loading, _too_long, _bad_file, _no_images, _bad_request}
)
# Codes and types of errors inside streams and runs, which have no status.
BY_CODE: dict[str, ErrorFactory] = {
    "rate_limit_exceeded": _rate_limited,
    "rate_limit_error": _rate_limited,
    "invalid_request_error": _bad_request,
}

BY_EXCEPTION: dict[type[BaseException], ErrorFactory] = {
    sdk.BadRequestError: _bad_request,
    sdk.AuthenticationError: _key_rejected,
    sdk.OAuthError: _key_rejected,
    sdk.PermissionDeniedError: _forbidden,
    sdk.NotFoundError: _not_found,
    sdk.ConflictError: _busy,
    sdk.UnprocessableEntityError: _bad_request,
    sdk.RateLimitError: _rate_limited,
    sdk.InternalServerError: _by_status,
    sdk.APIStatusError: _by_status,
    sdk.APITimeoutError: _unavailable,
    sdk.APIConnectionError: _unavailable,
    sdk.APIResponseValidationError: _unavailable,
    sdk.APIError: _unavailable,
    sdk.LengthFinishReasonError: _too_long,
    sdk.ContentFilterFinishReasonError: _filtered,
    sdk.WebSocketConnectionClosedError: _unavailable,
    sdk.WebSocketQueueFullError: _unavailable,
    sdk.InvalidWebhookSignatureError: _bad_request,
    sdk.MutuallyExclusiveAuthError: _misconfigured,
    sdk.OpenAIError: _misconfigured,  # raised by the SDK before it sends a request
    httpx2.InvalidURL: _misconfigured,
    aiohttp.InvalidURL: _misconfigured,
    aiohttp.NonHttpUrlClientError: _misconfigured,
    SettingsError: _misconfigured,  # a proxy or certificates that cannot be used
    aiohttp.ClientError: _unavailable,
    OSError: _unavailable,  # connections, TLS and time-outs
    WebPageReceived: _web_page,
    ValueError: _unavailable,  # invalid JSON or UTF-8
    Exception: _unavailable,  # the port promises to raise nothing but AssistantError
}


def translate(exc: Exception) -> AssistantError:
    """Returns the AssistantError for an exception of a request."""
    said = _vendor_error(exc)
    decide = next(BY_EXCEPTION[kind] for kind in type(exc).__mro__ if kind in BY_EXCEPTION)
    return (_match_message(said) or decide)(said)


def error_from_object(error: Any) -> AssistantError:
    """Returns the AssistantError for an error object inside a stream, a run, or a response with status 200."""
    said = _reported(error)
    decide = _match_message(said) or BY_CODE.get(said.code) or BY_CODE.get(said.kind)
    return as_lost((decide or (_by_status if said.status else _unavailable))(said))


def as_lost(error: AssistantError) -> AssistantError:
    """Returns the error for an answer that had begun: AnswerLost if nothing more is known than that it broke off."""
    return AnswerLost(str(error), retry_after=error.retry_after) if type(error) is AssistantUnavailable else error


def error_in(data: Json) -> AssistantError | None:
    """Returns the error that an object of a stream reports, also one that is not nested; None if it reports none."""
    if data.get("error"):
        return error_from_object(data["error"])
    if "choices" in data:
        return None
    says_something = any(data.get(name) and isinstance(data[name], str | list) for name in ERROR_TEXT_FIELDS)
    return error_from_object(data) if says_something else None


def _match_message(error: VendorError) -> ErrorFactory | None:
    if error.is_page:
        return None
    what = f"{error.code} {error.message}"
    rules = BY_MESSAGE_OF_FAILURE if error.status >= httpx2.codes.INTERNAL_SERVER_ERROR else BY_MESSAGE
    return next((decide for pattern, decide in rules if pattern.search(what)), None)


def _vendor_error(exc: Exception) -> VendorError:
    if not isinstance(exc, sdk.APIError):
        return VendorError(f"{type(exc).__name__}: {reason_of(exc)}")
    response = getattr(exc, "response", None)
    status = response.status_code if response is not None else 0
    headers = response.headers if response is not None else {}
    if isinstance(exc.body, str) and exc.body.lstrip().startswith("<"):
        words = " ".join(re.sub(r"<[^<>]*>", " ", exc.body).split())
        return VendorError(f"a web page: {words[:80]}", status=status, headers=headers, is_page=True)
    said = _reported(exc.body or _with_cause(exc))
    return replace(
        said,
        code=as_text(exc.code) or as_text(exc.type) or said.code,
        param=as_text(exc.param) or said.param,
        status=status,
        headers=headers,
    )


def _reported(error: Any) -> VendorError:
    """Reads an error object. Gemini sends a list of one, some servers the error nested, or a bare sentence."""
    if isinstance(error, list):
        return _reported(error[0] if error else None)
    fields = as_object(error)
    if isinstance(fields.get("error"), dict):
        return _reported(fields["error"])
    said = next((fields[name] for name in (*ERROR_TEXT_FIELDS, "error") if fields.get(name)), error)
    # OpenRouter says what the model's own server said in "metadata" (openrouter.ai/docs, "Errors").
    raw = as_text(as_object(fields.get("metadata")).get("raw"))
    code = str(next((fields[name] for name in CODE_FIELDS if fields.get(name)), ""))
    return VendorError(
        message=" ".join(filter(None, (str(said) if said else "no reason given", raw))),
        code=code,
        param=as_text(fields.get("param")),
        status=int(code) if re.fullmatch("[45][0-9][0-9]", code) else 0,  # some servers repeat the status
        kind=as_text(fields.get("type")),
        hints=str({name: value for name, value in fields.items() if name in {"details", "estimated_time"}}),
    )


def _with_cause(exc: sdk.APIError) -> str:
    cause = exc.__cause__
    return f"{exc.message} ({type(cause).__name__}: {cause})" if cause else exc.message
