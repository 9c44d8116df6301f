"""The inbox for coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.domain.models import Conversation, ConversationKey, Message, Turn, TurnId
from gateway.ports.inbox import AcceptResult, Inbox


class ThreadedInbox:
    """Runs each call of the inbox in a thread, since the inbox does I/O. See ``gateway.ports.inbox.Inbox``."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def new_turn_id(self) -> TurnId:
        return self._inbox.new_turn_id()

    async def accept(self, message: Message, turn_id: TurnId) -> AcceptResult:
        return await asyncio.to_thread(self._inbox.accept, message, turn_id)

    async def get_turn(self, turn_id: TurnId) -> Turn:
        return await asyncio.to_thread(self._inbox.get_turn, turn_id)

    async def resolve_conversation(self, key: ConversationKey) -> Conversation:
        return await asyncio.to_thread(self._inbox.resolve_conversation, key)

    async def transcript(self, conversation: Conversation) -> Sequence[Turn]:
        return await asyncio.to_thread(self._inbox.transcript, conversation)

    async def cancel_turn(self, turn_id: TurnId) -> Turn:
        return await asyncio.to_thread(self._inbox.cancel_turn, turn_id)

    async def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        return await asyncio.to_thread(self._inbox.delete_conversation, conversation)
