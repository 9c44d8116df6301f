"""Warns of what is open to everybody who reaches the gateway, and of secrets that can be guessed."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from adapters.http import HttpSettings
from gateway.admin import AdminSettings
from gateway.settings import Settings
from gateway.web.metrics_endpoint import MetricsSettings

SAFE_SECRET_CHARS = 16
"""A shorter key or password is warned of; released versions accepted any key, and passwords of 8 characters."""


def load_warnings(settings: Settings) -> list[str]:
    """Returns a line for each thing to warn of at start. Raises SettingsError."""
    return list(warnings(settings, HttpSettings.load(), AdminSettings.load(), MetricsSettings.load()))


def warnings(settings: Settings, http: HttpSettings, admin: AdminSettings, metrics: MetricsSettings) -> Iterator[str]:
    if any(len(key) < SAFE_SECRET_CHARS for key in http.keys):
        yield f"GATEWAY_API_KEYS has a key of fewer than {SAFE_SECRET_CHARS} characters, which can be guessed"
    if admin.admin_password and len(admin.admin_password.get_secret_value()) < SAFE_SECRET_CHARS:
        yield f"ADMIN_PASSWORD has fewer than {SAFE_SECRET_CHARS} characters and can be guessed"
    if settings.backend == "offline" or _is_loopback(settings.host):
        return
    if not http.keys:
        pages = "any web page" if http.cors_origins == "*" else f"the pages of {http.cors_origins}"
        yield (
            f"everybody who reaches port {settings.port} of {settings.host} can talk to the assistant and spend its "
            f"money, and so can {pages} in their browsers (CORS_ORIGINS={http.cors_origins}); "
            "to close it set GATEWAY_API_KEYS, or HOST=127.0.0.1"
        )
    if metrics.token is None:
        yield "everybody who reaches the gateway can read /metrics; to close it set METRICS_TOKEN"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
