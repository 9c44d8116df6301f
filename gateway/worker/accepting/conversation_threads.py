"""Conversations and their threads at the assistants: found or imported by the thread's id, and deleted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.conversations import AssistantThread, Conversation
from gateway.domain.errors import ThreadNotFound
from gateway.domain.models import ConversationKey, ThreadId, Turn, TurnId, TurnState
from gateway.ports.store import Store
from gateway.worker.answering.assistants import Assistants

THREAD_ID_PATTERN = re.compile(r"[A-Za-z0-9_\-]{1,128}")
"""The thread ids that callers may send: those of the backends; no characters with a meaning in a URL."""

log = logs.get_logger(__name__)


class ConversationThreads:
    """Resolves and deletes conversations. Raises StoreUnavailable; AssistantError, as both may call the assistant."""

    def __init__(self, store: AsyncStore, assistants: Assistants, interrupt_turn: Callable[[TurnId], None]) -> None:
        """``interrupt_turn``: called for each turn that is cancelled with its conversation."""
        self._store = store
        self._assistants = assistants
        self._router = assistants.router
        self._interrupt_turn = interrupt_turn

    async def resolve(self, key: ConversationKey, *, may_adopt: bool, assistant: str) -> Conversation:
        """See ``AsyncInbox.resolve_conversation``."""
        name = ThreadId(key.channel)
        if not THREAD_ID_PATTERN.fullmatch(name):
            raise ThreadNotFound("There is no such thread. Leave thread_id out to open a new one.")
        conversation = await self._store.call(
            lambda store: store.find_conversation(key) or store.find_conversation_by_thread(name)
        )
        if conversation is None and may_adopt:
            conversation = await self._import_thread(key, name, assistant)
        if conversation is None:
            raise ThreadNotFound(f"There is no thread {name!r}. Leave thread_id out to open a new one.")
        if (conversation.key.platform, conversation.key.workspace) != (key.platform, key.workspace):
            raise ThreadNotFound(f"There is no thread {name!r}. Leave thread_id out to open a new one.")
        return conversation

    async def _import_thread(self, key: ConversationKey, thread: ThreadId, asked: str) -> Conversation:
        """Imports a thread of the assistant that is asked for, by its name; without one, of that of the route."""
        with self._assistants.using(self._router.named(asked) or self._router.names(key)[0]) as running:
            history = None if running is None else await running.backend.import_history(thread)
        if running is None or history is None:
            raise ThreadNotFound(f"There is no thread {thread!r}. Leave thread_id out to open a new one.")
        log.info("thread imported", thread=thread, assistant=running.name, exchanges=len(history))
        whose = (running.backend.name, history, running.name)
        return await self._store.call(lambda store: store.import_thread(key, thread, *whose))

    async def delete(self, conversation: Conversation) -> Sequence[Turn]:
        """See ``AsyncInbox.delete_conversation``."""
        turns = await self._store.call(lambda store: store.transcript(conversation.id))
        if conversation.key.channel == conversation.thread_id and all(map(_is_imported, turns)):
            await self._store.call(lambda store: store.release_adopted(conversation.id))
            return ()
        cancelled = await self._cancel_open(turns)
        former = await self._store.call(lambda store: store.former_threads(conversation.id))
        for thread in (*former, *conversation.threads):
            await self._delete_thread(thread)
        await self._store.call(lambda store: store.delete_conversation(conversation.id))
        log.info("conversation deleted", conversation=conversation.id)
        return cancelled

    async def _delete_thread(self, thread: AssistantThread) -> None:
        """Deletes a thread at its backend, if that is still set up."""
        with self._assistants.using(thread.assistant) as running:
            if running is not None and running.backend.name == thread.backend:
                await running.backend.delete_thread(thread.thread_id)

    async def _cancel_open(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        cancelled = []
        for turn in turns:
            if not turn.state.is_resolved:
                found = await self._store.call(partial(_cancel, turn_id=turn.id))
                if found is not None:
                    self._interrupt_turn(found.id)
                    cancelled.append(found)
        return cancelled


def _cancel(store: Store, *, turn_id: TurnId) -> Turn | None:
    return store.cancel_turn(turn_id)


def _is_imported(turn: Turn) -> bool:
    """Returns whether a turn is from the history of an imported thread."""
    return turn.started_at is None and turn.state is TurnState.DELIVERED
