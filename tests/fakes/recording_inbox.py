"""An inbox that records what adapters hand in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from gateway.domain.approvals import Verdict, VerdictResult
from gateway.domain.models import Message
from gateway.ports.inbox import AsyncInbox, Inbox
from gateway.ports.platform import ParsedUpdate


@dataclass(frozen=True)
class _AsyncRecordingInbox:
    recording: RecordingInbox

    async def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        return await asyncio.to_thread(self.recording.accept_all, update)


@dataclass
class RecordingInbox:
    """Raises ``faults`` first, one for each call. ``before`` is called before anything is recorded."""

    taken: list[ParsedUpdate] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    before: Callable[[ParsedUpdate], object] = lambda _: None
    verdict_result: VerdictResult = VerdictResult.DECIDED
    """What becomes of verdicts."""

    def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        self.before(update)
        if self.faults:
            raise self.faults.pop(0)
        self.taken.append(update)
        return [self.verdict_result for event in update.events if isinstance(event, Verdict)]

    @property
    def async_inbox(self) -> AsyncInbox:
        return cast("AsyncInbox", _AsyncRecordingInbox(self))

    @property
    def messages(self) -> list[Message]:
        return [message for update in self.taken for message in update.messages]

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    @property
    def inbox(self) -> Inbox:
        return cast("Inbox", self)
