"""What a message and its reply are in the history of a thread, with the functions that a sender runs itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A call of a function that the sender of a message runs itself. Stored as JSON under these field names."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    output: str | None = None
    """What a tool of the assistant returned that the model called beside functions of the sender; None: the sender is
    to bring the result."""


@dataclass(frozen=True, slots=True)
class CallOutput:
    """The result of such a call. Stored as JSON under these field names."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message and its reply, as they appear in a thread."""

    text: str
    reply: str
    author: str = ""
    speaker: str = ""
    """As ``Message.speaker``."""
    outputs: tuple[CallOutput, ...] = ()
    """Results of the calls that the exchange before it ended with; they come before the text."""
    calls: tuple[RequestedCall, ...] = ()
    """Calls that the reply ends with."""
