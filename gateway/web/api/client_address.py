"""Finds the client address of the current Flask request, and whether the client used https."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

import flask

IPV6_NETWORK_BITS = 64
"""Bits of an IPv6 address that identify one household, which may choose the remaining bits freely."""


def client_ip(trusted_proxies: int) -> str:
    """Returns the client's IP address as the outermost of `proxies` trusted proxies saw it; "" for a Unix socket."""
    return (
        _hop_of_client(flask.request.access_route, trusted_proxies)
        if trusted_proxies
        else flask.request.remote_addr or ""
    )


def client_network(trusted_proxies: int) -> str:
    """Returns the client's network: the IPv4 address, the /64 of an IPv6 address, or "elsewhere"."""
    try:
        parsed = ip_address(client_ip(trusted_proxies))
    except ValueError:
        return "elsewhere"  # a Unix socket, or a proxy that sends no address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, IPV6_NETWORK_BITS), strict=False))
    return str(parsed)


def is_https(trusted_proxies: int) -> bool:
    """Returns whether the client used https. Reads X-Forwarded-Proto only behind trusted proxies."""
    forwarded = [part.strip() for part in flask.request.headers.get("X-Forwarded-Proto", "").split(",") if part.strip()]
    if trusted_proxies and forwarded:
        return _hop_of_client(forwarded, trusted_proxies).lower() == "https"
    return flask.request.is_secure


def _hop_of_client(hops: Sequence[str], trusted_proxies: int) -> str:
    return hops[-min(trusted_proxies, len(hops))]
