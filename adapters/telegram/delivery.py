"""Brings one outcome to Telegram: changes, posts and deletes messages, sends files.

Nobody can look into a chat. So a message that was sent without an answer is sent once more at the most, beginning with
a line that says so, and only when Telegram answers again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from adapters.telegram import text
from adapters.telegram.errors import Declined, Reason
from adapters.telegram.pen import Pen
from adapters.telegram.standing import UNKNOWN, Doubt, Part, alike
from adapters.telegram.text import Rendered
from gateway import logs
from gateway.errors import AssistantError, DeliveryError
from gateway.markdown import utf16_units
from gateway.messages import File, Turn, TurnState
from gateway.ports import Outbox

PATIENCE = 120.0
"""Seconds that a place under Telegram's limits may take; then the engine lets others go first."""
TEXT = frozenset({Reason.MARKUP, Reason.TOO_LONG, Reason.EMPTY, Reason.OTHER})
"""Telegram does not take the text, or may not take it: it is said again without any markup."""
TRIES = 3
"""For the content of a file, which the rest of the conversation waits for."""
SENT_AGAIN = "(Sent again, in case it did not arrive.)"
SENT_AGAIN_NAME = "sent again - {}"
STOPPED = "(Stopped.)"

log = logs.get(__name__)


class Delivery:
    """One try. It goes on from what ``pen.standing`` says, which is right again after whatever breaks it off."""

    def __init__(self, pen: Pen, turn: Turn, outbox: Outbox) -> None:
        self._pen = pen
        self._standing = pen.standing
        self._turn = turn
        self._outbox = outbox

    async def bring(self, wanted: Sequence[Rendered]) -> None:
        """Raises DeliveryError, LeaseLost, StoreUnavailable."""
        await self._pen.note()  # one may have broken off
        if self._turn.state is TurnState.CANCELLED:
            await self._leave()
            return
        await self._write(list(wanted))
        for number in range(len(self._standing.files), len(self._turn.files)):
            await self._bring_file(self._turn.files[number])
        if missing := self._standing.unconfirmed:
            raise DeliveryError(
                f"Telegram confirmed all but {missing} of the reply's messages and files. Each of those was sent twice,"
                " and no answer came either time: it may be missing"
            )

    # ------------------------------------------------------------ the text

    async def _write(self, wanted: list[Rendered]) -> None:
        await self._settle_doubt(wanted)
        number = 0
        while number < len(wanted):
            try:
                await self._set(number, wanted[number])
            except Declined as exc:
                wanted[number : number + 1] = await self._instead(number, wanted[number], exc)
            else:
                number += 1
        await self._remove(len(wanted))

    async def _settle_doubt(self, wanted: list[Rendered]) -> None:
        """Label what is said for the second time, and let go what was."""
        parts, following = self._standing.parts, self._standing.next_part
        for number, part in enumerate(parts):
            if part.again:
                _label(wanted, number)
        if len(wanted) <= len(parts):
            following.doubt = Doubt.NONE  # whatever a preview lost sight of, no more is to be said
        elif following.doubt:
            _label(wanted, len(parts))
        if following.doubt is Doubt.ONCE:
            await self._await_answer()
        elif following.doubt is Doubt.TWICE:  # another time would not make it better
            log.warning("a message may be missing", turn=self._turn.id)
            parts.append(Part(self._standing.chat, 0, again=True))
            following.doubt = Doubt.NONE
            await self._pen.note()

    async def _await_answer(self) -> None:
        """Put it off until Telegram answers: then a second time is as good as certain to be the last."""
        try:
            await self._pen.type(patience=PATIENCE)
        except Declined as exc:
            log.debug("Telegram answers", turn=self._turn.id, error=str(exc))

    async def _set(self, number: int, wanted: Rendered) -> None:
        """Let a message show what it must; post it if it is not there."""
        if number == len(self._standing.parts):
            await self._pen.post(wanted, patience=PATIENCE)
            return
        part = self._standing.parts[number]
        if not alike(part.shown, wanted) and not self._standing.fixed(part):
            await self._pen.edit(part, wanted, patience=PATIENCE)

    async def _instead(self, number: int, wanted: Rendered, exc: Declined) -> list[Rendered]:
        """What to say instead of what was refused. Raises it when nothing helps."""
        if exc.reason is Reason.MESSAGE_GONE and number < len(self._standing.parts):
            await self._remove(number)  # what follows has to stand below what is posted instead
        elif exc.reason in TEXT and not _is_plain(wanted):
            log.warning("said without markup", turn=self._turn.id, error=str(exc))
            return as_written(wanted.markdown)
        elif exc.reason is Reason.EMPTY:
            return []  # there is nothing to see in it
        elif not await self._adapt(number, exc):
            raise exc
        return [wanted]

    async def _adapt(self, number: int, exc: Declined) -> bool:
        """Go on in another place, if the one where message ``number`` was to stand is not there any more."""
        place = self._pen.place
        log.info("refused", turn=self._turn.id, reason=exc.reason.value)
        if exc.reason is Reason.MIGRATED and exc.to not in {"", place.chat}:
            del self._standing.parts[number:]  # they stay as they are, where nobody can change them
            self._standing.move(exc.to)
            await self._pen.note()
        elif exc.reason is Reason.TOPIC_GONE and place.topic:
            self._pen.leave_topic()
        elif exc.reason is Reason.REPLY_GONE and place.reply_to:
            self._pen.leave_message()
        else:
            return False
        return True

    async def _remove(self, first: int) -> None:
        """Delete what is too much."""
        for part in self._standing.parts[first:][::-1]:
            try:
                if not self._standing.fixed(part):
                    await self._pen.delete(part, patience=PATIENCE)
                    continue
            except Declined as exc:
                log.warning("a message stays", turn=self._turn.id, error=str(exc))
            self._standing.parts.remove(part)
            await self._pen.note()

    async def _leave(self) -> None:
        """What was shown of a cancelled turn stays, and says that it was stopped, if it is known what it is."""
        part = self._standing.parts[-1] if self._standing.parts else None
        if part is None or part.shown is None or self._standing.fixed(part) or part.shown.text.endswith(STOPPED):
            return
        stopped = _stopped(part.shown)
        if utf16_units(stopped.text) > text.MOST_UNITS:
            return
        try:
            await self._pen.edit(part, stopped, patience=PATIENCE)
        except Declined as exc:
            log.info("the preview stays as it is", turn=self._turn.id, error=str(exc))

    # ------------------------------------------------------------ the files

    async def _bring_file(self, file: File) -> None:
        doubt = self._standing.next_file.doubt
        if doubt is Doubt.TWICE:
            log.warning("a file may be missing", turn=self._turn.id, file=file.name)
            self._standing.files.append(UNKNOWN)
            self._standing.next_file.doubt = Doubt.NONE
            await self._pen.note()
            return
        if doubt:
            await self._await_answer()
            # By its name, as it is the one thing that is seen of every file: so a picture goes as a file.
            file = replace(file, name=SENT_AGAIN_NAME.format(file.name), media_type="")
        try:
            content = await self._content(file)
            await self._somewhere(lambda: self._pen.post_file(file, content))
        except (AssistantError, Declined) as exc:
            await self._miss(file, exc)

    async def _somewhere(self, post: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await post()
            except Declined as exc:
                if not await self._adapt(len(self._standing.parts), exc):
                    raise

    async def _content(self, file: File) -> bytes:
        """Raises AssistantError, DeliveryError."""
        try:
            content = await self._outbox.file(file)
        except AssistantError as exc:
            self._standing.fetched += 1
            if exc.retry_after is None or self._standing.fetched >= TRIES:
                raise
            raise DeliveryError(f"The file {file.name} is not to be had now.", retry_after=exc.retry_after) from exc
        self._standing.fetched = 0
        return content

    async def _miss(self, file: File, why: Exception) -> None:
        """Say by its name that a file is not there."""
        log.warning("a file could not be brought", turn=self._turn.id, file=file.name, error=str(why))
        line, *_ = as_written(f"The file {file.name} could not be brought here.")
        await self._somewhere(lambda: self._pen.post_line(line, patience=PATIENCE))


def as_written(markdown: str) -> list[Rendered]:
    """Without any markup."""
    return [Rendered(part, (), part) for part in text.plain(markdown)]


def _is_plain(rendered: Rendered) -> bool:
    return rendered == Rendered(rendered.markdown, (), rendered.markdown)


def _label(wanted: list[Rendered], number: int) -> None:
    """Let a message say that it may be the second of its kind. A very long one becomes two by that."""
    for said in wanted[number : number + 1]:
        again = f"{SENT_AGAIN}\n\n{said.markdown}"
        wanted[number : number + 1] = as_written(again) if _is_plain(said) else text.parts(again)


def _stopped(shown: Rendered) -> Rendered:
    return Rendered(f"{shown.text}\n\n{STOPPED}", shown.entities, shown.markdown)
