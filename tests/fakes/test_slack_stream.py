"""Streamed messages, and statuses, sessions and prompts of an agent, with the real clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.models.messages.chunk import MarkdownTextChunk, TaskUpdateChunk
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.clock import Clock
from tests.fakes.slack_events import TEAM, TOKEN, USER
from tests.fakes.slack_server import FakeSlack

ROOT = "1700000000.000100"
FEEDBACK = {"type": "context_actions", "elements": [{"type": "feedback_buttons", "action_id": "feedback"}]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slack(clock: Clock) -> Iterator[FakeSlack]:
    with FakeSlack(clock=clock) as running:
        yield running


@pytest.fixture
def client(slack: FakeSlack) -> WebClient:
    return WebClient(token=TOKEN, base_url=slack.api_url, retry_handlers=[])


def code(call: Any, **more: Any) -> str:
    with pytest.raises(SlackApiError) as refusal:
        call(**more)
    return str(refusal.value.response["error"])


def begin(client: WebClient, **more: Any) -> dict[str, Any]:
    """Starts a stream in the direct messages; returns the arguments for the next calls."""
    ts = client.chat_startStream(channel="D0DM", thread_ts=ROOT, **more)["ts"]
    return {"channel": "D0DM", "ts": ts}


def test_the_helper_of_the_sync_client_streams(slack: FakeSlack, client: WebClient) -> None:
    stream = client.chat_stream(
        channel="C0CHAN", thread_ts=ROOT, recipient_team_id=TEAM, recipient_user_id=USER, buffer_size=4
    )
    stream.append(markdown_text="**one** ")
    (live,) = slack.messages("C0CHAN")
    assert (live.text, live.streaming, live.thread_ts) == ("**one** ", True, ROOT)
    stream.append(markdown_text="two")
    stream.stop(blocks=[FEEDBACK], metadata={"event_type": "reply", "event_payload": {"turn": "1"}})
    (done,) = slack.messages("C0CHAN")
    assert (done.text, done.streaming, done.blocks) == ("**one** two", False, [FEEDBACK])
    assert done.metadata == {"event_type": "reply", "event_payload": {"turn": "1"}}


async def test_the_helper_of_the_async_client_streams(slack: FakeSlack) -> None:
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=TOKEN, base_url=slack.api_url, session=session)
        stream = await client.chat_stream(channel="D0DM", thread_ts=ROOT, buffer_size=1)
        await stream.append(markdown_text="one ")
        await stream.append(markdown_text="two")
        await stream.stop()
    assert [posted.text for posted in slack.messages("D0DM")] == ["one two"]
    assert [call.method for call in slack.calls()] == ["chat.startStream", "chat.appendStream", "chat.stopStream"]


def test_task_chunks_are_shown_beside_the_text(slack: FakeSlack, client: WebClient) -> None:
    stream = begin(client, chunks=[TaskUpdateChunk(id="1", title="look", status="in_progress")])
    text = MarkdownTextChunk(text="found")
    client.chat_appendStream(**stream, chunks=[TaskUpdateChunk(id="1", title="look", status="complete"), text])
    (posted,) = slack.messages("D0DM")
    assert posted.text == "found"
    assert [chunk.get("status") for chunk in posted.stream_chunks] == ["in_progress", "complete", None]


def test_markdown_text_can_be_streamed(slack: FakeSlack, client: WebClient) -> None:
    stream = begin(client, markdown_text="one ")
    client.chat_appendStream(**stream, markdown_text="two ")
    client.chat_stopStream(**stream, markdown_text="three")
    assert slack.messages("D0DM")[0].text == "one two three"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "C0CHAN"}, "missing_recipient_team_id"),
        ({"channel": "C0CHAN", "recipient_team_id": TEAM}, "missing_recipient_user_id"),
        ({"channel": "C0NONE"}, "channel_not_found"),
        ({"thread_ts": ""}, "invalid_arguments"),
        ({"thread_ts": "now"}, "invalid_thread_ts"),
        ({"task_display_mode": "tree"}, "invalid_arguments"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"chunks": [{"type": "markdown_text", "text": "x" * 12_001}]}, "msg_too_long"),
        ({"chunks": [{"type": "task_update", "id": "1", "title": "t", "status": "done"}]}, "invalid_chunks"),
        ({"chunks": [{"type": "task_update", "title": "t"}]}, "invalid_chunks"),
        ({"chunks": [{"type": "song"}]}, "invalid_chunks"),
        ({"markdown_text": "x", "chunks": []}, "cannot_provide_both_markdown_text_and_chunks"),
    ],
)
def test_an_invalid_stream_start_is_refused(
    slack: FakeSlack, client: WebClient, arguments: dict[str, Any], error: str
) -> None:
    assert code(client.chat_startStream, **{"channel": "D0DM", "thread_ts": ROOT, **arguments}) == error
    assert slack.messages() == []


def test_a_stream_cannot_change_its_mode(client: WebClient) -> None:
    in_text, in_chunks = begin(client, markdown_text="x"), begin(client, chunks=[MarkdownTextChunk(text="x")])
    assert code(client.chat_appendStream, **in_text, chunks=[MarkdownTextChunk(text="y")]) == "streaming_mode_mismatch"
    assert code(client.chat_stopStream, **in_chunks, markdown_text="y") == "streaming_mode_mismatch"


def test_a_stream_has_a_byte_limit_over_all_calls(slack: FakeSlack, client: WebClient) -> None:
    stream = begin(client, markdown_text="ü" * 5_000)
    assert code(client.chat_appendStream, **stream, markdown_text="ü" * 501) == "msg_too_long"
    client.chat_appendStream(**stream, markdown_text="ü" * 500)
    assert slack.messages("D0DM")[0].text == "ü" * 5_500


def test_a_streaming_message_cannot_be_updated(slack: FakeSlack, client: WebClient) -> None:
    stream = begin(client, markdown_text="x")
    assert code(client.chat_update, **stream, text="y") == "streaming_state_conflict"
    client.chat_stopStream(**stream)
    client.chat_update(**stream, text="y")
    assert slack.messages("D0DM")[0].text == "y"


def test_a_stream_ends_after_five_minutes(slack: FakeSlack, client: WebClient, clock: Clock) -> None:
    stream = begin(client, markdown_text="x")
    clock.now += 299
    client.chat_appendStream(**stream, markdown_text="y")
    clock.now += 1
    assert not slack.messages("D0DM")[0].streaming
    assert code(client.chat_appendStream, **stream, markdown_text="z") == "message_not_in_streaming_state"
    assert code(client.chat_stopStream, **stream) == "message_not_in_streaming_state"
    assert slack.messages("D0DM")[0].text == "xy"


def test_streams_can_be_expired(slack: FakeSlack, client: WebClient) -> None:
    stream = begin(client, markdown_text="x")
    slack.expire_streams()
    assert code(client.chat_appendStream, **stream, markdown_text="y") == "message_not_in_streaming_state"


def test_a_message_without_stream_cannot_be_appended_to(slack: FakeSlack, client: WebClient) -> None:
    stream = begin(client)
    assert code(client.chat_appendStream, **stream, chunks=[]) == "no_text"
    client.chat_stopStream(**stream)
    ended = "message_not_in_streaming_state"
    assert code(client.chat_appendStream, **stream, markdown_text="y") == ended
    plain = client.chat_postMessage(channel="D0DM", text="x")["ts"]
    assert code(client.chat_appendStream, channel="D0DM", ts=plain, markdown_text="y") == ended
    theirs = slack.user_says("mine")
    assert code(client.chat_stopStream, channel="D0DM", ts=theirs) == "message_not_owned_by_app"


def test_a_workspace_can_be_without_streaming() -> None:
    with FakeSlack(streaming=False) as slack:
        client = WebClient(token=TOKEN, base_url=slack.api_url)
        assert code(client.chat_startStream, channel="D0DM", thread_ts=ROOT) == "unknown_method"


def test_the_stop_button_ends_the_streams_of_its_thread(slack: FakeSlack, client: WebClient) -> None:
    stream = begin(client, markdown_text="x")
    other = client.chat_startStream(channel="D0DM", thread_ts="1700000000.000200", markdown_text="y")["ts"]
    assert slack.press_stop("D0DM", ROOT) == [stream["ts"]]
    assert code(client.chat_appendStream, **stream, markdown_text="z") == "stopped_by_user"
    assert {posted.ts: posted.streaming for posted in slack.messages("D0DM")} == {stream["ts"]: False, other: True}


def test_a_status_is_shown_until_the_bot_posts_or_two_minutes_pass(
    slack: FakeSlack, client: WebClient, clock: Clock
) -> None:
    place: dict[str, Any] = {"channel_id": "D0DM", "thread_ts": ROOT}
    client.assistant_threads_setStatus(**place, status="is thinking…", loading_messages=["one", "two"])
    assert slack.shown_status("D0DM", ROOT) == "is thinking…"
    client.chat_postMessage(channel="D0DM", thread_ts=ROOT, text="done")
    assert slack.shown_status("D0DM", ROOT) == ""
    client.assistant_threads_setStatus(**place, status="is thinking again…")
    clock.now += 120
    assert slack.shown_status("D0DM", ROOT) == ""
    assert slack.statuses("D0DM", ROOT) == ["is thinking…", "is thinking again…"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel_id": "D0NONE"}, "channel_not_found"),
        ({"thread_ts": "now"}, "invalid_thread_ts"),
        ({"loading_messages": ["x"] * 11}, "invalid_arguments"),
        ({"loading_messages": ["x" * 51]}, "invalid_arguments"),
    ],
)
def test_an_invalid_status_is_refused(
    slack: FakeSlack, client: WebClient, arguments: dict[str, Any], error: str
) -> None:
    place = {"channel_id": "D0DM", "thread_ts": ROOT, "status": "x"}
    assert code(client.assistant_threads_setStatus, **{**place, **arguments}) == error
    assert slack.statuses("D0DM", ROOT) == []


def test_a_session_follows_the_agents_statuses(slack: FakeSlack, client: WebClient) -> None:
    place = {"channel_id": "D0DM", "thread_ts": ROOT}
    client.agents_sessions_setStatus(**place, status="processing", title="Work")
    client.agents_sessions_rename(**place, title="Hard work")
    stream = begin(client, markdown_text="x")
    client.chat_stopStream(**stream, session_status="suspended")
    client.chat_stopStream(**begin(client))
    assert slack.session_statuses("D0DM", ROOT) == ["processing", "suspended", "active"]
    assert slack.thread_title("D0DM", ROOT) == "Hard work"
    assert code(client.agents_sessions_setStatus, **place, status="dreaming") == "invalid_arguments"


def test_an_app_that_is_not_an_agent_has_no_sessions() -> None:
    with FakeSlack(agent=False) as slack:
        client = WebClient(token=TOKEN, base_url=slack.api_url)
        place = {"channel_id": "D0DM", "thread_ts": ROOT}
        assert code(client.agents_sessions_setStatus, **place, status="active") == "not_authorized"
        assert code(client.agents_sessions_rename, **place, title="x") == "not_authorized"


def test_prompts_in_an_agents_thread_are_accepted_but_not_shown(slack: FakeSlack, client: WebClient) -> None:
    prompt = {"title": "Weather", "message": "How is the weather?"}
    client.assistant_threads_setSuggestedPrompts(channel_id="D0DM", prompts=[prompt], thread_ts=ROOT)
    assert slack.suggested_prompts("D0DM") == []
    client.api_call("assistant.threads.setSuggestedPrompts", json={"channel_id": "D0DM", "prompts": [prompt]})
    assert slack.suggested_prompts("D0DM") == [prompt]
    too_many = {"channel_id": "D0DM", "prompts": [prompt] * 5}
    assert code(client.api_call, api_method="assistant.threads.setSuggestedPrompts", json=too_many) == (
        "invalid_arguments"
    )
