"""Hands a caller's message in, waits for its turn, and cancels the turn once nobody waits for it any more."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from adapters.openai_api.context import ApiLimits
from adapters.openai_api.repetition import SECONDS, Attempts, Post
from adapters.openai_api.settings import NAME
from gateway.domain.errors import GatewayError, StoreUnavailable, TurnNotFound
from gateway.domain.models import Message, Turn, TurnId, TurnState
from gateway.ports.inbox import AcceptResult, AsyncInbox
from gateway.ports.store import KeyValueStore
from gateway.web.api.event_stream import TurnUpdates
from gateway.web.api.routes import HttpRequest
from gateway.web.api.waiting import Waiter, WaiterRegistry, only

AWAITED_SECONDS = 600.0
"""How long a caller that came back counts as waiting for the turn, in whichever process."""
LOOKS = 5
"""How often it is looked, while a caller may come back, whether the database lets it."""
PROMPT_SECONDS = 1.0
"""A database that takes longer for an answer was away."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A turn whose caller waits."""

    turn: Turn
    updates: TurnUpdates
    leaving: ExitStack
    """To be closed when the caller is answered, or has left."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Used on the worker's loop."""

    inbox: AsyncInbox
    waiters: WaiterRegistry
    attempts: Attempts
    memory: KeyValueStore
    limits: ApiLimits
    _name: str = field(default_factory=lambda: secrets.token_hex(8))
    """What other processes know this one by."""
    _cancelling: set[asyncio.Task[None]] = field(default_factory=set)

    async def begin(self, post: Post, message: Message) -> Turn:
        """Records a message for which nobody waits. Raises as ``AsyncInbox.accept``."""
        self.waiters.check_open()
        return (await self._record(post, message, self.inbox.new_turn_id())).turn

    async def newest(self, post: Post, platform: str = NAME) -> Turn | None:
        """Returns the turn of the last attempt at a request, also a cancelled one, see ``is_replaced``.

        Raises Conflict if that attempt had another body.
        """
        if not post.may_be_repeated:
            return None
        found = await self.inbox.find_newest_turn(platform, post.first_of_long or post.first, post.last)
        if found is None or _is_of_another_time(found, post):
            return None
        post.check_same(found.message.message_id)
        return found

    async def cancel(self, turn: Turn) -> Turn:
        """Cancels a turn and tells those who wait for it. Raises Conflict when it has another outcome."""
        cancelled = await self.inbox.cancel_turn(turn.id)
        self.waiters.resolve(cancelled)  # the worker would deliver a queued one only after those before it
        return cancelled

    async def _record(self, post: Post, message: Message, turn_id: TurnId) -> AcceptResult:
        """Records a message, unless its request is repeated: then its turn is the one there is."""
        async with self.attempts.turn_of(post):
            earlier = await self.newest(post, message.key.platform)
            if earlier is None:
                return await self.inbox.accept(message, turn_id)
            if is_replaced(earlier, post):
                name = post.name_after(earlier.message.message_id)
                return await self.inbox.accept(replace(message, message_id=name), turn_id)
            if not earlier.state.is_resolved:
                await self._claim_wait(earlier.id, AWAITED_SECONDS)
            return AcceptResult(earlier, is_new=False, claimed_here=False)

    async def watch(
        self, request: HttpRequest, post: Post, message: Message, *, streams: bool, goes_on: bool = False
    ) -> Watched:
        """Records a message and waits for its turn, which is cancelled when the caller leaves before its end, unless it
        ``goes_on``.

        The caller is registered first, so that no event of the turn is missed. Raises as ``AsyncInbox.accept``.
        """
        with ExitStack() as leaving:
            turn_id = self.inbox.new_turn_id()
            waiter = self.waiters.register(turn_id, message.share, wants_previews=streams)
            leaving.callback(waiter.close)
            accepted = await self._record(post, replace(message, has_waiting_caller=True), turn_id)
            turn = accepted.turn
            if turn.id != turn_id:
                waiter.switch_to(turn.id)
                turn = await self.inbox.get_turn(turn.id)  # it may have finished meanwhile
            end = _End(is_reached=goes_on)
            updates = self._updates(request, post, turn, waiter, leaving, end, is_local=accepted.claimed_here)
            return Watched(turn, updates, leaving.pop_all())
        raise AssertionError

    def _updates(
        self,
        request: HttpRequest,
        post: Post,
        turn: Turn,
        waiter: Waiter,
        leaving: ExitStack,
        end: _End,
        *,
        is_local: bool,
    ) -> TurnUpdates:
        if turn.state.is_resolved:
            return only(turn)
        leaving.callback(self._left, post, turn.id, end)
        leaving.callback(waiter.close)  # before ``_left``, which looks for those who wait
        waiter.close_when_disconnected(request)
        updates = waiter.updates(
            partial(self.inbox.get_turn, turn.id),
            is_local=is_local,
            max_silence=self.limits.wait_seconds,
            idle_interval=self.limits.ping_seconds if waiter.wants_previews else self.limits.wait_seconds,
        )
        return _noting(updates, end)

    def _left(self, post: Post, turn_id: TurnId, end: _End) -> None:
        """Cancels a turn a little later, unless it was answered, somebody waits for it, or the process stops."""
        if end.is_reached or self.waiters.is_closed:
            return
        task = asyncio.create_task(self._cancel_unwatched(post, turn_id))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _cancel_unwatched(self, post: Post, turn_id: TurnId) -> None:
        """Gives the caller its time again whenever the database is away, as it cannot come back meanwhile."""
        looks = 0
        while looks < LOOKS:
            await asyncio.sleep(self.limits.come_back_seconds / LOOKS)
            if self.waiters.is_closed or self.waiters.is_awaited(turn_id):
                return
            is_running = await self._promptly(self._is_running(turn_id))
            if is_running is False:
                return
            looks = looks + 1 if is_running else 0
            if looks == LOOKS and not await self._cancel_unless_awaited(post, turn_id):
                looks = 0

    async def _is_running(self, turn_id: TurnId) -> bool:
        try:
            return not (await self.inbox.get_turn(turn_id)).state.is_resolved
        except TurnNotFound:
            return False

    async def _cancel_unless_awaited(self, post: Post, turn_id: TurnId) -> bool:
        """Returns False if the database is away, or was meanwhile."""
        async with self.attempts.turn_of(post):  # after the caller, if it is just coming back
            is_unwatched = await self._promptly(self._claim_wait(turn_id, 1.0))
            if is_unwatched and not self.waiters.is_awaited(turn_id):
                with suppress(GatewayError):  # it has ended, or the database is away: then it is answered for nobody
                    await self.cancel(await self.inbox.get_turn(turn_id))
        return is_unwatched is not None

    async def _promptly(self, question: Awaitable[bool]) -> bool | None:
        """Returns what the database answers; None if it does not, or not at once."""
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            answer = await question
        except StoreUnavailable:
            return None
        return answer if clock() - since < PROMPT_SECONDS else None

    async def _claim_wait(self, turn_id: TurnId, seconds: float) -> bool:
        """Says to other processes that a turn is awaited here; returns False if it is awaited in one of them."""
        return await asyncio.to_thread(self.memory.try_lock, f"{NAME}:awaited:{turn_id}", self._name, seconds)


def is_replaced(cancelled: Turn, post: Post) -> bool:
    """Returns whether a turn was cancelled while its caller waited, so that the same request is answered by another.

    One that was begun with an Idempotency-Key in the background stays cancelled: its caller did that.
    """
    return cancelled.state is TurnState.CANCELLED and (cancelled.message.has_waiting_caller or not post.has_key)


def _is_of_another_time(turn: Turn, post: Post) -> bool:
    """Returns whether a turn had ended long before, so that the same request is one for a new answer."""
    is_old = turn.message.message_id < post.first and turn.state.is_resolved
    return is_old and (turn.answered_at or turn.received_at) < time.time() - SECONDS


@dataclass
class _End:
    """Whether the outcome was seen, or need not be."""

    is_reached: bool = False


async def _noting(updates: TurnUpdates, end: _End) -> TurnUpdates:
    async for item in updates:
        end.is_reached = end.is_reached or isinstance(item, Turn)
        yield item
