"""Who sends a request, by the session of their browser or by a proxy that vouches for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.admin.access.roles import AdminUser, Identity, SignInMethod
from gateway.admin.settings import AdminSettings

if TYPE_CHECKING:  # imports Flask
    from gateway.admin.sessions.session import AdminSession, SessionCookie


@dataclass(frozen=True, slots=True)
class RequestUser:
    """What a request says of its sender. Without a ``user`` it is nobody who may see the pages."""

    cookie: SessionCookie | None
    """The session of the browser, if it has one."""
    user: AdminUser | None
    is_proxied: bool = False
    refused: Identity | None = None
    """Whom a proxy vouches for, but no list names."""


class RequestUsers:
    """Finds the senders of requests, in Flask and in native routes. Thread-safe; may raise StoreUnavailable."""

    def __init__(self, settings: AdminSettings, session: AdminSession) -> None:
        self._proxy = settings.proxy
        self._lists = settings.role_lists
        self._session = session

    def find(self, peer: str, cookies: Mapping[str, str], header: Callable[[str], str]) -> RequestUser:
        """Returns the sender of a request. ``peer``: the other end of the connection. ``header``: returns one of the
        request, "" for none.
        """
        cookie = self._session.load(cookies)
        identity = self._proxy.identity(peer, header) if self._proxy else None
        if identity is None:
            return RequestUser(cookie, cookie.user if cookie else None)
        role = self._lists.role_of(identity)
        if role is None:
            return RequestUser(cookie, None, is_proxied=True, refused=identity)
        return RequestUser(cookie, AdminUser(identity.label, role, SignInMethod.PROXY), is_proxied=True)
