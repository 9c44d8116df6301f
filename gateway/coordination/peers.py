"""How busy the other processes on one database are, so that a burst at one of them is shared by all."""

from __future__ import annotations

import time

from gateway.ports.cluster import WorkerLoad

SLACK = 16
"""How many conversations more than the least busy process a process may work on before it leaves new ones to others."""
MOST_AHEAD = 1.5
"""How many times as many as the least busy process it may work on, and SLACK more, before it leaves to others what
follows in its own conversations. A margin: each that is left costs a claim, and the loads that were heard are old.
"""
MAX_AGE_SECONDS = 5.0
"""After this time without an announcement a process is taken for dead."""


class PeerLoads:
    """What other workers announced. Used on the worker's loop only.

    Announcements are only a hint: whatever they say, each process claims what nobody else takes.
    """

    def __init__(self, owner: str) -> None:
        """``owner``: this process, whose own announcements are ignored."""
        self._owner = owner
        self._heard: dict[str, tuple[WorkerLoad, float]] = {}

    def hear(self, load: WorkerLoad) -> None:
        if load.owner != self._owner:
            self._heard[load.owner] = load, time.monotonic()

    def share(self, in_progress: int, slack: int = SLACK) -> int | None:
        """Returns how many more conversations a process that works on ``in_progress`` should claim before others do.

        ``slack``: how many more than the least busy process it may work on. None: no other process could take any.
        """
        least = self._least()
        return None if least is None else max(0, least + slack - in_progress)

    def is_far_ahead(self, in_progress: int) -> bool:
        """Returns whether a process that works on ``in_progress`` is so busy that others should have what follows."""
        least = self._least()
        return least is not None and in_progress > MOST_AHEAD * least + SLACK

    def _least(self) -> int | None:
        """Returns on how many conversations the least busy process works that could take more; None: there is none."""
        oldest = time.monotonic() - MAX_AGE_SECONDS
        self._heard = {owner: heard for owner, heard in self._heard.items() if heard[1] >= oldest}
        return min((load.in_progress for load, _ in self._heard.values() if load.has_capacity), default=None)
