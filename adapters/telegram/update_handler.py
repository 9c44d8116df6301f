"""Commits updates, received by webhook or fetched by polling, and keeps those that cannot be processed."""

from __future__ import annotations

import json

from adapters.telegram.reply_target import NAME
from gateway import logs
from gateway.domain.errors import GatewayError, Overloaded, StoreUnavailable
from gateway.ports.inbox import Inbox
from gateway.ports.platform import ParsedUpdate
from gateway.ports.store import KeyValueStore

log = logs.get_logger(__name__)


class UpdateHandler:
    """Thread-safe."""

    def __init__(self, inbox: Inbox, memory: KeyValueStore, bot_id: str) -> None:
        self._inbox = inbox
        self._memory = memory
        self._bot_id = bot_id

    def take(self, receipt: ParsedUpdate) -> None:
        """Commits an update. When it returns, Telegram may forget the update. Raises StoreUnavailable, Overloaded."""
        if receipt.error is not None:
            self._keep_aside(receipt, receipt.error)
            return
        try:
            self._inbox.accept_all(receipt)
        except (StoreUnavailable, Overloaded):
            raise
        except Exception as exc:  # noqa: BLE001  # repeated, it would fail again, and block the updates behind it
            self._keep_aside(receipt, exc)

    def _keep_aside(self, receipt: ParsedUpdate, error: Exception) -> None:
        """Stores an update for the operator. Raises StoreUnavailable."""
        name = f"{NAME}:{self._bot_id}:aside:{receipt.payload['update_id']}"
        self._memory.set_value(name, json.dumps(receipt.payload))
        if isinstance(error, GatewayError):
            log.warning("update not understood and kept aside", name=name, code=error.code, error=str(error))
        else:
            log.error("update not processed and kept aside", name=name, exc_info=error)
