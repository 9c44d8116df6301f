"""How often each caller may do something, counted in this process. No I/O."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

from gateway.domain.errors import GatewayError, Overloaded, Unauthenticated
from gateway.domain.sentences import counted
from gateway.web.api.client_address import client_ip, network_of

MINUTE = 60.0
REFUSALS_PER_MINUTE: Final = 30
"""Requests without the right key, token or signature of one network that are told so; the others are told to wait."""
MAX_CALLERS: Final = 20_000
"""Callers that are remembered; the one that called longest ago is forgotten first."""


class CallLimit:
    """A token bucket for each caller, in memory. Thread-safe."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_minute``: also how many calls may come at once; 0: no limit."""
        self._per_minute = per_minute
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When each caller's bucket is full again."""
        self._lock = Lock()

    def check(self, caller: str) -> None:
        """Counts a call. Raises Overloaded (``rate_limited``) when it is one too many."""
        if not self._per_minute:
            return
        interval, now = MINUTE / self._per_minute, self._clock()
        with self._lock:
            before = max(self._full_at.pop(caller, now), now)
            is_allowed = before + interval / 2 < now + MINUTE
            self._full_at[caller] = before + interval if is_allowed else before
            if len(self._full_at) > MAX_CALLERS:
                self._full_at.popitem(last=False)
        if not is_allowed:
            raise Overloaded(
                counted(
                    "More than one such request within a minute. Come back after Retry-After seconds.",
                    "More than {count} such requests within a minute. Come back after Retry-After seconds.",
                    self._per_minute,
                ),
                code="rate_limited",
                retry_after=math.ceil(interval),
            )


class RefusalLimit:
    """How often one network is told that its secret is wrong. Thread-safe.

    It counts what was refused already: the right key, and the right signature of a platform, are let in however
    often others from the same network were refused.
    """

    def __init__(self, trusted_proxies: int) -> None:
        """``trusted_proxies``: see ``client_ip``."""
        self._trusted_proxies = trusted_proxies
        self._limit = CallLimit(REFUSALS_PER_MINUTE)

    def count(self, refusal: Unauthenticated, peer: str, forwarded_for: str) -> GatewayError:
        """Counts a refused request; returns what to answer it with: ``refusal``, or Overloaded after too many.

        ``peer``, ``forwarded_for``: see ``client_ip``.
        """
        try:
            self._limit.check(network_of(client_ip(peer, forwarded_for, self._trusted_proxies)))
        except Overloaded as too_many:
            return too_many
        return refusal
