"""Stores which thread a conversation has."""

from __future__ import annotations

from gateway.coordination.lease import LeaseGuard
from gateway.domain.copies import changed
from gateway.domain.models import DEFAULT_ASSISTANT, ThreadId
from gateway.ports.leased_writes import SetThread


async def set_thread(
    lease_guard: LeaseGuard, thread: ThreadId | None, backend: str = "", assistant: str = DEFAULT_ASSISTANT
) -> None:
    """Gives the conversation another thread, or none; the claim of the lease knows it too. Raises LeaseLost."""
    await lease_guard.write(lambda lease, _: SetThread(lease, thread, backend, assistant))
    claim = lease_guard.claim
    conversation = changed(claim.conversation, thread_id=thread, backend=backend, assistant=assistant)
    lease_guard.claim = changed(claim, conversation=conversation)
