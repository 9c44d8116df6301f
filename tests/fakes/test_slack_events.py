"""Events built for the fake Slack, checked with the real Bolt and signature verifier."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask, request
from flask.typing import ResponseReturnValue
from slack_bolt import Ack, App
from slack_bolt.adapter.flask import SlackRequestHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import SignatureVerifier

from tests.fakes.slack_events import (
    BOT_ID,
    BOT_USER,
    MESSAGE_SUBTYPES,
    SIGNING_SECRET,
    TEAM,
    TOKEN,
    agent_session_stopped,
    app_home_opened,
    app_mention,
    block_action,
    event_envelope,
    message_changed,
    message_deleted,
    message_event,
    signed_headers,
    slash_command,
)

FORM = "application/x-www-form-urlencoded"


class Bot:
    """A Bolt app behind Flask that records what reaches its listeners."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.app = App(signing_secret=SIGNING_SECRET, authorize=known, process_before_response=True)
        self._listen()
        door, handler = Flask("bot"), SlackRequestHandler(self.app)

        @door.post("/slack/events")
        def events() -> ResponseReturnValue:
            return handler.handle(request)

        self.http = door.test_client()

    def _listen(self) -> None:
        def hear(event: dict[str, Any]) -> None:
            self.heard.append(event)

        def acknowledge(body: dict[str, Any], ack: Ack) -> None:
            self.heard.append(body)
            ack("done")

        for event in ("message", "app_mention", "app_home_opened", "agent_session_stopped"):
            self.app.event(event)(hear)
        self.app.command("/reset")(acknowledge)
        self.app.action("feedback")(acknowledge)

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        return self.http.post("/slack/events", data=body, headers=headers).status_code


def known() -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=None, team_id=TEAM, bot_token=TOKEN, bot_id=BOT_ID, bot_user_id=BOT_USER)


@pytest.fixture(scope="module")
def running_bot() -> Bot:
    return Bot()


@pytest.fixture
def bot(running_bot: Bot) -> Bot:
    running_bot.heard.clear()
    return running_bot


def test_the_signature_passes_slacks_own_verifier() -> None:
    headers = signed_headers(b'{"a": 1}')
    assert SignatureVerifier(SIGNING_SECRET).is_valid_request('{"a": 1}', headers)
    assert not SignatureVerifier(SIGNING_SECRET).is_valid_request('{"a": 2}', headers)
    assert not SignatureVerifier("another").is_valid_request('{"a": 1}', headers)


def test_the_signature_matches_slacks_documented_example() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = signed_headers(body, at=1531420618)
    assert headers["x-slack-signature"] == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def test_bolt_refuses_a_forged_and_a_stale_signature(bot: Bot) -> None:
    body = json.dumps(event_envelope(message_event("hi"))).encode()
    assert bot.post(body, signed_headers(body, secret="another")) == 401
    assert bot.post(body, signed_headers(body, at=int(time.time()) - 301)) == 401
    assert bot.heard == []
    assert bot.post(body, signed_headers(body)) == 200
    assert [event["text"] for event in bot.heard] == ["hi"]


@pytest.mark.parametrize(
    "event",
    [
        message_event("hi"),
        message_event("hi", channel="C0CHAN", thread_ts="1700000000.000001"),
        app_mention("hi"),
        message_changed("better", before="good"),
        message_deleted(),
        agent_session_stopped("D0DM", "1700000000.000100"),
        app_home_opened(),
        *MESSAGE_SUBTYPES.values(),
    ],
    ids=lambda event: event.get("subtype", event["type"]),
)
def test_bolt_accepts_every_event(bot: Bot, event: dict[str, Any]) -> None:
    own = event.get("user") == BOT_USER
    body = json.dumps(event_envelope(event)).encode()
    status = bot.post(body, signed_headers(body))
    assert (status, bot.heard) == (200, [] if own else [event])


def test_bolt_accepts_commands_and_clicks(bot: Bot) -> None:
    form = urlencode(slash_command("reset", "all of it")).encode()
    assert bot.post(form, signed_headers(form, content_type=FORM)) == 200
    click = urlencode({"payload": json.dumps(block_action("feedback", "good", ts="1.2"))}).encode()
    assert bot.post(click, signed_headers(click, content_type=FORM)) == 200
    assert bot.heard[0]["text"] == "all of it"
    assert bot.heard[1]["actions"][0]["value"] == "good"


def test_every_subtype_has_its_fields() -> None:
    assert {name: event["subtype"] for name, event in MESSAGE_SUBTYPES.items()} == {
        name: name for name in MESSAGE_SUBTYPES
    }
    assert len(MESSAGE_SUBTYPES) > 40
