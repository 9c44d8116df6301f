"""What has to be done beside the turns: look how much waits, mend what a clock broke, clear up what is old."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway import logs
from gateway.coordination.async_store import Journal
from gateway.coordination.backpressure import Pressure
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import Store

LOOK_SECONDS = 1.0
MEND_SECONDS = 10.0
CLEAR_SECONDS = 600.0
CLEARING = "clear up"
"""The lease by which one process of all clears up."""

log = logs.get(__name__)


class Housekeeping:
    """One per engine; used on its loop only."""

    def __init__(
        self, journal: Journal, pressure: Pressure, clear_up: Callable[[Callable[[], bool]], object], owner: str
    ) -> None:
        """``clear_up`` is called off the loop, by one process of all at a time; it asks its argument whether to go."""
        self._journal = journal
        self._pressure = pressure
        self._clear_up = clear_up
        self._owner = owner
        self._over = False

    async def go_on(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_each(LOOK_SECONDS, self._look))
                group.create_task(_each(MEND_SECONDS, self._mend))
                group.create_task(_each(CLEAR_SECONDS, self._clear))
        finally:
            self._over = True

    async def _look(self) -> None:
        self._pressure.look(await self._journal.read(lambda store: store.depths()))

    async def _mend(self) -> None:
        mended = await self._journal.read(lambda store: store.mend())
        if mended:
            log.warning("the database's clock was set back", conversations=mended)

    async def _clear(self) -> None:
        def clear(store: Store) -> None:
            def ours() -> bool:
                # Held for a while beyond the work: so the next one to look finds that it was just done.
                return not self._over and store.lease(CLEARING, self._owner, CLEAR_SECONDS / 2)

            if ours():
                self._clear_up(ours)

        await self._journal.read(clear)


async def _each(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except StoreUnavailable as exc:
            log.warning("database away", error=str(exc))
        except Exception:
            log.exception("housekeeping failed")
        await asyncio.sleep(seconds)
