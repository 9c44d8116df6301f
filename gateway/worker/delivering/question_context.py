"""What an adapter may call while it shows a question about a held call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

from gateway.coordination.lease import LeaseGuard
from gateway.domain.approvals import Approval
from gateway.domain.files import BytesContent, Content, File
from gateway.domain.shown_arguments import ARGUMENTS, arguments_content
from gateway.ports.leased_writes import SetQuestion
from gateway.ports.token_buckets import Rate
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext


class QuestionContext:
    """Implements ``gateway.ports.platform.DeliveryContext`` for a question: what is posted of it is saved with it."""

    def __init__(
        self, context: WorkerDeliveryContext, guard: LeaseGuard, approval: Approval, *, first_attempt: bool
    ) -> None:
        """``context``: of the turn. ``first_attempt``: whether all that is posted of the question is known."""
        self._context = context
        self._guard = guard
        self._approval = approval
        self.first_attempt = first_attempt
        self.posted_messages = approval.posted_messages

    async def save_progress(self, posted_messages: Sequence[str]) -> None:
        self.posted_messages = tuple(posted_messages)
        write = partial(SetQuestion, approval_id=self._approval.id, posted_messages=self.posted_messages)
        await self._guard.write(write)
        await self._guard.assert_held()  # the adapter posts next, which cannot be undone

    async def save_posted(self, posted_messages: Sequence[str]) -> None:
        await self.save_progress(posted_messages)

    def read_file(self, file: File) -> AbstractAsyncContextManager[Content]:
        if file.reference == ARGUMENTS:
            return nullcontext(BytesContent(arguments_content(self._approval.arguments)))
        return self._context.read_file(file)

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        return await self._context.acquire(bucket, rate, max_wait=max_wait)

    async def block_for(self, bucket: str, seconds: float) -> None:
        await self._context.block_for(bucket, seconds)
