"""Commits parsed updates, and stores those that cannot be parsed or processed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from adapters.base.json_fields import Fields
from gateway import logs
from gateway.domain.errors import GatewayError, Overloaded, StoreUnavailable
from gateway.ports.inbox import Inbox
from gateway.ports.platform import ParsedUpdate
from gateway.ports.unparsed_updates import UnparsedUpdate, UnparsedUpdates

MAX_ERROR_CHARS = 500

log = logs.get_logger(__name__)


class UpdateHandler:
    """For a platform that sends an update again until it is acknowledged. Thread-safe."""

    def __init__(
        self, inbox: Inbox, unparsed_updates: UnparsedUpdates, identify: Callable[[Fields, str], UnparsedUpdate]
    ) -> None:
        """``identify``: finds the id of an update and, if it can, its author and channel, for an update with this body.
        Raises nothing.
        """
        self._inbox = inbox
        self._unparsed_updates = unparsed_updates
        self._identify = identify

    def take(self, update: ParsedUpdate) -> None:
        """Commits an update. When it returns, the platform may forget it. Raises StoreUnavailable, Overloaded."""
        if update.error is not None:
            self._keep(update, update.error)
            return
        try:
            self._inbox.accept_all(update)
        except (StoreUnavailable, Overloaded):
            raise
        except Exception as exc:  # noqa: BLE001  # repeated, it would fail again, and block the updates behind it
            self._keep(update, exc)

    def _keep(self, update: ParsedUpdate, error: Exception) -> None:
        """Stores an update for the operator. Raises StoreUnavailable."""
        found = self._identify(update.payload, json.dumps(update.payload))
        code = error.code if isinstance(error, GatewayError) else type(error).__name__
        kept = replace(found, error=f"{code}: {error}"[:MAX_ERROR_CHARS])
        self._unparsed_updates.keep(kept)
        named = {"platform": kept.platform, "update": kept.update_id}
        if isinstance(error, GatewayError):
            log.warning("update not parsed; stored in unparsed_updates", **named, code=error.code, error=str(error))
        else:
            log.error("update not processed; stored in unparsed_updates", **named, exc_info=error)
