"""Reads what each step of a run needs of its thread. What is asked for while others are read is read together."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from gateway.coordination.group_commit import GroupCommit
from gateway.coordination.threads import ThreadPool, in_thread
from gateway.domain.models import ConversationKey
from gateway.ports.api_objects import ApiObjects, NewestMessages, ThreadMessages, ThreadState


class ThreadReads:
    """Used on the worker's loop; the database is read elsewhere, by few statements for many callers."""

    def __init__(self, objects: ApiObjects) -> None:
        self._objects = objects
        self._threads = ThreadPool(2, "v1")  # one for each of these
        self._states: GroupCommit[ConversationKey, ThreadState] = GroupCommit(self._read_states)
        self._messages: GroupCommit[NewestMessages, ThreadMessages] = GroupCommit(self._read_messages)

    def state(self, key: ConversationKey) -> Awaitable[ThreadState]:
        """See ``ApiObjects.thread_states``. Raises StoreUnavailable where it is awaited."""
        return self._states.add(key)

    def newest_messages(self, key: ConversationKey, most_turns: int) -> Awaitable[ThreadMessages]:
        """See ``ApiObjects.newest_messages``. Raises likewise."""
        return self._messages.add(NewestMessages(key, most_turns))

    def close(self) -> None:
        """Returns when the threads have ended. Called in another thread than the loop's, once nobody asks any more."""
        self._threads.shutdown()

    async def _read_states(self, keys: Sequence[ConversationKey]) -> Sequence[ThreadState]:
        return await in_thread(self._threads, self._objects.thread_states, keys)

    async def _read_messages(self, asked: Sequence[NewestMessages]) -> Sequence[ThreadMessages]:
        return await in_thread(self._threads, self._objects.newest_messages, asked)
