"""The one table from Slack's error codes, and from what breaks on the way, to our errors.

Sources: "Errors" on the page of each method, docs.slack.dev/reference/methods; any other source stands beside its code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.base.error_map import (
    DEFAULT_RETRY_AFTER,
    FILE_CONTENT,
    MAX_DETAIL,
    SOON,
    CallErrors,
    handler_for,
)
from adapters.base.errors import Rejected, Unreachable
from gateway import logs
from gateway.domain.errors import DeliveryError

PLATFORM = "Slack"
READS = frozenset(
    {
        FILE_CONTENT,
        "apps.connections.open",
        "auth.test",
        "bots.info",
        "conversations.history",
        "conversations.info",
        "conversations.replies",
        "files.getUploadURLExternal",
        "files.info",
        "usergroups.list",
        "users.info",
    }
)
"""Methods that show nobody anything: after a lost answer they may be repeated."""
LATER = 60.0
"""Seconds after which a call may succeed that somebody has to make possible."""
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


def _name(exc: Exception) -> str:
    number = getattr(exc, "strerror", None)
    return f"{type(exc).__name__}, {logs.mask(str(number))}" if number else type(exc).__name__


ERRORS = CallErrors(PLATFORM, "SLACK_API_URL", READS.__contains__, _name)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An answer of Slack that is an error."""

    method: str
    code: str = ""
    """Slack's error code; empty if something else answered."""
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
        """Slack's explanations, in brackets, if it gives any."""
        reasons = logs.mask("; ".join(self.messages))[:MAX_DETAIL]
        return f" ({reasons})" if reasons else ""


ErrorRule = Callable[[ErrorAnswer], DeliveryError]


def _rate_limited(refusal: ErrorAnswer) -> DeliveryError:
    return ERRORS.rate_limited(refusal.method, _retry_after(refusal.headers))


def _unknown(refusal: ErrorAnswer) -> DeliveryError:
    return ERRORS.no_result(refusal.method, f"it answered {refusal.code or f'status {refusal.status}'}")


def _unavailable(refusal: ErrorAnswer) -> DeliveryError:
    return Unreachable(f"Slack cannot do {refusal.method} now: it answered {refusal.code}", retry_after=SOON)


def _migrating(refusal: ErrorAnswer) -> DeliveryError:
    message = f"{refusal.what}: the workspace or the channel is being migrated. It is tried again later."
    return Unreachable(message, retry_after=LATER)


def _expired(refusal: ErrorAnswer) -> DeliveryError:
    advice = "the token has expired. It is renewed automatically if the app was installed with token rotation"
    return Rejected(f"{refusal.what}: {advice}.", reason=refusal.code, retry_after=LATER)


def _scope(refusal: ErrorAnswer) -> DeliveryError:
    missing = f"the app lacks the scope {refusal.needed or 'for it'}"
    having = f" (it has {refusal.provided})" if refusal.provided else ""
    advice = "Add it under OAuth & Permissions, or apply the manifest again, and reinstall the app"
    return Rejected(f"{refusal.what}: {missing}{having}. {advice}.", reason=refusal.code)


def _rejected(advice: str) -> ErrorRule:
    def decide(refusal: ErrorAnswer) -> DeliveryError:
        return Rejected(f"{refusal.what}{refusal.detail}: {advice}.", reason=refusal.code)

    return decide


def _group(decide: ErrorRule, *codes: str) -> dict[str, ErrorRule]:
    return dict.fromkeys(codes, decide)


_OURS = _rejected("this is a mistake in the gateway. Please report it")
_ADMINS = _rejected("the administrators of the workspace do not allow it. Ask them")
_TOKEN = _rejected("the token is not valid any more. Install the app again, or put in its new token")
_WRONG_TOKEN = _rejected(
    "this is the wrong kind of token. SLACK_BOT_TOKEN (token in [[bots]]) begins with xoxb-, SLACK_APP_TOKEN "
    "(app_token) with xapp-"
)
_NOT_INSTALLED = _rejected("the app is not installed there any more, or not for this workspace. Install it again")
_NETWORK = _rejected("Slack does not accept the app from this network")
_PLAN = _rejected("the workspace has sent as many messages as its plan allows")
_NO_CHANNEL = _rejected("the channel is gone, or the app is not in it. Invite the app to the channel")
_ARCHIVED = _rejected("the channel is archived")
_NO_TAB = _rejected("turn on the Messages tab of the app, under App Home")
_GONE = _rejected("the message or the thread is gone")
_NO_THREAD = _rejected("the channel, or the message, takes no thread")
_FILE_RULES = _rejected("the workspace does not take such a file. Its administrators decide that")
_FILE_GONE = _rejected("the file is gone, or not shared with the app")
_NO_STREAM = _rejected("it is not a message that is being streamed, or not any more")

TABLE: dict[str, ErrorRule] = {
    # Temporary. "It's possible some aspect of the operation succeeded": the first two, in Slack's words.
    **_group(_unknown, "internal_error", "fatal_error"),
    **_group(_unknown, "messaging_processing_failed", "update_failed", "file_update_failed", "unable_to_share_files"),
    **_group(_unavailable, "service_unavailable", "request_timeout", "list_record_comment_fetch_failed"),
    **_group(_migrating, "team_added_to_org", "org_login_required", "external_channel_migrating"),
    **_group(_rate_limited, "ratelimited", "rate_limited"),
    "message_limit_exceeded": _PLAN,
    # The token.
    "token_expired": _expired,
    "missing_scope": _scope,
    **_group(_TOKEN, "invalid_auth", "not_authed", "token_revoked", "account_inactive"),
    **_group(_WRONG_TOKEN, "not_allowed_token_type", "no_permission", "is_bot"),
    **_group(
        _NOT_INSTALLED,
        *("team_access_not_granted", "team_not_found", "forbidden_team", "enterprise_is_restricted"),
    ),
    "accesslimited": _NETWORK,
    **_group(
        _ADMINS,
        *("access_denied", "app_access_restricted", "ekm_access_denied", "two_factor_setup_required"),
        *("restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_locked"),
        "restricted_action_thread_only_channel",
        *("slack_connect_canvas_sharing_blocked", "slack_connect_file_link_sharing_blocked"),
        *("slack_connect_lists_sharing_blocked", "posting_to_channel_denied", "edit_window_closed"),
    ),
    # The channel and the thread.
    **_group(
        _NO_CHANNEL,
        *("channel_not_found", "not_in_channel", "invalid_channel", "channel_is_limited_access"),
    ),
    **_group(_ARCHIVED, "is_archived", "is_inactive"),
    **_group(_GONE, "message_not_found", "thread_not_found", "invalid_thread_ts"),
    **_group(_NO_THREAD, "restricted_action_non_threadable_channel", "cannot_reply_to_message"),
    **_group(
        _rejected("this kind of channel cannot have it"),
        *("channel_type_not_supported", "method_not_supported_for_channel_type"),
    ),
    "messages_tab_disabled": _NO_TAB,
    **_group(_rejected("there is no such person for the app"), "user_not_found", "user_not_visible", "users_not_found"),
    **_group(_rejected("there is no such app in the workspace"), "bot_not_found", "bots_not_found"),
    # The content.
    **_group(
        _rejected("Slack accepts less text in one message"),
        *("msg_too_long", "msg_blocks_too_long", "msg_blocks_too_many", "attachment_payload_limit_exceeded"),
        *("metadata_too_large",),
    ),
    **_group(
        _rejected("Slack does not take the message in this form"),
        *("invalid_blocks", "invalid_blocks_format", "invalid_chunks", "block_mismatch", "invalid_attachments"),
    ),
    # Streams.
    **_group(_NO_STREAM, "message_not_in_streaming_state", "streaming_state_conflict", "message_not_owned_by_app"),
    "stopped_by_user": _rejected("somebody has stopped it"),
    **_group(_rejected("the message cannot be changed"), "cant_update_message", "cant_delete_message"),
    **_group(
        _rejected("the workspace does not have it, or the app is not an agent. See the manifest"),
        *("feature_not_enabled", "feature_disabled", "not_agent_app", "not_authorized", "unknown_method"),
        *("method_deprecated", "deprecated_endpoint", "not_subscribed_to_message_stream_stopped"),
        *("session_not_found", "plan_upgrade_required"),
    ),
    # Files.
    **_group(
        _FILE_RULES,
        *("file_upload_size_restricted", "file_uploads_disabled", "file_uploads_except_images_disabled"),
        *("file_type_not_allowed", "blocked_file_type", "slack_connect_blocked_file_type", "snippet_too_large"),
        *("slack_connect_clip_sharing_blocked", "slack_connect_file_upload_sharing_blocked"),
        *("file_share_limit_reached", "max_file_sharing_exceeded", "channels_limit_exceeded"),
    ),
    "storage_limit_reached": _rejected("the workspace has no storage for files left"),
    **_group(
        _FILE_GONE,
        *("file_not_found", "file_deleted", "file_is_deleted", "not_visible", "template_not_visible"),
        *("canvas_disabled_file_team", "canvas_disabled_user_team", "canvas_globally_disabled"),
    ),
    # Mistakes of ours. docs.slack.dev/apis/web-api: the first lines are common to all methods.
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
        *("alt_txt_too_large", "unknown_snippet_type", "unknown_subtype", "invalid_team"),
    ),
}


def _codes(*decisions: ErrorRule) -> frozenset[str]:
    return frozenset(code for code, decide in TABLE.items() if decide in decisions)


UNTHREADABLE = _codes(_NO_THREAD)
"""Codes with which Slack refuses a thread, but not a message beside it."""
FINAL = _codes(
    *(_TOKEN, _scope, _WRONG_TOKEN, _NOT_INSTALLED, _NETWORK, _PLAN),
    *(_ADMINS, _NO_CHANNEL, _ARCHIVED, _NO_TAB, _GONE),
)
"""Codes that no other form of a message and no other place in the channel would help against. After any other refusal,
known or not, a plainer form is tried, and one outside of the thread."""


def translate(method: str, exc: Exception) -> DeliveryError:
    """Returns our error for whatever broke a call."""
    return handler_for(ERRORS.of_network, type(exc), ERRORS.interrupted)(method, exc)


def refused(method: str, status: int, headers: Mapping[str, str], answer: Mapping[str, Any]) -> DeliveryError:
    """Returns our error for an answer that is not ok. ``answer``: its JSON object; empty if it had none."""
    return _answered(_read(method, status, headers, answer))


def _answered(refusal: ErrorAnswer) -> DeliveryError:
    if refusal.status == TOO_MANY_REQUESTS:
        return _rate_limited(refusal)
    if refusal.code:
        return TABLE.get(refusal.code, _rejected("look it up on the page of the method at docs.slack.dev"))(refusal)
    if 300 <= refusal.status < SERVER_ERROR:  # noqa: PLR2004  # sent elsewhere, or the client's fault, says HTTP
        advice = "A proxy or firewall before Slack refuses the call, or SLACK_API_URL is wrong"
        message = f"{refusal.method} was answered with status {refusal.status}. {advice}."
        return Unreachable(message, retry_after=LATER)
    return _unknown(refusal)


def _read(method: str, status: int, headers: Mapping[str, str], answer: Mapping[str, Any]) -> ErrorAnswer:
    metadata, code = answer.get("response_metadata"), answer.get("error")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    return ErrorAnswer(
        method,
        code=code if isinstance(code, str) else "",
        status=status,
        headers=headers,
        needed=str(answer.get("needed") or ""),
        provided=str(answer.get("provided") or ""),
        messages=tuple(map(str, messages)) if isinstance(messages, list) else (),
    )


def _retry_after(headers: Mapping[str, str]) -> float:
    """docs.slack.dev/apis/web-api/rate-limits: whole seconds."""
    try:
        return float(headers.get("Retry-After", ""))
    except ValueError:
        return DEFAULT_RETRY_AFTER
