"""Rejects new messages while too many turns are unfinished, in total or of one platform."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from gateway.coordination.shares import SharedPlaces
from gateway.domain.errors import Overloaded
from gateway.domain.models import Message, MessageKind
from gateway.domain.sentences import Sentence, counted, sentence
from gateway.domain.shares import NOBODY, Share
from gateway.ports.store import QueueDepth

RETRY_AFTER = 10.0
OVERLOADED_MESSAGE = sentence("Too many messages wait for an answer right now. Please send this one again in a minute.")
CALLER_QUEUE_FULL = "caller_queue_full"
WORKSPACE_QUEUE_FULL = "workspace_queue_full"


class Backpressure:
    """Counts unfinished turns: those in the database at the last refresh, and those accepted here since. Thread-safe.

    Other processes accept messages too, so the limits may be exceeded by what they accept between two refreshes.
    """

    def __init__(
        self, *, max_total: int, max_per_platform: int, caller_share: float = 1.0, workspace_share: float = 1.0
    ) -> None:
        """``max_total``: the limit of unfinished turns in total; ``max_per_platform``: of each platform;
        ``workspace_share``: the part of a platform's that one workspace may have, and ``caller_share`` one caller, see
        ``SharedPlaces``.
        """
        self._max_total = max_total
        self._max_per_platform = max_per_platform
        self._caller_share = caller_share
        self._workspace_share = workspace_share
        self._platforms: dict[str, SharedPlaces] = {}
        self._lock = threading.Lock()

    def refresh(self, depths: Sequence[QueueDepth]) -> None:
        """Sets the counts to what the database holds now. Called periodically by Maintenance."""
        with self._lock:
            self._platforms = {
                depth.platform: self._places(depth.by_share or {NOBODY: depth.unfinished}) for depth in depths
            }

    def admit(self, message: Message) -> None:
        """Counts a message that is about to be recorded. Raises Overloaded, but only for prompts."""
        if message.kind is not MessageKind.PROMPT:
            return
        with self._lock:
            share, places = message.share, self._platforms.get(message.key.platform)
            if places is None:
                places = self._platforms[message.key.platform] = self._places({})
            total = sum(each.total for each in self._platforms.values())
            if places.total >= self._max_per_platform or total >= self._max_total:
                raise Overloaded(OVERLOADED_MESSAGE, retry_after=RETRY_AFTER)
            if not places.try_take(share):
                raise _share_is_full(places, share)

    def _places(self, by_share: Mapping[Share, int]) -> SharedPlaces:
        capacity = min(self._max_per_platform, self._max_total)
        return SharedPlaces(capacity, self._caller_share, by_share, workspace_fraction=self._workspace_share)


def _share_is_full(places: SharedPlaces, share: Share) -> Overloaded:
    if places.is_workspace_full(share.workspace):
        code, text = WORKSPACE_QUEUE_FULL, _workspace_share_message(places.workspace_limit(share.workspace))
    else:
        code, text = CALLER_QUEUE_FULL, _caller_share_message(places.limit_of(share))
    return Overloaded(text, code=code, retry_after=RETRY_AFTER)


def _caller_share_message(limit: int) -> Sentence:
    return counted(
        "One of your messages waits for an answer, the most that one caller may have waiting just now "
        "(MAX_CALLER_SHARE of MAX_QUEUE_PER_PLATFORM). Please send this one again in a minute.",
        "{count} of your messages wait for an answer, the most that one caller may have waiting just now "
        "(MAX_CALLER_SHARE of MAX_QUEUE_PER_PLATFORM). Please send this one again in a minute.",
        limit,
    )


def _workspace_share_message(limit: int) -> Sentence:
    return counted(
        "One message of your workspace waits for an answer, the most that one workspace may have waiting just now "
        "(MAX_WORKSPACE_SHARE of MAX_QUEUE_PER_PLATFORM). Please send this one again in a minute.",
        "{count} messages of your workspace wait for an answer, the most that one workspace may have waiting just now "
        "(MAX_WORKSPACE_SHARE of MAX_QUEUE_PER_PLATFORM). Please send this one again in a minute.",
        limit,
    )
