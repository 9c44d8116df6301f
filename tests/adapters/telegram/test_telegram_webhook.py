"""How updates come in by the webhook: who is let in, what is committed before the 200, how the webhook gets there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.domain.errors import Overloaded, StoreUnavailable
from tests.adapters.app_client import served
from tests.adapters.chat import error
from tests.adapters.telegram.receiving import (
    TelegramSite,
    by_webhook,
    ends_soon,
    settings,
)
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.telegram_server import FakeTelegram, HangingCall
from tests.fakes.telegram_updates import (
    BOT_NAME,
    SECRET,
    UPDATE_KINDS,
    USER,
    message_json,
    update,
)
from tests.waiting import until


@pytest.fixture(scope="module")
def telegram() -> Iterator[FakeTelegram]:
    with FakeTelegram() as telegram:
        yield telegram


@pytest.fixture(scope="module")
def shared_site(telegram: FakeTelegram) -> TelegramSite:
    site = TelegramSite(by_webhook(telegram))
    until(lambda: site.receiver._named)
    site.receiver.stop_receiving()  # what it sets up meanwhile would show in the memory that tests look at
    return site


@pytest.fixture
def site(shared_site: TelegramSite) -> TelegramSite:
    shared_site.inbox.taken.clear()
    shared_site.inbox.faults.clear()
    shared_site.memory.kept.clear()
    shared_site.unparsed.kept.clear()
    return shared_site


# ---------------------------------------------------------------- what is let in


@pytest.mark.parametrize("kind", UPDATE_KINDS)
def test_every_kind_of_update_is_taken(site: TelegramSite, kind: str) -> None:
    response = site.tell(update(**{kind: UPDATE_KINDS[kind]}))
    assert (response.status_code, response.data) == (200, b"")
    assert site.unparsed.kept == []


def test_a_kind_that_nobody_knows_yet_is_taken(site: TelegramSite) -> None:
    for told in (update(), update(hologram={"from": 7}), update(**UPDATE_KINDS)):
        assert site.tell(told).status_code == 200


# ---------------------------------------------------------------- who is not


@pytest.mark.parametrize("secret", [None, "", "another", SECRET.upper(), f"{SECRET} ", "s3crét", "s3cret\udcff"])
def test_whoever_is_not_telegram_is_refused_whatever_it_says(site: TelegramSite, secret: str | None) -> None:
    for body in (json.dumps(update(message=message_json("let me in"))).encode(), b"{", b""):
        shown = None if secret is None else secret.encode(errors="surrogateescape").decode("latin-1")
        assert error(site.post(body, shown)) == (401, "unauthorized")
    assert site.inbox.taken == []
    assert site.memory.kept == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b'{"message": {"text": "without a number"}, "update_id": "7"}',
        b'{"message": 1, "update_id": true}',
        b'{"message": 1, "update_id": -1}',
        b'{"message": 1, "update_id": 99999999999999999999}',
        b'{"message": 1, "update_id": ' + b"9" * 5000 + b"}",
        b'{"message": "\xff", "update_id": 7}',
        b"[" * 100_000,
        b"\x00\xff",
    ],
)
def test_what_is_no_update_is_refused(site: TelegramSite, body: bytes) -> None:
    status = site.post(body).status_code
    assert status in {200, 400}
    assert status == 400 or body == b"{}"
    assert site.inbox.messages == []
    assert site.memory.kept == {}


def test_without_a_secret_nobody_can_be_told_from_telegram_and_so_nothing_is_there() -> None:
    deaf = TelegramSite(settings())
    assert deaf.post(b"{}", "").status_code == 404


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
fields = ("message_id", "chat", "from", "text", "entities", "photo", "reply_to_message", "id", "type", "date")


@given(st.sampled_from(sorted(UPDATE_KINDS)), json_values | st.dictionaries(st.sampled_from(fields), json_values))
def test_no_update_makes_us_fall_over(shared_site: TelegramSite, kind: str, told: Any) -> None:
    assert shared_site.tell(update(**{kind: told})).status_code == 200
    assert shared_site.tell({kind: told}).status_code in {200, 400}


# ---------------------------------------------------------------- what cannot be taken


def test_an_update_that_nobody_can_read_is_kept_aside_and_blocks_nobody(site: TelegramSite) -> None:
    without_type = message_json("from nowhere") | {"chat": {"id": USER}}
    unreadable = update(message=without_type) | {"update_id": 17}
    with capture_logs() as logs:
        assert site.tell(unreadable).status_code == 200
    assert site.say("behind it").status_code == 200
    assert site.inbox.texts == ["behind it"]
    (kept,) = site.unparsed.kept
    assert json.loads(kept.body) == unreadable
    assert (kept.platform, kept.workspace, kept.update_id) == ("telegram", "123456", "17")
    assert (kept.author, kept.channel) == (str(USER), str(USER))
    assert kept.error.endswith(": The message names no chat, or has no number.")
    assert site.memory.kept == {}
    assert [entry["update"] for entry in logs] == ["17"]
    assert "from nowhere" not in str(logs)


def test_an_update_that_the_core_stumbles_over_is_kept_aside_with_the_reason_in_the_log(site: TelegramSite) -> None:
    fault = RuntimeError("a bug")
    site.inbox.faults.append(fault)
    with capture_logs() as logs:
        assert site.tell(update(message=message_json("hello")) | {"update_id": 18}).status_code == 200
    assert [(kept.update_id, kept.error) for kept in site.unparsed.kept] == [("18", "RuntimeError: a bug")]
    assert [entry["exc_info"] for entry in logs] == [fault]
    assert fault.__traceback__ is not None


def test_what_can_neither_be_read_nor_kept_aside_is_not_acknowledged(site: TelegramSite) -> None:
    site.unparsed.faults.append(StoreUnavailable())
    assert error(site.tell(update(message={}))) == (503, "store_unavailable")


# ---------------------------------------------------------------- who the bot is


def test_nothing_is_taken_before_the_bot_knows_its_name_for_who_calls_it_would_not_be_heard() -> None:
    with FakeTelegram() as telegram:
        telegram.faults.add("getMe", HangingCall())
        site = TelegramSite(by_webhook(telegram))
        until(lambda: telegram.faults.hanging)
        assert error(site.say("hello")) == (503, "overloaded")
        telegram.faults.release()
        until(lambda: site.say(f"hello @{BOT_NAME}").status_code == 200)
        site.receiver.stop_receiving()
        next_site = TelegramSite(by_webhook(telegram), memory=site.memory)
        telegram.faults.add("getMe", HangingCall())
        assert next_site.say("hello").status_code == 200
        ends_soon(next_site.receiver.stop_receiving)


# ---------------------------------------------------------------- Telegram sends again


@contextmanager
def serving(telegram: FakeTelegram, *faults: Exception) -> Iterator[TelegramSite]:
    """A site that PUBLIC_URL leads to."""
    listener = socket.create_server(("127.0.0.1", 0))
    public_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    site = TelegramSite(by_webhook(telegram, public_url=public_url), RecordingInbox(faults=[*faults]))
    with served(site.client.application, listener):
        try:
            yield site
        finally:
            site.receiver.stop_receiving()


def test_telegram_brings_to_the_registered_webhook_until_it_is_committed() -> None:
    with (
        FakeTelegram(retry_after_unit=0.01) as telegram,
        serving(telegram, StoreUnavailable(), Overloaded(retry_after=1)) as site,
    ):
        telegram.wait_until(lambda: telegram.webhook)
        telegram.user_says("hello")
        telegram.wait_until_acknowledged()
        assert [delivery.status for delivery in telegram.deliveries] == [503, 503, 200]
        assert {delivery.answer for delivery in telegram.deliveries if delivery.accepted} == {""}
        assert site.inbox.texts == ["hello"]


def test_everything_that_comes_at_once_is_taken_once_and_in_order_within_a_chat() -> None:
    with FakeTelegram() as telegram, serving(telegram) as site:
        for number in range(60):
            telegram.user_says(f"{number}", chat_id=1001 + number % 3)
        telegram.wait_until_acknowledged()
        taken = [(said.key.channel, int(said.text)) for said in site.inbox.messages]
        assert sorted(number for _, number in taken) == list(range(60))
        for chat in ("1001", "1002", "1003"):
            numbers = [number for where, number in taken if where == chat]
            assert numbers == sorted(numbers)


def test_what_waits_when_the_webhook_is_registered_is_brought() -> None:
    with FakeTelegram() as telegram:
        telegram.user_says("before anybody was there")
        with serving(telegram) as site:
            telegram.wait_until_acknowledged()
            assert site.inbox.texts == ["before anybody was there"]
