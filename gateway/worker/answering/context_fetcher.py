"""Fetches what belongs to a message besides its text, once, before the assistant is asked, and stores it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Any, TypeGuard

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard
from gateway.domain.context import ChatContext
from gateway.domain.errors import DeliveryError, LeaseLost, NotForUs
from gateway.domain.models import Failure, MessageKind, Turn
from gateway.domain.sentences import sentence
from gateway.ports.leased_writes import SetContext
from gateway.ports.platform import (
    Adapter,
    CompletesContext,
    DeliveryContext,
    FetchesContext,
    KnownNames,
    KnowsNames,
)

ANSWERED_IN_WORDS = frozenset({MessageKind.PROMPT, MessageKind.CHOOSE, MessageKind.HAND_OVER, MessageKind.RESUME})
"""Kinds of messages whose reply is made for their author: it depends at least on the language that they read."""
UNDELIVERABLE = sentence("I cannot answer here.")

log = logs.get_logger(__name__)


class ContextFetcher:
    """Asks adapters for the context of messages. Used on the worker's loop only."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self.on_names: Callable[[Turn, KnownNames], None] = lambda _, __: None
        """Called with the names behind a turn. No I/O."""

    async def fetch(self, lease_guard: LeaseGuard, adapter: Adapter, delivery: DeliveryContext) -> None:
        """Fetches and stores the context of the lease's turn, unless it has all of it or was asked without it.

        Raises NotForUs; DeliveryError when no reply could be delivered; LeaseLost.
        """
        turn = lease_guard.claim.turn
        if not _fetches_context(adapter) or turn.message.kind not in ANSWERED_IN_WORDS:
            return
        if turn.run_id is not None or (turn.message.context is not None and not _lacks_context(adapter, turn)):
            return
        fetched = self._fetch(adapter, turn, delivery)
        if _knows_names(adapter) and not self._takes_known_names(adapter, turn):
            fetched = self._beside_names(fetched, adapter, turn, delivery)
        context = await fetched
        if context is not None:
            await lease_guard.write(partial(SetContext, context=context))

    def _takes_known_names(self, adapter: KnowsNames, turn: Turn) -> bool:
        """Returns whether nobody has to be asked for the names: most are remembered, and a task costs more."""
        names = adapter.known_names(turn)
        if names is not None:
            self.on_names(turn, names)
        return names is not None

    async def _beside_names(
        self, fetched: Awaitable[ChatContext | None], adapter: KnowsNames, turn: Turn, delivery: DeliveryContext
    ) -> ChatContext | None:
        """Returns what is fetched, and looks up the names meanwhile."""
        names = asyncio.create_task(self._look_up_names(adapter, turn, delivery))
        try:
            context = await fetched
            await names
        finally:
            names.cancel()
        return context

    async def _fetch(self, adapter: FetchesContext, turn: Turn, delivery: DeliveryContext) -> ChatContext | None:
        try:
            return await adapter.fetch_context(turn, partial(self._turns_before, turn), delivery)
        except (NotForUs, LeaseLost):
            raise
        except DeliveryError as exc:
            if exc.retry_after is None:
                raise
            log.warning("context not fetched", turn=turn.id, error=str(exc))
        except Exception:  # a context that cannot be read must not cost the reply
            log.exception("context not fetched", turn=turn.id)
        return None

    async def _look_up_names(self, adapter: KnowsNames, turn: Turn, delivery: DeliveryContext) -> None:
        try:
            self.on_names(turn, await adapter.names_of(turn, delivery))
        except LeaseLost:
            log.info("names not looked up; another process has the turn", turn=turn.id)
        except Exception:  # a name that cannot be read must not cost the reply
            log.exception("names not looked up", turn=turn.id)

    async def _turns_before(self, turn: Turn, limit: int) -> Sequence[Turn]:
        return await self._store.call_with_retry(
            lambda store: store.transcript(turn.conversation_id, before=turn.seq, limit=limit)
        )


def _fetches_context(adapter: object) -> TypeGuard[FetchesContext]:
    return _has(type(adapter), FetchesContext)  # type: ignore[arg-type]  # mypy knows no hash of a class


def _lacks_context(adapter: object, turn: Turn) -> bool:
    return _completes_context(adapter) and adapter.lacks_context(turn)


def _completes_context(adapter: object) -> TypeGuard[CompletesContext]:
    return _has(type(adapter), CompletesContext)  # type: ignore[arg-type]  # likewise


def _knows_names(adapter: object) -> TypeGuard[KnowsNames]:
    return _has(type(adapter), KnowsNames)  # type: ignore[arg-type]  # likewise


@cache
def _has(kind: type[Any], protocol: type[Any]) -> bool:
    """Tells whether a class of adapters has what a protocol says. Kept, as Python looks through all of both for it."""
    return issubclass(kind, protocol)


def undeliverable(exc: DeliveryError) -> Failure:
    """Returns the failure of a turn that is not run because nobody would see its reply."""
    return Failure(exc.code, UNDELIVERABLE, detail=str(exc))
