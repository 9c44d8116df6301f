"""Rejects new messages while too many turns are unfinished, in total or of one platform."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from gateway.coordination.shares import SharedPlaces
from gateway.domain.errors import Overloaded
from gateway.domain.models import Message, MessageKind
from gateway.domain.sentences import sentence
from gateway.ports.store import QueueDepth

RETRY_AFTER = 10.0
OVERLOADED_MESSAGE = sentence("Too many messages wait for an answer right now. Please send this one again in a minute.")
CALLER_QUEUE_FULL = "caller_queue_full"
SHARE_MESSAGE = (
    "{limit} of your messages wait for an answer, the most that one caller may have waiting just now "
    "(MAX_CALLER_SHARE of MAX_QUEUE_PER_PLATFORM). Please send this one again in a minute."
)


class Backpressure:
    """Counts unfinished turns: those in the database at the last refresh, and those accepted here since. Thread-safe.

    Other processes accept messages too, so the limits may be exceeded by what they accept between two refreshes.
    """

    def __init__(self, *, max_total: int, max_per_platform: int, caller_share: float = 1.0) -> None:
        """``max_total``: the limit of unfinished turns in total; ``max_per_platform``: of each platform;
        ``caller_share``: the part of a platform's that one caller may have, see ``SharedPlaces``.
        """
        self._max_total = max_total
        self._max_per_platform = max_per_platform
        self._caller_share = caller_share
        self._platforms: dict[str, SharedPlaces] = {}
        self._lock = threading.Lock()

    def refresh(self, depths: Sequence[QueueDepth]) -> None:
        """Sets the counts to what the database holds now. Called periodically by Maintenance."""
        with self._lock:
            self._platforms = {
                depth.platform: self._places(depth.by_share or {"": depth.unfinished}) for depth in depths
            }

    def admit(self, message: Message) -> None:
        """Counts a message that is about to be recorded. Raises Overloaded, but only for prompts."""
        if message.kind is not MessageKind.PROMPT:
            return
        with self._lock:
            places = self._platforms.setdefault(message.key.platform, self._places({}))
            total = sum(each.total for each in self._platforms.values())
            if places.total >= self._max_per_platform or total >= self._max_total:
                raise Overloaded(OVERLOADED_MESSAGE, retry_after=RETRY_AFTER)
            if not places.try_take(message.share):
                limit = places.limit_of(message.share)
                raise Overloaded(SHARE_MESSAGE.format(limit=limit), code=CALLER_QUEUE_FULL, retry_after=RETRY_AFTER)

    def _places(self, by_share: Mapping[str, int]) -> SharedPlaces:
        return SharedPlaces(min(self._max_per_platform, self._max_total), self._caller_share, by_share)
