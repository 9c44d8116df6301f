"""The core, as an adapter sees it while it brings one turn."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.coordination.async_store import Journal
from gateway.coordination.lease import Grip
from gateway.coordination.rate_limiter import Limits
from gateway.domain.models import File
from gateway.ports.assistant import Assistant
from gateway.ports.store import Brought, Rate


class CoreOutbox:
    """See ``gateway.ports.Outbox``."""

    def __init__(self, journal: Journal, limits: Limits, assistant: Assistant, grip: Grip) -> None:
        self._journal = journal
        self._limits = limits
        self._assistant = assistant
        self._grip = grip
        self._turn = grip.claim.turn.id
        self.fresh = grip.claim.fresh
        self.parts = grip.claim.turn.parts

    async def note(self, parts: Sequence[str]) -> None:
        noted = tuple(parts)
        if noted != self.parts:
            await self._journal.write(Brought(self._grip.claim.lease, self._turn, noted))
            self.parts = noted
        await self._grip.ensure()  # what was announced is done now

    async def file(self, file: File) -> bytes:
        return await self._assistant.fetch(file)

    async def take(self, bucket: str, rate: Rate, *, patience: float) -> bool:
        taken = await self._limits.take(bucket, rate, patience=patience)
        if taken:  # what follows is a call that cannot be taken back
            await self._grip.ensure()
        return taken

    async def hold_off(self, bucket: str, seconds: float) -> None:
        await self._limits.hold_off(bucket, seconds)
