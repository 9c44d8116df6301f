"""Retries turns that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.domain.audit import AuditEvent
from gateway.domain.errors import Conflict, TurnNotFound
from gateway.domain.models import Turn, TurnId, TurnState
from gateway.operations.recording import new_turn_id
from gateway.ports.reporting import ReportingStore, TurnFilter
from gateway.ports.store import Store

PAGE = 500


def retry_turn(store: Store, turn: TurnId) -> TurnId:
    """Retries a turn; returns the id of the new turn. Raises TurnNotFound, Conflict, StoreUnavailable."""
    return store.retry_turn(turn, new_turn_id()).turn.id


def failed_turns(store: ReportingStore, search: TurnFilter) -> Sequence[TurnId]:
    """Returns the failed turns that match and can be retried, oldest first."""
    found, before = [], None
    while page := store.find_turns(search, limit=PAGE, before=before):
        found += [turn.id for turn in page if is_retriable(turn)]
        before = page[-1]
    return found[::-1]


def is_retriable(turn: Turn) -> bool:
    """Returns whether ``Store.retry_turn`` would accept the turn."""
    retried = any(entry.event is AuditEvent.RETRIED_AS for entry in turn.audit_log)
    return turn.state in (TurnState.FAILED, TurnState.CANCELLED) and turn.erased_at is None and not retried


def retry_all(store: Store, turns: Sequence[TurnId]) -> Mapping[TurnId, str]:
    """Retries turns in this order; returns those that could not be retried, each with the reason."""
    refused = {}
    for turn in turns:
        try:
            retry_turn(store, turn)
        except (TurnNotFound, Conflict) as exc:  # it was retried or deleted since it was listed
            refused[turn] = str(exc)
    return refused
