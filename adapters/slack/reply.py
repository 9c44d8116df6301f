"""Makes of what stands at Slack the reply to a turn, whatever happened before: once, whole and in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from adapters.slack import text
from adapters.slack.abilities import Abilities
from adapters.slack.calls import Calls
from adapters.slack.delivery import Delivery
from adapters.slack.errors import Declined
from adapters.slack.pen import Pen
from adapters.slack.places import Place
from adapters.slack.settings import SlackSettings
from adapters.slack.standing import Standing, Wanted
from adapters.slack.status import Status
from adapters.slack.stream import Preview
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.errors import DeliveryError, StoreUnavailable
from gateway.messages import Kind, Shown, Turn, TurnState
from gateway.ports import Outbox

TOKEN_IS_BAD = frozenset({"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"})
STORE_PAUSE = 5.0

log = logs.get(__name__)


class Replies:
    """One per adapter; used on the engine's loop only."""

    def __init__(self, calls: Calls, workspaces: Workspaces, settings: SlackSettings) -> None:
        self._calls = calls
        self._workspaces = workspaces
        self._settings = settings
        self._abilities = Abilities()
        self._standing: WeakKeyDictionary[Outbox, Standing] = WeakKeyDictionary()

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        """Show a turn while it runs. What goes wrong in it is left to ``deliver``."""
        try:
            place = await self._place(turn)
        except DeliveryError as exc:
            log.debug("no preview", turn=turn.id, error=str(exc))
            return
        pen = Pen(self._calls, place, turn.id, outbox, self._standing_of(turn, outbox))
        preview = Preview(
            pen,
            self._status(turn, pen, outbox),
            outbox,
            self._abilities,
            seconds=self._settings.slack_stream_seconds,
            streams=self._settings.slack_preview == "stream" and _may_stream(turn, place),
            # What an earlier process has shown stands there until ``deliver`` sets it right: nothing comes beside it.
            shows=outbox.fresh and self._settings.slack_preview != "off",
        )
        await preview.follow(events)

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        """Bring the outcome. Raises DeliveryError and LeaseLost."""
        place = await self._place(turn)
        pen = Pen(self._calls, place, turn.id, outbox, self._standing_of(turn, outbox))
        delivery = Delivery(self._calls, pen, turn, outbox, streams=_may_stream(turn, place))
        try:
            await delivery.bring(self._wanted(turn))
        except Declined as exc:
            if exc.slack_error in TOKEN_IS_BAD:
                self._workspaces.drop(place.workspace.team)
            raise
        except StoreUnavailable as exc:
            raise DeliveryError(str(exc), retry_after=STORE_PAUSE) from exc
        await self._status(turn, pen, outbox).end()

    async def _place(self, turn: Turn) -> Place:
        """Raises DeliveryError."""
        address = turn.message.address
        return Place.of(address, await self._workspaces.find(address))

    def _standing_of(self, turn: Turn, outbox: Outbox) -> Standing:
        standing = self._standing.get(outbox)
        if standing is None:
            standing = self._standing[outbox] = Standing.of(outbox)
            standing.processing = not outbox.fresh and _is_direct(turn)  # by whoever worked on it before
        return standing

    def _status(self, turn: Turn, pen: Pen, outbox: Outbox) -> Status:
        return Status(self._calls, pen.place, outbox, pen.standing, self._abilities, direct=_is_direct(turn))

    def _wanted(self, turn: Turn) -> list[Wanted]:
        """The messages that the outcome consists of. None for a turn that was cancelled."""
        if turn.state is TurnState.CANCELLED:
            return []
        if turn.failure is not None:
            return [Wanted(part, plain=True) for part in text.plain(turn.failure.sentence)]
        pieces = [Wanted(piece) for piece in text.pieces(turn.reply)]
        return [*pieces[:-1], Wanted(pieces[-1].text, below=self._below(turn))] if pieces else []

    def _below(self, turn: Turn) -> tuple[Mapping[str, Any], ...]:
        if not self._settings.slack_feedback or turn.message.kind is not Kind.ASK:
            return ()
        return (text.feedback_block(turn.id),)


def _is_direct(turn: Turn) -> bool:
    return turn.message.address.get("channel_type") == "im"


def _may_stream(turn: Turn, place: Place) -> bool:
    """A stream stands in a thread, for somebody. It bears no mark of ours until it ends.

    So in a thread that several conversations share, one that was begun but not noted could not be told from another's.
    """
    return bool(place.thread_ts and place.user) and not turn.message.key.user
