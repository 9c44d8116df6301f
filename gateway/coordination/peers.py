"""How busy the other processes on one database are, so that a burst at one of them is shared by all."""

from __future__ import annotations

import time

from gateway.ports.cluster import WorkerLoad

SLACK = 16
"""How many conversations more than the least busy process a process may work on before it leaves new ones to others."""
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
        oldest = time.monotonic() - MAX_AGE_SECONDS
        self._heard = {owner: heard for owner, heard in self._heard.items() if heard[1] >= oldest}
        loads = [load.in_progress for load, _ in self._heard.values() if load.has_capacity]
        return max(0, min(loads) + slack - in_progress) if loads else None
