"""Looks in Slack for what stands there of a turn's reply, when nobody can be sure of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.slack.calls import Calls
from adapters.slack.places import Place
from adapters.slack.standing import EVENT, FILE, Part
from gateway.messages import Turn, TurnId
from gateway.ports import Outbox

PAGE = 200
"""Messages. Apps that are sold, but are not in Slack's Marketplace, get 15 and one page a minute."""
BEFORE_RECEIVED = 60.0
"""Where no message is answered we look from so many seconds before the turn came, as clocks differ."""
PATIENCE = 90.0

Seen = Mapping[str, Any]


@dataclass(slots=True)
class Found:
    parts: list[Part] = field(default_factory=list)
    """By their metadata, and in order."""
    streams: list[Part] = field(default_factory=list)
    """Of ours and without metadata: streams that nobody ended. In order."""
    lines: dict[int, str] = field(default_factory=dict)
    """Notes for files that could not be had, by the number of the file."""

    def add(self, seen: Seen, turn: TurnId, *, ours: bool) -> None:
        """Take a message into account. They come in the order in which they stand."""
        payload = _payload(seen)
        if payload is None:
            if ours and not seen.get("files") and not seen.get("subtype"):
                self.streams.append(Part(seen["ts"], streaming=True))
        elif payload.get("turn_id") != turn:
            self.streams.clear()  # one turn after another: what stands before another's reply is not of this one
        elif "file" in payload:
            self.lines[int(payload["file"])] = f"{FILE}{seen['ts']}"
        else:
            self.parts.append(Part(seen["ts"], mark=str(payload.get("mark", ""))))

    def merged(self, known: list[Part], *, streams: bool) -> list[Part]:
        """What stands there, with what we know of it, and with what we knew and is not found."""
        found = {part.ts: part for part in (*self.parts, *(self.streams if streams else ()))}
        both = {part.ts: _best(part, found.get(part.ts)) for part in known}
        return [part for _, part in sorted((found | both).items(), key=lambda item: float(item[0]))]


async def look(calls: Calls, place: Place, turn: Turn, outbox: Outbox) -> Found:
    """Everything of this turn. Raises as ``Calls.call`` does."""
    after = place.message_ts or f"{turn.received_at - BEFORE_RECEIVED:.6f}"
    seen = [message async for message in _messages(calls, place, outbox, after)]
    seen = sorted((one for one in seen if float(one["ts"]) > float(after)), key=lambda one: float(one["ts"]))
    bots = {place.workspace.bot_user, place.workspace.bot_id} - {""}
    if not bots and any(_payload(one) is None for one in seen):
        who = await calls.who(place.workspace)
        bots = {who.user, who.bot_id}
    found = Found()
    for one in seen:
        found.add(one, turn.id, ours=bool(bots & {one.get("user"), one.get("bot_id")}))
    return found


async def _messages(calls: Calls, place: Place, outbox: Outbox, after: str) -> AsyncIterator[Seen]:
    """Of the thread, or of the channel where there is none."""
    method = "conversations.replies" if place.thread_ts else "conversations.history"
    args = {
        "channel": place.channel,
        "ts": place.thread_ts or None,
        "oldest": after,
        "include_all_metadata": True,
        "limit": PAGE,
    }
    cursor: str | None = None
    while cursor != "":
        page = {**args, "cursor": cursor}
        answer = await calls.call(method, page, workspace=place.workspace, outbox=outbox, patience=PATIENCE)
        for message in answer.get("messages") or ():
            yield message
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")


def _payload(seen: Seen) -> Mapping[str, Any] | None:
    """Of a message that bears our metadata."""
    metadata = seen.get("metadata") or {}
    return (metadata.get("event_payload") or {}) if metadata.get("event_type") == EVENT else None


def _best(known: Part, found: Part | None) -> Part:
    """A part that this process wrote is known best; of any other the look tells more."""
    return known if found is None or known.shown is not None else found
