"""Shows a reply while it is written: as a draft where Telegram has them, else as a message that is changed.

All of it is a preview: it may stop at any point, and ``delivery`` makes of what stands there what must stand there. So
it waits for no place under Telegram's limits and repeats nothing; what could not be shown is shown with what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from adapters.telegram import text
from adapters.telegram.errors import Away, Crowded, Declined, Reason, Throttled
from adapters.telegram.pen import Pen
from adapters.telegram.standing import alike
from adapters.telegram.text import Rendered
from gateway import logs
from gateway.errors import DeliveryError, GatewayError
from gateway.live import Written
from gateway.markdown import cut, utf16_units
from gateway.messages import Shown

TYPING_SECONDS = 4.5
"""Telegram shows it for five: core.telegram.org/bots/api#sendchataction"""
TYPING_PATIENCE = 0.3
"""Seconds that a place for it may take: in many chats at once the bot is to be seen to type in all of them."""
TYPING_GRACE = 1.0
"""What is left of a reply is not held up longer by a call that says that somebody types."""
PRIVATE_SECONDS, GROUP_SECONDS = 1.1, 3.1
"""From one change of a message to the next: core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""
THINKING_SECONDS = 1.0
"""After which a draft without words offers to stop: nobody would sooner, and most short replies are over by then."""
DRAFT_SECONDS = 20.0
"""A draft vanishes after thirty: core.telegram.org/bots/api#sendmessagedraft"""
LONGEST_PAUSE = 10.0

log = logs.get(__name__)


@dataclass(slots=True)
class Abilities:
    """What the server was found not to have. For all turns of a process."""

    drafts: bool = True
    empty_drafts: bool = True
    """Whether a draft may have no words yet: since Bot API 10.0."""


class Preview:
    """Of one attempt at a turn."""

    def __init__(self, pen: Pen, abilities: Abilities, *, shows: bool, drafts: bool, draft_seconds: float) -> None:
        """``shows``: whether any text is shown; else only that the bot types. ``drafts``: whether this may be a draft.

        ``draft_seconds``: from one state of a draft to the next.
        """
        self._pen = pen
        self._standing = pen.standing
        self._abilities = abilities
        self._shows = shows
        self._may_draft = drafts
        self._draft_seconds = draft_seconds
        self._drafted: Rendered | None = None
        self._served = True
        """Whether Telegram had a place for the last try."""
        self._written = Written()
        self._rendered: dict[str, list[Rendered]] = {}
        self._clock = asyncio.get_running_loop().time
        self._changed_at = float("-inf")
        """When a message was posted or changed last."""

    async def follow(self, events: AsyncIterator[Shown]) -> None:
        """Show what comes until nothing follows. When this returns, no call is under way."""
        async with asyncio.TaskGroup() as group:
            typing = group.create_task(self._keep_typing())
            if self._shows:
                group.create_task(self._write())
            try:
                async for event in events:
                    self._written.put(event)
            finally:
                self._written.close()
                asyncio.get_running_loop().call_later(TYPING_GRACE, typing.cancel)

    async def _keep_typing(self) -> None:
        while not self._written.closed:
            # A message that grows shows it as well, and both count against the same limit: to type all the time would
            # leave a group one change in a quarter of a minute.
            if self._clock() >= self._changed_at + TYPING_SECONDS:
                await self._type()
            await self._written.pause(TYPING_SECONDS)

    async def _type(self) -> None:
        try:
            await self._pen.type(patience=TYPING_PATIENCE)
        except DeliveryError as exc:
            log.debug("does not type", error=str(exc))

    # ------------------------------------------------------------ the text

    async def _write(self) -> None:
        await self._think()
        # A reply that is over within the first moments comes whole: that is one call, and looks the same.
        await self._written.news()
        pause = self._pace
        while True:
            await self._written.pause(pause)
            if self._written.closed or not await self._goes_on():
                return
            pause = self._pace if self._served else min(2 * pause, max(LONGEST_PAUSE, self._pace))
            if self._served and not await self._written.news(DRAFT_SECONDS):
                self._drafted = None  # it is to be said again, so that it does not vanish

    @property
    def _drafts(self) -> bool:
        return self._may_draft and self._abilities.drafts

    @property
    def _pace(self) -> float:
        if self._drafts:
            return self._draft_seconds
        return PRIVATE_SECONDS if self._pen.place.kind == "private" else GROUP_SECONDS

    async def _think(self) -> None:
        """Until there are words, show a draft without any, for its button to stop."""
        pause = THINKING_SECONDS
        while self._drafts and self._abilities.empty_drafts and not await self._written.began(pause):
            try:
                await self._pen.draft(None)
            except Declined as exc:
                self._learn(exc)
                return
            except DeliveryError as exc:
                log.debug("no draft", error=str(exc))
            else:
                pause = DRAFT_SECONDS

    async def _goes_on(self) -> bool:
        """Show what is new. Whether there is more to try."""
        self._served = False
        try:
            await self._show()
        except (Crowded, Throttled, Away):
            return True
        except GatewayError as exc:
            log.debug("preview ends", error=str(exc))
            return False
        self._served = True
        return True

    async def _show(self) -> None:
        """The last part that stands there, and what follows. A part that is whole is always a message."""
        pieces = self._pieces()
        for number in range(max(len(self._standing.parts) - 1, 0), len(pieces)):
            whole = number + 1 < len(pieces)
            if number < len(self._standing.parts):
                await self._change(number, pieces[number])
            elif whole or not await self._draft(pieces[number]):
                await self._pen.post(pieces[number], patience=0.0)
                self._changed_at = self._clock()

    def _pieces(self) -> list[Rendered]:
        """What ``text.parts`` makes of it; but what is whole is rendered once, however long the rest becomes."""
        pieces = cut(self._written.text, text.MOST_UNITS, utf16_units)
        self._rendered = {piece: self._rendered.get(piece) or text.parts(piece) for piece in pieces}
        return [part for piece in pieces for part in self._rendered[piece]]

    async def _change(self, number: int, piece: Rendered) -> None:
        part = self._standing.parts[number]
        if not alike(part.shown, piece) and not self._standing.fixed(part):
            await self._pen.edit(part, piece, patience=0.0)
            self._changed_at = self._clock()

    async def _draft(self, piece: Rendered) -> bool:
        """Whether it may be shown as a draft; then it is."""
        if self._drafts and not alike(piece, self._drafted):
            try:
                await self._pen.draft(piece)
            except Declined as exc:
                if exc.reason is Reason.MARKUP and piece.entities:
                    return await self._draft(replace(piece, entities=()))
                self._learn(exc)
            else:
                self._drafted = piece
        return self._drafts

    def _learn(self, exc: Declined) -> None:
        """From a refused draft: a server without them stays so, and a chat without them may be the only one."""
        log.debug("no draft", error=str(exc))
        if exc.reason is Reason.NO_METHOD:
            self._abilities.drafts = False
        elif exc.reason is Reason.EMPTY:
            self._abilities.empty_drafts = False
        else:
            self._may_draft = False
