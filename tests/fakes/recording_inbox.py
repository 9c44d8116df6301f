"""An inbox that records what adapters hand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from gateway.domain.models import Message
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Receipt


@dataclass
class RecordingInbox:
    """Raises ``faults`` first, one for each call. ``before`` is called before anything is recorded."""

    taken: list[Receipt] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    before: Callable[[Receipt], object] = lambda _: None

    def take(self, receipt: Receipt) -> None:
        self.before(receipt)
        if self.faults:
            raise self.faults.pop(0)
        self.taken.append(receipt)

    @property
    def messages(self) -> list[Message]:
        return [message for receipt in self.taken for message in receipt.messages]

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    @property
    def inbox(self) -> Inbox:
        return cast("Inbox", self)
