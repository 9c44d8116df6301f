"""Brings what is posted of a turn's reply to what must be posted: posts, changes and deletes messages, sends files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic

from adapters.base.errors import Rejected
from adapters.base.message_writer import Content, MessageWriter
from adapters.base.posted_reply import Posted, PostedReply
from gateway import logs
from gateway.domain.errors import AssistantError, AssistantRefused, DeliveryError, GatewayError
from gateway.domain.files import Content as FileContent
from gateway.domain.files import File
from gateway.domain.models import Turn, TurnState
from gateway.domain.sentences import sentence
from gateway.languages import say
from gateway.ports.platform import DeliveryContext

MAX_WAIT = 120.0
"""Seconds that a token of the platform's rate limits may take; then the worker lets other conversations go first."""
FETCH_ATTEMPTS = 3
"""For the content of a file, as the rest of the conversation waits for it."""
FETCH_PAUSE = 5.0

log = logs.get_logger(__name__)


class Reconciler(ABC, Generic[Posted, Content]):
    """One attempt at a delivery. It continues from the writer's ``reply``, which stays right whatever interrupts it."""

    REFUSED_CONTENT: ClassVar[frozenset[str]]
    """Reasons for which the platform may accept the same text in a plainer form."""
    UNCHANGEABLE: ClassVar[frozenset[str]]
    """Reasons for which a message cannot be changed: it is replaced."""
    UNDELETABLE: ClassVar[frozenset[str]]
    """Reasons for which a message cannot be deleted: it stays."""

    def __init__(self, writer: MessageWriter[Posted, Content], turn: Turn, delivery: DeliveryContext) -> None:
        self._writer = writer
        self._reply: PostedReply[Posted] = writer.reply
        self._turn = turn
        self._delivery = delivery

    async def reconcile(self, wanted: Sequence[Content]) -> None:
        """Posts the outcome: ``wanted`` has the content of each message. What was posted of a cancelled turn stays.

        Raises DeliveryError, LeaseLost, StoreUnavailable.
        """
        await self._writer.save_if_changed()  # an earlier attempt may have failed to
        contents = list(wanted)
        await self.resolve_doubt(contents)
        if self._turn.state is TurnState.CANCELLED:
            await self._mark_stopped()
            return
        await self._write(contents)
        await self.finish_last_file()
        for number in range(len(self._reply.files), len(self._turn.reply_files)):
            await self._deliver_file(number)

    # ------------------------------------------------------------ what the platform supplies

    @abstractmethod
    async def resolve_doubt(self, contents: list[Content]) -> None:
        """Finds out, or decides, what became of messages whose posting got no answer. May change ``contents``."""

    @abstractmethod
    async def change(self, message: Posted, content: Content) -> None:
        """Makes a message show the content, if it does not yet."""

    @abstractmethod
    def plainer(self, content: Content) -> list[Content] | None:
        """Returns the same text with less markup; None when there is no such form."""

    @abstractmethod
    async def delete(self, message: Posted) -> None: ...

    @abstractmethod
    async def show_stopped(self, message: Posted) -> None:
        """Makes the last message of a cancelled turn's preview say that it was stopped."""

    @abstractmethod
    async def finish_last_file(self) -> None:
        """Finishes the sending of a file that was interrupted."""

    @abstractmethod
    async def upload(self, file: File, content: FileContent) -> None:
        """Posts one more file, and saves it."""

    @abstractmethod
    async def post_missing_file(self, text: str, number: int) -> None:
        """Posts a text that says that file ``number`` could not be delivered."""

    # ------------------------------------------------------------ the text

    async def _write(self, contents: list[Content]) -> None:
        number = 0
        while number < len(contents):
            try:
                if number == len(self._reply.messages):
                    await self._writer.post(contents[number])
                else:
                    await self.change(self._reply.messages[number], contents[number])
            except Rejected as exc:
                contents[number : number + 1] = await self.replacement(number, contents[number], exc)
            else:
                number += 1
        await self.delete_from(len(contents))

    async def replacement(self, number: int, content: Content, exc: Rejected) -> list[Content]:
        """Returns what to show instead of content that was refused. Raises the refusal when nothing helps."""
        if exc.reason in self.UNCHANGEABLE and number < len(self._reply.messages):
            await self.delete_from(number)  # what follows must stay below the message that replaces it
            return [content]
        if exc.reason in self.REFUSED_CONTENT and (plainer := self.plainer(content)) is not None:
            log.warning("content refused; shown in a plainer form", turn=self._turn.id, error=str(exc))
            return plainer
        raise exc

    def may_stay(self, exc: Rejected) -> bool:
        """Returns whether a message that could not be deleted stays, and the rest is done all the same."""
        return exc.reason in self.UNDELETABLE

    async def delete_from(self, first: int) -> None:
        for message in self._reply.messages[first:][::-1]:
            try:
                await self.delete(message)
            except Rejected as exc:
                if not self.may_stay(exc):
                    raise
                log.warning("message could not be deleted; it stays", turn=self._turn.id, error=str(exc))
                await self._writer.forget(message)

    async def _mark_stopped(self) -> None:
        if not self._reply.messages:
            return
        try:
            await self.show_stopped(self._reply.messages[-1])
        except Rejected as exc:
            log.info("preview of a cancelled turn could not be changed", turn=self._turn.id, error=str(exc))

    # ------------------------------------------------------------ the files

    async def _deliver_file(self, number: int) -> None:
        file = self._turn.reply_files[number]
        try:
            async with self._delivery.read_file(file) as content:
                self._reply.fetch_failures = 0
                await self.upload(file, content)
        except AssistantError as exc:
            self._check_fetch_failure(file, exc)
            await self.report_missing_file(number, exc)
        except Rejected as exc:
            await self.report_missing_file(number, exc)

    def _check_fetch_failure(self, file: File, exc: AssistantError) -> None:
        """Raises DeliveryError, to be called again, unless the file is not to be had."""
        self._reply.fetch_failures += 1
        if isinstance(exc, AssistantRefused) or self._reply.fetch_failures >= FETCH_ATTEMPTS:
            return
        message = f"The assistant does not return the file {file.name} now: {exc}"
        raise DeliveryError(message, retry_after=exc.retry_after or FETCH_PAUSE) from exc

    async def report_missing_file(self, number: int, why: GatewayError) -> None:
        """Posts that a file could not be delivered, unless the refusal is temporary: then raises it."""
        if isinstance(why, Rejected) and why.retry_after is not None:
            raise why
        name = self._turn.reply_files[number].name
        log.warning("file could not be delivered", turn=self._turn.id, file=name, error=str(why))
        missing = sentence("The file {name} could not be brought here.", name=name)
        await self.post_missing_file(say(missing, self._reply.language), number)
