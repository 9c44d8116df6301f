"""Encrypts the tokens of installed workspaces for the database: a copy of it lets nobody act as the bot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.domain.errors import DeliveryError

if TYPE_CHECKING:
    from adapters.slack.fernet_box import FernetBox

ENCRYPTED = "fernet:"
"""Begins what is encrypted; tokens of Slack begin with ``xox``."""
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
        self._box = _box_of(keys) if keys else None

    def seal(self, token: str) -> str:
        return token if self._box is None else ENCRYPTED + self._box.encrypt(token)

    def open(self, stored: str) -> Opened:
        """Returns the token, also one that was stored before there were keys.

        Raises DeliveryError, after which the turn is tried again, if it was encrypted with another key.
        """
        if not stored.startswith(ENCRYPTED):
            return Opened(stored, is_current=self._box is None)
        sealed = stored.removeprefix(ENCRYPTED)
        token = None if self._box is None else self._box.decrypt(sealed)
        if self._box is None or token is None:
            raise DeliveryError(
                "The token of this workspace is encrypted with a key that SLACK_ENCRYPTION_KEYS does not have. "
                "Add that key again; or install the app again, at /slack/install.",
                retry_after=TRY_AGAIN_SECONDS,
            )
        return Opened(token, is_current=self._box.is_newest(sealed))


def _box_of(keys: Sequence[str]) -> FernetBox:
    from adapters.slack.fernet_box import FernetBox  # noqa: PLC0415  # an app of one workspace does without its 7 MB

    return FernetBox(keys)
