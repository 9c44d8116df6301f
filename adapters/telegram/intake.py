"""What Telegram tells is committed here, whichever way it came; and what cannot be, is kept as it is."""

from __future__ import annotations

import json
from typing import Any

from adapters.telegram.incoming import Reader
from adapters.telegram.membership import Change, membership_of
from adapters.telegram.reply_target import NAME
from gateway import logs
from gateway.errors import GatewayError, Overloaded, StoreUnavailable, Unreadable, Unverified
from gateway.ports import Inbox, Receipt, Request
from gateway.storing import Memory

LARGEST_ID = 2**63
MEMBERSHIP = b"my_chat_member"
"""What is in the body of each update that tells how the bot's place in a chat changed."""

Update = dict[str, Any]
"""core.telegram.org/bots/api#update"""

log = logs.get(__name__)


class Intake:
    """When a method returns, Telegram may forget the update. Thread-safe."""

    def __init__(self, reader: Reader, inbox: Inbox, memory: Memory, bot_id: str) -> None:
        self._reader = reader
        self._inbox = inbox
        self._memory = memory
        self._facts = f"{NAME}:{bot_id}"

    def receive(self, request: Request) -> None:
        """An update that Telegram brings.

        Raises Unverified, Unreadable for what is no update, StoreUnavailable, Overloaded.
        """
        try:
            receipt = self._reader.receive(request)
        except Unverified:
            raise
        except Exception as exc:  # noqa: BLE001  # as below; whoever is not Telegram does not get this far
            self._keep_aside(update_in(request.body), exc)
            return
        self._commit(receipt, request.body)
        if MEMBERSHIP in request.body:
            self._heed(update_in(request.body))

    def take(self, update: object) -> None:
        """An update that was fetched. Raises Unreadable for what is no update, StoreUnavailable, Overloaded."""
        known = checked(update)
        try:
            receipt = self._reader.read(known)
        except Exception as exc:  # noqa: BLE001  # whatever it is, those behind it must not wait for it
            self._keep_aside(known, exc)
            return
        self._commit(receipt, known)
        self._heed(known)

    def _commit(self, receipt: Receipt, update: Update | bytes) -> None:
        try:
            self._inbox.take(receipt)
        except (StoreUnavailable, Overloaded):
            raise
        except Exception as exc:  # noqa: BLE001  # to be told again would not help, and hold the others up
            self._keep_aside(update_in(update) if isinstance(update, bytes) else update, exc)

    def _heed(self, update: Update) -> None:
        """Keep where the bot is shut out, for as long as it is. Raises StoreUnavailable."""
        membership = membership_of(update)
        if membership is None:
            return
        name = f"{self._facts}:gone:{membership.chat}"
        if membership.change in (Change.BLOCKED, Change.REMOVED):
            self._memory.keep(name, membership.change.value)
        else:
            self._memory.discard(name)
        log.info("the bot's place in a chat changed", chat=membership.chat, change=membership.change.value)

    def _keep_aside(self, update: Update, exc: Exception) -> None:
        name = f"{self._facts}:aside:{id_of(update)}"
        self._memory.keep(name, json.dumps(update))
        if isinstance(exc, GatewayError):
            log.warning("update not understood and kept aside", name=name, code=exc.code, error=str(exc))
        else:
            log.error("update not taken and kept aside", name=name, exc_info=exc)


def update_in(body: bytes) -> Update:
    """Raises Unreadable for what is no update."""
    try:
        return checked(json.loads(body))
    except (ValueError, RecursionError) as exc:
        raise Unreadable("The body is not JSON.") from exc


def checked(update: object) -> Update:
    """Raises Unreadable for what is no update."""
    if not isinstance(update, dict):
        raise Unreadable("This is no update.")
    id_of(update)
    return update


def id_of(update: Update) -> int:
    """Raises Unreadable when there is none."""
    update_id = update.get("update_id")
    if not isinstance(update_id, int) or isinstance(update_id, bool) or not 0 <= update_id < LARGEST_ID:
        raise Unreadable("This is no update: it has no update_id.")
    return update_id
