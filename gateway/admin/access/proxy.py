"""Sign-in by a proxy: what its headers say of a person, believed from the proxy's own addresses only. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from gateway.admin.access.roles import Identity, read_email
from gateway.settings.values import Network, read_networks


@dataclass(frozen=True, slots=True)
class ProxySignIn:
    """How a proxy that has signed people in, such as oauth2-proxy, says who they are."""

    header: str
    """Holds the e-mail address."""
    addresses: Sequence[Network]
    """Of the proxies, as the other end of the connection."""
    groups_header: str = ""
    """Holds the groups, comma-separated; empty: there is none."""
    sign_out_url: str = ""
    """Where the proxy ends its own session; empty: nowhere."""

    def identity(self, peer: str, header: Callable[[str], str]) -> Identity | None:
        """Returns who sends a request; None where no proxy says it.

        ``peer``: the other end of the connection. ``header``: returns a header of the request, "" for none; not called
        for any other peer. Two addresses in one header, which a client's own beside the proxy's would be, are none.
        """
        if not self.is_proxy(peer):
            return None
        email = read_email(header(self.header))
        listed = header(self.groups_header).split(",") if self.groups_header else ()
        return Identity(email, frozenset(filter(None, map(str.strip, listed)))) if email else None

    def is_proxy(self, peer: str) -> bool:
        """Returns whether a connection comes from one of the proxies."""
        try:
            address = ip_address(peer)
        except ValueError:
            return False  # a Unix socket
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.addresses)


def read_addresses(text: str) -> tuple[Network, ...]:
    """Returns the listed addresses and networks. Raises ValueError, also for a network of everybody."""
    networks = read_networks(text)
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("a network of all addresses would believe everybody")
    return networks
