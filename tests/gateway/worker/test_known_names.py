"""Names that an adapter looks up for operators, beside what the assistant is told of a message."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.coordination.lease import LeaseGuard, lease_clock
from gateway.domain.context import ChatContext
from gateway.domain.conversations import Claim, Conversation, Lease
from gateway.domain.errors import DeliveryError, LeaseLost
from gateway.domain.models import Turn, TurnState
from gateway.ports.platform import KnownNames
from gateway.worker.answering.context_fetcher import ContextFetcher
from tests.gateway.turn_factory import TURN

NOT_USED = cast("Any", None)
NAMES = KnownNames("Ann", "#shop")
GUARD = LeaseGuard(
    NOT_USED,
    Claim(Lease(7, "one", 1), Conversation(7, TURN.message.key), replace(TURN, state=TurnState.RUNNING)),
    lease_seconds=10.0,
    requested_at=lease_clock(),
)


class NamingAdapter:
    """Finds no context, while names are looked up at the latest."""

    def __init__(
        self,
        *,
        names: KnownNames | Exception | None = NAMES,
        failure: Exception | None = None,
        known: KnownNames | None = None,
    ) -> None:
        """``names``: None: no answer comes. ``known``: what it remembers."""
        self._names = names
        self._known = known
        self._failure = failure
        self._asked = asyncio.Event()
        self.was_cancelled = asyncio.Event()

    async def fetch_context(self, *_: object) -> ChatContext | None:
        if self._known is not None:
            return None
        async with asyncio.timeout(10):
            await self._asked.wait()
        if self._failure is not None:
            raise self._failure
        return None

    def known_names(self, _: Turn) -> KnownNames | None:
        return self._known

    async def names_of(self, *_: object) -> KnownNames:
        self._asked.set()
        if self._names is None:
            try:
                await asyncio.sleep(60)
            finally:
                self.was_cancelled.set()
        if isinstance(self._names, Exception):
            raise self._names
        return cast("KnownNames", self._names)


async def fetch(adapter: NamingAdapter) -> list[KnownNames]:
    """Returns the names that were told."""
    told: list[KnownNames] = []
    fetcher = ContextFetcher(NOT_USED)

    def note(turn: Turn, names: KnownNames) -> None:
        assert turn is GUARD.claim.turn
        told.append(names)

    fetcher.on_names = note
    await fetcher.fetch(GUARD, cast("Any", adapter), NOT_USED)
    return told


async def test_names_are_looked_up_while_the_context_is_fetched() -> None:
    assert await fetch(NamingAdapter()) == [NAMES]


async def test_nobody_is_asked_for_names_that_are_known() -> None:
    known = KnownNames("Ben")
    assert await fetch(NamingAdapter(known=known, names=RuntimeError("asked"))) == [known]


@pytest.mark.parametrize("problem", [LeaseLost(), RuntimeError("a fault")])
async def test_names_that_cannot_be_looked_up_cost_nothing(problem: Exception) -> None:
    assert await fetch(NamingAdapter(names=problem)) == []


async def test_names_are_not_looked_up_any_longer_for_a_turn_that_is_not_run() -> None:
    adapter = NamingAdapter(names=None, failure=DeliveryError("the app is not installed"))
    with pytest.raises(DeliveryError):
        await fetch(adapter)
    async with asyncio.timeout(10):
        await adapter.was_cancelled.wait()
