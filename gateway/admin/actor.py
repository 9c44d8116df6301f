"""Who sends the current request to the operator's pages, and the audit trail of what they do."""

from __future__ import annotations

from gateway import logs
from gateway.ports.audit_trail import AuditedAction, AuditTrail

log = logs.get_logger(__name__)


def actor() -> str:
    """Returns what the audit trail calls whoever sends the current request."""
    return "operator"


def record(trail: AuditTrail, action: AuditedAction, target: str = "", detail: str = "") -> None:
    """Records and logs what whoever sends the current request has done. Raises StoreUnavailable.

    ``detail``: without secrets, and without what anybody wrote.
    """
    log.info("operator's action", action=action.value, target=target)
    trail.record(actor(), action, target, detail)
