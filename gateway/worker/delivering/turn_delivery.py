"""Delivers the outcome of a turn to its platform, again and again while the platform puts it off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from itertools import count

from gateway import logs
from gateway.coordination.lease import LeaseGuard
from gateway.coordination.retry import Backoff
from gateway.domain.audit import AuditEvent
from gateway.domain.errors import DeliveryError, GatewayError, LeaseLost
from gateway.domain.models import Failure, Turn
from gateway.domain.sentences import sentence
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.ports.leased_writes import AppendAuditEntry
from gateway.ports.platform import Adapter
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext

DELIVERY_BACKOFF = Backoff(1.0, 60.0)
"""From one delivery attempt to the next."""
DELIVERY_GIVE_UP_SECONDS = 12 * 3600.0
"""Seconds after which a delivery that the platform keeps deferring is given up."""

log = logs.get_logger(__name__)


class TurnDelivery:
    """Used on the worker's loop only."""

    def __init__(self, adapters: Mapping[str, Adapter], metrics: Metrics, tracing: Tracing) -> None:
        self._adapters = adapters
        self._metrics = metrics
        self._tracing = tracing

    async def deliver(self, lease_guard: LeaseGuard, turn: Turn, context: WorkerDeliveryContext) -> Failure | None:
        """Delivers the outcome to the platform; returns the failure if it was not accepted. Raises LeaseLost."""
        started, context.is_delivering = time.monotonic(), True
        platform = turn.message.key.platform
        with self._tracing.span("deliver", turn.message.traceparent, turn=turn.id, platform=platform) as span:
            failure = await self._deliver_with_retries(lease_guard, turn, context)
            if failure is not None:
                span.record_error(GatewayError(code=failure.code))
        if failure is None:
            self._metrics.delivered(turn, time.monotonic() - started)
        else:
            self._metrics.undeliverable(turn)
        return failure

    async def _deliver_with_retries(
        self, lease_guard: LeaseGuard, turn: Turn, context: WorkerDeliveryContext
    ) -> Failure | None:
        adapter, last_error = self._adapters[turn.message.key.platform], ""
        deadline = time.monotonic() + DELIVERY_GIVE_UP_SECONDS
        for failures in count(1):
            await lease_guard.assert_held()
            try:
                await adapter.deliver(turn, context)
            except DeliveryError as exc:
                if exc.retry_after is None or time.monotonic() > deadline:
                    return _delivery_failure(turn, exc)
                await context.commit()
                log.warning("delivery deferred; retrying", turn=turn.id, error=str(exc))
                if str(exc) != last_error:  # no audit entry for each repetition of the same error
                    last_error = str(exc)
                    deferred = partial(AppendAuditEntry, event=AuditEvent.DELIVERY_DEFERRED, detail=last_error)
                    await lease_guard.write(deferred)
                await asyncio.sleep(max(DELIVERY_BACKOFF.pause(failures), exc.retry_after))
            except LeaseLost:
                raise
            except Exception as exc:
                log.exception("delivery failed unexpectedly", turn=turn.id)
                return _delivery_failure(turn, exc)
            else:
                return None
        raise AssertionError


def _delivery_failure(turn: Turn, exc: Exception) -> Failure:
    detail = str(exc) if isinstance(exc, GatewayError) else type(exc).__name__
    log.error("reply could not be delivered", turn=turn.id, error=detail)
    return Failure(DeliveryError.code, sentence("The reply could not be delivered."), detail=detail)
