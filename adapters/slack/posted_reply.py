"""What is posted at Slack of the reply to one turn.

Saved entries: a message's ts; "file:F1" a file by its id; "file:?F1" one that was uploaded, but perhaps not shared yet;
"file:1.2" the ts of the message that was posted in place of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.base.posted_reply import PostedReply
from adapters.slack import formatter
from gateway.domain.models import TurnId

EVENT_TYPE = "gateway_reply"
"""The type of the metadata on every message of ours (docs.slack.dev/messaging/message-metadata)."""
UNSHARED = "?"


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """What one message is to show."""

    text: str
    plain: bool = False
    """Whether the text is in Slack's own markup, and not Markdown."""
    below: tuple[Mapping[str, Any], ...] = ()
    """Blocks under it."""

    @property
    def content_hash(self) -> str:
        """Equal for what looks the same. It is stored with the message, so that a correct one is not changed."""
        content = f"{self.plain} {len(self.below)} {self.text}"
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:16]

    def args(self) -> dict[str, Any]:
        """Returns the arguments of chat.postMessage and chat.update that show it."""
        if self.plain:
            return {"text": self.text, "blocks": list(self.below)}
        return {
            "text": formatter.fallback(self.text),
            "blocks": [{"type": "markdown", "text": self.text}, *self.below],
        }


@dataclass(slots=True, eq=False)
class SlackMessage:
    """A message of ours that shows a part of the reply."""

    ts: str
    shown: str | None = None
    """The Markdown that was streamed or written into it; None: not known."""
    content_hash: str = ""
    """Of what it shows, if that is complete and known."""
    streaming: bool = False
    """Whether it is a stream that has not ended, as far as is known."""
    started_at: float = 0.0
    """By the loop's clock, when this process posted it."""
    running_tools: dict[str, str] = field(default_factory=dict)
    """The titles of the tool calls that it shows as running, by their id."""


@dataclass(eq=False)
class SlackReply(PostedReply[SlackMessage]):
    """A reply at Slack."""

    needs_lookup: bool = False
    """Whether there may be messages that are not recorded: the history is looked through before more is posted."""
    unthreaded: bool = False
    """Whether it is posted outside of the thread, because Slack takes none there."""
    status: bool = False
    """Whether Slack may show a status that only we take away."""
    processing: bool = False
    """Whether Slack may believe that the agent is at work until we say otherwise."""

    def restore_message(self, entry: str) -> None:
        self.messages.append(SlackMessage(entry))

    def message_entries(self) -> list[str]:
        return [message.ts for message in self.messages]

    @property
    def streaming(self) -> bool:
        return any(message.streaming for message in self.messages)


def metadata(turn: TurnId, **more: Any) -> dict[str, Any]:
    """Returns the metadata by which a message is found again."""
    return {"event_type": EVENT_TYPE, "event_payload": {"turn_id": turn, **more}}
