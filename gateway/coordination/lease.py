"""A lease in hand: until when it is sure to hold, and what to do once it may not."""

from __future__ import annotations

import time
from contextvars import ContextVar

from gateway.coordination.async_store import Journal
from gateway.domain.errors import LeaseLost
from gateway.domain.models import Claim, Mark
from gateway.ports.store import Marked

IN_HAND: ContextVar[Grip | None] = ContextVar("in hand", default=None)
"""Of the conversation that the present task works on."""
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where there is such a clock."""
MARGIN = 0.1
"""Share of a lease that is kept for what was begun within it to arrive."""


def now() -> float:
    """Seconds, by a clock that nobody sets."""
    return time.clock_gettime(CLOCK)


class Grip:
    """One process's hold on a conversation, from turn to turn. Used on the engine's loop only.

    A process may stand still for any time and then go on where it was: frozen, swapped out, a laptop that slept. What
    it writes to the database is fenced; what it does elsewhere is not. So it asks here before it does.
    """

    def __init__(self, journal: Journal, claim: Claim, *, seconds: float, since: float) -> None:
        """``seconds``: how long a lease lasts; ``since``: by ``now``, before the claim was asked for."""
        self.claim = claim
        self.lost = False
        self._journal = journal
        self._seconds = seconds * (1 - MARGIN)
        self._until = since + self._seconds

    def extend(self, since: float) -> None:
        """It was renewed, by a call that began at this time."""
        self._until = max(self._until, since + self._seconds)

    async def ensure(self) -> None:
        """Return when no other process can have taken over. Raises LeaseLost.

        The database is asked only when the lease may have run out, and waited for if it is away.
        """
        if self.lost:
            raise LeaseLost
        if now() >= self._until:
            await self._ask()

    async def _ask(self) -> None:
        lease, since = self.claim.lease, now()
        renewal = await self._journal.insist(lambda store: store.renew(lease.owner, (lease.conversation,)))
        if lease.conversation not in renewal.held:
            self.lost = True
            raise LeaseLost
        # The renewal knows the owner only; this also that it is not this same process that took over from itself.
        await self._journal.write(Marked(lease, self.claim.turn.id, Mark.WENT_ON, lease.owner))
        self.extend(since)


async def ensure_held() -> None:
    """As ``Grip.ensure`` of the conversation that is worked on here, for whoever is about to ask for something that
    cannot be taken back. Returns at once where none is. Raises LeaseLost.
    """
    grip = IN_HAND.get()
    if grip is not None:
        await grip.ensure()
