"""Settings of the operator's pages, from the environment."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat, SecretStr, field_validator

from gateway.settings import EnvironmentSettings

MIN_PASSWORD_CHARS = 8


class AdminSettings(EnvironmentSettings):
    """Settings of the operator's pages."""

    prefixes = ("ADMIN_",)

    admin_password: SecretStr | None = None
    """The password of the operator's pages. Without it they are switched off."""
    admin_hours: PositiveFloat = 12.0
    """Hours after which an operator has to sign in again."""
    trusted_proxies: NonNegativeInt = 0
    """How many of your own proxies add to X-Forwarded-For and -Proto; 0: clients connect directly."""

    @field_validator("admin_password")
    @classmethod
    def _check_length(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and len(password.get_secret_value()) < MIN_PASSWORD_CHARS:
            raise ValueError(
                f"has fewer than {MIN_PASSWORD_CHARS} characters and is easy to guess; choose a longer one"
            )
        return password

    @property
    def enabled(self) -> bool:
        return self.admin_password is not None
