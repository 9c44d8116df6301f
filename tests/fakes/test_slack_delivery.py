"""HTTP deliveries of the fake Slack: signatures, formats, retries."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier
from slack_sdk.webhook import WebhookClient

from tests.fakes.receiver import OK, FakeReceiver, HttpAnswer, ReceivedRequest
from tests.fakes.slack_events import BOT_USER, SIGNING_SECRET, TOKEN
from tests.fakes.slack_server import FakeSlack


@pytest.fixture
def app() -> Iterator[FakeReceiver]:
    with FakeReceiver() as running:
        yield running


@pytest.fixture
def slack(app: FakeReceiver) -> Iterator[FakeSlack]:
    with FakeSlack() as running:
        running.deliver_to(app.url)
        yield running


def events(app: FakeReceiver) -> list[dict[str, Any]]:
    return [received.event for received in app.received]


def test_a_users_message_is_delivered_as_a_signed_event(slack: FakeSlack, app: FakeReceiver) -> None:
    ts = slack.user_says("hi", user="U0EVE", channel="D0EVE")
    slack.wait_until_delivered()
    (received,) = app.received
    assert SignatureVerifier(SIGNING_SECRET).is_valid_request(received.body, received.headers)
    assert received.json["authorizations"][0]["user_id"] == BOT_USER
    event = received.event
    assert (event["type"], event["channel_type"], event["user"], event["text"]) == ("message", "im", "U0EVE", "hi")
    assert (event["ts"], slack.messages("D0EVE")[0].ts) == (ts, ts)
    assert "thread_ts" not in event
    (delivery,) = slack.deliveries
    assert (delivery.event_id, delivery.retry_num, delivery.status) == (received.json["event_id"], 0, 200)


@pytest.mark.parametrize("order", ["mention", "message"])
def test_a_mention_is_delivered_as_two_events_of_one_message(app: FakeReceiver, order: Any) -> None:
    with FakeSlack(max_parallel=1) as slack:
        slack.deliver_to(app.url)
        ts = slack.user_says("hi", channel="C0CHAN", mention=True, order=order)
        slack.wait_until_delivered()
    first, second = events(app)
    kinds = ["app_mention", "message"] if order == "mention" else ["message", "app_mention"]
    assert [first["type"], second["type"]] == kinds
    assert {first["ts"], second["ts"]} == {ts}
    assert {first["text"], second["text"]} == {f"<@{BOT_USER}> hi"}
    assert first["client_msg_id"] == second["client_msg_id"]
    assert len({received.json["event_id"] for received in app.received}) == 2


def test_a_channel_without_the_bot_sends_no_events(slack: FakeSlack, app: FakeReceiver) -> None:
    slack.add_channel("C0ELSE", member=False)
    slack.user_edits(slack.user_says("hi", channel="C0ELSE", mention=True), "ho")
    slack.wait_until_delivered()
    assert app.received == []


def test_attached_files_are_part_of_the_event(slack: FakeSlack, app: FakeReceiver) -> None:
    slack.user_says("look", files=[("a.txt", b"hello")], thread_ts="1700000000.000100")
    slack.wait_until_delivered()
    (event,) = events(app)
    assert (event["subtype"], event["thread_ts"]) == ("file_share", "1700000000.000100")
    request = urllib.request.Request(event["files"][0]["url_private"], headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.read() == b"hello"


def test_edit_and_delete_events_contain_the_previous_message(slack: FakeSlack, app: FakeReceiver) -> None:
    ts = slack.user_says("one")
    slack.wait_until_delivered()
    slack.user_edits(ts, "two")
    slack.wait_until_delivered()
    assert (slack.messages("D0DM")[0].text, slack.messages("D0DM")[0].edited) == ("two", True)
    slack.user_deletes(ts)
    slack.wait_until_delivered()
    assert slack.messages("D0DM") == []
    _, edit, deletion = events(app)
    assert (edit["previous_message"]["text"], edit["message"]["text"], edit["message"]["ts"]) == ("one", "two", ts)
    assert (deletion["deleted_ts"], deletion["previous_message"]["text"]) == (ts, "two")


def test_the_stop_event_lists_the_ended_streams(slack: FakeSlack, app: FakeReceiver) -> None:
    root = slack.user_says("go")
    client = WebClient(token=TOKEN, base_url=slack.api_url)
    stream = client.chat_startStream(channel="D0DM", thread_ts=root, markdown_text="x")["ts"]
    slack.wait_until_delivered()
    slack.press_stop("D0DM", root)
    slack.wait_until_delivered()
    event = events(app)[-1]
    assert (event["type"], event["thread_ts"], event["streaming_message_ts"]) == (
        "agent_session_stopped",
        root,
        [stream],
    )


def test_an_event_that_is_not_accepted_is_retried_three_times(slack: FakeSlack, app: FakeReceiver) -> None:
    app.answer = lambda _: (500, {}, "")
    slack.user_says("hi")
    slack.wait_until_delivered()
    assert [received.headers.get("x-slack-retry-num") for received in app.received] == [None, "1", "2", "3"]
    assert {received.headers.get("x-slack-retry-reason") for received in app.received[1:]} == {"http_error"}
    assert len({received.json["event_id"] for received in app.received}) == 1
    assert [(one.retry_num, one.status) for one in slack.deliveries] == [(0, 500), (1, 500), (2, 500), (3, 500)]


def test_an_accepted_retry_is_the_last(slack: FakeSlack, app: FakeReceiver) -> None:
    app.answer = lambda received: OK if "x-slack-retry-num" in received.headers else (503, {}, "")
    slack.user_says("hi")
    slack.wait_until_delivered()
    assert [one.status for one in slack.deliveries] == [503, 200]


def test_a_slow_or_unreachable_app_is_retried() -> None:
    gate = threading.Event()

    def slowly(received: ReceivedRequest) -> HttpAnswer:
        if "x-slack-retry-num" not in received.headers:
            gate.wait(20)
        return OK

    with FakeSlack(response_timeout=0.5) as slack:  # the second time it is answered, also by a slow machine
        with FakeReceiver(slowly) as app:
            slack.deliver_to(app.url)
            slack.user_says("hi")
            slack.wait_until_delivered()
            gate.set()
        assert [(one.status, one.reason) for one in slack.deliveries] == [(0, "http_timeout"), (200, "")]
        slack.user_says("is anybody there?")
        slack.wait_until_delivered()
        assert [(one.status, one.reason) for one in slack.deliveries[2:]] == [(0, "connection_failed")] * 4


def test_a_delivery_can_be_repeated(slack: FakeSlack, app: FakeReceiver) -> None:
    slack.user_says("hi")
    slack.wait_until_delivered()
    slack.redeliver(slack.deliveries[0])
    slack.wait_until_delivered()
    first, second = app.received
    assert first.body == second.body


def test_a_command_is_a_form_and_its_response_url_works_five_times(slack: FakeSlack, app: FakeReceiver) -> None:
    app.answer = lambda _: (200, {"content-type": "text/plain"}, "on it")
    trigger = slack.run_command("reset", "all", user="U0EVE", channel="C0CHAN")
    slack.wait_until_delivered()
    (received,) = app.received
    assert SignatureVerifier(SIGNING_SECRET).is_valid_request(received.body, received.headers)
    assert (received.form["command"], received.form["text"], received.form["trigger_id"]) == ("/reset", "all", trigger)
    assert slack.deliveries[0].answer == "on it"
    hook = WebhookClient(received.form["response_url"])
    hook.send(text="just for you")
    hook.send(text="for all", response_type="in_channel")
    assert [(one["user"], one["text"]) for one in slack.ephemeral_messages] == [("U0EVE", "just for you")]
    assert [posted.text for posted in slack.bot_messages("C0CHAN")] == ["for all"]
    assert [hook.send(text="x").status_code for _ in range(4)] == [200, 200, 200, 404]


def test_a_restarted_fake_keeps_its_state_and_port(slack: FakeSlack, app: FakeReceiver) -> None:
    slack.user_says("before")
    slack.wait_until_delivered()
    url = slack.url
    slack.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=20)
    slack.start()
    slack.user_says("after")
    slack.wait_until_delivered()
    assert slack.url == url
    assert [posted.text for posted in slack.messages()] == ["before", "after"]
    assert [event["text"] for event in events(app)] == ["before", "after"]


def test_workspaces_are_separate(slack: FakeSlack, app: FakeReceiver) -> None:
    slack.add_workspace("T0ELSE", "xoxb-else", "U0ELSEBOT", "B0ELSE")
    slack.user_says("here", channel="C0CHAN", mention=True, team="T0ELSE")
    slack.wait_until_delivered()
    (received, *_) = app.received
    assert received.json["team_id"] == received.json["authorizations"][0]["team_id"] == "T0ELSE"
    assert received.event["text"] == "<@U0ELSEBOT> here"
    ours, theirs = (WebClient(token=token, base_url=slack.api_url) for token in (TOKEN, "xoxb-else"))
    assert ours.conversations_history(channel="C0CHAN")["messages"] == []
    assert len(theirs.conversations_history(channel="C0CHAN")["messages"]) == 1
