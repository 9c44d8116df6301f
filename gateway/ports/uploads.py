"""The interface to the database for files that callers send with their messages."""

from __future__ import annotations

from typing import Protocol

PIECE_BYTES = 2**18
"""What is in memory of a file at the same time."""


class Uploads(Protocol):
    """Keeps the content of files in pieces, until the turns of their messages are erased, a week at most.

    Sync, thread-safe; every method does I/O and may raise StoreUnavailable.
    """

    def append(self, upload_id: str, seq: int, piece: bytes, *, platform: str, message_id: str) -> None:
        """Stores a piece; the first has number 0. ``message_id``: of the message, which need not be recorded yet."""
        ...

    def read(self, upload_id: str, seq: int) -> bytes | None:
        """Returns a piece; None after the last one, and when the file is no longer kept."""
        ...

    def delete(self, upload_id: str) -> None:
        """Deletes a file."""
        ...
