"""The inbox for other threads than the worker's loop."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.approvals import Approval, Verdict, VerdictResult
from gateway.domain.conversations import Conversation
from gateway.domain.models import ConversationKey, Message, Turn, TurnId
from gateway.ports.inbox import AcceptResult, AsyncInbox
from gateway.ports.platform import ParsedUpdate
from gateway.worker.claiming.worker_handle import WorkerHandle


class ThreadInbox:
    """Implements ``gateway.ports.inbox.Inbox``: an AsyncInbox for other threads than the loop's."""

    def __init__(self, inbox: AsyncInbox, worker: WorkerHandle) -> None:
        self._inbox = inbox
        self._run = worker.run_coroutine

    def new_turn_id(self) -> TurnId:
        return self._inbox.new_turn_id()

    def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult:
        return self._run(self._inbox.accept(message, turn_id))

    def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        return self._run(self._inbox.accept_all(update))

    def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        return self._run(self._inbox.approvals_of(turn_id))

    def decide(self, verdict: Verdict) -> VerdictResult:
        return self._run(self._inbox.decide(verdict))

    def get_turn(self, turn_id: TurnId) -> Turn:
        return self._run(self._inbox.get_turn(turn_id))

    def resolve_conversation(
        self, key: ConversationKey, *, may_adopt: bool = True, assistant: str = ""
    ) -> Conversation:
        return self._run(self._inbox.resolve_conversation(key, may_adopt=may_adopt, assistant=assistant))

    def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        return self._run(self._inbox.transcript(conversation, before=before, limit=limit))

    def cancel_turn(self, turn_id: TurnId) -> Turn:
        return self._run(self._inbox.cancel_turn(turn_id))

    def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        return self._run(self._inbox.delete_conversation(conversation))
