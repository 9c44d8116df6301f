"""Shows the conversations that are handed over in a channel of the staff, each as a topic, and takes answers there.

All of it is read from the database: which message began a topic, and what was brought there already. So any process may
go on where another one died, and what is brought twice is one turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import GatewayError, InputError, StoreUnavailable
from gateway.domain.models import PUSHED, ConversationKey, Message, MessageKind, Turn, TurnId, TurnState
from gateway.domain.passed_files import passed_on
from gateway.handover import messages
from gateway.handover.looking_back import all_open, roots_of, turns_after, turns_to_answer
from gateway.ports.handovers import (
    BROUGHT,
    INTRODUCTIONS,
    Handovers,
    OpenHandover,
    introduction_name,
    said_name,
)
from gateway.ports.inbox import Accept
from gateway.ports.platform import OpensTopics
from gateway.ports.store import Store

RELAY = f"{PUSHED}handover"
"""``Message.caller`` of what is brought to the channel."""
FROM_CHANNEL = "channel"
"""How the name of an answer begins that was given in the channel."""
LOCK, LOCK_SECONDS = "handover relay", 10.0
"""By which only one process at a time looks for what to bring."""
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 60.0, 3600.0
"""After which a topic is begun again that the platform refused."""
PAUSES = (0.0, 0.05, 0.2, 0.5, 0.75)
"""Seconds before each look for the topic of a message. Platforms wait for three until a message is taken."""
QUOTED_TURNS, QUOTED_CHARS = 6, 500
CLOSED = "The assistant answers in this conversation again: what you wrote here was not sent."
HOW_TO = "What you write in this thread is sent as the answer; `resume` gives the conversation back to the assistant."

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StaffPlace:
    """Where the channel is, and the adapter of its platform."""

    key: ConversationKey
    adapter: OpensTopics
    passes_files_to: frozenset[str] = frozenset()
    """The platforms to which files are passed on that the staff posts there."""

    def message(self, topic: str, name: str, text: str) -> Message:
        """Returns a message to the channel, or to a topic of it."""
        key = self.key
        found = self.adapter.destination(ConversationKey(key.platform, key.workspace, key.channel, topic))
        return Message(found.key, f"{BROUGHT}{name}", "", address=found.address, caller=RELAY, given_reply=text)

    def has(self, key: ConversationKey) -> bool:
        """Returns whether a conversation is a topic of the channel."""
        own = self.key
        here = (key.platform, key.workspace, key.channel) == (own.platform, own.workspace, own.channel)
        return here and bool(key.topic)


class StaffChannel:
    """Used on the worker's loop only."""

    def __init__(
        self, store: AsyncStore, handovers: Handovers, place: StaffPlace, accept: Accept, *, owner: str, most: int
    ) -> None:
        """``owner``: the name of this process. ``most``: how many characters an answer may have."""
        self._store = store
        self._handovers = handovers
        self._place = place
        self._accept = accept
        self._owner = owner
        self._most = most
        self._brought: dict[int, int] = {}
        """The seq up to which a conversation's turns are brought, as far as this process knows."""

    # ------------------------------------------------------------ to the channel

    async def relay(self) -> None:
        """Brings what is new in open handovers. Raises StoreUnavailable."""
        if not await self._store.call(lambda store: store.try_lock(LOCK, self._owner, LOCK_SECONDS)):
            return
        roots = roots_of(await self._introduced())
        found = [each async for each in all_open(self._store, self._handovers)]
        self._brought = {each.conversation.id: self._brought.get(each.conversation.id, 0) for each in found}
        for each in found:
            try:
                await self._relay(each, roots.get((each.record.conversation_id, each.record.seq), ()))
            except StoreUnavailable:
                raise
            except GatewayError as exc:  # one that cannot be shown must not hold up the others
                log.warning("handover not shown to the staff", conversation=each.conversation.id, error=str(exc))

    async def _relay(self, found: OpenHandover, roots: Sequence[Turn]) -> None:
        number, record = found.conversation.id, found.record
        if not roots or _is_to_begin_again(found, roots):
            before = await self._store.call(
                lambda store: store.transcript(number, before=record.seq, limit=QUOTED_TURNS)
            )
            name = introduction_name(number, record.seq, len(roots) + 1)
            await self._accept(self._place.message("", name, introduction(found, before)))
            return
        root = roots[-1]
        topic = self._place.adapter.topic_below(root) if root.state is TurnState.DELIVERED else ""
        if topic and found.newest_seq > max(record.seq, self._brought[number]):
            await self._bring(found, topic)

    async def _bring(self, found: OpenHandover, topic: str) -> None:
        number = found.conversation.id
        brought = max(found.record.seq, self._brought[number])
        for turn in await self._store.call(lambda store: turns_after(store, number, brought)):
            if not turn.state.is_resolved:
                return  # what is behind it comes after it
            if text := _shown(turn):
                await self._accept(self._place.message(topic, said_name(turn.id), text))
            self._brought[number] = turn.seq

    # ------------------------------------------------------------ from the channel

    async def as_answer(self, message: Message) -> Message | None:
        """Returns what a message in a topic of the channel is to the conversation that the topic shows.

        None for any other message. Raises StoreUnavailable.
        """
        if message.is_pushed or not self._place.has(message.key):
            return None
        found = await self._shown_in(message.key.topic)
        return await self._closed(message) if found is None else await self._answer(found, message)

    async def _shown_in(self, topic: str) -> OpenHandover | None:
        """Returns the open handover that a topic shows, if any.

        Between the posting and the saving of a topic's first message nobody knows which one it shows. So while one is
        being posted, this looks again.
        """
        for pause in PAUSES:
            await asyncio.sleep(pause)
            introduced = await self._introduced()
            for found, root in introduced:
                if self._place.adapter.topic_below(root) == topic:
                    return found
            if not any(root.state is TurnState.ANSWERED for _, root in introduced):
                break
        return None

    async def _answer(self, found: OpenHandover, message: Message) -> Message:
        """Returns the answer; what to say in the topic if it cannot be one."""
        turns, caller = await self._turns(found.conversation.id), messages.staff(message.speaker or message.author)
        name = f"{FROM_CHANNEL}:{message.message_id}"
        goes_to = found.conversation.key.platform
        is_passed = message.kind is MessageKind.PROMPT and goes_to in self._place.passes_files_to
        if message.files and not is_passed:
            told = self._place.message(message.key.topic, f"files:{message.message_id}", _left_out(message))
            if not message.text:
                return told
            await self._accept(told)
        try:
            if message.kind is MessageKind.RESUME:
                return messages.give_back(found.conversation, turns, caller, name)
            text, files = message.text or message.own_text, passed_on(message) if is_passed else ()
            return messages.answer(found.conversation, turns, caller, text, name, self._most, files)
        except InputError as exc:
            return self._place.message(message.key.topic, f"refused:{message.message_id}", f"Not sent. {exc}")

    async def _closed(self, message: Message) -> Message | None:
        """Returns what to say in a topic whose conversation has gone back; None if it never showed one.

        What was sent before, and comes again because its platform has not heard so, is what it was.
        """
        key = message.key
        known = await self._store.call(lambda store: store.find_conversation(key))
        if known is None:
            return None
        brought = [each for each in await self._turns(known.id) if each.message.caller == RELAY]
        if not brought:
            return None
        sent = await self._store.call(lambda store: _sent_before(store, brought, message.message_id))
        if sent is not None:
            return sent.message
        return self._place.message(key.topic, f"closed:{message.message_id}", CLOSED)

    # ------------------------------------------------------------ reading

    async def _introduced(self) -> Sequence[tuple[OpenHandover, Turn]]:
        """Returns the open handovers that have begun a topic, each with the turn that did."""
        return await self._store.call(lambda _: self._handovers.introduced(self._place.key.platform))

    async def _turns(self, conversation_id: int) -> Sequence[Turn]:
        return await self._store.call(lambda store: turns_to_answer(store, conversation_id))


def _left_out(message: Message) -> str:
    sent = "only the text is" if message.text else "nothing is"
    names = ", ".join(each.name for each in message.files)
    return f"Files are not passed on to where this conversation is, so {sent} sent: {names}. Send a link instead."


def _sent_before(store: Store, brought: Sequence[Turn], message_id: str) -> Turn | None:
    """Returns the turn that a message in a topic has made. ``brought``: what was brought there.

    Does I/O; raises StoreUnavailable.
    """
    begin = f"{BROUGHT}{said_name('')}"
    named = [each.message.message_id for each in brought if each.message.message_id.startswith(begin)]
    found = (store.get_turn(TurnId(each.removeprefix(begin))) for each in reversed(named))
    said = next(filter(None, found), None)
    name = f"{BROUGHT}{FROM_CHANNEL}:{message_id}"
    return None if said is None else store.find_turn_by_message(said.message.key.platform, name)


def introduction(found: OpenHandover, before: Sequence[Turn]) -> str:
    """Returns the message that begins a topic: where, why, and what was said last. In Markdown."""
    record, key = found.record, found.conversation.key
    why = f": {record.reason}" if record.reason else "."
    head = (
        f"**Conversation {record.conversation_id}** on {key.platform} is handed over by {record.by or 'somebody'}{why}"
    )
    quoted = "\n".join(line for turn in before[-QUOTED_TURNS:] for line in _quoted(turn))
    return "\n\n".join(filter(None, [head, quoted, HOW_TO]))


def _is_to_begin_again(found: OpenHandover, roots: Sequence[Turn]) -> bool:
    """Returns whether the platform has refused the beginning of a topic, and may take it by now.

    Somebody may have invited the bot to the channel meanwhile.
    """
    newest, tries = roots[-1], len(roots)
    if newest.state is not TurnState.FAILED or tries >= INTRODUCTIONS:
        return False
    now = found.record.since + found.age_seconds
    if now - newest.received_at < min(FIRST_RETRY_SECONDS * 2 ** (tries - 1), MAX_RETRY_SECONDS):
        return False
    why = newest.failure.detail if newest.failure else ""
    log.warning("handover not shown to the staff; trying again", conversation=found.conversation.id, error=why)
    return True


def _shown(turn: Turn) -> str:
    """Returns what of a turn is brought to the topic; "" for what was said there, or is of no use."""
    if turn.is_held:
        return f"**{turn.message.speaker or turn.message.author or 'somebody'}:** {turn.message.own_text}"
    is_of_channel = turn.message.message_id.startswith(f"handover:{FROM_CHANNEL}:")
    if turn.is_pushed_text and turn.message.is_from_staff and not is_of_channel:
        return f"_{turn.message.sender}_ answered: {turn.reply}"
    return ""


def _quoted(turn: Turn) -> Iterator[str]:
    for who, text in ((turn.message.speaker or "person", turn.message.own_text), ("assistant", turn.reply)):
        if text:
            yield f"> **{who}:** {' '.join(text[:QUOTED_CHARS].split())}"
