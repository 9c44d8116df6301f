"""Chat methods of the fake Slack, called by the real clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.fakes.slack_events import APP_TOKEN, BOT_USER, TOKEN
from tests.fakes.slack_server import FakeSlack


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as running:
        running.add_channel("C0OLD", archived=True)
        running.add_channel("C0ELSE", member=False)
        yield running


@pytest.fixture
def client(slack: FakeSlack) -> WebClient:
    return WebClient(token=TOKEN, base_url=slack.api_url, retry_handlers=[])


def refused(call: Any, *args: Any, **more: Any) -> dict[str, Any]:
    """Returns Slack's error answer to the call."""
    with pytest.raises(SlackApiError) as refusal:
        call(*args, **more)
    answer: dict[str, Any] = refusal.value.response.data
    return answer


def code(call: Any, *args: Any, **more: Any) -> str:
    return str(refused(call, *args, **more)["error"])


def test_auth_test_says_who_the_bot_is_and_what_it_may_do(client: WebClient) -> None:
    answer = client.auth_test()
    assert (answer["team_id"], answer["user_id"], answer["bot_id"]) == ("T0TEAM", "U0BOT", "B0BOT")
    assert "chat:write" in answer.headers["x-oauth-scopes"].split(",")


def test_post_message_adds_a_message_to_the_channel_or_thread(slack: FakeSlack, client: WebClient) -> None:
    root = client.chat_postMessage(channel="C0CHAN", text="one")["ts"]
    metadata = {"event_type": "reply", "event_payload": {"turn": "1"}}
    reply = client.chat_postMessage(channel="C0CHAN", markdown_text="**two**", thread_ts=root, metadata=metadata)
    first, second = slack.messages("C0CHAN", root)
    assert (first.text, first.thread_ts, first.user) == ("one", None, BOT_USER)
    assert (second.ts, second.text, second.thread_ts) == (reply["ts"], "**two**", root)
    assert second.metadata == metadata
    assert second not in slack.messages("D0DM")


def test_the_visible_text_of_blocks_is_their_text(slack: FakeSlack, client: WebClient) -> None:
    blocks = [{"type": "markdown", "text": "# one"}, {"type": "divider"}, {"type": "markdown", "text": "two"}]
    client.chat_postMessage(channel="D0DM", text="in short", blocks=blocks)
    assert slack.messages("D0DM")[-1].text == "# one\n\ntwo"
    assert slack.messages("D0DM")[-1].blocks == blocks
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "*three*"}}
    client.chat_postMessage(channel="D0DM", text="in short", blocks=[section])
    assert slack.messages("D0DM")[-1].text == "*three*"
    buttons = {"type": "actions", "elements": [{"type": "button", "action_id": "a"}]}
    client.chat_postMessage(channel="D0DM", text="in short", blocks=[buttons])
    assert slack.messages("D0DM")[-1].text == "in short"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "C0NONE", "text": "x"}, "channel_not_found"),
        ({"channel": "C0OLD", "text": "x"}, "is_archived"),
        ({"channel": "C0ELSE", "text": "x"}, "not_in_channel"),
        ({}, "no_text"),
        ({"text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "x" * 6_001}] * 2}, "msg_blocks_too_long"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "no such"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": "[1"}, "invalid_blocks_format"),
        ({"text": "x", "thread_ts": ""}, "invalid_thread_ts"),
        ({"text": "x", "metadata": {"event_type": "x"}}, "invalid_metadata_format"),
    ],
)
def test_an_invalid_post_is_refused(slack: FakeSlack, client: WebClient, arguments: dict[str, Any], error: str) -> None:
    before = slack.messages()
    assert code(client.api_call, "chat.postMessage", json={"channel": "D0DM", **arguments}) == error
    assert slack.messages() == before
    assert slack.calls("chat.postMessage")[-1].summary == error


def test_content_at_the_limits_is_accepted(slack: FakeSlack, client: WebClient) -> None:
    client.chat_postMessage(channel="D0DM", markdown_text="x" * 12_000)
    client.chat_postMessage(channel="D0DM", text="x", blocks=[{"type": "markdown", "text": "x" * 6_000}] * 2)
    assert [len(posted.text) for posted in slack.messages("D0DM")[-2:]] == [12_000, 12_002]


def test_chat_update_changes_the_message(slack: FakeSlack, client: WebClient) -> None:
    ts = client.chat_postMessage(channel="D0DM", text="one", metadata={"event_type": "e", "event_payload": {}})["ts"]
    client.chat_update(channel="D0DM", ts=ts, markdown_text="**two**")
    posted = slack.messages("D0DM")[-1]
    assert (posted.ts, posted.text, posted.edited) == (ts, "**two**", True)
    assert posted.metadata is not None
    assert code(client.chat_update, channel="D0DM", ts=ts, text="x" * 4_001) == "msg_too_long"
    assert code(client.chat_update, channel="D0DM", ts="1.1", text="x") == "message_not_found"


def test_the_bot_cannot_change_a_users_message(slack: FakeSlack, client: WebClient) -> None:
    ts = slack.user_says("mine")
    assert code(client.chat_update, channel="D0DM", ts=ts, text="x") == "cant_update_message"
    assert code(client.chat_delete, channel="D0DM", ts=ts) == "cant_delete_message"


def test_chat_delete_removes_the_message(slack: FakeSlack, client: WebClient) -> None:
    ts = client.chat_postMessage(channel="D0DM", text="gone", thread_ts="1700000000.000100")["ts"]
    client.chat_delete(channel="D0DM", ts=ts)
    assert ts not in [posted.ts for posted in slack.messages()]
    assert code(client.chat_delete, channel="D0DM", ts=ts) == "message_not_found"


@pytest.mark.parametrize(
    ("token", "error"),
    [("", "not_authed"), ("xoxb-other", "invalid_auth"), (APP_TOKEN, "not_allowed_token_type")],
)
def test_an_invalid_token_is_refused(slack: FakeSlack, token: str, error: str) -> None:
    assert code(WebClient(token=token, base_url=slack.api_url).auth_test) == error


def test_a_revoked_token_is_refused_and_workspaces_are_separate(slack: FakeSlack) -> None:
    slack.add_workspace("T0ELSE", "xoxb-else", "U0ELSEBOT", "B0ELSE")
    other = WebClient(token="xoxb-else", base_url=slack.api_url)
    assert other.auth_test()["user_id"] == "U0ELSEBOT"
    assert code(other.chat_postMessage, channel="C0OLD", text="x") == "channel_not_found"
    slack.revoke_token("xoxb-else", "account_inactive")
    assert code(other.auth_test) == "account_inactive"


def test_a_missing_scope_is_named(slack: FakeSlack) -> None:
    slack.add_workspace("T0FEW", "xoxb-few", scopes=("users:read",))
    few = WebClient(token="xoxb-few", base_url=slack.api_url)
    answer = refused(few.chat_postMessage, channel="D0DM", text="x")
    assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", "chat:write", "users:read")


def test_an_unknown_method_is_refused(client: WebClient) -> None:
    assert code(client.api_call, "chat.sing") == "unknown_method"


def test_long_text_is_truncated(slack: FakeSlack, client: WebClient) -> None:
    client.chat_postMessage(channel="D0DM", text="x" * 40_001)
    assert len(slack.messages("D0DM")[-1].text) == 40_000
