"""Files that tools returned for a reply: kept by the gateway, as no server does, until the reply is delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.files import File
from gateway.domain.models import TurnId


class ToolFiles(Protocol):
    """The stored files. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    They are deleted with their turn, when its content is erased, and some days after they were stored.
    """

    def keep(self, turn_id: TurnId, file: File, content: bytes) -> None:
        """Stores a file under its reference. One that is stored already stays as it is.

        Stores nothing for a turn that does not exist any more, or whose content is erased.
        """
        ...

    def of_turn(self, turn_id: TurnId) -> Sequence[File]:
        """Returns the files of a turn, in the order in which they were stored."""
        ...

    def content(self, reference: str) -> bytes | None:
        """Returns the content of a file; None if it is deleted."""
        ...
