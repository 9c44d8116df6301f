"""Commits parsed updates, and stores those that cannot be parsed or processed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

from adapters.base.json_fields import Fields
from gateway import logs
from gateway.domain.errors import GatewayError, Overloaded, StoreUnavailable
from gateway.ports.platform import ParsedUpdate
from gateway.ports.unparsed_updates import UnparsedUpdate, UnparsedUpdates

MAX_ERROR_CHARS = 500

log = logs.get_logger(__name__)


class UpdateHandler:
    """For a platform that sends an update again until it is acknowledged. On any event loop."""

    def __init__(
        self,
        accept_all: Callable[[ParsedUpdate], Awaitable[None]],
        unparsed_updates: UnparsedUpdates,
        identify: Callable[[Fields, str], UnparsedUpdate],
    ) -> None:
        """``accept_all``: that of ``gateway.ports.inbox.AsyncInbox``, for the loop on which updates are taken.

        ``identify``: finds the id of an update and, if it can, its author and channel, for an update with this body.
        Raises nothing.
        """
        self._accept_all = accept_all
        self._unparsed_updates = unparsed_updates
        self._identify = identify

    async def take(self, update: ParsedUpdate) -> None:
        """Commits an update. When it returns, the platform may forget it. Raises StoreUnavailable, Overloaded."""
        if update.error is not None:
            await self._keep(update, update.error)
            return
        try:
            await self._accept_all(update)
        except (StoreUnavailable, Overloaded):
            raise
        except Exception as exc:  # noqa: BLE001  # repeated, it would fail again, and block the updates behind it
            await self._keep(update, exc)

    async def _keep(self, update: ParsedUpdate, error: Exception) -> None:
        """Stores an update for the operator. Raises StoreUnavailable."""
        found = self._identify(update.payload, json.dumps(update.payload))
        code = error.code if isinstance(error, GatewayError) else type(error).__name__
        kept = replace(found, error=f"{code}: {error}"[:MAX_ERROR_CHARS])
        await asyncio.to_thread(self._unparsed_updates.keep, kept)
        named = {"platform": kept.platform, "update": kept.update_id}
        if isinstance(error, GatewayError):
            log.warning("update not parsed; stored in unparsed_updates", **named, code=error.code, error=str(error))
        else:
            log.error("update not processed; stored in unparsed_updates", **named, exc_info=error)
