"""What is posted of a turn's reply, as far as this process knows, and the strings that save it with the turn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Posted = TypeVar("Posted")
"""How a platform describes a message of ours."""

FILE = "file:"
"""The prefix of saved entries about files. Entries are stored in the database: a release must read those before it."""


@dataclass(eq=False)
class PostedReply(Generic[Posted]):
    """The messages and files of one reply."""

    messages: list[Posted] = field(default_factory=list)
    """Those that show the text, in order."""
    files: list[str] = field(default_factory=list)
    """An entry for each of the turn's files that is posted, in their order."""
    fetch_failures: int = 0
    """How often the content of the next file could not be fetched."""
    language: str = ""
    """In which the bot itself speaks to the person; "" for English."""

    def restore(self, entries: Sequence[str]) -> None:
        """Reads what an earlier process saved."""
        for entry in entries:
            if entry.startswith(FILE):
                self.restore_file(entry.removeprefix(FILE))
            else:
                self.restore_message(entry)

    def entries(self) -> list[str]:
        """Returns what to save."""
        return [*self.message_entries(), *(f"{FILE}{entry}" for entry in self.file_entries())]

    @abstractmethod
    def restore_message(self, entry: str) -> None: ...

    @abstractmethod
    def message_entries(self) -> list[str]: ...

    def restore_file(self, entry: str) -> None:
        self.files.append(entry)

    def file_entries(self) -> list[str]:
        return self.files
