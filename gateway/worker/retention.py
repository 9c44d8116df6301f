"""Nothing need be kept for good: what was said is erased when it is old enough, what nobody needs is deleted."""

from __future__ import annotations

from collections.abc import Callable

from gateway import logs
from gateway.ports.reporting import Catalogue

DAY_SECONDS = 86_400.0

log = logs.get(__name__)


def clear_up(catalogue: Catalogue, retention_days: float, go_on: Callable[[], bool] = lambda: True) -> int:
    """Erase what was said more than so many days ago (0: nothing), and tidy; how many turns were erased.

    Sync, with I/O; takes minutes where much has become old at once. ``go_on`` is asked after each batch, in which about
    a thousand turns are erased: whether this process may, and still has the lease by which it is the only one. What is
    left is erased by the next call. Raises StoreUnavailable.
    """
    erased = 0
    if retention_days > 0:
        while batch := catalogue.erase_before(retention_days * DAY_SECONDS):
            erased += batch
            if not go_on():
                break
    catalogue.tidy()
    if erased:
        log.info("old turns erased", turns=erased, days=retention_days)
    return erased
