"""What stands at Slack of the reply to one turn, as far as this process knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.slack import text
from gateway.messages import TurnId
from gateway.ports import Outbox

EVENT = "gateway_reply"
"""The type of the metadata on every message of ours (docs.slack.dev/messaging/message-metadata)."""
FILE, UNSHARED = "file:", "file:?"
"""How a file is noted: by its id; uploaded, but perhaps not shared yet; or by the ts of the line that stands for it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one message is to show."""

    text: str
    plain: bool = False
    """Whether the text is in Slack's own markup, and not Markdown."""
    below: tuple[Mapping[str, Any], ...] = ()
    """Blocks under it."""

    @property
    def mark(self) -> str:
        """Equal for what looks the same. It goes with the message, so that nobody has to change what is right."""
        meant = f"{self.plain} {len(self.below)} {self.text}"
        return hashlib.sha256(meant.encode(errors="surrogatepass")).hexdigest()[:16]

    def content(self) -> dict[str, Any]:
        """The arguments of chat.postMessage and chat.update that say it."""
        if self.plain:
            return {"text": self.text, "blocks": list(self.below)}
        blocks = text.blocks(self.text, "", last=False, feedback=False)
        return {"text": text.fallback(self.text), "blocks": [*blocks, *self.below]}


@dataclass(slots=True, eq=False)
class Part:
    """A message of ours that shows a piece of the reply."""

    ts: str
    shown: str | None = None
    """The Markdown that was streamed or written into it; None: not known."""
    mark: str = ""
    """Of what it shows, if that is whole and known."""
    streaming: bool = False
    """Whether it is a stream that nobody has ended, as far as is known."""
    begun: float = 0.0
    """By the loop's clock, when this process began it."""
    working: dict[str, str] = field(default_factory=dict)
    """The titles of the tool calls that it shows as under way, by their id."""


@dataclass(eq=False)
class Standing:
    parts: list[Part]
    files: list[str]
    """A note for each of the turn's files that is there, in their order."""
    doubtful: bool
    """Whether there may be messages of the turn that are in neither: somebody has to look before more is posted."""
    status: bool = False
    """Whether Slack may show a status that only we take away."""
    processing: bool = False
    """Whether Slack may believe that the agent is at work until we say otherwise."""
    fetched: int = 0
    """How often the next file was fetched in vain."""

    @classmethod
    def of(cls, outbox: Outbox) -> Standing:
        """From what an earlier process noted, if one was there."""
        notes = outbox.parts
        parts = [Part(note) for note in notes if not note.startswith(FILE)]
        return cls(parts, [note for note in notes if note.startswith(FILE)], doubtful=not outbox.fresh)

    @property
    def notes(self) -> list[str]:
        return [*(part.ts for part in self.parts), *self.files]

    @property
    def streaming(self) -> bool:
        return any(part.streaming for part in self.parts)


def metadata(turn: TurnId, **more: Any) -> dict[str, Any]:
    return {"event_type": EVENT, "event_payload": {"turn_id": turn, **more}}
