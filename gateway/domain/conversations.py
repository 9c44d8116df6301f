"""Conversations, the threads that hold their history, and the leases by which processes work on them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.handover import Handover
from gateway.domain.models import DEFAULT_ASSISTANT, ConversationKey, ThreadId, Turn
from gateway.domain.shares import NOBODY, Share


@dataclass(frozen=True, slots=True)
class AssistantThread:
    """A thread at a backend, with the name of the assistant whose it is."""

    thread_id: ThreadId
    backend: str
    assistant: str = DEFAULT_ASSISTANT


@dataclass(frozen=True)  # without slots, for ``changed``
class Conversation:
    """A conversation key with the thread that holds its history at the assistant."""

    id: int
    key: ConversationKey
    thread_id: ThreadId | None = None
    backend: str = ""
    """The name of the backend that created the thread; no other backend can read it."""
    assistant: str = DEFAULT_ASSISTANT
    """The name of the assistant whose thread it is; no other one goes on in it."""
    chosen: str = ""
    """The name of the assistant that people chose for the conversation; empty: none, so its route decides."""
    handover: Handover | None = None
    """That a person answers; None: the assistant does."""

    def has_thread_of(self, assistant: str, backend: str) -> bool:
        """Returns whether an assistant, by its name and that of its backend, can go on in the thread."""
        return self.thread_id is not None and (self.assistant, self.backend) == (assistant, backend)

    @property
    def threads(self) -> tuple[AssistantThread, ...]:
        """Its thread, if it has one."""
        return () if self.thread_id is None else (AssistantThread(self.thread_id, self.backend, self.assistant),)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a conversation. Each claim has a higher epoch, so writes of earlier holders are refused."""

    conversation_id: int
    owner: str
    epoch: int


@dataclass(frozen=True)  # without slots, for ``changed``
class Claim:
    """A turn to work on, with the lease on its conversation.

    ``first_attempt``: no earlier attempt can have reached the assistant, so the message is posted without first
    checking whether the thread has it.
    """

    lease: Lease
    conversation: Conversation
    turn: Turn
    first_attempt: bool = True
    share: Share = NOBODY
    """Whose share it takes: that of the message with which the conversation became due. Set by the first claim."""
