"""Validates the public address of this server, which a platform calls."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit


def public_url(address: str, path: str) -> SplitResult:
    """Returns the address with a scheme and without ``path``, which may be given at its end.

    Raises ValueError, for the operator, for what is no address of a server.
    """
    address = address.strip()
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{address} is not an address.") from None
    if not host or parts.username is not None or parts.query or parts.fragment or re.search(r"\s", address):
        raise ValueError("Give an address such as https://bot.example.com.")
    name = f"[{host}]" if ":" in host else host
    base = parts.path.rstrip("/").removesuffix(path)
    return SplitResult(parts.scheme, f"{name}{f':{port}' if port else ''}", base, "", "")
