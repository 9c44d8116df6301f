"""Makes turns of the schedules that are due. A tick is one turn, however many processes try and whichever die."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import GatewayError, Overloaded, StoreUnavailable
from gateway.domain.models import TurnId
from gateway.ports.inbox import Accept
from gateway.ports.schedules import Schedule, Schedules
from gateway.ports.store import Store
from gateway.push.cron import next_tick
from gateway.push.messages import PushMessages
from gateway.push.request import LATE_SECONDS

BATCH = 100
CLOCK_SECONDS = 1.0
"""A clock that is behind by less was not set back."""
MISSED = "missed: no process ran when it was due"

log = logs.get_logger(__name__)


class Scheduler:
    """Used on the worker's loop only. Every process has one, and needs not be told of the others.

    The message of a tick has an id of its own. So a process that dies before it has noted the tick leaves a turn that
    the next process finds recorded.
    """

    def __init__(
        self, store: AsyncStore, schedules: Schedules, messages: PushMessages, accept: Accept, *, skips_missed: bool
    ) -> None:
        """``skips_missed``: whether a tick that was due long ago becomes no turn."""
        self._store = store
        self._schedules = schedules
        self._messages = messages
        self._accept = accept
        self._skips_missed = skips_missed
        self._latest = math.inf
        """The time of the last look."""

    async def run_due(self) -> None:
        """Makes a turn of each tick that is due. Raises StoreUnavailable."""
        platforms = self._messages.platforms
        if not platforms:
            return
        now, due = await self._store.call(lambda _: self._schedules.due(platforms, BATCH))
        if now < self._latest - CLOCK_SECONDS:
            await self._plan_again(now)
        self._latest = now
        for schedule in due:
            await self._run(schedule, now)

    async def _plan_again(self, now: float) -> None:
        """Brings ticks forward that a clock which was ahead has put off: at the start, and when it is set back.

        A tick that was a turn before is found recorded when it is due again.
        """
        last = ""
        while found := await self._store.call(partial(self._recurring_after, last)):
            for schedule in found:
                tick = next_tick(schedule.every, schedule.time_zone, now)
                if tick is not None and schedule.next_at is not None and now < tick < schedule.next_at:
                    await self._store.call(partial(self._bring_forward, schedule, tick))
            last = found[-1].id

    def _recurring_after(self, last: str, _: Store) -> Sequence[Schedule]:
        return self._schedules.recurring(BATCH, last)

    def _bring_forward(self, schedule: Schedule, tick: float, _: Store) -> None:
        if self._schedules.advance(schedule, tick, None, schedule.problem):
            log.warning("scheduled message planned again: the clock was ahead", schedule=schedule.id, tick=tick)

    async def _run(self, schedule: Schedule, now: float) -> None:
        tick = schedule.next_at or now
        try:
            turn, problem = await self._turn_of(schedule, tick, is_late=now - tick > LATE_SECONDS)
        except Overloaded:
            return  # it is still due
        if problem:
            log.warning("scheduled message not sent", schedule=schedule.id, tick=tick, problem=problem)
        following = next_tick(schedule.every, schedule.time_zone, max(now, tick)) if schedule.every else None
        await self._store.call(lambda _: self._schedules.advance(schedule, following, turn, problem))

    async def _turn_of(self, schedule: Schedule, tick: float, *, is_late: bool) -> tuple[TurnId | None, str]:
        """Returns the turn of a tick, or why it has none. Raises StoreUnavailable; Overloaded for one to try again."""
        if is_late and self._skips_missed:
            return None, MISSED
        try:
            return await self._record(schedule, tick), ""
        except StoreUnavailable:
            raise
        except Exception as exc:  # one that cannot be sent must not hold up the others
            if isinstance(exc, Overloaded) and not is_late:
                raise
            return None, str(exc) if isinstance(exc, GatewayError) else type(exc).__name__

    async def _record(self, schedule: Schedule, tick: float) -> TurnId:
        message = self._messages.message(schedule.push, schedule.owner, f"{schedule.id}:{tick:.0f}")
        turn = (await self._accept(message)).turn
        log.info("scheduled message recorded", schedule=schedule.id, turn=turn.id, tick=tick)
        return turn.id
