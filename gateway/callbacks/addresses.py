"""Which addresses may be posted to: those of the internet, and those that the operator allows. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from gateway.domain.errors import MalformedRequest
from gateway.settings.values import Network

MAX_URL_CHARS = 2000
TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator: www.rfc-editor.org/rfc/rfc6052"""
COMPATIBLE = IPv6Network("::/96")
"""IPv4 within IPv6, long deprecated: www.rfc-editor.org/rfc/rfc4291#section-2.5.5.1"""


class AddressRule:
    """``allowed``: private networks that may be posted to."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed

    def allows(self, address: str) -> bool:
        """Returns whether an address may be connected to, whatever other address is written inside of it."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return all(_is_public(each) or self._is_listed(each) for each in _meant(parsed))

    def check_url(self, url: str) -> None:
        """Raises MalformedRequest for a URL that cannot be posted to, as far as it says so itself."""
        parts = _split(url)
        if parts is None or not parts.hostname or parts.username is not None or parts.fragment:
            raise _refused("must be a URL of a host, without a user or a fragment, of at most 2000 ASCII characters")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._allowed):
            raise _refused("must begin with https://")
        if _is_address(parts.hostname) and not self.allows(parts.hostname):
            raise _refused("names an address that is not on the internet; the operator does not allow it")

    def _is_listed(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._allowed)


def _meant(address: IPv4Address | IPv6Address) -> Sequence[IPv4Address | IPv6Address]:
    """Returns the addresses at which a connection may end."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in TRANSLATED or (address in COMPATIBLE and int(address) > 1):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    inner = [each for each in (address.sixtofour, *(address.teredo or ())) if each is not None]
    return (address, *inner)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address.sixtofour is not None or address.teredo is not None):
        return False  # tunnels that nobody serves on
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _split(url: str) -> SplitResult | None:
    """Returns the parts of a URL; None if it is none."""
    if len(url) > MAX_URL_CHARS or not all("!" <= character <= "~" for character in url):
        return None
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return None
    return parts if has_port else None


def _refused(reason: str) -> MalformedRequest:
    return MalformedRequest(f"`callback_url` {reason}.", code="invalid_field")
