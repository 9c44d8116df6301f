"""Socket Mode of the fake Slack, with the real Bolt and with a plain WebSocket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from slack_bolt import Ack, App, Say
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.fakes.slack_events import APP_TOKEN, TOKEN
from tests.fakes.slack_server import FakeSlack

CLICKED = threading.Event()


@pytest.fixture(scope="module")
def bolted() -> Iterator[FakeSlack]:
    """A fake Slack with a Bolt app connected over a socket."""
    with FakeSlack() as slack:
        web_client = WebClient(base_url=slack.api_url)
        handler: Any = SocketModeHandler(talkative(slack), APP_TOKEN, web_client=web_client, ping_interval=0.2)
        handler.connect()
        slack.wait_until(lambda: slack.sockets.open_count)
        yield slack
        handler.client.auto_reconnect_enabled = False
        slack.sockets.cut()  # otherwise the client keeps its socket open for three more seconds
        handler.close()


def talkative(slack: FakeSlack) -> App:
    app = App(client=WebClient(token=TOKEN, base_url=slack.api_url))

    @app.message("")
    def answer(event: dict[str, Any], say: Say) -> None:
        say(text=f"you said {event['text']}", thread_ts=event["ts"])

    @app.command("/reset")
    def reset(ack: Ack) -> None:
        ack("forgotten")

    @app.action("feedback")
    def feedback(ack: Ack) -> None:
        ack()
        CLICKED.set()

    return app


def test_a_bolt_app_answers_over_its_socket(bolted: FakeSlack) -> None:
    ts = bolted.user_says("hi")
    bolted.wait_until(lambda: bolted.bot_messages("D0DM", ts))
    bolted.wait_until_delivered()
    assert [posted.text for posted in bolted.messages("D0DM", ts)] == ["hi", "you said hi"]
    assert bolted.deliveries[-1].status == 200


def test_commands_and_clicks_are_acknowledged_with_an_answer(bolted: FakeSlack) -> None:
    trigger = bolted.run_command("reset")
    bolted.click("feedback", "good")
    bolted.wait_until_delivered()
    assert CLICKED.is_set()
    assert [one.answer for one in bolted.deliveries if one.event_id == trigger] == ['{"text":"forgotten"}']


@pytest.mark.parametrize("end", ["disconnect", "cut"])
def test_a_client_reconnects_after_its_socket_closes(bolted: FakeSlack, end: str) -> None:
    before = len(bolted.calls("apps.connections.open"))
    getattr(bolted.sockets, end)()
    bolted.wait_until(lambda: len(bolted.calls("apps.connections.open")) > before and bolted.sockets.open_count)
    ts = bolted.user_says("still there?")
    bolted.wait_until(lambda: bolted.bot_messages("D0DM", ts))


# ---------------------------------------------------------------- a bare socket


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as running:
        yield running


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack(response_timeout=0.5) as running:  # a slow machine acknowledges by then
        yield running


async def opened(slack: FakeSlack, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    headers = {"Authorization": f"Bearer {APP_TOKEN}"}
    async with http.post(f"{slack.api_url}apps.connections.open", headers=headers) as answer:
        url = (await answer.json())["url"]
    socket = await http.ws_connect(url)
    assert (await socket.receive_json())["type"] == "hello"
    return socket


async def acknowledge(socket: aiohttp.ClientWebSocketResponse, heard: list[str]) -> None:
    async for frame in socket:
        envelope = frame.json()
        heard.append(envelope["payload"]["event"]["text"])
        await socket.send_json({"envelope_id": envelope["envelope_id"]})


async def test_each_event_is_sent_over_one_socket(slack: FakeSlack, http: aiohttp.ClientSession) -> None:
    heard: tuple[list[str], list[str]] = ([], [])
    listening = [asyncio.ensure_future(acknowledge(await opened(slack, http), one)) for one in heard]
    texts = [str(number) for number in range(40)]
    for text in texts:
        slack.user_says(text)
    await slack.wait_until_async(lambda: len(slack.deliveries) == 40)
    assert sorted(heard[0] + heard[1]) == sorted(texts)
    assert all(heard)
    slack.sockets.disconnect()
    await asyncio.gather(*listening, return_exceptions=True)


async def test_an_unacknowledged_event_is_retried_with_its_retry_attempt(
    slack: FakeSlack, http: aiohttp.ClientSession
) -> None:
    socket = await opened(slack, http)
    slack.user_says("hi")
    first, second = await socket.receive_json(), await socket.receive_json()
    await socket.send_json({"envelope_id": second["envelope_id"]})
    await asyncio.to_thread(slack.wait_until_delivered)
    assert first["envelope_id"] != second["envelope_id"]
    assert first["payload"] == second["payload"]
    assert [(one["retry_attempt"], one["retry_reason"]) for one in (first, second)] == [(0, ""), (1, "http_timeout")]
    assert [(one.retry_num, one.status) for one in slack.deliveries] == [(0, 0), (1, 200)]


async def test_an_event_is_resent_over_another_socket_when_its_socket_breaks(
    slack: FakeSlack, http: aiohttp.ClientSession
) -> None:
    socket = await opened(slack, http)
    slack.user_says("hi")
    await socket.receive_json()
    await socket.close()
    heard: list[str] = []
    listening = asyncio.ensure_future(acknowledge(await opened(slack, http), heard))
    await asyncio.to_thread(slack.wait_until_delivered)
    assert heard == ["hi"]
    listening.cancel()


async def test_an_event_waits_until_a_socket_is_open(http: aiohttp.ClientSession) -> None:
    with FakeSlack() as slack:
        slack.user_says("anybody?")
        socket = await opened(slack, http)
        envelope = await socket.receive_json()
        assert (envelope["type"], envelope["payload"]["event"]["text"]) == ("events_api", "anybody?")
        await socket.send_json({"envelope_id": envelope["envelope_id"]})
        await asyncio.to_thread(slack.wait_until_delivered)


def test_only_the_app_token_opens_a_socket(slack: FakeSlack) -> None:
    client = WebClient(base_url=slack.api_url)
    for token, error in ((TOKEN, "not_allowed_token_type"), ("xapp-other", "invalid_auth")):
        with pytest.raises(SlackApiError) as refusal:
            client.apps_connections_open(app_token=token)
        assert refusal.value.response["error"] == error


async def test_a_ticket_opens_one_socket(slack: FakeSlack, http: aiohttp.ClientSession) -> None:
    answer = await asyncio.to_thread(WebClient(base_url=slack.api_url).apps_connections_open, app_token=APP_TOKEN)
    await http.ws_connect(answer["url"])
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(answer["url"])
