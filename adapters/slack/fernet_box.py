"""Encrypts texts with keys that operators choose. It loads ``cryptography``, 7 MB."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PURPOSE = b"chat-gateway: Slack tokens"
KEY_BYTES = 32
"""github.com/fernet/spec"""


class FernetBox:
    """Encrypts with the first key, and decrypts what was encrypted with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        """``keys``: at least one."""
        fernets = [Fernet(_derive(key)) for key in keys]
        self._newest, self._all = fernets[0], MultiFernet(fernets)

    def encrypt(self, text: str) -> str:
        return self._newest.encrypt(text.encode()).decode("ascii")

    def decrypt(self, encrypted: str) -> str | None:
        """Returns the text; None if it was encrypted with another key."""
        return _decrypted(self._all, encrypted)

    def is_newest(self, encrypted: str) -> bool:
        """Returns whether it was encrypted with the first key."""
        return _decrypted(self._newest, encrypted) is not None


def _decrypted(fernet: Fernet | MultiFernet, encrypted: str) -> str | None:
    try:
        return fernet.decrypt(encrypted.encode()).decode()
    except InvalidToken:
        return None


def _derive(key: str) -> bytes:
    derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(key.encode())
    return urlsafe_b64encode(derived)
