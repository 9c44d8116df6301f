"""The table maps every error of the vendor, and the server's message has precedence."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import httpx2
import openai
import openai.lib.azure
import pytest

from gateway.assistants.errors.error_map import (
    BY_EXCEPTION,
    BadFile,
    BadRequest,
    CallsUnmatched,
    Filtered,
    InputTooLong,
    NotFound,
    error_from_object,
    translate,
)
from gateway.assistants.errors.translation import translated_errors
from gateway.domain.errors import (
    AnswerLost,
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantUnavailable,
    GatewayError,
    LeaseLost,
    ThreadBusy,
    ThreadMissing,
)
from gateway.web.api.problems import STATUS_MEANING, from_error

REQUEST = httpx2.Request("POST", "https://api.example/v1/responses")
CLASSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


def error_for_status(
    status: int, message: str = "No.", headers: dict[str, str] | None = None, **error: Any
) -> AssistantError:
    """Returns the AssistantError for a response in OpenAI's format."""
    response = httpx2.Response(status, headers=headers, request=REQUEST)
    kind = CLASSES.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)
    return translate(kind(message, response=response, body={"message": message, **error}))


def public_exceptions() -> Iterator[type[BaseException]]:
    """Yields the exceptions that the SDK exports."""
    for module in (openai, openai.lib.azure):
        for name, value in list(vars(module).items()):
            is_class = issubclass(type(value), type)  # isinstance() would load all that the SDK loads when it is used
            if is_class and issubclass(value, Exception) and not name.startswith("_"):
                yield value


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for heir in kind.__subclasses__():
        yield heir
        yield from subclasses(heir)


@pytest.mark.parametrize("kind", sorted(set(public_exceptions()), key=str))
def test_every_exported_exception_of_the_sdk_is_mapped(kind: type[BaseException]) -> None:
    assert kind in BY_EXCEPTION


def test_every_other_exception_of_the_sdk_is_mapped_by_its_base_class() -> None:
    found = set(subclasses(openai.OpenAIError))
    assert len(found) > 15
    for kind in found:
        exc = kind.__new__(kind)
        for name in ("message", "body", "code", "param", "type"):
            setattr(exc, name, None)
        assert isinstance(exc, Exception)
        assert isinstance(translate(exc), AssistantError)


@pytest.mark.parametrize(
    "exc",
    [
        httpx2.ReadError("gone"),
        httpx2.RemoteProtocolError("gone"),
        httpx2.StreamClosed(),
        aiohttp.ClientPayloadError("gone"),
        aiohttp.ServerDisconnectedError(),
        TimeoutError(),
        ConnectionResetError(),
        ValueError("not JSON"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        KeyError("choices"),
        openai.APIConnectionError(request=REQUEST),
        openai.APITimeoutError(request=REQUEST),
    ],
)
def test_connection_errors_are_unavailable(exc: Exception) -> None:
    assert type(translate(exc)) is AssistantUnavailable


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (307, AssistantMisconfigured),
        (400, BadRequest),
        (401, AssistantMisconfigured),
        (402, AssistantMisconfigured),
        (403, AssistantMisconfigured),
        (404, NotFound),
        (405, NotFound),
        (408, AssistantUnavailable),
        (409, ThreadBusy),
        (410, NotFound),
        (413, InputTooLong),
        (418, BadRequest),
        (422, BadRequest),
        (429, AssistantRateLimited),
        (500, AssistantUnavailable),
        (501, NotFound),
        (503, AssistantUnavailable),
        (529, AssistantUnavailable),
    ],
)
def test_errors_without_code_are_mapped_by_status(status: int, kind: type[GatewayError]) -> None:
    assert type(error_for_status(status)) is kind


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "conversation_locked", "Another process is currently operating on this conversation.", ThreadBusy),
        (400, None, "Thread thread_1 already has an active run run_2.", ThreadBusy),
        (400, None, "Can't add messages to thread_1 while a run run_2 is active.", ThreadBusy),
        (400, None, "No tool output found for function call call_1.", CallsUnmatched),
        (400, None, "No tool call found for function call output with call_id call_1.", CallsUnmatched),
        (400, None, "No output found for custom tool call call_1.", CallsUnmatched),
        (
            400,
            None,
            "'tool_calls' must be followed by tool messages responding to each id.",
            CallsUnmatched,
        ),
        (400, None, "`tool_use` ids were found without `tool_result` blocks immediately after: x.", CallsUnmatched),
        (400, None, "Not the same number of function calls and responses", CallsUnmatched),
        (400, None, "Item with id 'rs_1' not found.", ThreadMissing),
        (400, None, "Duplicate tool output found for function call call_1.", ThreadBusy),
        (400, "context_length_exceeded", "This model's maximum context length is 8192 tokens.", InputTooLong),
        (400, None, "Your input exceeds the context window of this model.", InputTooLong),
        (429, "rate_limit_exceeded", "Request too large for gpt-4o on tokens per min (TPM)", InputTooLong),
        (429, "rate_limit_exceeded", "Rate limit reached for gpt-4o", AssistantRateLimited),
        (429, "insufficient_quota", "You exceeded your current quota", AssistantMisconfigured),
        (
            404,
            "model_not_found",
            "The model `x` does not exist or you do not have access to it.",
            AssistantMisconfigured,
        ),
        (404, None, 'model "llama9" not found, try pulling it first', AssistantMisconfigured),
        (404, "DeploymentNotFound", "The API deployment for this resource does not exist.", AssistantMisconfigured),
        (404, None, "No thread found with id 'thread_1'.", NotFound),
        (400, "content_filter", "The response was filtered", Filtered),
        (400, "invalid_prompt", "Invalid prompt: flagged", Filtered),
        (400, None, "litellm.ContentPolicyViolationError: refused", Filtered),
        (400, None, "litellm.ContextWindowExceededError: refused", InputTooLong),
        (500, "model_not_found", "The model `x` does not exist", AssistantUnavailable),
    ],
)
def test_the_error_message_has_precedence_over_the_status(
    status: int, code: str | None, message: str, kind: type[GatewayError]
) -> None:
    assert type(error_for_status(status, message, code=code)) is kind


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "3"}, "", 3),
        ({"retry-after": "0"}, "", 0),
        ({"retry-after-ms": "250", "retry-after": "3"}, "", 0.25),
        ({"retry-after": "1e9"}, "", 3600),
        ({"retry-after": "-5"}, "", 0),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00"}, "", None),
        ({}, "Please try again in 1.5s.", 1.5),
        ({}, "Please try again in 250ms.", 0.25),
        ({}, "Please try again in 2m3s.", 123),
        ({}, "Please try again.", None),
    ],
)
def test_retry_after_is_read_from_headers_and_message(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert error_for_status(429, message, headers).retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    assert 45 < (error_for_status(503, headers={"retry-after": later}).retry_after or 0) <= 50


def test_a_locked_thread_is_retried_soon() -> None:
    assert 0.5 <= (error_for_status(400, code="conversation_locked").retry_after or 0) <= 2


def test_the_rejected_parameter_is_kept() -> None:
    error = error_for_status(400, param="background")
    assert isinstance(error, BadRequest)
    assert error.param == "background"


@pytest.mark.parametrize("body", [{"detail": "Not Found"}, "<html>Not Found</html>", {"error": "Not Found"}])
def test_error_bodies_of_many_servers_are_read(body: object) -> None:
    response = httpx2.Response(404, request=REQUEST)
    error = translate(openai.NotFoundError("Error code: 404", response=response, body=body))
    assert isinstance(error, NotFound)
    assert "Not Found" in str(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "rate_limit_exceeded", "message": "Please try again in 2s"}, AssistantRateLimited),
        ({"code": 429, "message": "slow down"}, AssistantRateLimited),
        ({"code": "server_error", "message": "Sorry"}, AnswerLost),
        ({"type": "overloaded_error", "message": "Busy"}, AnswerLost),
        ({"code": "invalid_prompt", "message": "Flagged"}, Filtered),
        ({"code": "insufficient_quota", "message": "No money"}, AssistantMisconfigured),
        ({"code": "context_length_exceeded", "message": "Too long"}, InputTooLong),
        ("boom", AnswerLost),
        (None, AnswerLost),
    ],
)
def test_an_error_inside_a_stream_or_run_is_mapped_by_code(error: object, kind: type[GatewayError]) -> None:
    assert type(error_from_object(error)) is kind


def test_a_lost_lease_is_no_error_of_the_assistant() -> None:
    with pytest.raises(LeaseLost), translated_errors():
        raise LeaseLost


def test_assistant_errors_pass_unchanged() -> None:
    with pytest.raises(ThreadMissing), translated_errors():
        raise ThreadMissing


def test_user_messages_contain_nothing_internal() -> None:
    for error in (error_for_status(status, "secret detail") for status in (400, 401, 404, 409, 413, 429, 500)):
        assert "secret" in str(error)
        assert "secret" not in error.user_message
        assert error.user_message.endswith(".")


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "Files with extensions [.xyz] are not supported for retrieval.", "unsupported_file"),
        (400, "this model does not support image input (ref: b8bd630e)", None),
        (404, "No endpoints found that support image input", "404"),
        (500, "image input is not supported - hint: you may need to provide the mmproj", None),
        (500, 'Failed to parse messages: Unsupported content part type: "image_url"', None),
    ],
)
def test_a_rejected_file_is_distinguished_from_other_rejections(status: int, message: str, code: str | None) -> None:
    assert isinstance(error_for_status(status, message, code=code), BadFile)


@pytest.mark.parametrize("code", ["invalid_image_format", "image_too_small", "unsupported_image_media_type"])
def test_a_run_may_fail_by_a_file(code: str) -> None:
    assert type(error_from_object({"code": code, "message": "No."})) is BadFile


def test_a_file_that_violates_the_policy_is_not_just_a_rejected_file() -> None:
    assert error_from_object({"code": "image_content_policy_violation", "message": "No."}).code == "not_allowed"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (401, {}, "key_rejected"),
        (400, {"code": "invalid_api_key"}, "key_rejected"),
        (402, {}, "no_credit"),
        (429, {"code": "insufficient_quota"}, "no_credit"),
        (400, {"code": "context_length_exceeded"}, "too_long"),
        (400, {"code": "content_filter"}, "not_allowed"),
        (404, {"code": "model_not_found"}, "model_not_found"),
        (403, {}, "misconfigured"),
        (422, {}, "refused"),
    ],
)
def test_what_a_retry_does_not_help_has_a_code_of_its_own(status: int, error: dict[str, Any], code: str) -> None:
    failure = error_for_status(status, **error)
    assert failure.code == code
    body, answered, _ = from_error(failure)
    assert (answered, body["error"]["code"]) == (502, code)
    assert f"`{code}`" in STATUS_MEANING[502]


@pytest.mark.parametrize("status", [409, 500, 503])
def test_what_a_retry_may_help_has_the_code_for_that(status: int) -> None:
    assert from_error(error_for_status(status))[0]["error"]["code"] == "assistant_failed"


def test_a_page_that_a_proxy_answers_is_read_once() -> None:
    response, started = httpx2.Response(502, request=REQUEST), time.process_time()
    error = translate(openai.InternalServerError("No.", response=response, body="<" * 100_000))
    assert "a web page" in str(error)
    assert time.process_time() - started < 2, "seconds; it took some ten, and for a megabyte a quarter of an hour"
