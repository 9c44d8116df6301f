"""Who sends the present request: from where, and whether that was by https all the way to us."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

import flask

NETWORK = 64
"""How much of an IPv6 address is a household's: it may change the rest as it likes."""


def address(proxies: int) -> str:
    """Where the request comes from, as the outermost of so many proxies of our own saw it; empty for a socket file."""
    return _told(flask.request.access_route, proxies) if proxies else flask.request.remote_addr or ""


def network(proxies: int) -> str:
    """The same, as far as it tells one household from another."""
    try:
        parsed = ip_address(address(proxies))
    except ValueError:
        return "elsewhere"  # a socket file, or a proxy that names no address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, NETWORK), strict=False))
    return str(parsed)


def by_https(proxies: int) -> bool:
    """Whether the browser asked by https. X-Forwarded-Proto counts only where proxies of our own write it."""
    told = [part.strip() for part in flask.request.headers.get("X-Forwarded-Proto", "").split(",") if part.strip()]
    if proxies and told:
        return _told(told, proxies).lower() == "https"
    return flask.request.is_secure


def _told(hops: Sequence[str], proxies: int) -> str:
    return hops[-min(proxies, len(hops))]
