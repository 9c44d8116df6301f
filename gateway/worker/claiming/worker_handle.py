"""What the inbox needs of the worker."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from gateway.domain.conversations import Claim
from gateway.domain.models import TurnId
from gateway.ports.store import Places

T = TypeVar("T")


class WorkerHandle(Protocol):
    """Called on the worker's loop, except ``run_coroutine``."""

    owner: str

    def share(self) -> int:
        """Returns how many more conversations to claim at once: as many as there is capacity for, while no other
        process is less busy. What is left is claimed by whichever process is free.
        """
        ...

    def places(self) -> Places:
        """Returns a copy of the places that are left, by share."""
        ...

    def is_processing(self, conversation_id: int) -> bool:
        """Returns whether this process works on a conversation."""
        ...

    def accepting(self) -> AbstractContextManager[None]:
        """Returns a context manager to hold while a message is accepted; turns that are due start afterwards."""
        ...

    def wake_up(self, delay: float = 0.0) -> None:
        """Looks for turns that are due, in so many seconds. No I/O."""
        ...

    def start_claim(self, claim: Claim, since: float) -> None:
        """Starts work on a claim that was requested at ``since``, by ``lease_clock``. No I/O."""
        ...

    def interrupt_turn(self, turn_id: TurnId) -> None:
        """Interrupts a turn that was cancelled: its run, if it runs in this process, or its wait. No I/O."""
        ...

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the worker's loop and returns its result. Called from other threads."""
        ...
