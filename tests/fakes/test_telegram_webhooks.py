"""Updates delivered to a webhook: retried until accepted, in order within a chat."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from telegram import Bot
from telegram.error import BadRequest

from tests.fakes.receiver import OK, FakeReceiver, HttpAnswer, ReceivedRequest
from tests.fakes.telegram_messages import SECRET
from tests.fakes.telegram_server import FakeTelegram

PATH = "/telegram/webhook"


@pytest.fixture
def app() -> Iterator[FakeReceiver]:
    with FakeReceiver(path=PATH) as running:
        yield running


def texts(app: FakeReceiver) -> list[str]:
    return [received.json["message"]["text"] for received in app.received]


async def test_an_update_is_delivered_as_json_with_the_secret(
    telegram: FakeTelegram, bot: Bot, app: FakeReceiver
) -> None:
    await bot.set_webhook(app.url, secret_token=SECRET, allowed_updates=["message"])
    telegram.user_says("hi 😀")
    telegram.wait_until_acknowledged()
    [received] = app.received
    assert received.headers["x-telegram-bot-api-secret-token"] == SECRET
    assert received.headers["content-type"] == "application/json"
    assert (received.path, received.json["message"]["text"]) == (PATH, "hi 😀")
    [done] = telegram.deliveries
    assert (done.update_id, done.attempt, done.status, done.accepted) == (received.json["update_id"], 1, 200, True)


async def test_pending_updates_are_delivered_when_the_webhook_is_set(
    telegram: FakeTelegram, bot: Bot, app: FakeReceiver
) -> None:
    telegram.user_says("early")
    await bot.set_webhook(app.url)
    telegram.wait_until_acknowledged()
    assert texts(app) == ["early"]
    assert "x-telegram-bot-api-secret-token" not in app.received[0].headers


async def test_pending_updates_can_be_dropped(telegram: FakeTelegram, bot: Bot, app: FakeReceiver) -> None:
    telegram.user_says("early")
    await bot.set_webhook(app.url, drop_pending_updates=True)
    telegram.user_says("late")
    telegram.wait_until_acknowledged()
    assert texts(app) == ["late"]


async def test_only_2xx_answers_acknowledge_an_update(telegram: FakeTelegram, bot: Bot, app: FakeReceiver) -> None:
    answers = iter([(500, {}, ""), (302, {"Location": "/"}, ""), (404, {}, ""), (204, {}, "")])
    app.answer = lambda _: next(answers)
    await bot.set_webhook(app.url)
    telegram.user_says("hi")
    telegram.wait_until_acknowledged()
    assert [(done.attempt, done.status) for done in telegram.deliveries] == [(1, 500), (2, 302), (3, 404), (4, 204)]
    assert telegram.pending_updates() == []


async def test_an_unreachable_webhook_gets_the_update_later(
    telegram: FakeTelegram, bot: Bot, app: FakeReceiver
) -> None:
    await bot.set_webhook("http://127.0.0.1:1/")
    telegram.user_says("hi")
    await telegram.wait_until_async(lambda: len(telegram.deliveries) > 2)
    assert {done.status for done in telegram.deliveries} == {0}
    info = await bot.get_webhook_info()
    assert (info.pending_update_count, info.last_error_message) == (1, "Wrong response from the webhook: 0")
    await bot.set_webhook(app.url)
    telegram.wait_until_acknowledged()
    assert texts(app) == ["hi"]


async def test_a_webhook_that_does_not_answer_is_retried(app: FakeReceiver) -> None:
    gate, first = threading.Event(), iter([True])

    def slowly(_: ReceivedRequest) -> HttpAnswer:
        if next(first, False):
            gate.wait(20)
        return OK

    app.answer = slowly
    with FakeTelegram(response_timeout=0.5) as telegram:  # the second time it is answered, also by a slow machine
        telegram.deliver_to(app.url, SECRET)
        telegram.user_says("hi")
        telegram.wait_until_acknowledged()
        gate.set()
    assert [done.status for done in telegram.deliveries] == [0, 200]


async def test_retry_after_is_honoured(app: FakeReceiver) -> None:
    answers = iter([(503, {"Retry-After": "50"}, "")])
    app.answer = lambda _: next(answers, OK)
    with FakeTelegram(retry_after_unit=0.001, retries=(0.0, 1_000.0)) as telegram:
        telegram.deliver_to(app.url, SECRET)
        telegram.user_says("hi")
        telegram.wait_until_acknowledged()
    assert [done.status for done in telegram.deliveries] == [503, 200]
    assert {received.headers["x-telegram-bot-api-secret-token"] for received in app.received} == {SECRET}


async def test_updates_of_a_chat_are_delivered_in_order_without_blocking_others(
    telegram: FakeTelegram, bot: Bot, app: FakeReceiver
) -> None:
    gate = threading.Event()
    app.answer = lambda received: OK if gate.is_set() or received.json["message"]["chat"]["id"] == 8 else (500, {}, "")
    await bot.set_webhook(app.url)
    for text in "abc":
        telegram.user_says(text, chat_id=7)
    telegram.user_says("else", chat_id=8)
    await telegram.wait_until_async(lambda: any(done.accepted for done in telegram.deliveries))
    await telegram.wait_until_async(lambda: len(telegram.deliveries) > 4)
    assert set(texts(app)) == {"a", "else"}
    gate.set()
    telegram.wait_until_acknowledged()
    taken = [done.update["message"]["text"] for done in telegram.deliveries if done.accepted]
    assert taken == ["else", "a", "b", "c"]


async def test_max_connections_is_respected(telegram: FakeTelegram, bot: Bot, app: FakeReceiver) -> None:
    inside, seen, pair = threading.Semaphore(0), list[int](), threading.Barrier(2)

    def in_pairs(_: ReceivedRequest) -> HttpAnswer:
        inside.release()
        seen.append(inside._value)
        pair.wait(20)
        inside.acquire()
        pair.wait(20)
        return OK

    app.answer = in_pairs
    await bot.set_webhook(app.url, max_connections=2)
    for chat_id in range(1, 21):
        telegram.user_says("x", chat_id=chat_id)
    telegram.wait_until_acknowledged()
    assert (max(seen), len(app.received)) == (2, 20)


async def test_an_update_can_be_redelivered(telegram: FakeTelegram, bot: Bot, app: FakeReceiver) -> None:
    await bot.set_webhook(app.url)
    telegram.user_says("hi")
    telegram.wait_until_acknowledged()
    telegram.redeliver(telegram.deliveries[0].update)
    telegram.wait_until_acknowledged()
    assert texts(app) == ["hi", "hi"]
    assert app.received[0].body == app.received[1].body


async def test_answers_of_the_webhook_are_recorded(telegram: FakeTelegram, bot: Bot, app: FakeReceiver) -> None:
    app.answer = lambda _: (200, {}, '{"method":"sendMessage"}')
    await bot.set_webhook(app.url)
    telegram.user_says("hi")
    telegram.wait_until_acknowledged()
    assert telegram.deliveries[0].answer == '{"method":"sendMessage"}'


async def test_without_a_webhook_nothing_is_delivered(telegram: FakeTelegram, bot: Bot, app: FakeReceiver) -> None:
    await bot.set_webhook(app.url)
    await bot.delete_webhook()
    telegram.user_says("hi")
    assert [found.message.text for found in await bot.get_updates() if found.message] == ["hi"]
    assert (app.received, telegram.webhook) == ([], None)


async def test_get_webhook_info_describes_the_webhook(telegram: FakeTelegram, bot: Bot, app: FakeReceiver) -> None:
    await bot.set_webhook(app.url, secret_token=SECRET, max_connections=7, allowed_updates=["message"])
    info = await bot.get_webhook_info()
    assert (info.url, info.max_connections, info.allowed_updates) == (app.url, 7, ("message",))
    assert telegram.webhook is not None
    assert (telegram.webhook.url, telegram.webhook.secret) == (app.url, SECRET)
    await bot.set_webhook("")
    assert (await bot.get_webhook_info()).url == ""


@pytest.mark.parametrize(
    ("url", "secret", "why"),
    [
        ("https://example.com/hook", "no blanks", "secret token contains unallowed characters"),
        ("https://example.com/hook", "x" * 257, "secret token is too long"),
        ("http://example.com/hook", "", "bad webhook: an https url must be provided"),
        ("https://example.com:8080/hook", "", "bad webhook: webhook can be set up only on ports"),
        ("ftp://example.com", "", "invalid webhook url specified"),
        ("nonsense", "", "invalid webhook url specified"),
    ],
)
async def test_an_invalid_webhook_is_refused(telegram: FakeTelegram, bot: Bot, url: str, secret: str, why: str) -> None:
    with pytest.raises(BadRequest, match=f"(?i)^{why}"):
        await bot.set_webhook(url, secret_token=secret or None)
    assert telegram.webhook is None


async def test_a_public_webhook_is_accepted(telegram: FakeTelegram, bot: Bot) -> None:
    await bot.set_webhook("https://example.com:8443/hook")
    assert telegram.webhook is not None
