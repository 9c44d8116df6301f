"""Deletes what one person wrote and received, here and at the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeVar

from gateway import logs
from gateway.domain.bots import platform_of
from gateway.domain.conversations import Conversation
from gateway.domain.errors import AssistantError
from gateway.domain.models import ThreadId
from gateway.operations.stores import AdminStore
from gateway.ports.assistant import Assistant
from gateway.ports.people import PersonId

MAX_ROUNDS = 5
"""How often the deletion is repeated for what the person writes meanwhile."""
MAX_PARALLEL_DELETIONS = 8
"""How many threads are deleted at the backend at the same time."""
WRITTEN_DURING_DELETION = "new messages arrived while it was being deleted"

T = TypeVar("T")


class CoroutineRunner(Protocol):
    """Runs a coroutine to completion, on a loop in the calling thread."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class BackendThreads:
    """Deletes threads at the backend, for callers without an event loop."""

    open_assistant: Callable[[str], Assistant | None]
    """Returns an assistant by its name, or None. Called on the loop of ``run``. May raise SettingsError."""
    run: CoroutineRunner

    def delete(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        """Deletes the threads; returns, by conversation id, why one was not deleted. Raises SettingsError."""
        return self.run(self._delete(conversations)) if conversations else {}

    async def _delete(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        opened = {name: self.open_assistant(name) for name in {each.assistant for each in conversations}}
        limit = asyncio.Semaphore(MAX_PARALLEL_DELETIONS)

        async def delete(conversation: Conversation) -> str:
            async with limit:
                return await _delete(opened[conversation.assistant], conversation)

        try:
            problems = await asyncio.gather(*map(delete, conversations))
        finally:
            await asyncio.gather(*(each.close() for each in opened.values() if each is not None))
        return {each.id: problem for each, problem in zip(conversations, problems, strict=True) if problem}


async def _delete(assistant: Assistant | None, conversation: Conversation) -> str:
    """Deletes the thread of a conversation; returns why that failed, or an empty string."""
    if conversation.thread_id is None:
        return ""
    if assistant is None:
        return f"its thread is of the assistant {conversation.assistant}, which is not set up"
    if conversation.backend != assistant.name:
        return f"its thread is at the backend {conversation.backend}, but {assistant.name} is configured"
    try:
        await assistant.delete_thread(conversation.thread_id)
    except AssistantError as exc:
        return logs.mask(str(exc))
    return ""


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """What was deleted of a person's data."""

    conversations: int = 0
    """Deleted conversations, in which nobody else wrote."""
    shared: int = 0
    """Conversations with others, in which their messages and the replies to them were erased."""
    turns: int = 0
    """Erased turns, in all of these conversations."""
    threads: int = 0
    """Threads deleted at the backend."""
    not_deleted: Sequence[tuple[Conversation, str]] = ()
    """Conversations in which nothing was deleted, each with the reason."""
    abandoned: Sequence[ThreadId] = ()
    """Threads that still exist at the backend, though nothing refers to them here any more."""
    unparsed_updates: int = 0
    """Deleted updates of the platform that could not be parsed."""


def erase_person(store: AdminStore, threads: BackendThreads | None, platform: str, user: str) -> ErasureResult:
    """Deletes a person's messages and the replies to them, here and at the backend. Calling it again retries the rest.

    Their unfinished turns are cancelled first. A conversation in which nobody else wrote is deleted. In one with others
    their turns are erased and its thread is deleted: the next turn creates another thread from the rest. A conversation
    whose thread cannot be deleted stays as it is. With ``threads`` None nothing is deleted at the backend.
    Unparsed updates that contain the person's id are deleted. Raises StoreUnavailable, SettingsError.
    """
    eraser = PersonEraser(store, threads, platform, user)
    for _ in range(MAX_ROUNDS):
        if not eraser.run_round():
            break
    else:
        eraser.report_remaining()
    return eraser.result()


class PersonEraser:
    """Deletes one person's data, in rounds, as they may write meanwhile."""

    def __init__(self, store: AdminStore, threads: BackendThreads | None, platform: str, user: str) -> None:
        self._store = store
        self._threads = threads
        self._person = platform, user
        self._left: dict[int, tuple[Conversation, str]] = {}
        self._whole: set[int] = set()
        self._shared: set[int] = set()
        self._abandoned: list[ThreadId] = []
        self._gone: set[ThreadId] = set()
        self._turns = 0

    def run_round(self) -> bool:
        """Deletes what exists now; returns whether there was anything."""
        for turn in self._store.unfinished_turns_by(*self._person):
            self._store.cancel_turn(turn)
        found = self._load_conversations()
        problems = self._delete_threads([each for each, _ in found if each.thread_id])
        for conversation, alone in found:
            if conversation.id in problems:
                self._left[conversation.id] = conversation, problems[conversation.id]
            else:
                self._delete(conversation, alone=alone)
        return bool(found)

    def report_remaining(self) -> None:
        """Adds the conversations that still exist to those that were not deleted."""
        self._left |= {each.id: (each, WRITTEN_DURING_DELETION) for each, _ in self._load_conversations()}

    def result(self) -> ErasureResult:
        """Returns the result. Deletes unparsed updates first, and feedback and name if all else is deleted."""
        unparsed = self._store.unparsed_updates.erase_author(*self._person)
        if not self._left:
            self._store.erase_feedback_by(*self._person)
            self._store.people.erase(PersonId(platform_of(self._person[0]), self._person[1]))
        left = tuple(self._left.values())
        shared = len(self._shared - self._whole)
        threads, abandoned = len(self._gone), tuple(self._abandoned)
        return ErasureResult(len(self._whole), shared, self._turns, threads, left, abandoned, unparsed)

    def _load_conversations(self) -> Sequence[tuple[Conversation, bool]]:
        """Returns those that are left, each with whether nobody else wrote in it."""
        found = self._store.conversations_of(*self._person)
        return [(each, alone) for each, alone in found if each.id not in self._left]

    def _delete_threads(self, conversations: Sequence[Conversation]) -> Mapping[int, str]:
        if self._threads is None:
            return {}
        problems = self._threads.delete(conversations)
        self._gone |= {each.thread_id for each in conversations if each.id not in problems and each.thread_id}
        return problems

    def _delete(self, conversation: Conversation, *, alone: bool) -> None:
        former = self._store.former_threads(conversation.id)
        erased = self._store.erase_author(conversation, self._person[1])
        if erased is None:  # it has a new thread since: the next round deletes that one
            return
        self._turns += erased
        if self._threads is None and conversation.thread_id is not None:
            self._abandoned.append(conversation.thread_id)
        self._delete_former_threads([replace(conversation, **asdict(each)) for each in former])
        (self._whole if alone else self._shared).add(conversation.id)
        if alone:
            self._store.delete_conversation(conversation.id)

    def _delete_former_threads(self, had: Sequence[Conversation]) -> None:
        """Deletes the earlier threads; reports those that cannot be deleted, as nothing refers to them any more."""
        for each in had:
            if each.thread_id in self._gone or not each.thread_id:
                continue
            if self._threads is None or self._delete_threads([each]):
                self._abandoned.append(each.thread_id)
