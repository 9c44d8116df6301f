"""Scores the result: how many messages were lost, repeated, reordered or misplaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise, zip_longest
from typing import Any

from adapters.telegram.reconciler import SENT_AGAIN
from tests.fakes.openai_conversations import text_of

SentMessages = Sequence[Sequence[str]]
"""Messages by conversation, in order."""


@dataclass(frozen=True)
class CellScore:
    messages: int = 0
    lost: int = 0
    repeated: int = 0
    labelled: int = 0
    """Repeated with a line that says so: no defect on a platform that cannot be searched."""
    reordered: int = 0
    misplaced: int = 0
    """In another conversation, outside all conversations, or with unexpected text."""

    def __add__(self, other: CellScore) -> CellScore:
        return CellScore(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    @property
    def passed(self) -> bool:
        return not (self.lost or self.repeated or self.reordered or self.misplaced)


EMPTY_SCORE = CellScore()


def reply_to(text: str) -> str:
    return f"You said: {text}"


def said_in(conversations: Iterable[Sequence[dict[str, Any]]]) -> Iterable[Sequence[str]]:
    """Returns the texts in each conversation of the assistant that it did not write: people's, and pushed ones.

    A conversation that a process opened with the past, and died before it stored its id, is asked nothing: it does not
    count.
    """
    for items in conversations:
        texts = [(item["role"], text_of(item)) for item in items if item["type"] == "message"]
        if any(role == "user" for role, _ in texts):
            yield [text for role, text in texts if role == "user" or not text.startswith(reply_to(""))]


def score_assistant_threads(sent: SentMessages, threads: Iterable[Sequence[str]]) -> CellScore:
    """Scores what the assistant was asked in each of its threads."""
    used = [list(texts) for texts in threads if texts]
    homes = {text: number for number, texts in enumerate(sent) for text in texts}
    times = Counter(text for texts in used for text in texts)
    strangers = sum(count for text, count in times.items() if text not in homes)
    spread = sum(max(0, sum(bool(set(one) & set(texts)) for one in used) - 1) for texts in sent)
    shared = sum(max(0, len({homes[text] for text in one if text in homes}) - 1) for one in used)
    return CellScore(
        messages=len(homes),
        lost=sum(times[text] == 0 for text in homes),
        repeated=sum(max(0, times[text] - 1) for text in homes),
        reordered=sum(_inversions(texts, list(dict.fromkeys(one))) for texts in sent for one in used),
        misplaced=strangers + spread + shared,
    )


def score_replies(sent: SentMessages, replies: Sequence[Sequence[str]], stray_messages: int) -> CellScore:
    """Scores the replies of each conversation; ``stray_messages``: number of replies outside all conversations."""
    return sum(
        (_score_conversation(texts, there) for texts, there in zip(sent, replies, strict=True)),
        CellScore(misplaced=stray_messages),
    )


def _score_conversation(texts: Sequence[str], there: Sequence[str]) -> CellScore:
    wanted = [reply_to(text) for text in texts]
    there = _without_partial_previews(there, wanted)
    plain = Counter(text for text in there if not text.startswith(SENT_AGAIN))
    again = Counter(_unlabelled(text) for text in there if text.startswith(SENT_AGAIN))
    return CellScore(
        lost=sum(not plain[text] + again[text] for text in wanted),
        repeated=sum(max(0, plain[text] - 1) + max(0, again[text] - 1) for text in wanted),
        labelled=sum(again[text] > 0 for text in wanted),
        reordered=_inversions(wanted, list(dict.fromkeys(map(_unlabelled, there)))),
        misplaced=sum(_unexpected(wanted, plain + again).values()),
    )


def _without_partial_previews(there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Returns the replies without abandoned previews, which the next message repeats in full with a label."""
    return [
        text
        for text, other in zip_longest(there, there[1:], fillvalue="")
        if text in wanted or not (other.startswith(SENT_AGAIN) and _unlabelled(other).startswith(text))
    ]


def _unlabelled(text: str) -> str:
    return text.removeprefix(SENT_AGAIN).strip()


def _unexpected(wanted: Sequence[str], there: Mapping[str, int]) -> Mapping[str, int]:
    return {text: count for text, count in there.items() if text not in wanted}


def _inversions(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Returns how many neighbours are in the wrong order."""
    places = [wanted.index(text) for text in found if text in wanted]
    return sum(one > other for one, other in pairwise(places))
