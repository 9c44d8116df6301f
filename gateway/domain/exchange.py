"""What a message and its reply are in the history of a thread, with the functions that a sender runs itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A call of a function that the sender of a message runs itself. Stored as JSON under these field names."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    output: str | None = None
    """What a tool of the assistant returned that the model called beside functions of the sender, or, in a round, what
    the sender brought; None: the sender is to bring the result."""


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
    returned: str = ""
    """As ``CallRound.returned``, for these."""


@dataclass(frozen=True, slots=True)
class CallRound:
    """Calls for whose outputs a turn waits in the table, or waited. Stored as JSON under these field names."""

    calls: tuple[RequestedCall, ...]
    """Each with its output once the sender has brought it."""
    text: str = ""
    """What the assistant said before them."""
    requested_at: float = 0.0
    """In seconds since the epoch, by the database's clock."""
    returned: str = ""
    """What the assistant's server wants back with the calls beside them, as its backend wrote it; opaque. Not stored
    among the other fields, as 0.8.0 and earlier could not read it there."""

    @property
    def is_open(self) -> bool:
        """Whether an output is still missing."""
        return any(call.output is None for call in self.calls)

    def with_outputs(self, outputs: Mapping[str, str]) -> CallRound:
        """Returns it with further outputs, by call id. One that is there already stays."""
        calls = (each if each.output is not None else replace(each, output=outputs.get(each.id)) for each in self.calls)
        return replace(self, calls=tuple(calls))

    @property
    def outputs(self) -> tuple[CallOutput, ...]:
        """The outputs that are there."""
        return tuple(CallOutput(call.id, call.output) for call in self.calls if call.output is not None)
