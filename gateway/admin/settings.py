"""What lets an operator in, from the environment."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat, SecretStr, field_validator

from gateway.settings import Environment

SHORTEST_PASSWORD = 8


class AdminSettings(Environment):
    admin_password: SecretStr | None = None
    """What opens the operator's pages. Without it there are none."""
    admin_hours: PositiveFloat = 12.0
    """After how many hours an operator has to sign in again."""
    trusted_proxies: NonNegativeInt = 0
    """How many proxies of one's own add to X-Forwarded-For and -Proto; 0: what connects is the client."""

    @field_validator("admin_password")
    @classmethod
    def _long_enough(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and len(password.get_secret_value()) < SHORTEST_PASSWORD:
            raise ValueError(f"has fewer than {SHORTEST_PASSWORD} characters; anybody on the way could guess it")
        return password

    @property
    def on(self) -> bool:
        return self.admin_password is not None
