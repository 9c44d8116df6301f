"""Finds the assistant of a turn, also one that this process has not, or not any more."""

from __future__ import annotations

from functools import partial

from gateway import logs
from gateway.coordination.lease import LeaseGuard
from gateway.domain.models import MessageKind, Turn
from gateway.ports.leased_writes import ParkTurn, ReassignTurn
from gateway.worker.answering.assistants import Assistants, RunningAssistant

MISSING = "configuration"
"""Why a turn is parked: the process that claimed it does not have its assistant."""
MISSING_RETRY_SECONDS = 2.0
MISSING_SECONDS = 30.0
"""How long a turn waits for a process with its assistant: while a new file is rolled out, not all have it."""

log = logs.get_logger(__name__)


class AssistantSelector:
    """Used on the worker's loop only."""

    def __init__(self, assistants: Assistants) -> None:
        self._assistants = assistants

    async def acquire(self, lease_guard: LeaseGuard) -> RunningAssistant | ParkTurn:
        """Returns the assistant of the lease's turn, acquired; or the write that puts the turn off. Raises LeaseLost.

        A turn whose assistant is nowhere any more is given to the one that its route leads to now.
        """
        claim = lease_guard.claim
        turn = claim.turn
        found = self._assistants.acquire(turn.assistant)
        if found is not None:
            return found
        if turn.message.kind is not MessageKind.PROMPT:  # a command asks none
            return self._acquire_default()
        if not _has_waited(turn):
            started = not claim.first_attempt
            waits = (MISSING, MISSING_RETRY_SECONDS, MISSING_SECONDS)
            return ParkTurn(claim.lease, turn, *waits, not_started=not started)
        by_route = self._assistants.router.names(turn.message.key)[0]
        following = self._assistants.acquire(by_route) or self._acquire_default()
        detail = f"{following.name}; there is no {turn.assistant}"
        await lease_guard.write(partial(ReassignTurn, assistant=following.name, detail=detail))
        log.warning("turn of a missing assistant", turn=turn.id, assistant=turn.assistant, to=following.name)
        return following

    def _acquire_default(self) -> RunningAssistant:
        default = self._assistants.default
        self._assistants.keep(default)
        return default


def _has_waited(turn: Turn) -> bool:
    return turn.parking is not None and turn.parking.reason == MISSING and turn.parking.has_expired
