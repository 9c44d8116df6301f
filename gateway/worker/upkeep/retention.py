"""Erases the content of old turns and old unparsed updates, and purges expired rows."""

from __future__ import annotations

from collections.abc import Callable

from gateway import logs
from gateway.ports.reporting import ReportingStore
from gateway.ports.unparsed_updates import UnparsedUpdates

DAY_SECONDS = 86_400.0

log = logs.get_logger(__name__)


def apply_retention(
    reporting: ReportingStore,
    unparsed_updates: UnparsedUpdates,
    retention_days: float,
    may_continue: Callable[[], bool] = lambda: True,
) -> int:
    """Erases the content of turns and deletes unparsed updates older than ``retention_days`` (0: none), and purges
    expired rows; returns the number of turns.

    Sync, with I/O; takes minutes when many turns expire at once. ``may_continue`` is called after each batch of about a
    thousand turns: whether this process may go on and still holds the retention lock. The rest is erased by the next
    call. Raises StoreUnavailable.
    """
    erased = 0
    if retention_days > 0:
        deleted = unparsed_updates.erase_older_than(retention_days * DAY_SECONDS)
        if deleted:
            log.info("old unparsed updates deleted", updates=deleted, days=retention_days)
        while batch := reporting.erase_older_than(retention_days * DAY_SECONDS):
            erased += batch
            if not may_continue():
                break
    reporting.purge_expired()
    if erased:
        log.info("old turns erased", turns=erased, days=retention_days)
    return erased
