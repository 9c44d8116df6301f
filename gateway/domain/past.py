"""What the assistant remembers of a conversation's turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.exchange import CallRound, Exchange, RequestedCall
from gateway.domain.handover import HandoverPart
from gateway.domain.models import Message, MessageKind, Turn, TurnState


def exchanges_of(turns: Sequence[Turn]) -> tuple[Exchange, ...]:
    """Returns what the assistant remembers of these turns. A history that a caller sent replaces what was before it."""
    known, held = list[Exchange](), list[Turn]()
    for each in _since_reset(turns):
        if each.options.past is not None:
            known = list(each.options.past)
        if each.options.inserted:
            known = [*with_inserted(known, each.options.inserted)]
        if each.is_held:
            held.append(each)
        elif each.is_pushed_text:
            if _is_answer_of_person(each):
                known += exchanges_of_held(held)
                held.clear()
            _add_pushed_text(known, each)
        elif is_answered(each):
            known += _exchanges_of_turn(each)
    return tuple(known)


def with_inserted(known: Sequence[Exchange], inserted: Sequence[Exchange]) -> Sequence[Exchange]:
    """Returns what was said and what was inserted behind it. What the one ends and the other begins with is said once.

    A turn without an answer leaves what was inserted for it, and who asks again inserts it again.
    """
    sizes = range(min(len(known), len(inserted)), 0, -1)
    again = next((size for size in sizes if list(known[-size:]) == list(inserted[:size])), 0)
    return [*known, *inserted[again:]]


def is_answered(turn: Turn) -> bool:
    """Returns whether a turn has an answer, or a part of one; that of a program may be empty."""
    is_done = turn.state in (TurnState.ANSWERED, TurnState.DELIVERED)
    return bool(turn.reply or turn.reply_files or turn.calls) or (is_done and turn.options.is_program)


def unanswered(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Returns those turns, oldest first, whose messages were left to a person who has not answered them yet.

    The turn that gives the conversation back asks the assistant for all of them, so they end there.
    """
    held = list[Turn]()
    for each in _since_reset(turns):
        if each.is_held:
            held.append(each)
        elif _ends_unanswered(each):
            held.clear()
    return held


def ends_unanswered(turns: Sequence[Turn]) -> bool:
    """Returns whether nothing before these turns is unanswered."""
    return any(each.message.kind is MessageKind.RESET or _ends_unanswered(each) for each in turns)


def exchanges_of_held(turns: Sequence[Turn]) -> Sequence[Exchange]:
    """Returns messages that were left to a person, without those that are erased. Those of one speaker are one."""
    found = list[Exchange]()
    for said in (each.message for each in turns):
        text = said.text_with_attachments
        if found and found[-1].author == said.author:
            found[-1] = replace(found[-1], text=f"{found[-1].text}\n\n{text}")
        elif text:
            found.append(Exchange(text, "", said.author, said.speaker))
    return found


def question_of(held: Sequence[Turn]) -> Message | None:
    """Returns messages that were left to a person as the one question that they are to the assistant; None: no words.

    It is its last author's, who is answered.
    """
    messages = [each.message for each in held if each.message.own_text]
    if not messages:
        return None
    several = len({each.author for each in messages}) > 1
    texts = [f"{each.speaker or each.author}: {each.text}" if several else each.text for each in messages]
    files = tuple(file for each in messages for file in each.files)
    return replace(messages[-1], text="\n\n".join(filter(None, texts)), files=files)


def _ends_unanswered(turn: Turn) -> bool:
    return turn.handover is HandoverPart.RESUMED or _is_answer_of_person(turn)


def _is_answer_of_person(turn: Turn) -> bool:
    return turn.is_pushed_text and turn.message.is_from_staff and turn.state is TurnState.DELIVERED


def _add_pushed_text(known: list[Exchange], turn: Turn) -> None:
    """Joins a pushed text to the exchange before, as a thread is read with two messages of the assistant in a row."""
    if turn.state is not TurnState.DELIVERED or not turn.reply:
        return  # nobody has read it
    last = known.pop() if known else Exchange("", "")
    known.append(replace(last, reply=f"{last.reply}\n\n{turn.reply}" if last.reply else turn.reply))


def _exchanges_of_turn(turn: Turn) -> Sequence[Exchange]:
    """Returns a turn as exchanges: one, and one more for each round of calls that it waited for."""
    message, outputs, found = turn.message, turn.options.outputs, list[Exchange]()
    text, author, speaker = message.text_with_attachments, message.author, message.speaker
    for each in turn.rounds:
        found.append(Exchange(text, each.text, author, speaker, outputs, _without_outputs(each), each.returned))
        text, outputs = "", each.outputs
    reply = turn.reply.removeprefix(said_in_rounds(turn)).lstrip("\n") if found else turn.reply
    return (*found, Exchange(text, reply, author, speaker, outputs, turn.calls, turn.returned))


def said_in_rounds(turn: Turn) -> str:
    """Returns what the assistant said before and between calls that a turn waited for: how its reply to a person
    begins. A program has it with each of the calls.
    """
    return "" if turn.options.is_program else "\n\n".join(each.text for each in turn.rounds if each.text)


def open_rounds(turn: Turn) -> Sequence[Exchange]:
    """Returns what was said of a turn before the calls whose outputs are there now."""
    return _exchanges_of_turn(turn)[:-1]


def as_asked(turn: Turn) -> Turn:
    """Returns a turn as a backend gets it: after a round of calls, their outputs instead of the message."""
    if not turn.rounds:
        return turn
    past = None if turn.options.past is None else (*turn.options.past, *open_rounds(turn))
    options = replace(turn.options, outputs=turn.rounds[-1].outputs, past=past)
    return replace(turn, message=replace(turn.message, text="", files=(), context=None, options=options))


def _without_outputs(requested: CallRound) -> tuple[RequestedCall, ...]:
    return tuple(replace(call, output=None) for call in requested.calls)


def _since_reset(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Returns the prompts since the last reset: what a new thread is to remember."""
    resets = [index for index, turn in enumerate(turns) if turn.message.kind is MessageKind.RESET]
    return [turn for turn in turns[resets[-1] if resets else 0 :] if turn.message.kind is MessageKind.PROMPT]
