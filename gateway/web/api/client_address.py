"""Finds the client's address, and whether it used https, as the trusted proxies tell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

import flask

IPV6_NETWORK_BITS = 64
"""Bits of an IPv6 address that identify one household, which may choose the remaining bits freely."""


def client_ip(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Returns the client's IP address as the outermost of the trusted proxies saw it.

    ``peer``: the other end of the connection, "" for a Unix socket. ``forwarded_for``: the request's X-Forwarded-For.
    """
    hops = _split(forwarded_for) or [peer]
    return _hop_of_client(hops, trusted_proxies) if trusted_proxies else peer


@lru_cache(maxsize=4096)  # parsing takes longer than the rest of what is done to know a caller
def network_of(address: str) -> str:
    """Returns the network of an address: an IPv4 address itself, the /64 of an IPv6 address, or "elsewhere"."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "elsewhere"  # a Unix socket, or a proxy that sends no address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, IPV6_NETWORK_BITS), strict=False))
    return str(parsed)


def client_network(trusted_proxies: int) -> str:
    """Returns the network from which the current Flask request comes."""
    forwarded_for = flask.request.headers.get("X-Forwarded-For", "")
    return network_of(client_ip(flask.request.remote_addr or "", forwarded_for, trusted_proxies))


def is_https(trusted_proxies: int) -> bool:
    """Returns whether the client of the current Flask request used https, as trusted proxies tell."""
    forwarded = _split(flask.request.headers.get("X-Forwarded-Proto", ""))
    if trusted_proxies and forwarded:
        return _hop_of_client(forwarded, trusted_proxies).lower() == "https"
    return flask.request.is_secure


def _split(header: str) -> list[str]:
    return [part.strip() for part in header.split(",") if part.strip()]


def _hop_of_client(hops: Sequence[str], trusted_proxies: int) -> str:
    return hops[-min(trusted_proxies, len(hops))]
