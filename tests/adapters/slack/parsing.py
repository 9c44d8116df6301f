"""Parses events in tests: settings, payloads, and requests that carry them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from adapters.slack.event_parser import EventParser
from adapters.slack.settings import SlackSettings
from gateway.domain.models import Message
from gateway.ports.platform import ParsedUpdate, Request
from tests.fakes.slack_events import (
    BOT_USER,
    SIGNING_SECRET,
    event_envelope,
    message_event,
    signed_headers,
)
from tests.settings import settings_of

FORM = "application/x-www-form-urlencoded"
CALL = f"<@{BOT_USER}>"
TS, ROOT = "1700000000.000100", "1690000000.000100"
NOTHING = ParsedUpdate()
SCOPES = ("topic", "channel", "user")


def parser_settings(**given: object) -> SlackSettings:
    secrets = {"slack_bot_token": SecretStr("xoxb-fake"), "slack_signing_secret": SecretStr(SIGNING_SECRET)}
    return settings_of(SlackSettings, **{**secrets, **given})


def parser(**given: object) -> EventParser:
    return EventParser(parser_settings(**given))


def read(event: Mapping[str, Any], envelope: Mapping[str, Any] | None = None, **given: object) -> ParsedUpdate:
    return parser(**given).parse(event_envelope(dict(event), event_id="Ev1", **(envelope or {})))


def one(event: Mapping[str, Any], envelope: Mapping[str, Any] | None = None, **given: object) -> Message:
    (said,) = read(event, envelope, **given).messages
    return said


def in_channel(text: str, **more: Any) -> dict[str, Any]:
    return message_event(text, channel="C0CHAN", **more)


def request(payload: object) -> Request:
    body = json.dumps(payload).encode()
    return Request(signed_headers(body), body)


def form(fields: Mapping[str, str]) -> Request:
    body = urlencode(fields).encode()
    return Request(signed_headers(body, content_type=FORM), body)
