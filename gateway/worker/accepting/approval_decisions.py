"""Held calls of tools: who may decide about which, and what they decided."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.approvals import Approval, Decider, Decision, Verdict, VerdictResult, may_decide
from gateway.domain.errors import TurnNotFound
from gateway.domain.models import ConversationKey, Message, TurnId
from gateway.worker.answering.past_turns import asked_message

log = logs.get_logger(__name__)


class ApprovalDecisions:
    """Looks held calls up, and takes what people decide about them. Raises StoreUnavailable."""

    def __init__(
        self, store: AsyncStore, block_reason: Callable[[Message], str | None], wake_up: Callable[[], None]
    ) -> None:
        """``block_reason``: see ``AdmissionControl.block_reason``.

        ``wake_up``: called when somebody has decided, as a turn may go on.
        """
        self._store = store
        self._block_reason = block_reason
        self._wake_up = wake_up

    async def of_turn(self, turn_id: TurnId) -> Sequence[Approval]:
        """See ``AsyncInbox.approvals_of``."""
        return await self._store.call(lambda store: store.approvals_of(turn_id))

    async def get(self, approval_id: str) -> Approval:
        """See ``AsyncInbox.get_approval``. Raises TurnNotFound."""
        found = await self._store.call(lambda store: store.get_approval(approval_id))
        if found is None:
            raise TurnNotFound(f"There is no approval {approval_id!r}.", code="approval_not_found")
        return found

    async def open_to(self, decider: Decider) -> Sequence[Approval]:
        """See ``AsyncInbox.open_approvals``."""
        return await self._store.call(lambda store: store.open_approvals(decider=decider))

    async def decide(self, verdict: Verdict) -> VerdictResult:
        """See ``AsyncInbox.decide``. Raises TurnNotFound."""
        asked = await self._store.call(lambda store: store.get_approval(verdict.approval_id))
        if asked is None or not hmac.compare_digest(asked.digest.encode(), verdict.digest.encode()):
            return VerdictResult.UNKNOWN
        turn = await self._store.call(lambda store: store.get_turn(asked.turn_id))
        if turn is None:  # it was deleted just now
            raise TurnNotFound(f"There is no turn {asked.turn_id!r}.")
        decider, by = verdict.decider, str(verdict.decider)
        message = await self._store.call(lambda store: asked_message(store, turn))
        if not may_decide(asked.approvers, message, decider) or self._is_blocked(decider):
            log.warning("somebody who may not decide about a call has tried to", turn=turn.id, tool=asked.tool)
            return VerdictResult.NOT_ALLOWED
        decision = Decision.APPROVED if verdict.approves else Decision.DENIED
        given = (verdict.approval_id, decision, by, decider.name)
        if await self._store.call(lambda store: store.decide(*given)) is None:
            now = await self._store.call(lambda store: store.get_approval(verdict.approval_id))
            is_same = now is not None and (now.decision, now.decided_by) == (decision, by)
            return VerdictResult.DECIDED if is_same else VerdictResult.TOO_LATE
        self._wake_up()
        log.info("decided about a call", turn=turn.id, tool=asked.tool, decision=decision.value)
        return VerdictResult.DECIDED

    def _is_blocked(self, decider: Decider) -> bool:
        said = Message(ConversationKey(decider.platform), "", "", author=decider.user)
        return not decider.caller and self._block_reason(said) is not None
