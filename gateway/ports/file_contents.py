"""The contents of files that came inside of messages: kept beside the turns until those have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class FileContents(Protocol):
    """Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def save_files(self, contents: Mapping[str, bytes]) -> None:
        """Saves contents by name, in one transaction. Deletes those that are older than a turn can be."""
        ...

    def load_file(self, name: str) -> bytes | None: ...

    def delete_files(self, names: Sequence[str]) -> None: ...
