"""Posts callbacks: the first of each lane, again and again until it is accepted or given up."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway import logs
from gateway.callbacks import signing
from gateway.callbacks.addresses import AddressRule
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.retry import Backoff, repeat
from gateway.domain.errors import MalformedRequest
from gateway.http_client import AddressRefused, GuardedClient, PostFailed
from gateway.ports.callbacks import Callback, Callbacks

AT_ONCE = 100
"""Callbacks that one process posts at the same time."""
AT_ONCE_EACH = 25
"""Of these, to one receiver, or few more: another one is not kept waiting by one that does not answer."""
LOOK_SECONDS = 1.0
POST_SECONDS = 15.0
LEASE_SECONDS = 60.0
"""Longer than an attempt takes, so that no other process begins another."""
BACKOFF = Backoff(2.0, 900.0)
LONGEST_RETRY_AFTER = 3600.0
JITTER = 0.2
"""The part of a pause that is left to chance, so that what failed together does not come again together."""
GONE = 410
"""The receiver wants no more of this: standard-webhooks spec, section "Webhook endpoint status codes"."""
HOUR = 3600.0

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an attempt failed."""

    error: str
    retry_after: float = 0.0
    """Seconds; what the receiver asks for."""
    is_final: bool = False


class CallbackSender:
    """Used on the worker's loop only. Every process has one; they share the work by the table."""

    def __init__(
        self,
        store: AsyncStore,
        callbacks: Callbacks,
        rule: AddressRule,
        keys: Sequence[bytes],
        *,
        hours: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``hours``: after which a callback is given up. ``chance``: returns a number from 0 to 1."""
        self._store = store
        self._callbacks = callbacks
        self._rule = rule
        self._keys = keys
        self._hours = hours
        self._chance = chance
        self._client = GuardedClient(rule.allows)
        self._tasks: dict[asyncio.Task[None], str] = {}
        """The attempts in progress, with their receivers."""
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Posts what is due until it is cancelled."""
        try:
            await repeat(self.start_due, "callbacks not looked at", self._pause)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._client.close()

    async def start_due(self) -> None:
        """Begins to post what is due, as far as there is room. Raises StoreUnavailable."""
        room = min(AT_ONCE - len(self._tasks), AT_ONCE_EACH)
        if room <= 0:
            return
        busy = [each for each, tasks in Counter(self._tasks.values()).items() if tasks >= AT_ONCE_EACH]
        now, claimed = await self._store.call(lambda _: self._callbacks.claim(room, LEASE_SECONDS, busy))
        for callback in claimed:
            task = asyncio.create_task(self.send(callback, now))
            self._tasks[task] = _receiver(callback.url)
            task.add_done_callback(self._tasks.pop)
        if len(claimed) == room:
            self._news.set()  # there may be more

    async def send(self, callback: Callback, now: float) -> None:
        """Makes one attempt at a callback that was claimed at ``now``, and records what became of it."""
        failed = await self._post(callback, int(now))
        if failed is None:
            await self._store.call_with_retry(lambda _: self._callbacks.mark_delivered(callback))
            log.info("callback delivered", callback=callback.id, turn=callback.turn_id, attempts=callback.attempts)
        else:
            await self._record(callback, failed, now)
        self._news.set()  # what is behind it may be posted now

    async def _record(self, callback: Callback, failed: Failed, now: float) -> None:
        is_over = failed.is_final or now - callback.retried_since >= self._hours * HOUR
        pause = BACKOFF.pause(max(callback.attempts, 1)) * (1.0 - JITTER * self._chance())
        wait = None if is_over else max(pause, min(failed.retry_after, LONGEST_RETRY_AFTER))
        await self._store.call_with_retry(lambda _: self._callbacks.mark_failed(callback, failed.error, wait))
        (log.error if is_over else log.warning)(
            "callback given up" if is_over else "callback not accepted; retrying",
            callback=callback.id,
            turn=callback.turn_id,
            error=failed.error,
        )

    async def _post(self, callback: Callback, at: int) -> Failed | None:
        body = callback.body.encode()
        headers = {**signing.headers(self._keys, callback.id, at, body), "Content-Type": "application/json"}
        try:
            self._rule.check_url(callback.url)  # the operator may have changed what is allowed
            status, retry_after = await self._client.post(callback.url, body, headers, POST_SECONDS)
        except (AddressRefused, MalformedRequest) as exc:
            return Failed(str(exc), is_final=True)
        except PostFailed as exc:
            return Failed(str(exc))
        if 200 <= status < 300:  # noqa: PLR2004  # redirects are not followed: they would lead elsewhere
            return None
        return Failed(f"the receiver answered {status}", retry_after, is_final=status == GONE)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._news.wait()
        self._news.clear()


def _receiver(url: str) -> str:
    """Returns the beginning of an address, up to its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
