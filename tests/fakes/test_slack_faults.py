"""Injected faults and rate limits of the fake Slack's Web API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.client import RemoteDisconnected

import aiohttp
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.clock import Clock
from tests.fakes.slack_events import TOKEN
from tests.fakes.slack_server import (
    ConnectionRefused,
    FakeSlack,
    HangingCall,
    HttpStatus,
    PlatformFault,
    RateLimit,
    ResponseLost,
    SlackErrorFault,
)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as running:
        yield running


@pytest.fixture
def client(slack: FakeSlack) -> WebClient:
    return WebClient(token=TOKEN, base_url=slack.api_url, retry_handlers=[])


def texts(slack: FakeSlack) -> list[str]:
    return [posted.text for posted in slack.messages()]


def answers(slack: FakeSlack) -> list[str]:
    return [call.summary for call in slack.calls()]


@pytest.mark.parametrize(
    ("fault", "status", "answered"),
    [
        (RateLimit(7), 429, "ratelimited"),
        (SlackErrorFault("is_archived", extra_fields={"why": "x"}), 200, "is_archived"),
        (HttpStatus(503), 503, "503"),
    ],
)
def test_a_call_answered_with_an_injected_fault_is_not_performed(
    slack: FakeSlack, client: WebClient, fault: PlatformFault, status: int, answered: str
) -> None:
    slack.faults.add("chat.postMessage", fault)
    with pytest.raises(SlackApiError) as refusal:
        client.chat_postMessage(channel="D0DM", text="x")
    assert refusal.value.response.status_code == status
    client.chat_postMessage(channel="D0DM", text="y")
    assert (texts(slack), answers(slack)) == (["y"], [answered, "ok"])


def test_an_injected_rate_limit_has_retry_after(slack: FakeSlack, client: WebClient) -> None:
    slack.faults.add("auth.test", RateLimit(7))
    with pytest.raises(SlackApiError) as refusal:
        client.auth_test()
    assert refusal.value.response.headers["Retry-After"] == "7"


def test_a_call_with_a_lost_answer_is_performed(slack: FakeSlack, client: WebClient) -> None:
    slack.faults.add("chat.postMessage", ResponseLost())
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        client.chat_postMessage(channel="D0DM", text="x")
    assert texts(slack) == ["x"]
    slack.wait_until(lambda: answers(slack) == ["lost"])
    assert slack.calls()[0].answer["ts"] == slack.messages()[0].ts


def test_a_call_on_a_refused_connection_is_not_performed(slack: FakeSlack, client: WebClient) -> None:
    slack.faults.add("chat.postMessage", ConnectionRefused())
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        client.chat_postMessage(channel="D0DM", text="x")
    slack.wait_until(lambda: answers(slack) == ["refused"])
    assert texts(slack) == []


async def test_a_hanging_call_is_performed_when_released(slack: FakeSlack) -> None:
    slack.faults.add("chat.*", HangingCall())
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=TOKEN, base_url=slack.api_url, session=session)
        call = asyncio.ensure_future(client.chat_postMessage(channel="D0DM", text="x"))
        await slack.wait_until_async(lambda: slack.faults.hanging == 1)
        assert (texts(slack), answers(slack)) == ([], [""])
        slack.faults.release()
        assert (await call)["ts"] == slack.messages()[0].ts


def test_faults_apply_in_order_and_as_often_as_set(slack: FakeSlack, client: WebClient) -> None:
    slack.faults.add("chat.postMessage", SlackErrorFault("one", times=2), SlackErrorFault("two", skip=1))
    for _ in range(5):
        client_call(client)
    assert answers(slack) == ["one", "one", "ok", "two", "ok"]


def test_a_fault_can_last_until_cleared(slack: FakeSlack, client: WebClient) -> None:
    slack.faults.add("chat.*", SlackErrorFault("fatal_error", times=None))
    for _ in range(3):
        client_call(client)
    client.auth_test()
    slack.faults.clear()
    client_call(client)
    assert answers(slack) == ["fatal_error", "fatal_error", "fatal_error", "ok", "ok"]


def client_call(client: WebClient) -> None:
    try:
        client.chat_postMessage(channel="D0DM", text="x")
    except SlackApiError:
        return


def test_hooks_run_before_and_after_a_call_is_performed(slack: FakeSlack, client: WebClient) -> None:
    seen: list[tuple[str, int]] = []
    slack.faults.before("chat.postMessage", lambda call: seen.append((call.summary, len(texts(slack)))))
    slack.faults.after("chat.postMessage", lambda call: seen.append((call.answer["ts"], len(texts(slack)))))
    answer = client.chat_postMessage(channel="D0DM", text="x")
    client.auth_test()
    assert seen == [("", 0), (answer["ts"], 1)]


def test_a_waiting_hook_does_not_block_other_calls(slack: FakeSlack, client: WebClient) -> None:
    reached, gate = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        reached.set()
        assert gate.wait(20)

    slack.faults.before("chat.postMessage", hold)
    call = threading.Thread(target=client.chat_postMessage, kwargs={"channel": "D0DM", "text": "x"})
    call.start()
    assert reached.wait(20)
    assert client.auth_test()["ok"]
    gate.set()
    call.join(20)
    assert texts(slack) == ["x"]


# ---------------------------------------------------------------- tiers


def allowed(client: WebClient, method: str, tries: int, **arguments: str) -> tuple[int, int]:
    """Returns how many of ``tries`` calls are allowed, and the Retry-After of the last."""
    passed, wait = 0, 0
    for _ in range(tries):
        try:
            client.api_call(method, json=arguments)
            passed += 1
        except SlackApiError as error:
            if error.response.status_code != 429:
                passed += 1
            else:
                wait = int(error.response.headers["Retry-After"])
    return passed, wait


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(clock: Clock) -> Iterator[FakeSlack]:
    with FakeSlack(tiers=True, clock=clock) as running:
        yield running


def test_a_method_has_a_limit_per_minute_and_workspace(limited: FakeSlack, clock: Clock) -> None:
    limited.add_workspace("T0ELSE", "xoxb-else")
    client, other = (WebClient(token=token, base_url=limited.api_url) for token in (TOKEN, "xoxb-else"))
    assert allowed(client, "chat.startStream", 25, channel="D0DM") == (20, 60)
    assert allowed(client, "chat.update", 55, channel="D0DM") == (50, 60)
    assert allowed(other, "chat.startStream", 1) == (1, 0)
    clock.now += 59
    assert allowed(client, "chat.startStream", 1) == (0, 1)
    clock.now += 1
    assert allowed(client, "chat.startStream", 1) == (1, 0)


def test_a_channel_accepts_one_post_a_second(limited: FakeSlack, clock: Clock) -> None:
    client = WebClient(token=TOKEN, base_url=limited.api_url)
    assert allowed(client, "chat.postMessage", 2, channel="D0DM", text="x") == (1, 1)
    assert allowed(client, "chat.postMessage", 1, channel="C0CHAN", text="x") == (1, 0)
    clock.now += 1
    assert allowed(client, "chat.postMessage", 1, channel="D0DM", text="x") == (1, 0)
