"""Slack keeps what every adapter promises."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from adapters.slack.adapter import SlackAdapter
from adapters.slack.settings import SlackSettings
from gateway.domain.errors import SettingsError
from gateway.domain.models import Turn, TurnId, TurnState
from gateway.ports.platform import Request
from gateway.worker.worker import run_once
from storage.store import SqlStore
from tests.contracts.webhook import WebhookContract
from tests.fakes.file_contents import fetched_by
from tests.fakes.slack_events import (
    BOT_USER,
    MESSAGE_SUBTYPES,
    SIGNING_SECRET,
    TOKEN,
    app_home_opened,
    event_envelope,
    message_event,
    signed_headers,
)
from tests.fakes.slack_server import FakeSlack
from tests.fakes.unparsed_updates import FakeUnparsedUpdates
from tests.settings import settings_of

FORM = "application/x-www-form-urlencoded"


def settings(**given: object) -> SlackSettings:
    secrets = {"slack_bot_token": SecretStr(TOKEN), "slack_signing_secret": SecretStr(SIGNING_SECRET)}
    return settings_of(SlackSettings, **{**secrets, **given})


def request(payload: object) -> Request:
    body = json.dumps(payload).encode()
    return Request(signed_headers(body), body)


class TestSlack(WebhookContract):
    secret_setting = "SLACK_SIGNING_SECRET"

    @pytest.fixture
    async def adapter(self, bot: str) -> AsyncIterator[SlackAdapter]:
        with FakeSlack() as slack:
            here = settings(slack_api_url=slack.api_url).for_bot(bot)
            adapter = SlackAdapter(here, SqlStore("sqlite:///never.db"), FakeUnparsedUpdates(), run_once)
            yield adapter
            await adapter.close()

    def said(self, text: str, mark: str) -> Request:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return request(event_envelope(message_event(escaped, ts=f"1700000000.00000{mark}"), event_id=f"Ev{mark}"))

    def genuine(self, body: bytes) -> Request:
        return Request(signed_headers(body), body)

    def forged(self) -> Sequence[Request]:
        body = json.dumps(event_envelope(message_event("let me in"))).encode()
        good = signed_headers(body)
        return (
            Request({}, body),
            Request(signed_headers(body, secret="another"), body),
            Request(signed_headers(body, at=1_700_000_000), body),
            Request({**good, "x-slack-signature": ""}, body),
            Request({**good, "x-slack-request-timestamp": "soon"}, body),
            Request(good, body + b" "),
        )

    def ignored(self) -> Sequence[Request]:
        quiet = [event for name, event in MESSAGE_SUBTYPES.items() if name not in HEARD]
        mine = message_event("said the bot", user=BOT_USER)
        form = urlencode({"payload": json.dumps({"type": "view_closed"})}).encode()
        return (
            *(request(event_envelope(event)) for event in quiet),
            *(request(event_envelope(event)) for event in (mine, app_home_opened(), {"type": "never_heard_of"})),
            Request(signed_headers(form, content_type=FORM), form),
            request({"type": "app_rate_limited", "team_id": "T0TEAM", "minute_rate_limited": 1}),
        )


HEARD = {"file_share", "thread_broadcast", "me_message"}
"""Subtypes in which a person says something."""


IN_PERSON = {"channel": "D0DM", "channel_type": "im"}


async def test_a_file_of_a_workspace_that_is_gone_is_a_problem_and_not_an_error(sqlite_store: SqlStore) -> None:
    oauth = {"slack_bot_token": None, "slack_client_id": "1.2", "slack_client_secret": SecretStr("shh")}
    adapter = SlackAdapter(settings(**oauth), sqlite_store, FakeUnparsedUpdates(), run_once)
    (heard,) = adapter.receive(request(event_envelope({**MESSAGE_SUBTYPES["file_share"], **IN_PERSON}))).messages
    turn = Turn(TurnId("turn_1"), 1, 1, heard, TurnState.RUNNING)
    attachments = await fetched_by(partial(adapter.fetch_attachments, turn))
    assert [attachment.file for attachment in attachments] == list(heard.files)
    assert all(attachment.problem and not attachment.content for attachment in attachments)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"slack_bot_token": None}, "SLACK_BOT_TOKEN"),
        ({"slack_signing_secret": None}, "SLACK_SIGNING_SECRET"),
        ({"slack_bot_token": None, "slack_client_id": "1.2"}, "SLACK_CLIENT_SECRET"),
    ],
)
def test_half_of_slack_is_an_error_that_names_what_is_missing(given: dict[str, object], missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        _ = settings(**given).on


def test_nothing_of_slack_is_no_slack() -> None:
    assert not settings(slack_bot_token=None, slack_signing_secret=None).on
