"""Makes the client of the OpenID provider, whose libraries an installation may lack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.admin.access.oidc_values import OidcOptions
from gateway.domain.errors import SettingsError
from gateway.domain.extras import imports_of_extra
from gateway.ports.check import CheckResult

if TYPE_CHECKING:  # needs the extra ``oidc``
    from gateway.admin.access.oidc import OidcClient


def oidc_client(options: OidcOptions) -> OidcClient:
    """Raises SettingsError when the extra is not installed."""
    with imports_of_extra("oidc", "ADMIN_OIDC_ISSUER"):
        from gateway.admin.access.oidc import OidcClient  # noqa: PLC0415  # its libraries take 0.2 s
    return OidcClient(options)


def check_extra(options: OidcOptions | None) -> None:
    """Raises SettingsError when sign-in by a provider is set up, and the extra is not installed."""
    if options is not None:
        oidc_client(options)


async def check_provider(options: OidcOptions) -> Sequence[CheckResult]:
    """Compares the settings with what the provider publishes. Raises nothing."""
    try:
        return await oidc_client(options).check()
    except SettingsError as exc:
        return (CheckResult("admin sign-in", ok=False, detail=str(exc)),)
