"""How events come in over HTTP: who is let in, what is committed before the 200, what Slack has to send again."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from adapters.slack.adapter import SlackAdapter
from adapters.slack.event_parser import EventParser
from adapters.slack.settings import SlackSettings
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import KeyValueStore
from gateway.web.asgi_app import create_app
from gateway.worker.worker import run_once
from tests.adapters import app_client
from tests.adapters.app_client import AppClient
from tests.adapters.chat import database_ok, error
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.slack_events import (
    BOT_USER,
    MESSAGE_SUBTYPES,
    SIGNING_SECRET,
    TEAM,
    TOKEN,
    USER,
    app_home_opened,
    block_action,
    event_envelope,
    message_changed,
    message_event,
    signed_headers,
    slash_command,
)
from tests.fakes.slack_faults import SlackErrorFault
from tests.fakes.slack_server import FakeSlack
from tests.fakes.unparsed_updates import FakeUnparsedUpdates
from tests.settings import settings_of
from tests.waiting import until

FORM = "application/x-www-form-urlencoded"
NO_MEMORY = cast("KeyValueStore", None)
"""For an adapter that stores nothing."""


def settings(**given: Any) -> SlackSettings:
    secrets = {"slack_bot_token": SecretStr(TOKEN), "slack_signing_secret": SecretStr(SIGNING_SECRET)}
    return settings_of(SlackSettings, **{**secrets, **given})


@dataclass
class WebhookSite:
    """The gateway's web side with Slack's routes, asked as Slack asks."""

    known: SlackSettings = field(default_factory=settings)
    inbox: RecordingInbox = field(default_factory=RecordingInbox)
    unparsed: FakeUnparsedUpdates = field(default_factory=FakeUnparsedUpdates)

    def __post_init__(self) -> None:
        self.adapter = SlackAdapter(self.known, NO_MEMORY, self.unparsed, run_once)
        self.client = AppClient(create_app([self.adapter], self.inbox.async_inbox, database_ok))

    def post(self, body: bytes, path: str = "/slack/events", **signing: Any) -> TestResponse:
        return self.client.post(path, data=body, headers=signed_headers(body, **signing))

    def tell(self, payload: object) -> TestResponse:
        return self.post(json.dumps(payload).encode())

    def fill(self, fields: dict[str, str], path: str) -> TestResponse:
        return self.post(urlencode(fields).encode(), path, content_type=FORM)


@pytest.fixture(scope="module")
def site() -> WebhookSite:
    return WebhookSite()


@pytest.fixture(autouse=True)
def forget(site: WebhookSite) -> None:
    site.inbox.taken.clear()
    site.inbox.faults.clear()


# ---------------------------------------------------------------- what is let in


def test_a_command_and_a_click_come_in_wherever_they_are_sent(site: WebhookSite) -> None:
    for path in ("/slack/events", "/slack/commands", "/slack/interactive"):
        site.inbox.taken.clear()
        assert site.fill(slash_command("help"), path).status_code == 200
        click = {"payload": json.dumps(block_action("somebody_elses", "x"))}
        assert site.fill(click, path).status_code == 200


def test_what_is_to_be_told_at_once_is_the_answers_json(site: WebhookSite) -> None:
    response = site.fill(slash_command("help", "payload"), "/slack/commands")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.json["response_type"] == "ephemeral"  # type: ignore[index]  # it is an object


def test_what_we_do_not_know_is_fine(site: WebhookSite) -> None:
    unknown = ({"type": "never_heard_of"}, app_home_opened(), message_changed("x"), *MESSAGE_SUBTYPES.values())
    assert {site.tell(event_envelope(event)).status_code for event in unknown} == {200}
    assert site.tell({}).status_code == 200


def test_the_operator_is_told_that_slack_leaves_out_events(site: WebhookSite) -> None:
    with capture_logs() as logs:
        told = site.tell({"type": "app_rate_limited", "team_id": TEAM, "minute_rate_limited": 1})
    assert told.status_code == 200
    assert {"team": TEAM, "event": "Slack leaves out events for a minute", "log_level": "warning"} in logs


def test_slack_may_see_whether_the_address_is_ours(site: WebhookSite) -> None:
    response = site.tell({"type": "url_verification", "challenge": "3eZbrw", "token": "x"})
    assert (response.status_code, response.json) == (200, {"challenge": "3eZbrw"})
    assert site.fill({"ssl_check": "1", "token": "x"}, "/slack/commands").status_code == 200
    unsigned = site.client.post("/slack/commands", data=b"token=x&ssl_check=1", content_type=FORM)
    assert (unsigned.status_code, unsigned.data) == (200, b"")
    assert site.inbox.messages == []


# ---------------------------------------------------------------- who is not


def test_whoever_is_not_slack_is_refused(site: WebhookSite) -> None:
    for payload in (event_envelope(message_event("let me in")), {"type": "url_verification", "challenge": "x"}):
        body = json.dumps(payload).encode()
        assert error(site.post(body, secret="another")) == (401, "unauthorized")
        assert error(site.post(body, at=1_700_000_000)) == (401, "unauthorized")
        assert error(site.client.post("/slack/events", data=body)) == (401, "unauthorized")
    assert site.inbox.taken == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a": ',
        b"[]",
        b"3",
        b"[" * 100_000,
        b'{"type": "event_callback", "a": "\xff"}',
        b"payload=%5B%5D",
        b"payload={",
        b"\x00\xff",
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", FORM])
def test_what_cannot_be_read_is_refused(site: WebhookSite, body: bytes, content_type: str) -> None:
    code = error(site.post(body, content_type=content_type))
    assert code in {(400, "unreadable"), (401, "unauthorized")}
    assert error(site.post(body, content_type=content_type, secret="another"))[0] in {400, 401}
    assert site.inbox.taken == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["type", "event", "user", "team", "channel", "authorizations", "tokens", "message", "view"]),
        json_values | st.sampled_from(["event_callback", "block_actions", "app_uninstalled"]),
        max_size=5,
    )
)
def test_no_payload_makes_us_fall_over(site: WebhookSite, payload: dict[str, Any]) -> None:
    assert site.tell(payload).status_code in {200, 400}
    assert site.tell(event_envelope(payload)).status_code in {200, 400}


def test_without_a_signing_secret_nobody_can_be_told_from_slack_and_so_nothing_is_there() -> None:
    deaf = WebhookSite(settings(slack_signing_secret=None, slack_app_token=SecretStr("xapp-1")))
    assert deaf.post(b"{}", secret="").status_code == 404


# ---------------------------------------------------------------- what Slack has to send again


def test_slack_sends_again_until_it_is_committed() -> None:
    site = WebhookSite()
    site.inbox.faults += [StoreUnavailable(), RuntimeError("a bug")]
    with capture_logs(), FakeSlack() as slack, served(site) as url:
        slack.deliver_to(f"{url}/slack/events")
        slack.user_says("hello")
        slack.wait_until_delivered()
        assert [delivery.status for delivery in slack.deliveries] == [503, 500, 200]
    assert site.inbox.texts == ["hello"]


def test_an_event_that_cannot_be_parsed_is_stored_and_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr(EventParser, "_event", fail)
    site = WebhookSite()
    payload = event_envelope(message_event("hello"), event_id="Ev1") | {"token": "a secret"}
    with capture_logs() as logs:
        assert site.tell(payload).status_code == 200
    (kept,) = site.unparsed.kept
    assert (kept.platform, kept.workspace, kept.update_id) == ("slack", TEAM, "Ev1")
    assert (kept.author, kept.channel) == (USER, payload["event"]["channel"])
    assert kept.error == "RuntimeError: a bug"
    assert json.loads(kept.body)["event"]["text"] == "hello"
    assert "a secret" not in kept.body
    assert "hello" not in str(logs)


@contextmanager
def served(site: WebhookSite) -> Iterator[str]:
    """A site on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with app_client.served(site.client.application, listener):
        yield url


def test_everything_that_comes_at_once_is_taken_once() -> None:
    site = WebhookSite()
    with FakeSlack() as slack, served(site) as url:
        slack.deliver_to(f"{url}/slack/events")
        for number in range(50):
            slack.user_says(f"message {number}")
        slack.wait_until_delivered()
        assert [delivery.status for delivery in slack.deliveries] == [200] * 50
    assert sorted(site.inbox.texts) == sorted(f"message {number}" for number in range(50))


# ---------------------------------------------------------------- what is not done


def test_nothing_is_called_and_no_thread_begins_before_somebody_knocks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bolt reads variables by itself, ours among them."""
    for name in ("BOT_TOKEN", "SIGNING_SECRET", "CLIENT_ID", "CLIENT_SECRET", "APP_TOKEN"):
        monkeypatch.setenv(f"SLACK_{name}", "from-the-environment")
    before = threading.active_count()
    with FakeSlack() as slack, caplog.at_level(logging.INFO):
        own = threading.active_count() - before
        site = WebhookSite(settings(slack_api_url=slack.api_url, slack_prompts="Hi: Say hi"))
        for payload in ({"type": "url_verification", "challenge": "x"}, event_envelope(message_event("hello"))):
            assert site.tell(payload).status_code == 200
        assert slack.calls() == []
        assert threading.active_count() - before <= own
    assert [record.getMessage() for record in caplog.records if "slack" in record.name.lower()] == []


# ---------------------------------------------------------------- prompts


@pytest.fixture
def prompting(slack: FakeSlack) -> Iterator[WebhookSite]:
    site = WebhookSite(settings(slack_api_url=slack.api_url, slack_prompts="Hi: Say hi | Sum up"))
    yield site
    site.adapter.stop_receiving()


def suggested(slack: FakeSlack) -> list[Any]:
    return slack.calls("assistant.threads.setSuggestedPrompts")


def test_who_opens_the_agent_is_suggested_what_to_ask_once_an_hour(slack: FakeSlack, prompting: WebhookSite) -> None:
    slack.add_channel("D0BEN")
    for event in (
        app_home_opened(tab="home"),
        app_home_opened(),
        app_home_opened(),
        app_home_opened(user="U0BEN", channel="D0BEN"),
    ):
        assert prompting.tell(event_envelope(event)).status_code == 200
    slack.wait_until(lambda: len(suggested(slack)) == 2)
    prompts = [{"title": "Hi", "message": "Say hi"}, {"title": "Sum up", "message": "Sum up"}]
    asked = [{"channel_id": channel, "prompts": prompts} for channel in ("D0DM", "D0BEN")]
    assert [call.args for call in suggested(slack)] == asked
    assert {call.token for call in suggested(slack)} == {TOKEN}


def test_prompts_that_slack_does_not_take_are_no_harm(slack: FakeSlack, prompting: WebhookSite) -> None:
    slack.faults.add("assistant.threads.*", SlackErrorFault("not_allowed_token_type"))
    with capture_logs() as logs:
        assert prompting.tell(event_envelope(app_home_opened())).status_code == 200
        slack.wait_until(lambda: suggested(slack))
        until(lambda: logs)
    assert [entry["error"] for entry in logs] == ["not_allowed_token_type"]
    assert TOKEN not in str(logs)


def test_who_comes_while_the_process_ends_is_suggested_nothing(slack: FakeSlack, prompting: WebhookSite) -> None:
    prompting.adapter.stop_receiving()
    assert prompting.tell(event_envelope(app_home_opened())).status_code == 200
    assert suggested(slack) == []


# ---------------------------------------------------------------- who the bot is

NOBODY: dict[str, Any] = {"authorizations": []}
TO_ANN = {"authorizations": [{"team_id": TEAM, "user_id": USER, "is_bot": False}]}


@pytest.fixture
def told_by_slack(slack: FakeSlack) -> WebhookSite:
    return WebhookSite(settings(slack_api_url=slack.api_url))


def asked_who(slack: FakeSlack) -> int:
    return len(slack.calls("auth.test"))


@pytest.mark.parametrize("envelope", [NOBODY, TO_ANN])
def test_who_the_bot_is_is_asked_once_where_the_event_does_not_say_it(
    slack: FakeSlack, told_by_slack: WebhookSite, envelope: dict[str, Any]
) -> None:
    ours = message_event("my own reply", user=BOT_USER)
    mention = message_event(f"<@{BOT_USER}> hello", channel="C0CHAN")
    for event in (ours, mention, message_event(f"<@{USER}> hello", channel="C0CHAN"), ours):
        assert told_by_slack.tell(event_envelope(event, **envelope)).status_code == 200
    assert told_by_slack.inbox.texts == ["hello"]
    assert asked_who(slack) == 1


def test_an_event_that_names_the_bot_is_remembered_for_those_that_do_not(
    slack: FakeSlack, told_by_slack: WebhookSite
) -> None:
    told_by_slack.tell(event_envelope(message_event("hello")))
    told_by_slack.tell(event_envelope(message_event("my own reply", user=BOT_USER), **NOBODY))
    assert (told_by_slack.inbox.texts, asked_who(slack)) == (["hello"], 0)


def test_a_slack_that_does_not_say_who_the_bot_is_costs_no_message(
    slack: FakeSlack, told_by_slack: WebhookSite
) -> None:
    slack.faults.add("auth.test", SlackErrorFault("internal_error"))
    for _ in range(2):
        assert told_by_slack.tell(event_envelope(message_event("hello"), **NOBODY)).status_code == 200
    assert (told_by_slack.inbox.texts, asked_who(slack)) == (["hello", "hello"], 1)
