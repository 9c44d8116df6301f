"""Warns of what is open to everybody who reaches the gateway, and of secrets that can be guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from gateway.settings import Settings

SAFE_SECRET_CHARS = 16
"""A shorter key or password is warned of; released versions accepted any key, and passwords of 8 characters."""


def warnings(
    settings: Settings, keys: Sequence[str], cors_origins: str, passwords: Mapping[str, str], metrics_token: str | None
) -> Iterator[str]:
    """Yields a line for each thing to warn of. ``keys``: of ``/chat``. ``passwords``: of people, by setting."""
    if any(len(key) < SAFE_SECRET_CHARS for key in keys):
        yield f"GATEWAY_API_KEYS has a key of fewer than {SAFE_SECRET_CHARS} characters, which can be guessed"
    for name, password in passwords.items():
        if len(password) < SAFE_SECRET_CHARS:
            yield f"{name} has fewer than {SAFE_SECRET_CHARS} characters and can be guessed"
    if settings.backend == "offline" or _is_loopback(settings.host):
        return
    if not keys:
        pages = "any web page" if cors_origins == "*" else f"the pages of {cors_origins}"
        yield (
            f"everybody who reaches port {settings.port} of {settings.host} can talk to the assistant and spend its "
            f"money, and so can {pages} in their browsers (CORS_ORIGINS={cors_origins}); "
            "to close it set GATEWAY_API_KEYS, or HOST=127.0.0.1"
        )
    if metrics_token is None:
        yield "everybody who reaches the gateway can read /metrics; to close it set METRICS_TOKEN"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
