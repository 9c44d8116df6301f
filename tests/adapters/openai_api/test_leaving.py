"""What happens to the turn of a caller that leaves, or that asks the same again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from itertools import count
from typing import Any

import pytest

from adapters.openai_api import asking
from adapters.openai_api.asking import LOOKS, Asking, Watched
from adapters.openai_api.context import ApiLimits
from adapters.openai_api.repetition import Attempts, Post
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from gateway.domain.run_events import RunCompleted, TextDelta
from gateway.web.api.routes import HttpRequest
from gateway.web.api.waiting import WaiterRegistry
from tests.fakes.inbox import AsyncFakeInbox, FakeInbox, ScriptGate
from tests.fakes.memory import FakeMemory
from tests.fakes.platform import FakePlatform

LIMITS = ApiLimits(1000, 10, ping_seconds=0.01, come_back_seconds=0.1)
FIRST = Post("a" * 32 + "1", "a" * 32, "a" * 32 + "f", may_be_repeated=False)
LATE = Post("a" * 32 + "9", "a" * 32 + "8", "a" * 32 + "f", may_be_repeated=True, first_of_long="a" * 32)
AGAIN = Post("a" * 32 + "2", "a" * 32, "a" * 32 + "f", may_be_repeated=True)


def request_of(leaves: asyncio.Event) -> HttpRequest:
    """Returns a request whose client closes its connection at ``leaves``."""

    async def receive() -> dict[str, Any]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    return HttpRequest({"method": "POST", "path": "/v1/x", "headers": [], "query_string": b""}, receive, {})


class Scene:
    """Two processes on one database, with a turn that runs until ``gate`` is open."""

    def __init__(self, inbox: FakeInbox, gate: ScriptGate) -> None:
        self.inbox = inbox
        self.gate = gate
        self.memory = FakeMemory()
        self.here, self.elsewhere = (
            Asking(AsyncFakeInbox(inbox), WaiterRegistry(10), Attempts(), self.memory, LIMITS) for _ in range(2)
        )

    async def watch(self, asking: Asking, post: Post, *, goes_on: bool = False) -> tuple[Watched, asyncio.Event]:
        """Returns what a caller waits for, and the event that it leaves by."""
        leaves = asyncio.Event()
        message = Message(ConversationKey("disk", channel=post.name), post.name, "Hello")
        return await asking.watch(request_of(leaves), post, message, streams=True, goes_on=goes_on), leaves

    async def leave(self, watched: Watched, leaves: asyncio.Event) -> None:
        """Returns once the turn has been cancelled, or would have been."""
        leaves.set()
        async for _ in watched.updates:
            pass
        watched.leaving.close()
        await asyncio.gather(*self.here._cancelling, *self.elsewhere._cancelling)

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.inbox.loop).result(10.0)

    def state(self, watched: Watched) -> TurnState:
        return self.inbox.get_turn(watched.turn.id).state


@pytest.fixture
def scene() -> Iterator[Scene]:
    gate = ScriptGate()
    inbox = FakeInbox(FakePlatform(), lambda _: (TextDelta("at "), gate, RunCompleted("at last")))
    yield Scene(inbox, gate)
    gate.open()
    inbox.close()


def test_the_turn_of_a_caller_who_left_is_cancelled(scene: Scene) -> None:
    async def play() -> None:
        watched, leaves = await scene.watch(scene.here, FIRST)
        await scene.leave(watched, leaves)
        assert scene.state(watched) is TurnState.CANCELLED

    scene.run(play())


def test_what_is_written_in_the_background_goes_on_without_its_caller(scene: Scene) -> None:
    async def play() -> None:
        watched, leaves = await scene.watch(scene.here, FIRST, goes_on=True)
        await scene.leave(watched, leaves)
        assert scene.state(watched) is TurnState.RUNNING

    scene.run(play())


@pytest.mark.parametrize("is_silent", [True, False])
@pytest.mark.parametrize("number", [0, LOOKS - 1, LOOKS])
def test_while_the_database_is_away_nobody_counts_as_gone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, number: int, is_silent: bool
) -> None:
    lock, get_turn, questions = scene.memory.try_lock, AsyncFakeInbox.get_turn, count()
    monkeypatch.setattr(asking, "PROMPT_SECONDS", 0.05)

    def be_away_once() -> None:
        if next(questions) != number:
            return
        if not is_silent:
            raise StoreUnavailable
        time.sleep(2 * asking.PROMPT_SECONDS)

    async def get_turn_or_fail(inbox: AsyncFakeInbox, turn_id: TurnId) -> Turn:
        be_away_once()
        return await get_turn(inbox, turn_id)

    def lock_or_fail(name: str, owner: str, seconds: float) -> bool:
        be_away_once()
        return lock(name, owner, seconds)

    async def play() -> None:
        watched, leaves = await scene.watch(scene.here, FIRST)
        monkeypatch.setattr(scene.memory, "try_lock", lock_or_fail)
        monkeypatch.setattr(AsyncFakeInbox, "get_turn", get_turn_or_fail)
        await scene.leave(watched, leaves)
        assert scene.state(watched) is TurnState.CANCELLED
        assert next(questions) >= number + 1 + LOOKS

    scene.run(play())


def test_a_caller_who_is_just_coming_back_finds_its_turn(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    find = AsyncFakeInbox.find_newest_turn

    async def find_slowly(inbox: AsyncFakeInbox, *names: str) -> Turn | None:
        await asyncio.sleep(3 * LIMITS.come_back_seconds)
        return await find(inbox, *names)

    async def play() -> None:
        watched, leaves = await scene.watch(scene.here, FIRST)
        monkeypatch.setattr(AsyncFakeInbox, "find_newest_turn", find_slowly)
        coming = asyncio.create_task(scene.watch(scene.here, AGAIN))
        await asyncio.sleep(0)
        await scene.leave(watched, leaves)
        again, _ = await coming
        assert again.turn.id == watched.turn.id
        assert scene.state(watched) is TurnState.RUNNING

    scene.run(play())


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_caller_who_comes_back_finds_its_turn(scene: Scene, where: str) -> None:
    async def play() -> None:
        watched, leaves = await scene.watch(scene.here, FIRST)
        again, _ = await scene.watch(getattr(scene, where), AGAIN)
        assert again.turn.id == watched.turn.id
        await scene.leave(watched, leaves)
        assert scene.state(watched) is TurnState.RUNNING

    scene.run(play())


def test_a_caller_who_comes_back_late_finds_a_turn_that_takes_so_long(scene: Scene) -> None:
    async def play() -> None:
        watched, _ = await scene.watch(scene.here, FIRST)
        again, _ = await scene.watch(scene.here, LATE)
        assert again.turn.id == watched.turn.id

    scene.run(play())


@pytest.mark.parametrize("seconds", [60.0, -60.0])
def test_what_ended_long_before_is_another_request(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    async def play() -> None:
        scene.gate.open()
        watched, leaves = await scene.watch(scene.here, FIRST)
        await scene.leave(watched, leaves)
        monkeypatch.setattr(asking, "SECONDS", seconds)
        again, _ = await scene.watch(scene.here, LATE)
        assert (again.turn.id == watched.turn.id) is (seconds > 0)

    scene.run(play())


def test_a_turn_that_was_answered_is_left_alone(scene: Scene) -> None:
    async def play() -> None:
        scene.gate.open()
        watched, leaves = await scene.watch(scene.here, FIRST)
        await scene.leave(watched, leaves)
        assert scene.state(watched).is_resolved
        assert scene.state(watched) is not TurnState.CANCELLED

    scene.run(play())


def test_what_was_cancelled_is_asked_anew(scene: Scene) -> None:
    async def play() -> None:
        watched, leaves = await scene.watch(scene.here, FIRST)
        await scene.leave(watched, leaves)
        again, _ = await scene.watch(scene.here, AGAIN)
        assert again.turn.id != watched.turn.id
        assert scene.state(again) is TurnState.RUNNING

    scene.run(play())


def test_a_process_that_stops_cancels_nothing(scene: Scene) -> None:
    async def play() -> None:
        watched, leaves = await scene.watch(scene.here, FIRST)
        scene.here.waiters.close(0.0)
        await scene.leave(watched, leaves)
        assert scene.state(watched) is TurnState.RUNNING

    scene.run(play())
