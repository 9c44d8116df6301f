"""Calls to Telegram: what becomes of an answer, of none, of limits; with the fake, and with a server that breaks."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from telegram import BotCommand, MessageEntity

from adapters.base.errors import OutcomeUnknown, PlatformRateLimited, Rejected, Unreachable
from adapters.telegram import api_client
from adapters.telegram.api_client import BOT, CONCURRENT_CALLS, GROUP, PRIVATE, TelegramClient
from adapters.telegram.errors import Migrated, Reason
from adapters.telegram.settings import TelegramSettings
from gateway.domain.errors import DeliveryError, SettingsError
from gateway.ports.token_buckets import Rate
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.raw_server import RawServer
from tests.fakes.telegram_messages import BOT_ID, BOT_NAME, TOKEN, USER
from tests.fakes.telegram_messages import GROUP as CROWD
from tests.fakes.telegram_server import (
    ConnectionRefused,
    FakeTelegram,
    HangingCall,
    HttpStatus,
    RateLimit,
    ResponseLost,
    TelegramErrorFault,
)

SECRET = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
YES = b'{"ok": true, "result": true}'


def settings(url: str, token: str = TOKEN) -> TelegramSettings:
    return TelegramSettings(telegram_bot_token=SecretStr(token), telegram_api_url=url)


@pytest.fixture
def server(running: FakeTelegram) -> Iterator[FakeTelegram]:
    yield running
    running.faults.clear()


@pytest.fixture
async def calls(server: FakeTelegram) -> AsyncIterator[TelegramClient]:
    calls = TelegramClient(settings(server.url))
    yield calls
    await calls.close()


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
async def raw_calls(raw: RawServer) -> AsyncIterator[TelegramClient]:
    calls = TelegramClient(settings(f"http://127.0.0.1:{raw.port}", SECRET), timeout=5)
    yield calls
    await calls.close()


async def say(
    calls: TelegramClient, delivery: FakeDeliveryContext | None = None, chat: int | str = USER, text: str = "hello"
) -> int:
    sent = await calls.call("send_message", chat, delivery=delivery, max_wait=0, text=text)
    number: int = sent.message_id
    return number


# ---------------------------------------------------------------- what is sent


async def test_more_calls_than_are_made_at_once_stand_in_line(server: FakeTelegram, calls: TelegramClient) -> None:
    server.faults.add("sendMessage", HangingCall(times=None))
    saying = [asyncio.create_task(say(calls, text=f"{number}")) for number in range(CONCURRENT_CALLS + 1)]
    await server.wait_until_async(lambda: server.faults.hanging == CONCURRENT_CALLS)
    server.faults.release()
    assert len(set(await asyncio.gather(*saying))) == CONCURRENT_CALLS + 1


async def test_what_is_said_stands_in_the_chat_and_what_is_none_is_left_out(
    server: FakeTelegram, calls: TelegramClient
) -> None:
    bold = MessageEntity(MessageEntity.BOLD, 0, 5)
    args: dict[str, Any] = {"text": "hello", "entities": [bold], "message_thread_id": None}
    sent = await calls.call("send_message", str(USER), delivery=None, **args)
    shown = server.bot_messages()[-1]
    assert (shown.message_id, shown.text, shown.entities) == (sent.message_id, "hello", (json.loads(bold.to_json()),))
    assert "message_thread_id" not in server.calls("sendMessage")[-1].args


async def test_a_method_that_the_library_lacks_or_has_is_asked_in_telegrams_own_words(
    server: FakeTelegram, calls: TelegramClient
) -> None:
    assert await calls.call("getUpdates", delivery=None, allowed_updates=["message"], timeout=1, limit=1) == []
    me = await calls.call("getMe", delivery=None)
    assert me["username"] == BOT_NAME
    with pytest.raises(Rejected) as caught:
        await calls.call("sendRichMessage", USER, delivery=None, rich_message={"markdown": "# Hi"})
    assert caught.value.reason is Reason.NO_METHOD
    assert json.loads(server.calls("sendRichMessage")[-1].args["rich_message"]) == {"markdown": "# Hi"}


async def test_a_draft_can_have_a_button_that_stops_it(server: FakeTelegram, calls: TelegramClient) -> None:
    args: dict[str, Any] = {"draft_id": 5, "text": "so far", "api_kwargs": {"can_stop": True}}
    assert await calls.call("send_message_draft", USER, delivery=None, **args)
    assert [draft.text for draft in server.drafts()] == ["so far"]
    assert server.calls("sendMessageDraft")[-1].args["can_stop"] in (True, "true")


async def test_it_knows_whose_the_token_is(calls: TelegramClient) -> None:
    assert calls.bot_id == str(BOT_ID)
    me = await calls.identify()
    assert (me.id, me.username, me.reads_groups) == (str(BOT_ID), BOT_NAME, False)


def test_without_a_token_there_are_no_calls() -> None:
    with pytest.raises(SettingsError, match="TELEGRAM_BOT_TOKEN"):
        TelegramClient(TelegramSettings(telegram_bot_token=None))


async def test_an_edit_that_changes_nothing_is_done(calls: TelegramClient) -> None:
    number = await say(calls)
    for _ in range(2):
        assert await calls.call("edit_message_text", USER, delivery=None, message_id=number, text="new")
    assert await calls.call("edit_message_text", USER, delivery=None, message_id=number, text="new") is True


async def test_calls_one_after_another_share_a_connection(raw: RawServer, raw_calls: TelegramClient) -> None:
    for _ in range(5):
        raw.add_response(YES)
        await raw_calls.call("send_chat_action", USER, delivery=None, action="typing")
    assert raw.connections == 1


async def test_what_is_closed_can_be_closed_again_and_opens_anew(calls: TelegramClient) -> None:
    await say(calls)
    await calls.close()
    await calls.close()
    assert await say(calls)


async def test_the_library_takes_what_it_is_given_for_the_menu(server: FakeTelegram, calls: TelegramClient) -> None:
    await calls.call("set_my_commands", delivery=None, commands=[BotCommand("new", "Begin anew")])
    assert server.commands == [{"command": "new", "description": "Begin anew"}]


# ---------------------------------------------------------------- limits

EVERYTHING = f"telegram:{BOT_ID}"


async def test_sends_edits_and_typing_count_in_their_chat_and_for_the_bot(calls: TelegramClient) -> None:
    delivery = FakeDeliveryContext()
    number = await say(calls, delivery)
    await calls.call("edit_message_text", USER, delivery=delivery, message_id=number, text="new")
    await calls.call("send_chat_action", USER, delivery=delivery, action="typing")
    assert delivery.acquired == [f"{EVERYTHING}:chat:{USER}", EVERYTHING] * 3


async def test_drafts_take_no_message_its_place(calls: TelegramClient) -> None:
    delivery = FakeDeliveryContext()
    await calls.call("send_message_draft", USER, delivery=delivery, draft_id=1, text="x")
    await calls.call("get_me", delivery=delivery)
    assert delivery.acquired == [f"{EVERYTHING}:chat:{USER}:draft", EVERYTHING]


class Rates(FakeDeliveryContext):
    """Notes how often, and for how long it would wait."""

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        self.saved_progress.append((bucket, str(rate.interval), str(rate.burst), str(max_wait)))
        await asyncio.sleep(0.01)
        return True


async def test_groups_are_slower_than_private_chats_and_one_patience_is_for_all(calls: TelegramClient) -> None:
    delivery = Rates()
    await calls.call("send_message", USER, delivery=delivery, max_wait=9, text="x")
    await calls.call("send_message", CROWD, delivery=delivery, max_wait=9, text="x")
    places = {bucket: Rate(float(every), int(burst)) for bucket, every, burst, _ in delivery.saved_progress}
    assert places == {f"{EVERYTHING}:chat:{USER}": PRIVATE, f"{EVERYTHING}:chat:{CROWD}": GROUP, EVERYTHING: BOT}
    first, second = (float(note[-1]) for note in delivery.saved_progress[:2])
    assert 8 < second < first <= 9


async def test_a_chat_that_is_throttled_holds_up_no_other(server: FakeTelegram, calls: TelegramClient) -> None:
    server.faults.add("sendMessage", RateLimit(7))
    delivery = FakeDeliveryContext()
    with pytest.raises(PlatformRateLimited) as caught:
        await say(calls, delivery)
    assert caught.value.retry_after == 7
    assert delivery.blocked == [(f"{EVERYTHING}:chat:{USER}", 7)]
    assert await say(calls, delivery, CROWD)


async def test_a_draft_that_is_throttled_holds_up_no_message(server: FakeTelegram, calls: TelegramClient) -> None:
    server.faults.add("sendMessageDraft", RateLimit(3))
    delivery = FakeDeliveryContext()
    with pytest.raises(PlatformRateLimited):
        await calls.call("send_message_draft", USER, delivery=delivery, draft_id=1, text="x")
    assert delivery.blocked == [(f"{EVERYTHING}:chat:{USER}:draft", 3)]


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"ok": false, "parameters": {"retry_after": 30}}', 30),
        (b'{"ok": false, "parameters": {"retry_after": 999999}}', 3600),
        (b'{"ok": false, "description": "Too Many Requests"}', 5),
        (b"slow down", 5),
    ],
)
async def test_retry_after_is_read_with_care(
    raw: RawServer, raw_calls: TelegramClient, body: bytes, seconds: float
) -> None:
    raw.add_response(body, status="429 Too Many Requests")
    with pytest.raises(PlatformRateLimited) as caught:
        await say(raw_calls)
    assert caught.value.retry_after == seconds


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "why", "reason"),
    [
        (400, "message to edit not found", Reason.MESSAGE_GONE),
        (400, "TOPIC_CLOSED", Reason.TOPIC_GONE),
        (400, "entity URL 'https://localhost/a' is invalid: Wrong HTTP URL", Reason.MARKUP),
        (400, "message is too long", Reason.TOO_LONG),
        (413, "", Reason.FILE),
        (403, "bot was blocked by the user", Reason.BLOCKED),
        (403, "something new", Reason.RIGHTS),
        (400, "something new", Reason.OTHER),
        (406, "something new", Reason.OTHER),
        (401, "", Reason.TOKEN),
        (404, "method not found", Reason.NO_METHOD),
        (404, "", Reason.TOKEN),
        (421, "Misdirected Request: unallowed token specified", Reason.TOKEN),
    ],
)
async def test_a_refusal_has_a_reason(
    server: FakeTelegram, calls: TelegramClient, status: int, why: str, reason: Reason
) -> None:
    server.faults.add("sendMessage", TelegramErrorFault(status, why))
    with pytest.raises(Rejected) as caught:
        await say(calls)
    assert caught.value.reason is reason
    assert caught.value.retry_after is None
    assert "send_message" in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("status", "why", "reason"), [(404, "Not Found", Reason.NO_METHOD), (401, "Unauthorized", Reason.TOKEN)]
)
async def test_after_a_success_a_method_that_is_not_found_is_not_blamed_on_the_token(
    server: FakeTelegram, calls: TelegramClient, status: int, why: str, reason: Reason
) -> None:
    await calls.call("get_me", delivery=None)
    server.faults.add("setMyCommands", TelegramErrorFault(status, why))
    with pytest.raises(Rejected) as caught:
        await calls.call("set_my_commands", delivery=None, commands=[BotCommand("new", "Begin anew")])
    assert caught.value.reason is reason
    assert ("TELEGRAM_BOT_TOKEN" in str(caught.value)) is (reason is Reason.TOKEN)


async def test_what_somebody_said_is_not_in_the_error(server: FakeTelegram, calls: TelegramClient) -> None:
    server.faults.add(
        "sendMessage", TelegramErrorFault(400, "Entity URL 'https://secret.plan' is invalid: Wrong HTTP URL")
    )
    with pytest.raises(Rejected, match="URL is invalid") as caught:
        await say(calls)
    assert "plan" not in str(caught.value)


async def test_a_group_that_moved_says_where_it_is(server: FakeTelegram, calls: TelegramClient) -> None:
    server.faults.add("sendMessage", TelegramErrorFault(400, "upgraded", parameters={"migrate_to_chat_id": -100777}))
    with pytest.raises(Migrated) as caught:
        await say(calls, chat=-55)
    assert (caught.value.reason, caught.value.to) == (Reason.MIGRATED, "-100777")


async def test_two_that_poll_are_told_to_come_back(server: FakeTelegram, calls: TelegramClient) -> None:
    server.faults.add("getUpdates", TelegramErrorFault(409, "terminated by other getUpdates request"))
    with pytest.raises(Rejected) as caught:
        await calls.call("getUpdates", delivery=None)
    assert caught.value.reason is Reason.CONFLICT
    assert caught.value.retry_after


# ---------------------------------------------------------------- what breaks on the way


@pytest.mark.parametrize(
    "fault", [HttpStatus(500), HttpStatus(502), TelegramErrorFault(500), ResponseLost(), ConnectionRefused()], ids=str
)
async def test_no_answer_leaves_open_whether_a_message_stands_there(
    server: FakeTelegram,
    calls: TelegramClient,
    fault: HttpStatus | TelegramErrorFault | ResponseLost | ConnectionRefused,
) -> None:
    server.faults.add("sendMessage", fault)
    before = len(server.calls("sendMessage"))
    with pytest.raises(OutcomeUnknown) as caught:
        await say(calls)
    assert caught.value.retry_after
    assert len(server.calls("sendMessage")) == before + 1


@pytest.mark.parametrize("status", [302, 403, 404, 405, 407])
async def test_what_refuses_us_on_the_way_is_no_broken_network(
    server: FakeTelegram, calls: TelegramClient, status: int
) -> None:
    server.faults.add("sendMessage", HttpStatus(status))
    with pytest.raises(Rejected):
        await say(calls)


async def test_a_redirect_is_not_followed_as_the_token_is_in_the_address(
    raw: RawServer, raw_calls: TelegramClient
) -> None:
    async with RawServer() as other:
        raw.add_response(b"", status="307 Moved", headers=f"location: {other.url}/bot{SECRET}/sendMessage\r\n")
        with pytest.raises(Rejected):
            await say(raw_calls)
        assert other.connections == 0


async def test_an_answer_that_breaks_off_is_unsure(raw: RawServer, raw_calls: TelegramClient) -> None:
    raw.answers.append(([b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + YES], True))
    with pytest.raises(OutcomeUnknown):
        await say(raw_calls)


async def test_a_proxy_of_the_environment_is_used(raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", raw.url)
    calls = TelegramClient(settings("http://telegram.example"))
    raw.add_response(YES)
    assert await calls.call("send_chat_action", USER, delivery=None, action="typing")
    assert raw.requests[0].startswith(f"POST http://telegram.example/bot{TOKEN}/sendChatAction ".encode())
    await calls.close()


@pytest.mark.parametrize("fault", [HttpStatus(502), ResponseLost(), ConnectionRefused()], ids=str)
@pytest.mark.parametrize("method", ["edit_message_text", "send_message_draft", "send_chat_action", "get_me"])
async def test_what_may_be_repeated_is_away(
    server: FakeTelegram, calls: TelegramClient, method: str, fault: HttpStatus | ResponseLost | ConnectionRefused
) -> None:
    number = await say(calls)
    args: dict[str, dict[str, Any]] = {
        "edit_message_text": {"chat": USER, "message_id": number, "text": "x"},
        "send_message_draft": {"chat": USER, "draft_id": 4, "text": "x"},
        "send_chat_action": {"chat": USER, "action": "typing"},
        "get_me": {},
    }
    server.faults.add("[!s]*" if method in {"get_me", "edit_message_text"} else "send*", fault)
    with pytest.raises(Unreachable) as caught:
        await calls.call(method, delivery=None, **args[method])
    assert caught.value.retry_after


async def test_no_answer_within_the_time_is_unsure(server: FakeTelegram) -> None:
    calls = TelegramClient(settings(server.url), timeout=0.05)
    server.faults.add("sendMessage", HangingCall())
    with pytest.raises(OutcomeUnknown):
        await say(calls)
    await calls.close()


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[1]", b'{"ok": true}', b'{"ok": true, "result": {}}', b"\xff"])
async def test_an_answer_that_cannot_be_read_is_unsure(raw: RawServer, raw_calls: TelegramClient, body: bytes) -> None:
    raw.add_response(body)
    with pytest.raises(OutcomeUnknown):
        await say(raw_calls)


async def test_where_nobody_listens_nothing_was_sent(unused_port: int) -> None:
    calls = TelegramClient(settings(f"http://127.0.0.1:{unused_port}"))
    with pytest.raises(Unreachable, match="cannot be reached"):
        await say(calls)
    await calls.close()


@pytest.fixture
async def unused_port() -> int:
    async with RawServer() as server:
        return server.port


# ---------------------------------------------------------------- the token stays with us


def spelled_out(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request", "502 Bad Gateway", "302 Found", "200 OK"])
async def test_a_page_that_quotes_our_address_is_not_quoted(
    raw: RawServer, raw_calls: TelegramClient, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    caplog.set_level(logging.DEBUG)
    raw.add_response(
        f"The requested URL /bot{SECRET}/sendMessage is not here".encode(), status=status, content_type="text/html"
    )
    with pytest.raises(DeliveryError) as caught:
        await say(raw_calls, text="my words")
    assert SECRET.partition(":")[2] not in spelled_out(caught.value) + caplog.text
    assert "my words" not in caplog.text


async def test_neither_errors_nor_logs_have_the_token_or_words(
    server: FakeTelegram, calls: TelegramClient, caplog: pytest.LogCaptureFixture, unused_port: int
) -> None:
    caplog.set_level(logging.DEBUG)
    await say(calls, text="my words")
    lost = TelegramClient(settings(f"http://127.0.0.1:{unused_port}"))
    with pytest.raises(Unreachable) as caught:
        await say(lost, text="my words")
    await lost.close()
    token = TOKEN.partition(":")[2]
    for calls_ in (calls, lost):
        assert token not in repr(calls_)
        assert token not in repr(calls_._bot())
    await lost.close()
    assert token not in spelled_out(caught.value) + caplog.text
    assert "my words" not in caplog.text


async def test_an_answer_without_end_is_not_read_to_its_end(
    raw: RawServer, raw_calls: TelegramClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "MAX_ANSWER_BYTES", 1000)
    raw.add_response(b'{"ok": true, "result": true, "x": "' + b"x" * 1000 + b'"}')
    with pytest.raises(OutcomeUnknown, match="longer than 1000 bytes"):
        await say(raw_calls)
