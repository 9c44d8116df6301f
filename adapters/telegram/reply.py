"""Brings the reply to a turn to Telegram: while it is written, and in the end whole, whatever happened before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from adapters.telegram import text
from adapters.telegram.bot import Calls
from adapters.telegram.delivery import Delivery, as_written
from adapters.telegram.pen import Pen
from adapters.telegram.places import Place
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.standing import Standing
from adapters.telegram.stream import Abilities, Preview
from adapters.telegram.text import Rendered
from gateway.errors import DeliveryError, StoreUnavailable
from gateway.messages import Shown, Turn, TurnState
from gateway.ports import Outbox

STORE_PAUSE = 5.0


class Replies:
    """One per adapter; used on the engine's loop only."""

    def __init__(self, calls: Calls, settings: TelegramSettings) -> None:
        self._calls = calls
        self._settings = settings
        self._abilities = Abilities()
        self._standing: WeakKeyDictionary[Outbox, Standing] = WeakKeyDictionary()

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        """Show a turn while it runs. What goes wrong in it is left to ``deliver``."""
        pen = self._pen(turn, outbox)
        preview = Preview(
            pen,
            self._abilities,
            # Beside a message that was lost sight of, no other is begun: the next one has to say so.
            shows=self._settings.telegram_streaming and not pen.standing.next_part.doubt,
            drafts=pen.place.private,
            draft_seconds=self._settings.telegram_draft_seconds,
        )
        await preview.follow(events)

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        """Bring the outcome. Raises DeliveryError and LeaseLost."""
        try:
            await Delivery(self._pen(turn, outbox), turn, outbox).bring(_wanted(turn))
        except StoreUnavailable as exc:
            raise DeliveryError(str(exc), retry_after=STORE_PAUSE) from exc

    def _pen(self, turn: Turn, outbox: Outbox) -> Pen:
        place = Place.of(turn.message.address)
        standing = self._standing.get(outbox)
        if standing is None:
            standing = self._standing[outbox] = Standing.of(place.chat, outbox.parts)
        return Pen(self._calls, place, turn.id, outbox, standing)


def _wanted(turn: Turn) -> list[Rendered]:
    """The messages that the outcome consists of. None for a turn that was cancelled."""
    if turn.state is TurnState.CANCELLED:
        return []
    return as_written(turn.failure.sentence) if turn.failure else text.parts(turn.reply)
