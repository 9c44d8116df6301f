"""Looks through Slack's history for what is posted of a turn's reply, when the record may be incomplete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.slack.api_client import SlackClient
from adapters.slack.posted_reply import EVENT_TYPE, SlackMessage
from adapters.slack.reply_target import SlackTarget
from gateway.domain.models import Turn, TurnId
from gateway.ports.platform import DeliveryContext

PAGE_SIZE = 200
"""Messages. Apps that are sold, but are not in Slack's Marketplace, get 15 and one page a minute."""
CLOCK_TOLERANCE = 60.0
"""Where no message is answered, the lookup begins so many seconds before the turn was received, as clocks differ."""
MAX_WAIT = 90.0

HistoryMessage = Mapping[str, Any]


@dataclass(slots=True)
class Found:
    """Our messages for one turn, in order."""

    messages: list[SlackMessage] = field(default_factory=list)
    """By their metadata."""
    streams: list[SlackMessage] = field(default_factory=list)
    """Of ours and without metadata: streams that were never ended."""
    file_lines: dict[int, str] = field(default_factory=dict)
    """The ts of messages in place of files, by the number of the file."""

    def add(self, message: HistoryMessage, turn: TurnId, *, ours: bool) -> None:
        """Takes the next message of the history into account."""
        payload = _payload(message)
        if payload is None:
            if ours and not message.get("files") and not message.get("subtype"):
                self.streams.append(SlackMessage(message["ts"], streaming=True))
        elif payload.get("turn_id") != turn:
            self.streams.clear()  # turns are delivered one after another: what precedes another's reply is not ours
        elif "file" in payload:
            self.file_lines[int(payload["file"])] = message["ts"]
        else:
            self.messages.append(SlackMessage(message["ts"], content_hash=str(payload.get("mark", ""))))

    def merged(self, known: list[SlackMessage], *, streams: bool) -> list[SlackMessage]:
        """Returns what was found together with what was known, in order."""
        found = {message.ts: message for message in (*self.messages, *(self.streams if streams else ()))}
        both = {message.ts: _best(message, found.get(message.ts)) for message in known}
        return [message for _, message in sorted((found | both).items(), key=lambda item: float(item[0]))]


async def find_posted(client: SlackClient, target: SlackTarget, turn: Turn, delivery: DeliveryContext) -> Found:
    """Returns everything that is posted of a turn. Raises as ``SlackClient.call`` does."""
    after = target.message_ts or f"{turn.received_at - CLOCK_TOLERANCE:.6f}"
    history = [message async for message in _messages(client, target, delivery, after)]
    history = sorted((one for one in history if float(one["ts"]) > float(after)), key=lambda one: float(one["ts"]))
    bots = {target.workspace.bot_user, target.workspace.bot_id} - {""}
    if not bots and any(_payload(message) is None for message in history):
        identity = await client.identify(target.workspace)
        bots = {identity.user, identity.bot_id}
    found = Found()
    for message in history:
        found.add(message, turn.id, ours=bool(bots & {message.get("user"), message.get("bot_id")}))
    return found


async def _messages(
    client: SlackClient, target: SlackTarget, delivery: DeliveryContext, after: str
) -> AsyncIterator[HistoryMessage]:
    """Yields the messages of the thread, or of the channel if there is none."""
    method = "conversations.replies" if target.thread_ts else "conversations.history"
    args = {
        "channel": target.channel,
        "ts": target.thread_ts or None,
        "oldest": after,
        "include_all_metadata": True,
        "limit": PAGE_SIZE,
    }
    cursor: str | None = None
    while cursor != "":
        page = {**args, "cursor": cursor}
        answer = await client.call(method, page, workspace=target.workspace, delivery=delivery, max_wait=MAX_WAIT)
        for message in answer.get("messages") or ():
            yield message
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")


def _payload(message: HistoryMessage) -> Mapping[str, Any] | None:
    """Returns the payload of our metadata, if the message has it."""
    metadata = message.get("metadata") or {}
    return (metadata.get("event_payload") or {}) if metadata.get("event_type") == EVENT_TYPE else None


def _best(known: SlackMessage, found: SlackMessage | None) -> SlackMessage:
    """Prefers the record of a message that this process wrote; of any other, the history says more."""
    return known if found is None or known.shown is not None else found
