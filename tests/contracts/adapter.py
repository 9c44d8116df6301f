"""What every adapter must do. Subclass, say how the platform speaks, and the promises are checked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.errors import DeliveryError, InputError, MalformedRequest, Unauthenticated
from gateway.domain.models import Failure, Message, Turn, TurnId, TurnState
from gateway.domain.run_events import PreviewEvent, TextDelta, ToolCall
from gateway.ports.check import CheckResult
from gateway.ports.platform import Adapter, ParsedUpdate, Request
from tests.examples import examples
from tests.fakes.delivery_context import FakeDeliveryContext

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
PER_ADAPTER = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)
"""One adapter does for all examples, as ``receive`` keeps nothing; and each adapter has a class of its own."""
TEXT = "Grüße, 世界 👋 & <b>"


class AdapterContract:
    """Give ``adapter``, ``said``, and what the platform has of ``forged``, ``garbage`` and ``ignored``."""

    @pytest.fixture
    def adapter(self) -> Adapter:
        """A new one, reachable as far as its platform goes (a fake of it)."""
        raise NotImplementedError

    def said(self, text: str, mark: str) -> Request:
        """A genuine request in which somebody says ``text``; the same ``mark``, the same delivery."""
        raise NotImplementedError

    def genuine(self, body: bytes) -> Request:
        """A request with proof of where it comes from, and any body."""
        raise NotImplementedError

    def forged(self) -> Sequence[Request]:
        """Requests that do not prove who sent them. None where a platform has no such thing as a stranger."""
        return ()

    def garbage(self) -> Sequence[Request]:
        """Genuine requests that nobody can read."""
        return (self.genuine(b"{"), self.genuine(b"\xff\xfe"), self.genuine(b"[]"))

    def ignored(self) -> Sequence[Request]:
        """Genuine requests that are not for us."""
        return ()

    @pytest.fixture
    def no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("receive() does no I/O")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    def one(self, adapter: Adapter, text: str = TEXT, mark: str = "1") -> Message:
        (message,) = adapter.receive(self.said(text, mark)).messages
        return message

    # ------------------------------------------------------------ receive

    @pytest.mark.usefixtures("no_network")
    def test_what_somebody_says_becomes_a_message_word_for_word(self, adapter: Adapter) -> None:
        message = self.one(adapter)
        assert message.text == TEXT
        assert message.message_id
        assert message.key.platform == adapter.name

    def test_the_same_delivery_has_the_same_message_id_and_another_has_another(self, adapter: Adapter) -> None:
        assert self.one(adapter, mark="1").message_id == self.one(adapter, mark="1").message_id
        assert self.one(adapter, mark="1").message_id != self.one(adapter, mark="2").message_id

    def test_everything_in_a_message_can_be_stored(self, adapter: Adapter) -> None:
        message = self.one(adapter)
        assert all(isinstance(text, str) for pair in message.address.items() for text in pair)
        everything = [
            message.message_id,
            message.author,
            dict(message.address),
            *(getattr(message.key, part) for part in ("platform", "workspace", "channel", "topic", "user")),
        ]
        stored = json.dumps(everything, ensure_ascii=False)
        assert stored.encode()
        assert "\\u0000" not in stored
        assert len(message.message_id) <= 255

    def test_a_stranger_is_refused_and_told_nothing(self, adapter: Adapter) -> None:
        for request in self.forged():
            with pytest.raises(Unauthenticated) as caught:
                adapter.receive(request)
            assert TEXT not in str(caught.value)

    def test_garbage_is_unreadable(self, adapter: Adapter) -> None:
        for request in self.garbage():
            with pytest.raises(MalformedRequest):
                adapter.receive(request)

    def test_what_is_not_for_us_is_ignored_quietly(self, adapter: Adapter) -> None:
        for request in self.ignored():
            assert [each for each in adapter.receive(request).messages if not each.must_join] == []

    @settings(max_examples=examples(20), suppress_health_check=PER_ADAPTER)
    @given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
    def test_whatever_comes_it_is_read_or_refused_by_name(self, adapter: Adapter, body: bytes) -> None:
        for request in (self.genuine(body), Request({}, body)):
            with suppress(InputError):
                assert isinstance(adapter.receive(request), ParsedUpdate)

    def test_many_threads_may_receive_at_once(self, adapter: Adapter) -> None:
        ids: list[str] = []
        threads = [
            threading.Thread(target=lambda: ids.append(self.one(adapter, mark="same").message_id)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(ids) == 8
        assert len(set(ids)) == 1

    # ------------------------------------------------------------ follow, deliver, check

    def turn(self, adapter: Adapter, state: TurnState = TurnState.RUNNING) -> Turn:
        failure = Failure("refused", "That is not possible.") if state is TurnState.FAILED else None
        reply = "**Bold** words." if state is TurnState.ANSWERED else ""
        return Turn(TurnId("turn_contract"), 1, 1, self.one(adapter), state, reply=reply, failure=failure)

    async def test_a_turn_is_followed_to_its_end_or_not_at_all(self, adapter: Adapter) -> None:
        told: list[PreviewEvent] = [
            TextDelta("one "),
            ToolCall("c", "tool"),
            ToolCall("c", "tool", done=True),
            TextDelta("two"),
        ]
        left = list(told)

        async def events() -> AsyncIterator[PreviewEvent]:
            while left:
                yield left.pop(0)

        await adapter.stream_preview(self.turn(adapter), events(), FakeDeliveryContext())
        assert left in ([], told)  # where nobody watches, there is nothing to show

    @pytest.mark.parametrize("state", [TurnState.ANSWERED, TurnState.FAILED, TurnState.CANCELLED])
    async def test_an_outcome_can_be_brought_and_brought_again(self, adapter: Adapter, state: TurnState) -> None:
        turn = self.turn(adapter, state)
        delivery = FakeDeliveryContext()
        for _ in range(2):
            try:
                await adapter.deliver(turn, delivery)
            except DeliveryError as exc:
                assert str(exc)  # noqa: PT017  # it may refuse, but only like this

    async def test_it_tells_how_it_is(self, adapter: Adapter) -> None:
        checks = await adapter.check()
        assert checks
        assert all(isinstance(check, CheckResult) and check.name for check in checks)
