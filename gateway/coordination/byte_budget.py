"""How many bytes of files this process may hold at a time."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """Bytes that are taken and given back; who comes first is served first. Used on one event loop."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, count: int, *, max_wait: float) -> int:
        """Waits for so many bytes, or for all that there are. Returns how many were taken.

        Raises TimeoutError after ``max_wait`` seconds. Whoever holds some takes no more, so nobody waits for ever.
        """
        count = min(count, self._total)
        place = (count, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        self._serve()
        try:
            async with asyncio.timeout(max_wait):
                await place[1]
        except BaseException:
            self._leave(place)
            raise
        return count

    def take_more(self, count: int) -> None:
        """Takes bytes without waiting, for what is larger than was known; whoever comes next waits the longer."""
        self._left -= count

    def give_back(self, count: int) -> None:
        """Returns bytes that were taken."""
        self._left += count
        self._serve()

    def _leave(self, place: tuple[int, asyncio.Future[None]]) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
            self._serve()
        else:  # served at the same moment
            self.give_back(place[0])

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._left:
            count, served = self._waiting.popleft()
            self._left -= count
            if not served.done():
                served.set_result(None)
