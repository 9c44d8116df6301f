"""Builds what Slack sends to an app, as plain data: event envelopes, commands, clicks, and signed headers."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from tests.fakes.slack_message_subtypes import MESSAGE_SUBTYPES

__all__ = [
    "APP",
    "APP_TOKEN",
    "BOT_ID",
    "BOT_USER",
    "MESSAGE_SUBTYPES",
    "SIGNING_SECRET",
    "TEAM",
    "TOKEN",
    "USER",
    "Event",
    "agent_session_stopped",
    "app_home_opened",
    "app_mention",
    "block_action",
    "channel_type_of",
    "event_envelope",
    "message_changed",
    "message_deleted",
    "message_event",
    "rich_text_block",
    "signed_headers",
    "slash_command",
]

TEAM = "T0TEAM"
APP = "A0APP"
BOT_USER = "U0BOT"
BOT_ID = "B0BOT"
TOKEN = "xoxb-fake"
APP_TOKEN = "xapp-fake"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
"""The example secret in Slack's documentation on verifying requests."""
USER = "U0ANN"

Event = dict[str, Any]

_APP_FIELDS = {"api_app_id": APP, "token": "XXYYZZ", "enterprise": None, "is_enterprise_install": False}
_BOT_FIELDS = {"bot_id": BOT_ID, "user": BOT_USER, "app_id": APP, "text": ""}
_numbers = count(1)
_run_id = secrets.token_hex(3).upper()  # ids differ from those of other runs


def event_envelope(event: Event, *, event_id: str | None = None, team: str = TEAM, **more: Any) -> Event:
    """Returns an event in the envelope of the Events API; ``event_id`` is generated unless given.

    docs.slack.dev/apis/events-api#callback-field
    """
    authorization = {
        "enterprise_id": None,
        "team_id": team,
        "user_id": BOT_USER,
        "is_bot": True,
        "is_enterprise_install": False,
    }
    return {
        "token": "XXYYZZ",
        "team_id": team,
        "api_app_id": APP,
        "event": event,
        "type": "event_callback",
        "event_id": event_id or f"Ev{_run_id}{next(_numbers):06d}",
        "event_time": int(time.time()),
        "authorizations": [authorization],
        "is_ext_shared_channel": False,
        "event_context": "4-eyJldCI6Im1lc3NhZ2UifQ",
        **more,
    }


def message_event(
    text: str,
    *,
    user: str = USER,
    channel: str = "D0DM",
    ts: str = "1700000000.000100",
    thread_ts: str | None = None,
    channel_type: str | None = None,
    **more: Any,
) -> Event:
    """Returns a ``message`` event of a user. ``channel_type`` defaults to the one of the channel id's first letter."""
    event = {"type": "message", "channel": channel, "channel_type": channel_type or channel_type_of(channel)}
    return {**event, **_message_fields(text, user, ts, thread_ts), **more}


def app_mention(
    text: str,
    *,
    user: str = USER,
    channel: str = "C0CHAN",
    ts: str = "1700000000.000100",
    thread_ts: str | None = None,
    **more: Any,
) -> Event:
    """Returns an ``app_mention`` event (it has no channel_type). A mention of the bot is prepended unless the text
    contains one.
    """
    if f"<@{BOT_USER}" not in text:
        text = f"<@{BOT_USER}> {text}"
    return {"type": "app_mention", "channel": channel, **_message_fields(text, user, ts, thread_ts), **more}


def channel_type_of(channel: str) -> str:
    return {"D": "im", "G": "group"}.get(channel[:1], "channel")


def _channel_name(channel: str) -> str:
    return "directmessage" if channel_type_of(channel) == "im" else "general"


def _message_fields(text: str, user: str, ts: str, thread_ts: str | None) -> Event:
    written = {
        "client_msg_id": f"7a1f0000-0000-4000-8000-{ts.replace('.', '')[-12:]}",
        "user": user,
        "text": text,
        "ts": ts,
        "event_ts": ts,
        "team": TEAM,
        "blocks": [rich_text_block(text)],
    }
    if thread_ts is not None:
        written |= {"thread_ts": thread_ts, "parent_user_id": user}
    return written


def rich_text_block(text: str) -> Event:
    """Returns the rich_text block a Slack client makes of typed text; mentions become elements of their own."""
    elements = [
        {"type": "user", "user_id": part[2:-1]} if part.startswith("<@") else {"type": "text", "text": part}
        for part in re.split(r"(<@\w+>)", text)
        if part
    ]
    section = {"type": "rich_text_section", "elements": elements}
    return {"type": "rich_text", "block_id": "b0", "elements": [section]}


def message_changed(
    text: str,
    *,
    before: str = "what it was before",
    user: str = USER,
    channel: str = "D0DM",
    ts: str = "1700000000.000100",
    thread_ts: str | None = None,
    at: str = "1700000009.000900",
    **more: Any,
) -> Event:
    """Returns a ``message_changed`` event: message ``ts`` has the text ``text`` since ``at``."""
    past = {"type": "message", **_message_fields(before, user, ts, thread_ts)}
    past.pop("event_ts")
    now = {**past, "text": text, "blocks": [rich_text_block(text)], "edited": {"user": user, "ts": at}}
    return {**_hidden_message("message_changed", channel, at), "message": now, "previous_message": past, **more}


def message_deleted(
    *,
    text: str = "what it was",
    user: str = USER,
    channel: str = "D0DM",
    ts: str = "1700000000.000100",
    thread_ts: str | None = None,
    at: str = "1700000009.000900",
    **more: Any,
) -> Event:
    """Returns a ``message_deleted`` event: message ``ts`` was deleted at ``at``."""
    past = {"type": "message", **_message_fields(text, user, ts, thread_ts)}
    past.pop("event_ts")
    return {**_hidden_message("message_deleted", channel, at), "deleted_ts": ts, "previous_message": past, **more}


def _hidden_message(subtype: str, channel: str, at: str) -> Event:
    head = {"type": "message", "subtype": subtype, "hidden": True, "channel": channel}
    return {**head, "ts": at, "event_ts": at, "channel_type": channel_type_of(channel)}


def agent_session_stopped(
    channel: str,
    thread_ts: str,
    user: str = USER,
    *,
    streaming: Sequence[str] = (),
    event_ts: str = "1700000009.000900",
) -> Event:
    """Returns the event of a pressed Stop button; Slack has already ended the streams of the messages ``streaming``.

    docs.slack.dev/reference/events/agent_session_stopped
    """
    return {
        "type": "agent_session_stopped",
        "channel": channel,
        "thread_ts": thread_ts,
        "streaming_message_ts": list(streaming),
        "user": user,
        "event_ts": event_ts,
    }


def app_home_opened(
    *,
    user: str = USER,
    channel: str = "D0DM",
    tab: str = "messages",
    event_ts: str = "1700000009.000900",
    **more: Any,
) -> Event:
    """Returns an ``app_home_opened`` event; ``tab`` is home or messages."""
    return {"type": "app_home_opened", "user": user, "channel": channel, "tab": tab, "event_ts": event_ts, **more}


def slash_command(
    name: str,
    text: str = "",
    *,
    user: str = USER,
    channel: str = "D0DM",
    team: str = TEAM,
    response_url: str = "https://hooks.slack.com/commands/T0TEAM/1/abc",
    **more: str,
) -> dict[str, str]:
    """Returns the form fields posted for a slash command; ``name`` with or without its slash."""
    return {
        "token": "XXYYZZ",
        "team_id": team,
        "team_domain": "team",
        "channel_id": channel,
        "channel_name": _channel_name(channel),
        "user_id": user,
        "user_name": user.lower(),
        "command": f"/{name.lstrip('/')}",
        "text": text,
        "api_app_id": APP,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": f"{next(_numbers)}.1.abc",
        **more,
    }


def block_action(
    action_id: str,
    value: str,
    *,
    user: str = USER,
    channel: str = "D0DM",
    team: str = TEAM,
    ts: str = "1700000001.000200",
    thread_ts: str | None = None,
    kind: str = "feedback_buttons",
    response_url: str = "https://hooks.slack.com/actions/T0TEAM/1/abc",
    **more: Any,
) -> Event:
    """Returns the payload of a click on an element of message ``ts``; sent as JSON in the form field ``payload``."""
    thread = {} if thread_ts is None else {"thread_ts": thread_ts}
    action = {"type": kind, "action_id": action_id, "block_id": "b1", "value": value, "action_ts": "1700000009.000900"}
    return {
        "type": "block_actions",
        "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": team},
        **_APP_FIELDS,
        "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False, **thread},
        "trigger_id": f"{next(_numbers)}.1.abc",
        "team": {"id": team, "domain": "team"},
        "channel": {"id": channel, "name": _channel_name(channel)},
        "message": {"type": "message", "ts": ts, **_BOT_FIELDS, **thread},
        "state": {"values": {}},
        "response_url": response_url,
        "actions": [action],
        **more,
    }


def signed_headers(
    body: bytes,
    *,
    secret: str = SIGNING_SECRET,
    at: int | None = None,
    content_type: str = "application/json",
    retry: int = 0,
    reason: str = "",
) -> dict[str, str]:
    """Returns the headers of a delivery, with names in lower case; ``at`` is in seconds since 1970, now unless given.

    docs.slack.dev/authentication/verifying-requests-from-slack
    """
    at = int(time.time()) if at is None else at
    signature = hmac.new(secret.encode(), b"v0:%d:%b" % (at, body), hashlib.sha256).hexdigest()
    headers = {
        "content-type": content_type,
        "x-slack-request-timestamp": str(at),
        "x-slack-signature": f"v0={signature}",
        "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
    }
    if retry:
        headers |= {"x-slack-retry-num": str(retry), "x-slack-retry-reason": reason or "http_timeout"}
    return headers
