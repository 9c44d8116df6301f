"""The one table from what Slack says no with, and from what breaks on the way, to our errors.

Sources: "Errors" on the page of each method, docs.slack.dev/reference/methods; what is not there is said beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from adapters.slack.errors import Away, Declined, Throttled, Unsure
from gateway import logs
from gateway.errors import DeliveryError

CONTENT = "the content of a file"
READS = frozenset(
    {
        CONTENT,
        "apps.connections.open",
        "auth.test",
        "conversations.history",
        "conversations.info",
        "conversations.replies",
        "files.getUploadURLExternal",
        "files.info",
        "users.info",
    }
)
"""Methods that show nobody anything: after a lost answer they may be repeated."""

SOON, LATER = 2.0, 60.0
"""Seconds after which it may work again."""
UNTOLD_RETRY_AFTER = 5.0
LONGEST_RETRY_AFTER = 3600.0
LONGEST_DETAIL = 300
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that brings no result."""

    method: str
    code: str = ""
    """Slack's own word; empty where something else answered."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    needed: str = ""
    provided: str = ""
    messages: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        return f"Slack refused {self.method} with {self.code}"

    @property
    def detail(self) -> str:
        """Slack's reasons, in brackets, where it has some."""
        reasons = logs.mask("; ".join(self.messages))[:LONGEST_DETAIL]
        return f" ({reasons})" if reasons else ""


Decision = Callable[[Refusal], DeliveryError]


def _throttled(refusal: Refusal) -> DeliveryError:
    return Throttled(f"Slack wants fewer calls of {refusal.method}", retry_after=_retry_after(refusal.headers))


def _unsure(refusal: Refusal) -> DeliveryError:
    if refusal.method in READS:
        return _away(refusal)
    said = refusal.code or f"status {refusal.status}"
    return Unsure(f"Slack may or may not have done {refusal.method}: it answered {said}", retry_after=SOON)


def _away(refusal: Refusal) -> DeliveryError:
    said = refusal.code or f"status {refusal.status}"
    return Away(f"Slack cannot do {refusal.method} now: it answered {said}", retry_after=SOON)


def _moving(refusal: Refusal) -> DeliveryError:
    return Away(f"{refusal.what}: the workspace or the channel is being moved. It goes on later.", retry_after=LATER)


def _expired(refusal: Refusal) -> DeliveryError:
    advice = "the token has expired. It is renewed by itself if the app was installed with token rotation"
    return Declined(f"{refusal.what}: {advice}.", slack_error=refusal.code, retry_after=LATER)


def _scope(refusal: Refusal) -> DeliveryError:
    lacking = f"the app lacks the scope {refusal.needed or 'for it'}"
    having = f" (it has {refusal.provided})" if refusal.provided else ""
    advice = "Add it under OAuth & Permissions, or put the manifest in again, and install the app again"
    return Declined(f"{refusal.what}: {lacking}{having}. {advice}.", slack_error=refusal.code)


def _declined(advice: str) -> Decision:
    def decide(refusal: Refusal) -> DeliveryError:
        return Declined(f"{refusal.what}{refusal.detail}: {advice}.", slack_error=refusal.code)

    return decide


def _group(decide: Decision, *codes: str) -> dict[str, Decision]:
    return dict.fromkeys(codes, decide)


_OURS = _declined("this is a mistake in the gateway. Please report it")
_ADMINS = _declined("the administrators of the workspace do not allow it. Ask them")
_TOKEN = _declined("the token is not valid any more. Install the app again, or put in its new token")
_FILE_RULES = _declined("the workspace does not take such a file. Its administrators decide that")
_FILE_GONE = _declined("the file is gone, or not shared with the app")
_NO_STREAM = _declined("it is not being written there, or not any more")

TABLE: dict[str, Decision] = {
    # Passing. "It's possible some aspect of the operation succeeded": the first two, in Slack's words.
    **_group(_unsure, "internal_error", "fatal_error"),
    **_group(_unsure, "messaging_processing_failed", "update_failed", "file_update_failed", "unable_to_share_files"),
    **_group(_away, "service_unavailable", "request_timeout", "list_record_comment_fetch_failed"),
    **_group(_moving, "team_added_to_org", "org_login_required", "external_channel_migrating"),
    **_group(_throttled, "ratelimited", "rate_limited"),
    "message_limit_exceeded": _declined("the workspace has sent as many messages as its plan allows"),
    # The token.
    "token_expired": _expired,
    "missing_scope": _scope,
    **_group(_TOKEN, "invalid_auth", "not_authed", "token_revoked", "account_inactive"),
    **_group(
        _declined("this is the wrong kind of token. SLACK_BOT_TOKEN begins with xoxb-, SLACK_APP_TOKEN with xapp-"),
        *("not_allowed_token_type", "no_permission", "is_bot"),
    ),
    **_group(
        _declined("the app is not installed there any more, or not for this workspace. Install it again"),
        *("team_access_not_granted", "team_not_found", "forbidden_team", "enterprise_is_restricted"),
    ),
    "accesslimited": _declined("Slack does not accept the app from this network"),
    **_group(
        _ADMINS,
        *("access_denied", "app_access_restricted", "ekm_access_denied", "two_factor_setup_required"),
        *("restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_locked"),
        *("restricted_action_thread_only_channel", "restricted_action_non_threadable_channel"),
        *("slack_connect_canvas_sharing_blocked", "slack_connect_file_link_sharing_blocked"),
        *("slack_connect_lists_sharing_blocked", "posting_to_channel_denied", "edit_window_closed"),
    ),
    # The place.
    **_group(
        _declined("the channel is gone, or the app is not in it. Invite the app to the channel"),
        *("channel_not_found", "not_in_channel", "invalid_channel", "channel_is_limited_access"),
    ),
    **_group(_declined("the channel is archived"), "is_archived", "is_inactive"),
    **_group(
        _declined("the message or the thread is gone"),
        *("message_not_found", "thread_not_found", "invalid_thread_ts", "cannot_reply_to_message"),
    ),
    **_group(
        _declined("this kind of channel cannot have it"),
        *("channel_type_not_supported", "method_not_supported_for_channel_type"),
    ),
    "messages_tab_disabled": _declined("turn on the Messages tab of the app, under App Home"),
    **_group(_declined("there is no such person for the app"), "user_not_found", "user_not_visible"),
    # What is said.
    **_group(
        _declined("Slack takes less text in one message"),
        *("msg_too_long", "msg_blocks_too_long", "msg_blocks_too_many", "attachment_payload_limit_exceeded"),
        *("metadata_too_large",),
    ),
    **_group(
        _declined("Slack does not take the message in this form"),
        *("invalid_blocks", "invalid_blocks_format", "invalid_chunks", "block_mismatch", "invalid_attachments"),
    ),
    # Streams.
    **_group(_NO_STREAM, "message_not_in_streaming_state", "streaming_state_conflict", "message_not_owned_by_app"),
    "stopped_by_user": _declined("somebody has stopped it"),
    **_group(_declined("the message cannot be changed"), "cant_update_message", "cant_delete_message"),
    **_group(
        _declined("the workspace does not have it, or the app is not an agent. See the manifest"),
        *("feature_not_enabled", "feature_disabled", "not_agent_app", "not_authorized", "unknown_method"),
        *("method_deprecated", "deprecated_endpoint", "not_subscribed_to_message_stream_stopped"),
        "session_not_found",
    ),
    # Files.
    **_group(
        _FILE_RULES,
        *("file_upload_size_restricted", "file_uploads_disabled", "file_uploads_except_images_disabled"),
        *("file_type_not_allowed", "blocked_file_type", "slack_connect_blocked_file_type", "snippet_too_large"),
        *("slack_connect_clip_sharing_blocked", "slack_connect_file_upload_sharing_blocked"),
        *("file_share_limit_reached", "max_file_sharing_exceeded", "channels_limit_exceeded"),
    ),
    "storage_limit_reached": _declined("the workspace has no room for files left"),
    **_group(
        _FILE_GONE,
        *("file_not_found", "file_deleted", "file_is_deleted", "not_visible", "template_not_visible"),
        *("canvas_disabled_file_team", "canvas_disabled_user_team", "canvas_globally_disabled"),
    ),
    # What we should never send. docs.slack.dev/apis/web-api: the first lines are common to all methods.
    **_group(
        _OURS,
        *("invalid_arguments", "invalid_arg_name", "invalid_array_arg", "invalid_charset", "invalid_form_data"),
        *("invalid_post_type", "missing_post_type", "missing_argument", "missing_args", "insecure_request"),
        *("missing_recipient_team_id", "missing_recipient_user_id", "no_text", "markdown_text_conflict"),
        *("invalid_metadata_format", "invalid_metadata_schema", "metadata_must_be_sent_from_app"),
        *("invalid_metadata_filter_keys", "invalid_cursor", "invalid_ts_latest", "invalid_ts_oldest"),
        *("invalid_name", "name_taken", "invalid_status", "thread_ts_required", "thread_ts_not_allowed"),
        *("as_user_not_supported", "send_on_behalf_not_allowed", "reserved_username", "cant_broadcast_message"),
        *("no_dual_broadcast_content_update", "duplicate_channel_not_found", "duplicate_message_not_found"),
        *("draft_already_deleted", "draft_already_sent", "draft_has_conflict", "draft_not_found"),
        *("too_many_attachments", "too_many_contact_cards", "too_many_users", "missing_file_data"),
        *("alt_txt_too_large", "unknown_snippet_type", "unknown_subtype"),
    ),
}


def translate(method: str, exc: Exception) -> DeliveryError:
    """Our error for whatever came out of a call."""
    if isinstance(exc, SlackApiError):
        return _answered(_refusal(method, exc.response))
    decide = next(BREAKS[kind] for kind in type(exc).__mro__ if kind in BREAKS)
    return decide(method, exc)


def _answered(refusal: Refusal) -> DeliveryError:
    if refusal.status == TOO_MANY_REQUESTS:
        return _throttled(refusal)
    if refusal.code:
        return TABLE.get(refusal.code, _declined("look it up on the page of the method at docs.slack.dev"))(refusal)
    if 400 <= refusal.status < SERVER_ERROR:  # noqa: PLR2004  # the client's fault, says HTTP
        advice = "Something before Slack refuses us, or SLACK_API_URL is wrong"
        return Away(f"{refusal.method} was answered with status {refusal.status}. {advice}.", retry_after=LATER)
    return _unsure(refusal)


def _refusal(method: str, response: Any) -> Refusal:
    """``response``: the SDK's, or aiohttp's where it was no JSON."""
    data = getattr(response, "data", None)
    data = data if isinstance(data, dict) else {}
    metadata = data.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    return Refusal(
        method,
        code=str(data.get("error") or ""),
        status=getattr(response, "status_code", 0) or getattr(response, "status", 0),
        headers=response.headers,
        needed=str(data.get("needed") or ""),
        provided=str(data.get("provided") or ""),
        messages=tuple(map(str, messages)) if isinstance(messages, list) else (),
    )


def _retry_after(headers: Mapping[str, str]) -> float:
    """docs.slack.dev/apis/web-api/rate-limits: whole seconds."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return UNTOLD_RETRY_AFTER
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else UNTOLD_RETRY_AFTER


# What breaks on the way. ``_reason`` is a class's name: the text of an exception may hold an address with a secret.


def _not_sent(method: str, exc: Exception) -> DeliveryError:
    return Away(f"Slack cannot be reached for {method}: {_reason(exc)}", retry_after=SOON)


def _broken_off(method: str, exc: Exception) -> DeliveryError:
    if method in READS:
        return Away(f"Slack did not answer to {method}: {_reason(exc)}", retry_after=SOON)
    return Unsure(f"Slack may or may not have done {method}: {_reason(exc)}", retry_after=SOON)


def _bad_address(method: str, exc: Exception) -> DeliveryError:
    return Declined(f"{method} leads nowhere. Check SLACK_API_URL: {_reason(exc)}")


def _ours(method: str, exc: Exception) -> DeliveryError:
    return Declined(f"The call of {method} is not right: {_reason(exc)}. Please report it")


def _reason(exc: Exception) -> str:
    number = getattr(exc, "strerror", None)
    return f"{type(exc).__name__}, {logs.mask(str(number))}" if number else type(exc).__name__


BREAKS: dict[type[BaseException], Callable[[str, Exception], DeliveryError]] = {
    aiohttp.ClientConnectorError: _not_sent,  # refused, no such host, TLS
    aiohttp.ClientConnectorCertificateError: _not_sent,
    aiohttp.ConnectionTimeoutError: _not_sent,
    aiohttp.ServerFingerprintMismatch: _not_sent,
    aiohttp.ClientHttpProxyError: _not_sent,  # the proxy did not let us through
    aiohttp.InvalidURL: _bad_address,
    aiohttp.NonHttpUrlClientError: _bad_address,
    aiohttp.RedirectClientError: _bad_address,
    aiohttp.TooManyRedirects: _bad_address,
    aiohttp.ClientError: _broken_off,
    SlackClientError: _ours,  # what the SDK raises before it asks anybody
    OSError: _broken_off,  # with TimeoutError
    Exception: _broken_off,  # also JSON or UTF-8 that is none
}
