"""Encrypts the tokens of installed workspaces for the database: a copy of it lets nobody act as the bot."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.domain.errors import DeliveryError

ENCRYPTED = "fernet:"
"""Begins what is encrypted; tokens of Slack begin with ``xox``."""
PURPOSE = b"chat-gateway: Slack tokens"
KEY_BYTES = 32
"""github.com/fernet/spec"""
TRY_AGAIN_SECONDS = 60.0
"""For a turn whose token cannot be read, until the operator has set the key again."""


@dataclass(frozen=True, slots=True)
class Opened:
    token: str
    is_current: bool
    """False: it was not encrypted with the first key, and should be."""


class TokenCipher:
    """Encrypts with the first key, and reads what was encrypted with any. Without keys it encrypts nothing."""

    def __init__(self, keys: Sequence[str]) -> None:
        """``keys``: long random texts, the newest first."""
        self._fernets = [Fernet(_derive(key)) for key in keys]

    def seal(self, token: str) -> str:
        if not self._fernets:
            return token
        return ENCRYPTED + self._fernets[0].encrypt(token.encode()).decode("ascii")

    def open(self, stored: str) -> Opened:
        """Returns the token, also one that was stored before there were keys.

        Raises DeliveryError, after which the turn is tried again, if it was encrypted with another key.
        """
        if not stored.startswith(ENCRYPTED):
            return Opened(stored, is_current=not self._fernets)
        sealed = stored.removeprefix(ENCRYPTED).encode()
        try:
            token = MultiFernet(self._fernets).decrypt(sealed).decode() if self._fernets else None
        except InvalidToken:
            token = None
        if token is None:
            raise DeliveryError(
                "The token of this workspace is encrypted with a key that SLACK_ENCRYPTION_KEYS does not have. "
                "Add that key again; or install the app again, at /slack/install.",
                retry_after=TRY_AGAIN_SECONDS,
            )
        return Opened(token, is_current=_fits(self._fernets[0], sealed))


def _fits(fernet: Fernet, sealed: bytes) -> bool:
    try:
        fernet.decrypt(sealed)
    except InvalidToken:
        return False
    return True


def _derive(key: str) -> bytes:
    derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(key.encode())
    return urlsafe_b64encode(derived)
