"""Who sends the current request to the operator's pages, and the audit trail of what they do."""

from __future__ import annotations

import flask

from gateway import logs
from gateway.admin.access.roles import AdminUser
from gateway.admin.sessions.session import SessionCookie
from gateway.ports.audit_trail import AuditedAction, AuditTrail

NOBODY = "nobody"
"""The actor of a refused sign-in that named no one."""

log = logs.get_logger(__name__)


def remember(cookie: SessionCookie) -> None:
    """Makes a session that of the current request."""
    flask.g.cookie = cookie


def session() -> SessionCookie | None:
    """Returns the session of the current request, if it has one."""
    cookie: SessionCookie | None = flask.g.get("cookie")
    return cookie


def user() -> AdminUser:
    """Returns who sends the current request. Only for pages that need a session."""
    cookie = session()
    if cookie is None or cookie.user is None:
        raise ValueError("the current request has no session; AuthGuard lets none through without")
    return cookie.user


def actor() -> str:
    """Returns what the audit trail calls whoever sends the current request."""
    return user().name


def record(trail: AuditTrail, action: AuditedAction, target: str = "", detail: str = "") -> None:
    """Records and logs what whoever sends the current request has done. Raises StoreUnavailable.

    ``detail``: without secrets, and without what anybody wrote.
    """
    log.info("operator's action", action=action.value, target=target)
    trail.record(actor(), action, target, detail)
