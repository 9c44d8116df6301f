"""What a caller sends as the conversation so far: its steps become exchanges, and the last one the message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.openai_api.content_parts import ReadContent, RequestFile, numbered, refusal
from gateway.domain.carried_reasoning import Sealed
from gateway.domain.context import clean_name
from gateway.domain.exchange import CallOutput, Exchange, RequestedCall
from gateway.domain.extra_content import with_extra_contents

SEPARATOR = "\n\n"
"""Between texts that were separate messages."""
NAMES = "Messages of the user that begin with a name and a colon were written by whom the name says."


@dataclass(frozen=True, slots=True)
class Instruction:
    """Of the system or the developer."""

    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A message of the user."""

    content: ReadContent
    name: str = ""
    """Of who wrote it, where several do."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A message of the assistant, or calls of the caller's functions."""

    text: str = ""
    calls: tuple[RequestedCall, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What came beside single calls, by their ids: see ``extra_contents``."""


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model thought before what it says or calls next, as ``Carried`` has it."""

    sealed: tuple[Sealed, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Returned:
    """The result of one call."""

    call_id: str
    content: ReadContent


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a conversation, and the name of its field in the request."""

    where: str
    said: Instruction | Asked | Thought | Answered | Returned


@dataclass(frozen=True, slots=True)
class CallerInput:
    """What one request says."""

    text: str = ""
    outputs: tuple[CallOutput, ...] = ()
    """The results of calls that the assistant made before."""
    files: tuple[RequestFile, ...] = ()
    """Those of earlier messages too, first."""
    history: tuple[Exchange, ...] = ()
    instructions: str = ""
    steps: tuple[Step, ...] = ()
    """What it was read from."""

    @property
    def first_outputs(self) -> tuple[CallOutput, ...]:
        """The results that it begins with: of calls that were made before it."""
        return self.history[0].outputs if self.history else self.outputs


@dataclass
class _Exchange:
    """An exchange that is being read."""

    where: str = ""
    texts: list[str] = field(default_factory=list)
    outputs: list[CallOutput] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    calls: list[RequestedCall] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    sealed: list[Sealed] = field(default_factory=list)

    @property
    def is_answered(self) -> bool:
        return bool(self.replies or self.calls)

    def frozen(self) -> Exchange:
        return Exchange(
            SEPARATOR.join(self.texts),
            SEPARATOR.join(filter(None, self.replies)),
            outputs=tuple(self.outputs),
            calls=tuple(self.calls),
            returned=with_extra_contents(self.extra, reasoning=self.sealed) if self.calls else "",
        )


def arrange(
    steps: Sequence[Step], where: str = "messages", *, continues: bool = False, in_order: bool = True
) -> CallerInput:
    """Returns what a list of steps says. ``where``: its field. ``continues``: it follows what we have already.
    ``in_order``: results have to follow their calls at once; else the user may say something before them.

    Raises InvalidRequest for a list that ends with the assistant, and for results and calls that do not match.
    """
    instructions = [step.said.text for step in steps if isinstance(step.said, Instruction)]
    spoken = [step for step in steps if not isinstance(step.said, Instruction)]
    if all(isinstance(step.said, Thought) for step in spoken):  # some programs have nothing but a system message
        spoken = [Step(step.where, Asked(ReadContent(instructions.pop()))) for step in steps[-1:] if instructions]
    files = list[RequestFile]()
    exchanges = _exchanges(spoken, files, in_order=in_order)
    if not exchanges or exchanges[-1].is_answered:
        where = spoken[-1].where if spoken else where
        raise refusal(where, "is the assistant's: the last message must be the user's or a tool's")
    _check_calls(exchanges, continues=continues)
    last = exchanges.pop()
    return CallerInput(
        SEPARATOR.join(last.texts),
        tuple(last.outputs),
        tuple(numbered(files)),
        tuple(each.frozen() for each in exchanges),
        SEPARATOR.join(filter(None, [*instructions, NAMES if any(map(_name_of, steps)) else ""])),
        tuple(steps),
    )


def all_exchanges(steps: Sequence[Step]) -> tuple[Exchange, ...]:
    """Returns steps that were said before, the last of which may be without an answer."""
    return tuple(each.frozen() for each in _exchanges(steps, [], in_order=False))


def repeats(said: CallerInput, calls: Sequence[RequestedCall]) -> bool:
    """Returns whether results of calls come with more than what answers these ``calls``, with which a thread ends."""
    first = next((step.said for step in said.steps if not isinstance(step.said, Instruction)), None)
    called = {call.id for call in calls}
    others = [each for each in said.first_outputs if each.call_id not in called]
    return bool(others or (said.first_outputs and isinstance(first, Asked)))


def without_repeated(
    steps: Sequence[Step], known: Sequence[Exchange], calls: Sequence[RequestedCall]
) -> Sequence[Step]:
    """Returns steps without what a thread has that ends with ``calls``: up to the last result, before any answer.

    Some programs say all again but what the assistant said, which they leave to the thread, as the Vercel AI SDK.
    """
    texts = {each.text for each in known}
    results = {output.call_id for each in known for output in each.outputs} - {call.id for call in calls}
    answered = next((place for place, step in enumerate(steps) if isinstance(step.said, Answered)), len(steps))
    ends = [place + 1 for place, step in enumerate(steps[:answered]) if isinstance(step.said, Returned)]
    again, new = steps[: max(ends, default=0)], steps[max(ends, default=0) :]
    left = [*(step for step in again if not _is_known(step, texts, results)), *new]
    return left if any(not isinstance(step.said, Instruction) for step in left) else steps


def _is_known(step: Step, texts: Collection[str], results: Collection[str]) -> bool:
    match step.said:
        case Asked(content):
            return content.text in texts
        case Returned(call_id):
            return call_id in results
    return False


def _exchanges(steps: Iterable[Step], files: list[RequestFile], *, in_order: bool) -> list[_Exchange]:
    found = list[_Exchange]()
    for step in steps:
        is_answer = isinstance(step.said, Answered | Thought)
        if not found or (found[-1].is_answered and not is_answer):
            found.append(_Exchange(step.where))
        _add(found[-1], step, files, in_order=in_order)
    return found


def _add(exchange: _Exchange, step: Step, files: list[RequestFile], *, in_order: bool) -> None:
    match step.said:
        case Answered(text, calls, extra):
            exchange.replies += [text] if text or not calls else []
            exchange.calls += calls
            exchange.extra |= extra
        case Thought(sealed, extra):
            exchange.sealed += sealed
            exchange.extra |= extra
        case Asked(content):
            files += content.files
            exchange.texts.append(f"{name}: {content.text}" if (name := _name_of(step)) else content.text)
        case Returned(call_id, content):
            if exchange.texts and in_order:
                raise refusal(step.where, "must follow the call that it answers, before what the user says next")
            files += content.files
            exchange.where = step.where
            exchange.outputs.append(CallOutput(call_id, content.text))


def _name_of(step: Step) -> str:
    return clean_name(step.said.name) if isinstance(step.said, Asked) else ""


def _check_calls(exchanges: Sequence[_Exchange], *, continues: bool) -> None:
    """Raises InvalidRequest unless each result answers a call of the step before, and each call has a result."""
    before = None if continues else _Exchange()
    for exchange in exchanges:
        if before is not None:
            check_outputs(before.calls, exchange.outputs, exchange.where)
        before = exchange


def check_outputs(calls: Sequence[RequestedCall], outputs: Sequence[CallOutput], where: str) -> None:
    """Raises InvalidRequest unless the results answer these calls, each of them once."""
    given = [output.call_id for output in outputs]
    called = {call.id for call in calls}
    for call_id in given:
        if call_id not in called:
            raise refusal(where, f"answers the call {call_id[:80]!r}, which is not among those before it")
    if len(set(given)) < len(given):
        raise refusal(where, "answers a call that has a result already")
    if missing := [call_id for call_id in called if call_id not in given]:
        names = ", ".join(sorted(missing))
        raise refusal(where, f"must begin with the results of the calls before it; there is none of {names}")


def open_calls(exchanges: Iterable[Exchange]) -> tuple[RequestedCall, ...]:
    """Returns the calls of the caller's functions that were made last, without those that have a result."""
    found: dict[str, RequestedCall] = {}
    for exchange in exchanges:
        for output in exchange.outputs:
            found.pop(output.call_id, None)
        if exchange.calls:
            found = {call.id: call for call in exchange.calls if call.output is None}
    return tuple(found.values())
