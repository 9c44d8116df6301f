"""Parses and commits updates, and stores those that cannot be parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from adapters.base.json_fields import Fields
from gateway import logs
from gateway.domain.approvals import VerdictResult
from gateway.domain.errors import GatewayError
from gateway.ports.inbox import Inbox
from gateway.ports.platform import ParsedUpdate
from gateway.ports.unparsed_updates import UnparsedUpdate, UnparsedUpdates

MAX_ERROR_CHARS = 500

AcceptAll = Callable[[ParsedUpdate], Awaitable[Sequence[VerdictResult]]]
"""Commits what an update says. Returns what became of each verdict in it."""
Take = Callable[[ParsedUpdate], Awaitable[None]]
"""Does all that an update asks for, see ``UpdateHandler.take``."""
Tell = Callable[[ParsedUpdate, VerdictResult], Coroutine[Any, Any, None]]
"""Tells whoever pressed a button what became of it, once that is committed. Raises nothing."""

log = logs.get_logger(__name__)


def parse_safely(parse: Callable[[Fields], ParsedUpdate], payload: Fields) -> ParsedUpdate:
    """Returns what ``parse`` makes of an update that is known to be the platform's, together with the update.

    Returns the error if it cannot be parsed: to raise it would make the platform send the update again and again.
    """
    try:
        update = parse(payload)
    except Exception as exc:  # noqa: BLE001  # whatever it is, the updates behind this one must not wait for it
        return ParsedUpdate(payload=payload, error=exc)
    return ParsedUpdate(update.messages, update.events, update.response_body, payload, update.error)


class UpdateHandler:
    """For a platform that sends an update again until it is acknowledged. On any event loop."""

    def __init__(
        self,
        accept_all: AcceptAll,
        unparsed_updates: UnparsedUpdates,
        identify: Callable[[Fields], UnparsedUpdate],
        tell: Tell | None = None,
    ) -> None:
        """``accept_all``: that of ``gateway.ports.inbox.AsyncInbox``, for the loop on which updates are taken.

        ``identify``: returns an update as it is stored, with its id and, if known, its author and channel. Raises
        nothing.
        """
        self._accept_all = accept_all
        self._unparsed_updates = unparsed_updates
        self._identify = identify
        self._tell = tell

    async def take(self, update: ParsedUpdate) -> None:
        """Commits an update. When it returns, the platform may forget it. Raises what ``accept_all`` raises."""
        if update.error is not None:
            await self.keep(update, update.error)
            return
        results = await self._accept_all(update)
        if self._tell is not None:
            for result in results:
                await self._tell(update, result)

    async def keep(self, update: ParsedUpdate, error: Exception) -> None:
        """Stores an update for the operator. Raises StoreUnavailable."""
        found = self._identify(update.payload)
        code = error.code if isinstance(error, GatewayError) else type(error).__name__
        kept = replace(found, error=f"{code}: {error}"[:MAX_ERROR_CHARS])
        await asyncio.to_thread(self._unparsed_updates.keep, kept)
        named = {"platform": kept.platform, "update": kept.update_id}
        if isinstance(error, GatewayError):
            log.warning("update not parsed; stored in unparsed_updates", **named, code=error.code, error=str(error))
        else:
            log.error("update not processed; stored in unparsed_updates", **named, exc_info=error)


def in_background(tell: Tell) -> Tell:
    """Returns what does not wait until somebody is told: the platform waits for an answer meanwhile."""
    tasks = set[asyncio.Task[None]]()

    async def begin(update: ParsedUpdate, result: VerdictResult) -> None:
        task = asyncio.ensure_future(tell(update, result))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return begin


def blocking(inbox: Inbox) -> AcceptAll:
    """Returns ``accept_all`` for a loop of the adapter's own, which it holds up until the update is committed."""

    async def accept_all(update: ParsedUpdate) -> Sequence[VerdictResult]:
        return inbox.accept_all(update)

    return accept_all
