"""Counts what became of every message, from what people said, what they saw, and what the assistant remembers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MARK = re.compile(r"m\d{7}")
"""Stands in a message and so in its reply, once in a whole soak."""

Place = tuple[str, str]
"""Where people talk: a platform, and a conversation there."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a thread at the assistant remembers of somebody."""

    by_person: bool
    text: str


@dataclass(slots=True)
class Tally:
    """The marks of the messages that each wrong befell."""

    messages: int = 0
    lost: list[str] = field(default_factory=list)
    """Not asked at the assistant, or not answered there, or without a reply where it was said."""
    asked_again: list[str] = field(default_factory=list)
    """Stand in their thread more than once."""
    answered_again: list[str] = field(default_factory=list)
    """Have more than one answer in their thread."""
    repeated: list[str] = field(default_factory=list)
    """Have one more reply where they were said, which does not say that it is one more."""
    reordered: list[str] = field(default_factory=list)
    """Stand, or are answered, behind one that was said later."""
    astray: list[str] = field(default_factory=list)
    """Stand in another conversation's thread, or are answered in another conversation."""
    labelled: list[str] = field(default_factory=list)
    """Have one more reply that says so: nothing wrong, as the platform had not told whether the first one arrived."""

    @property
    def wrongs(self) -> dict[str, list[str]]:
        """In words; none of them may be."""
        return {
            "lost": self.lost,
            "asked twice in their thread": self.asked_again,
            "answered twice in their thread": self.answered_again,
            "replies repeated without a label": self.repeated,
            "out of order": self.reordered,
            "in another thread, or answered elsewhere": self.astray,
        }


def count(
    said: Mapping[Place, Sequence[str]],
    shown: Mapping[Place, Sequence[str]],
    threads: Iterable[Sequence[Line]],
    *,
    label: str,
) -> Tally:
    """``said``: the marks of each conversation in the order in which they were taken; ``shown``: the replies there.

    ``label``: how a reply begins that may be one more.
    """
    return _Count(said, label).of(shown, threads)


class _Count:
    def __init__(self, said: Mapping[Place, Sequence[str]], label: str) -> None:
        self._said = said
        self._label = label
        self._home = {mark: place for place, marks in said.items() for mark in marks}
        self._turn = {mark: number for marks in said.values() for number, mark in enumerate(marks)}
        self._asked: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._tally = Tally(messages=len(self._home))

    def of(self, shown: Mapping[Place, Sequence[str]], threads: Iterable[Sequence[Line]]) -> Tally:
        thread_of: dict[Place, int] = {}
        for number, lines in enumerate(threads):
            self._read_thread(number, lines, thread_of)
        for place, replies in shown.items():
            self._read_replies(place, replies)
        everywhere = (self._asked, self._answered, self._seen)
        self._tally.lost = [mark for mark in self._home if not all(found[mark] for found in everywhere)]
        self._tally.asked_again = _repeats(self._asked)
        self._tally.answered_again = _repeats(self._answered)
        return self._tally

    def _read_thread(self, number: int, lines: Sequence[Line], thread_of: dict[Place, int]) -> None:
        for by_person, found in ((True, self._asked), (False, self._answered)):
            marks = self._marks(line.text for line in lines if line.by_person == by_person)
            found.update(marks)
            self._tally.reordered += self._inversions(marks)
        # Each conversation has one thread, and each thread one conversation.
        marks = self._marks(line.text for line in lines)
        for mark in marks:
            place = self._home[mark]
            if place != self._home[marks[0]] or thread_of.setdefault(place, number) != number:
                self._tally.astray.append(mark)

    def _read_replies(self, place: Place, replies: Sequence[str]) -> None:
        marks: list[str] = []
        for reply in replies:
            here = self._marks([reply])
            if reply.startswith(self._label):
                self._tally.labelled += here
            else:
                self._tally.repeated += [mark for mark in here if mark in marks]
            self._tally.astray += [mark for mark in here if self._home[mark] != place]
            marks += [mark for mark in here if mark not in marks]
        self._seen.update(mark for mark in marks if self._home[mark] == place)
        self._tally.reordered += self._inversions(marks)

    def _marks(self, texts: Iterable[str]) -> list[str]:
        return [mark for text in texts for mark in MARK.findall(text) if mark in self._home]

    def _inversions(self, marks: Sequence[str]) -> list[str]:
        return [
            other
            for one, other in pairwise(dict.fromkeys(marks))
            if self._home[one] == self._home[other] and self._turn[one] > self._turn[other]
        ]


def _repeats(found: Counter[str]) -> list[str]:
    return [mark for mark, times in found.items() if times > 1]
