"""Shows a reply while it is written: as a stream where Slack has a place for it, else as a message that is changed.

All of it is a preview: it may stop at any point, and ``reply`` makes of what stands there what must stand there. So it
waits for no place under Slack's limits and repeats nothing; what could not be shown is shown with what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from adapters.slack import text
from adapters.slack.abilities import Abilities, Ability
from adapters.slack.draft import Draft, presentable
from adapters.slack.errors import Away, Crowded, Declined, Throttled
from adapters.slack.pen import ENDED, Pen
from adapters.slack.standing import Part, Wanted
from adapters.slack.status import Status
from gateway import logs
from gateway.errors import GatewayError
from gateway.messages import Shown
from gateway.ports import Outbox
from gateway.storing import Rate

AT_ONCE = 0.0
STREAM_SECONDS = 240.0
"""Slack ends a stream that is five minutes old, whatever goes on in it (python-slack-sdk issue 1859)."""
UPDATE_PACE = 3.0
"""So much longer it takes from one change of a message to the next: a workspace has fifty a minute, and of pieces that
are streamed a hundred."""
LONGEST_PAUSE = 10.0
POSTED = Rate(3.0, 5)
"""Messages of a workspace that are posted to be changed. Each of them needs one more chat.update at its end, which
somebody waits for: so no more are begun than can be ended beside everything else."""
BUTTON_SECONDS = 1.0
"""When Slack is to show its button: nobody presses it sooner, and most short replies are over by then."""
STATUS_SECONDS = 90.0
"""A status ends by itself after two minutes."""
STATUS_GRACE = 1.0
"""What is left of a reply is not held up longer by a status that is on its way."""
THINKING = "is thinking…"

log = logs.get(__name__)


class Preview:
    """Of one attempt at a turn."""

    def __init__(
        self,
        pen: Pen,
        status: Status,
        outbox: Outbox,
        abilities: Abilities,
        *,
        seconds: float,
        streams: bool,
        shows: bool,
    ) -> None:
        """``seconds``: from one look at the text to the next. ``streams``: whether this may be a stream.

        ``shows``: whether any text may be shown; else it is only said that the assistant is at work.
        """
        self._pen = pen
        self._standing = pen.standing
        self._status = status
        self._outbox = outbox
        self._abilities = abilities
        self._seconds = seconds
        self._streams = streams
        self._shows = shows
        self._served = True
        """Whether Slack had places for the last try."""
        self._draft = Draft()
        self._clock = asyncio.get_running_loop().time

    async def follow(self, events: AsyncIterator[Shown]) -> None:
        """Show what comes until nothing follows. When this returns, no call is under way."""
        async with asyncio.TaskGroup() as group:
            status = group.create_task(self._keep_status())
            if self._shows:
                group.create_task(self._write())
            try:
                async for event in events:
                    self._draft.put(event)
            finally:
                self._draft.close()
                asyncio.get_running_loop().call_later(STATUS_GRACE, status.cancel)

    # ------------------------------------------------------------ the status

    async def _keep_status(self) -> None:
        said, until = THINKING, self._clock() + STATUS_SECONDS
        await self._status.say(said)
        while not self._draft.closed:
            await self._draft.pause(BUTTON_SECONDS)
            # A stream shows by itself that it goes on, and has Slack's button. The button wins over our words.
            if self._draft.closed or self._standing.streaming or await self._status.process():
                continue
            doing = f"is using {self._draft.tool}…" if self._draft.tool else THINKING
            if doing != said or self._clock() > until:
                said, until = doing, self._clock() + STATUS_SECONDS
                await self._status.say(said)

    # ------------------------------------------------------------ the text

    async def _write(self) -> None:
        # A reply that is over within the first moments is posted whole: that costs one call instead of two of which
        # a workspace has twenty a minute, and looks the same.
        await self._draft.news()
        pause = self._seconds
        while True:
            await self._draft.pause(pause)
            if self._draft.closed or not await self._goes_on():
                return
            pause = self._seconds * (UPDATE_PACE if self._changes else 1) if self._served else 2 * pause
            pause = min(pause, max(LONGEST_PAUSE, self._seconds))
            if self._served:
                await self._draft.news()

    @property
    def _changes(self) -> bool:
        """Whether the newest part is a message that is changed."""
        return bool(self._standing.parts) and not self._standing.parts[-1].streaming

    async def _goes_on(self) -> bool:
        """Show what is new. Whether there is more to try."""
        try:
            self._served = False
            goes_on = await self._show()
            self._served = True
        except (Crowded, Throttled, Away):
            return True
        except GatewayError as exc:
            log.debug("preview ends", error=str(exc))
            return self._outlived(exc)
        return goes_on

    def _outlived(self, exc: GatewayError) -> bool:
        """Whether a stream was over because of its age alone: then it goes on as a message that is changed."""
        ended = isinstance(exc, Declined) and exc.slack_error == ENDED and bool(self._standing.parts)
        return ended and self._clock() - self._standing.parts[-1].begun > STREAM_SECONDS

    async def _show(self) -> bool:
        """False when what stands there is not how the text begins, any more: it was cut or read otherwise."""
        pieces = text.pieces(self._draft.text) or [""]
        for number in range(max(len(self._standing.parts) - 1, 0), len(pieces)):
            whole = number + 1 < len(pieces)
            if number == len(self._standing.parts):
                await self._begin(pieces[number] if whole else presentable(pieces[number], ""), whole=whole)
            elif not await self._grow(self._standing.parts[number], pieces[number], whole=whole):
                return False
        return len(pieces) >= len(self._standing.parts)

    async def _begin(self, piece: str, *, whole: bool) -> None:
        tasks = self._draft.tasks()
        if not whole and (piece or tasks) and self._may_stream():
            try:
                await self._pen.start(piece, tasks, patience=AT_ONCE)
            except Crowded:
                pass  # to change a message has a limit of its own
            except Declined as exc:
                self._streams = False
                self._abilities.learn(self._pen.place.workspace.team, Ability.STREAM, exc)
            else:
                self._draft.told(tasks)
                return
        if piece:
            await self._post(piece, whole=whole)

    def _may_stream(self) -> bool:
        return self._streams and self._abilities.has(self._pen.place.workspace.team, Ability.STREAM)

    async def _post(self, piece: str, *, whole: bool) -> None:
        bucket = f"slack:{self._pen.place.workspace.team}:preview"
        if not whole and not await self._outbox.take(bucket, POSTED, patience=AT_ONCE):
            raise Crowded
        await self._pen.post(Wanted(piece), patience=AT_ONCE)

    async def _grow(self, part: Part, piece: str, *, whole: bool) -> bool:
        """Whether the part is how the piece begins."""
        if part.shown is None or not piece.startswith(part.shown):
            return False
        target = piece if whole else presentable(piece, part.shown)
        if part.streaming:
            await self._stream(part, target, whole=whole)
        elif target != part.shown:
            await self._pen.update(part, Wanted(target), patience=AT_ONCE)
        return True

    async def _stream(self, part: Part, target: str, *, whole: bool) -> None:
        more, tasks = target.removeprefix(part.shown or ""), self._draft.tasks()
        # What gets too old is ended before Slack does it, and goes on as a message that is changed: no reply is cut
        # in two for that.
        if whole or self._clock() - part.begun > STREAM_SECONDS:
            await self._pen.stop(part, Wanted(target), patience=AT_ONCE)
        elif more or tasks:
            await self._pen.append(part, more, tasks, patience=AT_ONCE)
            self._draft.told(tasks)
