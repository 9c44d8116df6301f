"""Blocks people from using the assistant, and lets them again."""

from __future__ import annotations

from gateway.operations.stores import AdminStore
from gateway.ports.audit_trail import AuditedAction
from gateway.ports.people import PersonId


def block_person(store: AdminStore, actor: str, person: PersonId, reason: str = "") -> bool:
    """Blocks a person in all processes, within about a second, and cancels what of theirs is not answered yet.

    ``actor``: who does it, for the audit trail; ``reason``: for operators. Returns False, and changes nothing, if the
    person was blocked before. Raises StoreUnavailable.
    """
    if not store.blocks.add(person, actor, reason):
        return False
    for turn in store.unfinished_turns_by(person.platform, person.user):
        store.cancel_turn(turn)
    store.audit_trail.record(actor, AuditedAction.PERSON_BLOCKED, str(person), reason)
    return True


def unblock_person(store: AdminStore, actor: str, person: PersonId) -> bool:
    """Lets a person use the assistant again. Returns False if they were not blocked. Raises StoreUnavailable."""
    if not store.blocks.remove(person):
        return False
    store.audit_trail.record(actor, AuditedAction.PERSON_UNBLOCKED, str(person))
    return True
