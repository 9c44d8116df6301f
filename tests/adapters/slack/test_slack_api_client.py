"""Calls to Slack: what becomes of an answer, of none, of limits; against the fake, and against a server that breaks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.base.errors import OutcomeUnknown, PlatformRateLimited, Rejected, Unreachable
from adapters.slack import api_client
from adapters.slack.api_client import SlackClient
from adapters.slack.rate_limits import PER_CHANNEL, rate_of
from adapters.slack.reply_target import Workspace
from gateway.domain.errors import DeliveryError
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.raw_server import RawServer
from tests.fakes.slack_events import TEAM, TOKEN
from tests.fakes.slack_server import (
    ConnectionRefused,
    FakeSlack,
    HangingCall,
    HttpStatus,
    RateLimit,
    ResponseLost,
    SlackErrorFault,
)

POST = "chat.postMessage"
HERE = Workspace(TEAM, TOKEN)
HELLO = {"channel": "C0CHAN", "text": "hello", "thread_ts": None}
SECRET = "xoxb-1234567890-abcdefghij"


@pytest.fixture
def slack(running: FakeSlack) -> Iterator[FakeSlack]:
    yield running
    running.faults.clear()


@pytest.fixture
async def calls(slack: FakeSlack) -> AsyncIterator[SlackClient]:
    calls = SlackClient(slack.api_url)
    yield calls
    await calls.close()


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
async def raw_calls(raw: RawServer) -> AsyncIterator[SlackClient]:
    calls = SlackClient(f"http://127.0.0.1:{raw.port}/api/", timeout=5)
    yield calls
    await calls.close()


async def post(
    calls: SlackClient, delivery: FakeDeliveryContext | None = None, channel: str = "C0CHAN"
) -> dict[str, object]:
    args = HELLO | {"channel": channel}
    return await calls.call(POST, args, workspace=HERE, delivery=delivery, max_wait=0)


# ---------------------------------------------------------------- what is sent


async def test_what_is_said_stands_in_slack_and_what_is_none_is_left_out(slack: FakeSlack, calls: SlackClient) -> None:
    answer = await post(calls)
    assert slack.messages("C0CHAN")[-1].ts == answer["ts"]
    call = slack.calls(POST)[-1]
    assert (call.token, call.args) == (TOKEN, {"channel": "C0CHAN", "text": "hello"})


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        (
            "conversations.history",
            rb"POST /api/conversations.history .*application/json.*\{.limit.: 5, .inclusive.: true\}",
        ),
        ("conversations.replies", rb"GET /api/conversations.replies\?limit=5&inclusive=1 "),
    ],
)
async def test_a_method_is_asked_in_a_form_that_it_takes(
    raw: RawServer, raw_calls: SlackClient, method: str, asked: bytes
) -> None:
    raw.add_response(b'{"ok": true, "messages": []}')
    args = {"limit": 5, "inclusive": True, "cursor": None}
    assert (await raw_calls.call(method, args, workspace=HERE, delivery=None))["messages"] == []
    assert re.match(asked, raw.requests[0], re.DOTALL)
    assert b"Authorization: Bearer xoxb-fake\r\n" in raw.requests[0]


async def test_each_call_has_the_token_of_its_workspace(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_workspace("T0TWO", "xoxb-two", "U0BOT2", "B0BOT2", scopes=["chat:write", "files:read"])
    other, first = await asyncio.gather(calls.identify(Workspace("", "xoxb-two")), calls.identify(Workspace("", TOKEN)))
    assert (other.team, other.user, other.bot_id) == ("T0TWO", "U0BOT2", "B0BOT2")
    assert other.scopes == {"chat:write", "files:read"}
    assert (first.team, first.url) == (TEAM, f"{slack.url}/")


async def test_calls_one_after_another_share_a_connection(raw: RawServer, raw_calls: SlackClient) -> None:
    for _ in range(5):
        raw.add_response(b'{"ok": true}')
        await post(raw_calls)
    assert raw.connections == 1


async def test_what_is_closed_can_be_closed_again_and_opens_anew(slack: FakeSlack, calls: SlackClient) -> None:
    await post(calls)
    await calls.close()
    await calls.close()
    assert (await post(calls))["ok"]


# ---------------------------------------------------------------- limits


async def test_a_post_counts_in_its_channel_and_in_its_workspace(calls: SlackClient) -> None:
    delivery = FakeDeliveryContext()
    await post(calls, delivery)
    await calls.call("auth.test", {}, workspace=HERE, delivery=delivery)
    assert delivery.acquired == [f"slack:{TEAM}:C0CHAN:{POST}", f"slack:{TEAM}:{POST}", f"slack:{TEAM}:auth.test"]


async def test_a_channel_that_is_throttled_holds_up_no_other(slack: FakeSlack, calls: SlackClient) -> None:
    slack.faults.add(POST, RateLimit(7))
    delivery = FakeDeliveryContext()
    with pytest.raises(PlatformRateLimited) as caught:
        await post(calls, delivery)
    assert caught.value.retry_after == 7
    assert delivery.blocked == [(f"slack:{TEAM}:C0CHAN:{POST}", 7)]
    assert (await post(calls, delivery, "D0DM"))["ok"]


async def test_a_method_that_is_throttled_holds_up_no_other(slack: FakeSlack, calls: SlackClient) -> None:
    slack.faults.add("chat.update", RateLimit(3))
    delivery = FakeDeliveryContext()
    with pytest.raises(PlatformRateLimited):
        await calls.call("chat.update", HELLO, workspace=HERE, delivery=delivery)
    assert delivery.blocked == [(f"slack:{TEAM}:chat.update", 3)]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 30\r\n", 30),
        ("", 5),
        ("Retry-After: soon\r\n", 5),
        ("Retry-After: nan\r\n", 5),
        ("Retry-After: -1\r\n", 0),
        ("Retry-After: 999999\r\n", 3600),
    ],
)
async def test_retry_after_is_read_with_care(
    raw: RawServer, raw_calls: SlackClient, header: str, seconds: float
) -> None:
    raw.add_response(b"slow down", status="429 Too Many Requests", content_type="text/plain", headers=header)
    with pytest.raises(PlatformRateLimited) as caught:
        await post(raw_calls)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("method", "a_minute"),
    [("chat.startStream", 20), ("chat.update", 50), ("chat.appendStream", 100), ("files.info", 100), ("new.one", 20)],
)
def test_no_minute_has_more_calls_than_slack_promises_to_take(method: str, a_minute: int) -> None:
    rate = rate_of(method)
    assert 60 / rate.interval > a_minute / 2
    assert 1 < rate.burst + 60 / rate.interval <= a_minute


def test_a_channel_gets_less_than_one_post_a_second_but_for_short_bursts() -> None:
    assert PER_CHANNEL.burst <= 3
    assert PER_CHANNEL.interval > 1


# ---------------------------------------------------------------- answers that are no result


async def test_a_missing_scope_is_named(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_workspace("T0BARE", "xoxb-bare", scopes=["commands"])
    with pytest.raises(Rejected, match=r"lacks the scope chat:write \(it has commands\)") as caught:
        await calls.call(POST, HELLO, workspace=Workspace("T0BARE", "xoxb-bare"), delivery=None)
    assert caught.value.reason == "missing_scope"
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (HttpStatus(503), OutcomeUnknown),
        (HttpStatus(500), OutcomeUnknown),
        (HttpStatus(403), Unreachable),
        (ResponseLost(), OutcomeUnknown),
        (ConnectionRefused(), OutcomeUnknown),
    ],
)
async def test_what_is_no_answer_of_slack_leaves_open_what_was_done(
    slack: FakeSlack,
    calls: SlackClient,
    fault: HttpStatus | ResponseLost | ConnectionRefused,
    kind: type[DeliveryError],
) -> None:
    slack.faults.add(POST, fault)
    before = len(slack.calls(POST))
    with pytest.raises(kind) as caught:
        await post(calls)
    assert caught.value.retry_after
    assert len(slack.calls(POST)) == before + 1


async def test_a_lost_answer_is_never_asked_for_twice(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_channel("C0ONCE")
    slack.faults.add(POST, ResponseLost(times=None))
    with pytest.raises(OutcomeUnknown):
        await post(calls, channel="C0ONCE")
    assert len(slack.messages("C0ONCE")) == 1


async def test_a_read_that_is_lost_may_be_repeated(slack: FakeSlack, calls: SlackClient) -> None:
    slack.faults.add("users.info", HttpStatus(500))
    with pytest.raises(Unreachable):
        await calls.call("users.info", {"user": "U0ANN"}, workspace=HERE, delivery=None)


async def test_no_answer_within_the_time_is_unsure(slack: FakeSlack) -> None:
    calls = SlackClient(slack.api_url, timeout=0.05)
    slack.faults.add(POST, HangingCall())
    with pytest.raises(OutcomeUnknown):
        await post(calls)
    await calls.close()


async def test_an_answer_that_has_not_ended_within_the_time_is_unsure(raw: RawServer) -> None:
    raw.add_partial_stream(b'{"ok": true', hang_up=False)
    calls = SlackClient(f"http://127.0.0.1:{raw.port}/api/", timeout=0.05)
    with pytest.raises(OutcomeUnknown):
        await post(calls)
    async with asyncio.timeout(5):
        await raw.caller_left.wait()
    await calls.close()


async def test_a_slack_that_is_not_there_was_asked_nothing() -> None:
    async with RawServer() as gone:
        port = gone.port
    calls = SlackClient(f"http://127.0.0.1:{port}/api/")
    with pytest.raises(Unreachable, match="cannot be reached") as caught:
        await post(calls)
    assert caught.value.retry_after
    await calls.close()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/api/", "http:///api/"])
async def test_an_address_that_leads_nowhere_is_named_as_the_setting_it_is(url: str) -> None:
    calls = SlackClient(url)
    with pytest.raises(Rejected, match="SLACK_API_URL"):
        await post(calls)
    await calls.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b'"ok"', "application/json"),
        (b"", "application/json"),
        (b"ok", "text/plain"),
        (b"<html>", "text/html"),
        (b'{"ok": false}', "application/json"),
        (b'{"ok": false, "error": {"no": "string"}}', "text/html"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_unsure(
    raw: RawServer, raw_calls: SlackClient, body: bytes, kind: str
) -> None:
    raw.add_response(body, content_type=kind)
    with pytest.raises(OutcomeUnknown):
        await post(raw_calls)
    assert len(raw.requests) == 1


async def test_an_answer_that_breaks_off_is_unsure(raw: RawServer, raw_calls: SlackClient) -> None:
    raw.answers.append(
        ([b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"ok"'], True)
    )
    with pytest.raises(OutcomeUnknown):
        await post(raw_calls)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_never_takes_the_token_elsewhere(raw: RawServer, raw_calls: SlackClient, status: int) -> None:
    async with RawServer() as other:
        raw.add_response(b"", status=f"{status} Moved", headers=f"location: {other.url}/api/\r\n")
        other.add_response(b'{"ok": false, "error": "not_authed"}')
        with pytest.raises(Rejected if status in {307, 308} else Unreachable):
            await post(raw_calls)
        assert TOKEN.encode() not in b"".join(other.requests)


async def test_a_proxy_of_the_environment_is_used(raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", raw.url)
    calls = SlackClient("http://slack.example/api/")
    raw.add_response(b'{"ok": true}')
    assert await post(calls)
    assert raw.requests[0].startswith(b"POST http://slack.example/api/chat.postMessage ")
    await calls.close()


# ---------------------------------------------------------------- secrets


async def test_no_error_and_no_repr_tells_the_token(slack: FakeSlack, calls: SlackClient) -> None:
    workspace = Workspace(TEAM, SECRET)
    errors: list[BaseException] = []
    for fault in (RateLimit(), SlackErrorFault("invalid_auth"), HttpStatus(500), ResponseLost(), ConnectionRefused()):
        slack.faults.add("chat.*", fault)
        with pytest.raises(DeliveryError) as caught:
            await calls.call(POST, HELLO, workspace=workspace, delivery=None)
        errors.append(caught.value)
    assert len(errors) == 5
    assert SECRET not in "".join(f"{error!s} {error!r}" for error in errors) + repr(workspace) + repr(calls)


async def test_nothing_is_logged_of_what_is_said(
    calls: SlackClient, slack: FakeSlack, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        await post(calls)
        slack.faults.add(POST, SlackErrorFault("internal_error"))
        with pytest.raises(OutcomeUnknown):
            await post(calls)
    assert "hello" not in caplog.text
    assert TOKEN not in caplog.text


async def test_an_answer_without_end_is_not_read_to_its_end(
    raw: RawServer, raw_calls: SlackClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "MAX_ANSWER_BYTES", 1000)
    raw.add_response(b'{"ok": true, "result": true, "x": "' + b"x" * 1000 + b'"}')
    with pytest.raises(OutcomeUnknown, match="longer than 1000 bytes"):
        await post(raw_calls)
