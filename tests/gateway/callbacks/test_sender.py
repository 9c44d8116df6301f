"""Callbacks are posted in order, again until they are accepted, and to allowed addresses only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest
from standardwebhooks import Webhook

from gateway.callbacks.addresses import AddressRule
from gateway.callbacks.sender import AT_ONCE, CallbackSender
from gateway.callbacks.signing import read_key
from gateway.coordination.async_store import AsyncStore
from gateway.domain.models import TurnId
from gateway.ports.callbacks import Callback
from gateway.settings.values import read_networks
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue
from tests.fakes.receiver import OK, FakeReceiver, HttpAnswer
from tests.gateway.callbacks.test_callback_settings import KEY
from tests.waiting import until_async

LOOPBACK = AddressRule(read_networks("127.0.0.0/8, ::1"))


class Scene:
    """A store with one turn, a receiver, and a process that posts."""

    def __init__(self, store: SqlStore, executor: ThreadPoolExecutor, receiver: FakeReceiver) -> None:
        self.store = store
        self.receiver = receiver
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        receiver.answer = lambda _: (self.answers.pop(0), self.headers, "")
        self.turn = enqueue(store).turn.id
        self.journal = AsyncStore(store, executor)

    def sender(self, rule: AddressRule = LOOPBACK, hours: float = 12.0) -> CallbackSender:
        return CallbackSender(
            self.journal, self.store.callbacks, rule, [read_key(KEY)], hours=hours, chance=lambda: 0.0
        )

    def add(self, name: str, url: str = "", lane: str = "a") -> None:
        url = url or self.receiver.url
        self.store.callbacks.add(Callback(name, lane, url, "turn.answered", TurnId(self.turn), '{"n":1}'), 100)

    async def send(self, sender: CallbackSender | None = None) -> None:
        """Makes one attempt at whatever may be tried, due or not."""
        sender = sender or self.sender()
        self.make_due()
        now, claimed = self.store.callbacks.claim(10, 60.0)
        for callback in claimed:
            await sender.send(callback, now)
        await sender._client.close()

    def make_due(self) -> None:
        with self.store._database.single_write() as connection:
            connection.exec_driver_sql("UPDATE callbacks SET next_at = 1 WHERE next_at IS NOT NULL")

    def listed(self) -> list[Callback]:
        return list(self.store.callbacks.listed(10))


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[Scene]:
    store = SqlStore(sqlite_url)
    with ThreadPoolExecutor(2) as executor, FakeReceiver(path="/hook") as receiver:
        yield Scene(store, executor, receiver)
    store.close()


async def test_what_is_posted_is_signed_and_has_the_same_id_with_every_attempt(scene: Scene) -> None:
    scene.answers = [503, 200]
    scene.add("msg_1")
    await scene.send()
    (waiting,) = scene.listed()
    assert (waiting.error, waiting.attempts) == ("the receiver answered 503", 1)
    await scene.send()
    assert scene.listed() == []
    requests = scene.receiver.received
    assert [each.headers["webhook-id"] for each in requests] == ["msg_1", "msg_1"]
    for request in requests:
        assert request.headers["content-type"] == "application/json"
        assert Webhook(KEY).verify(request.body, request.headers) == {"n": 1}


async def test_those_behind_wait_until_the_first_is_delivered_or_given_up(scene: Scene) -> None:
    scene.answers = [500, 410, 200]
    scene.add("msg_1")
    scene.add("msg_2")
    for _ in range(3):
        await scene.send()
    assert [each.headers["webhook-id"] for each in scene.receiver.received] == ["msg_1", "msg_1", "msg_2"]
    (dead,) = scene.listed()
    assert (dead.id, dead.error, dead.dead_at is not None) == ("msg_1", "the receiver answered 410", True)


async def test_after_some_hours_a_callback_is_given_up(scene: Scene) -> None:
    scene.answers = [500]
    scene.add("msg_1")
    await scene.send(scene.sender(hours=0.0))
    (dead,) = scene.listed()
    assert dead.dead_at is not None


async def test_a_redirect_is_not_followed(scene: Scene) -> None:
    scene.answers = [307]
    scene.headers = {"Location": scene.receiver.url.replace("hook", "elsewhere")}
    scene.add("msg_1")
    await scene.send()
    assert [each.path for each in scene.receiver.received] == ["/hook"]
    assert scene.listed()[0].error == "the receiver answered 307"


async def test_a_receiver_may_ask_for_a_pause(scene: Scene) -> None:
    scene.answers = [429]
    scene.headers = {"Retry-After": "120"}
    scene.add("msg_1")
    await scene.send()
    (waiting,) = scene.listed()
    assert waiting.next_at is not None
    assert 100 < waiting.next_at - waiting.created_at < 200


async def test_a_receiver_that_is_not_there_is_tried_again(scene: Scene) -> None:
    scene.add("msg_1", url="http://127.0.0.1:9/")
    await scene.send()
    (waiting,) = scene.listed()
    assert waiting.error.startswith("no answer: ")
    assert waiting.next_at is not None


async def test_a_receiver_that_does_not_answer_keeps_no_other_one_waiting(scene: Scene) -> None:
    go_on = Event()

    def answer_late(_: object) -> HttpAnswer:
        go_on.wait(30.0)
        return OK

    with FakeReceiver(answer_late) as silent:
        for number in range(AT_ONCE + 10):
            scene.add(f"silent_{number}", silent.url, lane=f"silent {number}")
        scene.answers = [200]
        scene.add("msg_1")
        running = asyncio.create_task(scene.sender().run())
        try:
            await until_async(lambda: len(scene.receiver.received) == 1)
            assert len(silent.received) < AT_ONCE
        finally:
            go_on.set()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.mark.parametrize("host", ["localhost", "rebound.example", "mixed.example"])
async def test_a_name_with_a_private_address_is_given_up_unasked(
    scene: Scene, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(scene.receiver.url.split(":")[2].removesuffix("/hook"))
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))] if host == "mixed.example" else []
    private = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*public, private])
    scene.add("msg_1", url=f"http://{host}:{port}/hook")
    await scene.send(scene.sender(AddressRule(read_networks("10.0.0.0/8"))))
    (dead,) = scene.listed()
    assert dead.error == f"the host {host} has an address that is not allowed"
    assert dead.dead_at is not None
    assert scene.receiver.received == []


async def test_a_connection_goes_to_the_address_that_was_checked(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(scene.receiver.url.split(":")[2].removesuffix("/hook"))
    answers = iter(["127.0.0.1", "10.0.0.1"])
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]
    )
    scene.answers = [200]
    scene.add("msg_1", url=f"http://rebound.example:{port}/hook")
    await scene.send()
    assert [each.headers["host"] for each in scene.receiver.received] == [f"rebound.example:{port}"]
    assert next(answers) == "10.0.0.1"  # it was looked up once


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "127.1"])
async def test_an_address_that_is_not_allowed_is_given_up_unasked(scene: Scene, host: str) -> None:
    port = int(scene.receiver.url.split(":")[2].removesuffix("/hook"))
    scene.add("msg_1", url=f"http://{host}:{port}/hook")
    await scene.send(scene.sender(AddressRule(read_networks("10.0.0.0/8"))))
    (dead,) = scene.listed()
    assert dead.dead_at is not None
    assert scene.receiver.received == []
