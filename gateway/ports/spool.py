"""What the core gives to those who fetch files: a place for the content that is not in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from gateway.domain.files import Attachment, File


class FileWriter(Protocol):
    """Takes the content of one file as it arrives."""

    @property
    def size(self) -> int:
        """The bytes written so far."""
        ...

    async def write(self, piece: bytes) -> None:
        """Adds to the content. Raises DeliveryError for a file that grows too large, and when the disk is full."""
        ...


Download = Callable[[File, FileWriter], Awaitable[None]]
"""Fetches the content of a file. May do I/O. Raises DeliveryError, whose text is given to the assistant."""


class Spool(Protocol):
    """Keeps the files of one turn until it ends. Async; on the worker's loop."""

    async def receive(self, files: Sequence[File], download: Download, *, max_bytes: int) -> Sequence[Attachment]:
        """Returns one Attachment per file, in order, with its content or the reason why there is none.

        Calls ``download`` for each file of at most ``max_bytes`` that fits into what one message may bring, for a few
        at a time, once there is room for all of them in the process. Raises nothing.
        """
        ...
