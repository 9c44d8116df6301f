"""Finds the client's address, and whether it used https, as the trusted proxies tell. Knows no web framework."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

IPV6_NETWORK_BITS = 64
"""Bits of an IPv6 address that identify one household, which may choose the remaining bits freely."""


def client_ip(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Returns the client's IP address as the outermost of the trusted proxies saw it.

    ``peer``: the other end of the connection, "" for a Unix socket. ``forwarded_for``: the request's X-Forwarded-For.
    """
    if not trusted_proxies:
        return peer
    return _hop_of_client(_split(forwarded_for) or [peer], trusted_proxies)


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


def is_forwarded_https(forwarded_proto: str, trusted_proxies: int) -> bool | None:
    """Returns whether the client used https, as the trusted proxies tell; None if they do not.

    ``forwarded_proto``: the request's X-Forwarded-Proto.
    """
    hops = _split(forwarded_proto)
    return _hop_of_client(hops, trusted_proxies).lower() == "https" if trusted_proxies and hops else None


def _split(header: str) -> list[str]:
    return [part.strip() for part in header.split(",") if part.strip()]


def _hop_of_client(hops: Sequence[str], trusted_proxies: int) -> str:
    return hops[-min(trusted_proxies, len(hops))]
