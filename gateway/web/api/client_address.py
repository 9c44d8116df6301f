"""Finds the client address of the current Flask request, and whether the client used https."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

import flask

NETWORK = 64
"""Bits of an IPv6 address that identify one household, which may choose the remaining bits freely."""


def address(proxies: int) -> str:
    """Returns the client's IP address as the outermost of `proxies` trusted proxies saw it; "" for a Unix socket."""
    return _told(flask.request.access_route, proxies) if proxies else flask.request.remote_addr or ""


def network(proxies: int) -> str:
    """Returns the client's network: the IPv4 address, the /64 of an IPv6 address, or "elsewhere"."""
    try:
        parsed = ip_address(address(proxies))
    except ValueError:
        return "elsewhere"  # a Unix socket, or a proxy that sends no address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, NETWORK), strict=False))
    return str(parsed)


def by_https(proxies: int) -> bool:
    """Returns whether the client used https. Reads X-Forwarded-Proto only behind trusted proxies."""
    forwarded = [part.strip() for part in flask.request.headers.get("X-Forwarded-Proto", "").split(",") if part.strip()]
    if proxies and forwarded:
        return _told(forwarded, proxies).lower() == "https"
    return flask.request.is_secure


def _told(hops: Sequence[str], proxies: int) -> str:
    return hops[-min(proxies, len(hops))]
