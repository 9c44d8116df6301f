"""Carries out what people tell the bot itself: to begin anew, to stop, to have another assistant or a person answer."""

from __future__ import annotations

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard
from gateway.domain.conversations import Claim
from gateway.domain.models import MessageKind, Turn, TurnState
from gateway.domain.run_events import RunCompleted
from gateway.domain.sentences import Sentence, joined, sentence
from gateway.languages import say
from gateway.policy.routes import AssistantRouter
from gateway.worker.answering.handover import began_with
from gateway.worker.answering.past_turns import turns_before
from gateway.worker.answering.threads import set_thread

RESET_REPLY = sentence("A new conversation begins. Nothing of what was said before is remembered.")
STOPPED_REPLY = sentence("Stopped.")
NOTHING_TO_STOP_REPLY = sentence("There is nothing to stop.")
UNKNOWN_REPLY = sentence("There is no assistant of that name to choose here.")
HANDED_OVER_REPLY = sentence("A person takes over here. What you write from now on is read and answered by them.")
ALREADY_HANDED_OVER_REPLY = sentence("A person has taken over here already, and will answer.")
RESUMED_REPLY = sentence("The assistant answers here again.")
CHOOSE_EXAMPLE = "/assistant {name}"

log = logs.get_logger(__name__)


class Commands:
    """Replies to commands. Used on the worker's loop only."""

    def __init__(self, store: AsyncStore, router: AssistantRouter) -> None:
        self._store = store
        self._router = router

    async def reply(self, lease_guard: LeaseGuard) -> RunCompleted:
        """Returns the reply to a turn that is no PROMPT. Raises LeaseLost."""
        turn = lease_guard.claim.turn
        match turn.message.kind:
            case MessageKind.RESET:
                return await self._reset(lease_guard)
            case MessageKind.STOP:
                return await self._report_stop(turn)
            case MessageKind.CHOOSE:
                return RunCompleted(say(self._report_choice(turn), turn.message.language))
            case MessageKind.HAND_OVER:
                return RunCompleted(say(_report_handover(lease_guard.claim), turn.message.language))
            case MessageKind.RESUME:  # what it ends was ended before, and it asks nothing
                return RunCompleted(say(RESUMED_REPLY, turn.message.language))
            case MessageKind.PROMPT:
                raise AssertionError(turn.id)

    async def _reset(self, lease_guard: LeaseGuard) -> RunCompleted:
        """Detaches the thread from the conversation. At the backend the thread stays as it is."""
        await set_thread(lease_guard, None)
        log.info("conversation reset", turn=lease_guard.claim.turn.id)
        return RunCompleted(RESET_REPLY)

    async def _report_stop(self, turn: Turn) -> RunCompleted:
        """Returns the reply to a STOP message. The turns it stops were cancelled when it was recorded."""
        before = await self._store.call(lambda store: turns_before(store, turn))
        stopped = any(t.state is TurnState.CANCELLED and (t.answered_at or 0.0) >= turn.received_at for t in before)
        if not stopped and turn.seq == 1:  # only one that stops in the whole channel begins a conversation
            stopped = await self._store.call_with_retry(lambda store: store.stopped_in_channel(turn))
        # A button may not say who pressed it in which language.
        known = (each.message.language for each in (turn, *reversed(before)) if each.message.language)
        return RunCompleted(say(STOPPED_REPLY if stopped else NOTHING_TO_STOP_REPLY, next(known, "")))

    def _report_choice(self, turn: Turn) -> Sentence:
        """Returns the reply to a CHOOSE message. What it chooses was stored when it was recorded."""
        asked, found = self._router.asked_by(turn.message)
        if found == turn.assistant:
            return sentence("From now on, {name} answers here. It knows what was said before.", name=turn.assistant)
        choice = self._choice(turn)
        return joined(UNKNOWN_REPLY, choice) if asked else choice

    def _choice(self, turn: Turn) -> Sentence:
        names = self._router.names(turn.message.key)
        others = [name for name in names if name != turn.assistant]
        if not others:
            return sentence("{name} answers here. No other assistant can be chosen here.", name=turn.assistant)
        return sentence(
            "{name} answers here. You can choose: {names}. Write {example} to do so.",
            name=turn.assistant,
            names=", ".join(names),
            example=CHOOSE_EXAMPLE.format(name=others[0]),
        )


def _report_handover(claim: Claim) -> Sentence:
    """Returns the reply to a HAND_OVER message. The conversation was handed over when it was recorded."""
    return HANDED_OVER_REPLY if began_with(claim) else ALREADY_HANDED_OVER_REPLY
