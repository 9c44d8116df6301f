"""Events that an assistant yields while it works on a turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from gateway.domain.approvals import HeldCall
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.files import Attachment, File
from gateway.domain.models import NO_TOKENS, RunId, Usage


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run has an id and can be resumed by it."""

    run_id: RunId


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next part of the reply text."""

    text: str
    is_refusal: bool = False
    """Whether the model refuses with it, where the server tells that from other text."""


def merged(deltas: Iterable[TextDelta]) -> Sequence[TextDelta]:
    """Joins the texts that follow each other, but no refusal with another text."""
    of_a_kind = groupby(deltas, attrgetter("is_refusal"))
    return [TextDelta("".join(each.text for each in deltas), is_refusal) for is_refusal, deltas in of_a_kind]


REASONING = "reasoning"
"""The name of a ToolCall that tells what the model thought; it was written by the model, and no tool ran."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of the assistant: yielded once when the call starts and once when it is done."""

    call_id: str
    name: str
    input: str = ""
    output: str = ""
    done: bool = False
    files: tuple[Attachment, ...] = ()
    """Files for the person, which the tool returned."""


@dataclass(frozen=True, slots=True)
class UsageCounted:
    """The server counted the tokens of one request. Yielded as soon as they are known, once for each ``run_id``.

    The ``usage`` of a RunCompleted or an AssistantError contains them as well, unless they are ``beside`` the run.
    """

    run_id: RunId
    """The id of the response, completion or run; ``beside`` it, any id that is unique in the turn."""
    usage: Usage
    model: str = ""
    """The model, as named by the server; empty if unknown."""
    beside: bool = False
    """Whether another model's request was counted, such as the transcription of a recording."""


PROMPT_LIMIT = "max_prompt_tokens"
"""The limit of all that the assistant reads for one turn, which its caller may set."""


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """The complete reply. Always the last event."""

    text: str
    usage: Usage = NO_TOKENS
    files: tuple[File, ...] = ()
    model: str = ""
    """The model that answered, as named by the server; empty if unknown."""
    cut_off: bool = False
    """Whether the reply ends at a limit of the assistant; its last line says so."""
    limit: str = ""
    """PROMPT_LIMIT if it was cut off there; "" for any other limit."""
    calls: tuple[RequestedCall, ...] = ()
    """Calls of functions that the turn's caller runs."""
    returned: str = ""
    """What the server wants back with these calls; see ``CallRound.returned``."""
    refusal: str = ""
    """See ``Turn.refusal``."""


@dataclass(frozen=True, slots=True)
class CallsHeld:
    """The assistant calls tools that people have to approve. The last event, in place of RunCompleted.

    None of these calls has run. The turn is given to the assistant again when each has an output.
    """

    calls: tuple[HeldCall, ...]
    """All calls of the round."""
    text: str = ""
    """What the assistant said before them, since the turn was given to it."""
    earlier: tuple[CallRound, ...] = ()
    """The rounds of calls before, with their outputs, where only the gateway keeps them."""
    usage: Usage = NO_TOKENS
    model: str = ""
    leaves_run: bool = False
    """Whether the run waits at the backend for the outputs. It is cancelled, as it does not wait as long as people."""
    returned: str = ""
    """What the server wants back with these calls; see ``CallRound.returned``."""


PreviewEvent = TextDelta | ToolCall
"""Events that an adapter may show while a turn runs."""

RunEvent = RunStarted | TextDelta | ToolCall | UsageCounted | RunCompleted | CallsHeld
