"""Writes the messages of one reply, and keeps the record of them right whatever comes of a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from adapters.base.errors import Rejected
from adapters.base.posted_reply import Posted, PostedReply
from gateway.ports.platform import DeliveryContext

Content = TypeVar("Content")
"""What one message is to show, in a platform's form."""


class MessageWriter(ABC, Generic[Posted, Content]):
    """One per attempt to preview or to deliver. Methods raise the errors of ``adapters.base.errors``, and LeaseLost."""

    GONE: ClassVar[str]
    """The reason with which the platform refuses to change a message that does not exist."""

    def __init__(self, delivery: DeliveryContext, reply: PostedReply[Posted], *, max_wait: float) -> None:
        """``max_wait``: seconds that a token of the platform's rate limits may take."""
        self._delivery = delivery
        self.reply = reply
        self._max_wait = max_wait

    @abstractmethod
    async def post(self, content: Content) -> None:
        """Posts one more message, and saves it by ``save_posted``."""

    @abstractmethod
    async def post_file_line(self, content: Content, number: int) -> None:
        """Posts a message in place of file ``number``, and saves it at once."""

    @abstractmethod
    async def update(self, message: Posted, content: Content) -> None:
        """Changes what a message shows. Doing it twice is harmless."""

    @abstractmethod
    async def remove(self, message: Posted) -> None:
        """Makes the platform delete a message."""

    async def delete(self, message: Posted) -> None:
        """Deletes a message; no error when it does not exist any more."""
        try:
            await self.remove(message)
        except Rejected as exc:
            if exc.reason != self.GONE:
                raise
        await self.forget(message)

    async def forget(self, message: Posted) -> None:
        """Removes a message from the record only."""
        self.reply.messages.remove(message)
        await self.save()

    async def save_file(self, number: int, entry: str) -> None:
        """Records what became of file ``number``, and saves it at once."""
        self.reply.files[number:] = [entry]
        await self.save()

    async def save_if_changed(self) -> None:
        if self.reply.entries() != list(self._delivery.posted_messages):
            await self.save()

    async def save(self) -> None:
        """Commits what is posted, so that another process can continue. Raises LeaseLost, StoreUnavailable."""
        await self._delivery.save_progress(self.reply.entries())

    async def save_posted(self) -> None:
        """Saves a message that was just posted: before anything else is done, or with the finish of the turn."""
        await self._delivery.save_posted(self.reply.entries())
