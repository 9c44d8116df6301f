"""How events come in by Socket Mode: over connections that come and go, to processes that stop."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import pytest
from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.socket_mode.builtin.connection import Connection
from structlog.testing import capture_logs

from adapters.slack import socket_mode, webhook
from adapters.slack.adapter import SlackAdapter
from adapters.slack.settings import SlackSettings
from adapters.slack.socket_mode import Client, EofSocket, SocketMode
from adapters.slack.webhook import SlackReceiver
from gateway.coordination.retry import Backoff
from gateway.domain.errors import Overloaded, StoreUnavailable
from gateway.ports.platform import ParsedUpdate
from gateway.ports.store import KeyValueStore
from gateway.worker.worker import run_once
from tests.adapters.chat import in_thread
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.slack_events import APP_TOKEN, TOKEN
from tests.fakes.slack_faults import ConnectionRefused, SlackErrorFault
from tests.fakes.slack_server import FakeSlack
from tests.fakes.unparsed_updates import FakeUnparsedUpdates
from tests.settings import settings_of
from tests.waiting import until

LONGEST_WAIT = 20.0


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_mode, "PING_SECONDS", 0.1)
    monkeypatch.setattr(webhook, "SocketMode", partial(SocketMode, backoff=Backoff(0.1, 0.1)))


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A Slack that does not repeat what a slow machine answers late."""
    with FakeSlack(response_timeout=LONGEST_WAIT) as slack:
        yield slack


@pytest.fixture
def impatient_slack() -> Iterator[FakeSlack]:
    """A Slack that soon repeats what is not answered, as often as a slow machine needs it."""
    with FakeSlack(response_timeout=0.3, retries=(0.01,) * 40) as slack:
        yield slack


def make_adapter(slack: FakeSlack, token: str = APP_TOKEN, bot: str = "") -> SlackAdapter:
    known = settings_of(
        SlackSettings,
        slack_bot_token=SecretStr(TOKEN),
        slack_app_token=SecretStr(token),
        slack_api_url=slack.api_url,
    )
    return SlackAdapter(known.for_bot(bot), cast("KeyValueStore", None), FakeUnparsedUpdates(), run_once)


def socket_of(adapter: SlackAdapter) -> SocketMode:
    socket_mode = cast("SlackReceiver", adapter._receiver)._socket
    assert socket_mode is not None
    return socket_mode


@contextmanager
def listening(slack: FakeSlack, inbox: RecordingInbox) -> Iterator[SlackAdapter]:
    adapter, before = make_adapter(slack), slack.sockets.open_count
    adapter.start_receiving(inbox.inbox)
    try:
        slack.wait_until(lambda: slack.sockets.open_count == before + 1)
        yield adapter
    finally:
        adapter.stop_receiving()
        socket_of(adapter)._connector.stop()  # waits for an attempt to connect, before its Slack is gone


def test_what_is_said_is_committed_and_then_acknowledged(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    inbox = RecordingInbox()
    with listening(slack, inbox):
        slack.user_says("hello")
        slack.wait_until_delivered()
        assert inbox.texts == ["hello"]
        assert [delivery.status for delivery in slack.deliveries] == [200]
    assert not any("on_error" in record.getMessage() for record in caplog.records)


def test_an_answer_goes_back_with_the_acknowledgement(slack: FakeSlack) -> None:
    with listening(slack, RecordingInbox()):
        slack.run_command("/help")
        slack.wait_until_delivered()
        (delivery,) = slack.deliveries
        assert delivery.status == 200
        assert "ephemeral" in delivery.answer


def test_what_is_not_committed_is_left_with_slack(impatient_slack: FakeSlack) -> None:
    slack = impatient_slack
    inbox = RecordingInbox(faults=[StoreUnavailable("pw"), Overloaded(), RuntimeError("a bug")])
    with capture_logs() as logs, listening(slack, inbox):
        slack.user_says("hello")
        slack.wait_until_delivered()
        statuses = [delivery.status for delivery in slack.deliveries]
        assert statuses[:3] == [0, 0, 0]
        assert statuses[-1] == 200
        assert set(inbox.texts) == {"hello"}  # an inbox recognizes what is delivered twice
    left = [entry for entry in logs if "sends it again" in entry["event"]]
    assert [entry["log_level"] for entry in left] == ["warning", "warning", "error"]


def test_who_is_told_to_hush_finishes_what_is_half_taken_and_takes_no_more(slack: FakeSlack) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait(_: ParsedUpdate) -> None:
        reached.set()
        assert go_on.wait(LONGEST_WAIT)

    inbox = RecordingInbox(before=wait)
    with listening(slack, inbox) as adapter:
        slack.user_says("first")
        assert reached.wait(LONGEST_WAIT)
        hushing = in_thread(adapter.stop_receiving)
        until(lambda: socket_of(adapter)._closed)
        slack.user_says("second")
        hushing.join(0.2)
        assert hushing.is_alive()
        go_on.set()
        hushing.join(LONGEST_WAIT)
        assert not hushing.is_alive()
        slack.wait_until(lambda: slack.sockets.open_count == 0)
        assert inbox.texts == ["first"]
        slack.wait_until(lambda: any(delivery.status == 200 for delivery in slack.deliveries))
    later = RecordingInbox()
    with listening(slack, later):
        slack.wait_until_delivered()
    assert later.texts == ["second"]


@pytest.mark.parametrize("how", ["disconnect", "cut"])
def test_a_lost_connection_is_replaced(slack: FakeSlack, how: str) -> None:
    inbox = RecordingInbox()
    with listening(slack, inbox):
        getattr(slack.sockets, how)()
        slack.wait_until(lambda: len(slack.calls("apps.connections.open")) > 1 and slack.sockets.open_count == 1)
        slack.user_says("still there?")
        slack.wait_until_delivered()
        assert set(inbox.texts) == {"still there?"}  # again, if it came as the client replaced its connection once more


def test_slack_may_be_away_when_we_begin(slack: FakeSlack) -> None:
    slack.faults.add("apps.connections.open", ConnectionRefused(times=2))
    inbox = RecordingInbox()
    with capture_logs() as logs, listening(slack, inbox):
        slack.user_says("hello")
        slack.wait_until_delivered()
        assert inbox.texts == ["hello"]
    assert [entry["log_level"] for entry in logs] == ["warning", "warning", "info"]


@pytest.mark.parametrize(("bot", "setting"), [("", "SLACK_APP_TOKEN"), ("sales", "app_token of the bot sales")])
def test_a_token_that_slack_does_not_take_stops_nothing_and_is_named_without_its_value(
    slack: FakeSlack, bot: str, setting: str
) -> None:
    adapter = make_adapter(slack, "xapp-wrong-one", bot)
    with capture_logs() as logs:
        adapter.start_receiving(RecordingInbox().inbox)
        until(lambda: len(logs) > 1)  # it is tried again
        adapter.stop_receiving()
    assert {entry["log_level"] for entry in logs} == {"error"}
    assert {entry["error"] for entry in logs} == {f"Slack does not accept {setting}: invalid_auth."}
    assert "xapp" not in str(logs)


def test_two_processes_share_what_comes(slack: FakeSlack) -> None:
    one, two = RecordingInbox(), RecordingInbox()
    with listening(slack, one), listening(slack, two):
        for number in range(40):
            slack.user_says(f"message {number}")
        slack.wait_until_delivered()
        assert {delivery.status for delivery in slack.deliveries} == {200}
    assert sorted(one.texts + two.texts) == sorted(f"message {number}" for number in range(40))
    assert one.texts
    assert two.texts


def test_without_a_token_there_is_nothing_to_listen_to(slack: FakeSlack) -> None:
    known = settings_of(SlackSettings, slack_bot_token=SecretStr(TOKEN), slack_api_url=slack.api_url)
    adapter = SlackAdapter(known, cast("KeyValueStore", None), FakeUnparsedUpdates(), run_once)
    adapter.start_receiving(RecordingInbox().inbox)
    adapter.stop_receiving()
    assert slack.calls() == []


# ---------------------------------------------------------------- a connection that ends without a word


class SilentServer:
    """A server that shakes hands and then says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.connections: list[socket.socket] = []
        in_thread(self._serve)

    def close(self) -> None:
        for one in (self._listener, *self.connections):
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(4096)
            key = next(line for line in asked.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")).split(b": ")[1]
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            connection.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            self.connections.append(connection)


def test_an_end_without_a_word_is_noticed_at_once() -> None:
    """By itself the client would read nothing over and over, and reconnect after most of a minute."""
    server = SilentServer()
    ends: list[Exception] = []

    class Slack(WebClient):
        def apps_connections_open(self, **_: Any) -> Any:
            return {"url": server.url}

    client = Client("xapp-1", web_client=Slack(), ping_interval=0.1, on_error_listeners=[ends.append])
    client.connect()
    until(lambda: server.connections)
    server.connections[0].shutdown(socket.SHUT_WR)
    until(lambda: len(server.connections) == 2)
    assert [type(end) for end in ends] == [ConnectionResetError]
    client.close()
    assert not client.is_connected()
    assert len(ends) == 1
    server.close()


def test_a_connection_that_breaks_as_its_client_closes_is_no_error() -> None:
    client = Client("xapp-1", web_client=WebClient())
    client.close()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        theirs, _ = listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()  # breaks it, instead of ending it
        assert EofSocket(ours, client).recv(1) == b""


def test_who_is_closed_as_it_begins_to_read_ends(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is there when the reader looks, and closed before it reads."""
    looked, go_on = threading.Event(), threading.Event()
    client = Client(APP_TOKEN, web_client=WebClient(base_url=slack.api_url))
    reader = client.current_session_runner.thread

    def is_active(connection: Connection) -> bool:
        active = connection.sock is not None
        if active and threading.current_thread() is reader and not looked.is_set():
            looked.set()
            assert go_on.wait(LONGEST_WAIT)
        return active

    monkeypatch.setattr(Connection, "is_active", is_active)
    client.connect()
    assert looked.wait(LONGEST_WAIT)
    closing = in_thread(client.close)
    until(lambda: client.current_session is not None and client.current_session.sock is None)
    go_on.set()
    closing.join(LONGEST_WAIT)
    assert not closing.is_alive()


def test_whoever_was_shut_stays_so_when_a_connection_comes_late(slack: FakeSlack) -> None:
    """The attempt to connect that was under way succeeds after all."""
    reached, go_on = threading.Event(), threading.Event()

    def dawdle(_: object) -> None:
        reached.set()
        assert go_on.wait(LONGEST_WAIT)

    slack.faults.before("apps.connections.open", dawdle)
    one = SocketMode(
        lambda _: pytest.fail("nothing comes"), APP_TOKEN, slack.api_url, run_once, setting="SLACK_APP_TOKEN"
    )
    one.open()
    assert reached.wait(LONGEST_WAIT)
    one.close()
    go_on.set()
    one._connector.stop()  # waits for the attempt
    assert not one.client.is_connected()
    slack.wait_until(lambda: slack.sockets.open_count == 0)


def test_errors_of_slack_are_tried_again(slack: FakeSlack) -> None:
    slack.faults.add("apps.connections.open", SlackErrorFault("internal_error"))
    with listening(slack, RecordingInbox()):
        assert len(slack.calls("apps.connections.open")) == 2
