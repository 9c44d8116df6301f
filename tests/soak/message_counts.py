"""Checks every message: compares what users sent, the replies they saw, and the assistant's threads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MARK = re.compile(r"m\d{7}")
"""A text that is unique in the whole test; it is in a message and so in its reply."""

Place = tuple[str, str]
"""A platform, and a conversation there."""


@dataclass(frozen=True, slots=True)
class Line:
    """A message in a thread at the assistant."""

    by_person: bool
    text: str


@dataclass(slots=True)
class Tally:
    """The markers of the messages with each kind of error."""

    messages: int = 0
    lost: list[str] = field(default_factory=list)
    """Missing in the assistant's thread, not answered there, or without a reply in the conversation."""
    asked_again: list[str] = field(default_factory=list)
    """In their thread more than once."""
    answered_again: list[str] = field(default_factory=list)
    """With more than one reply in their thread."""
    repeated: list[str] = field(default_factory=list)
    """With a repeated reply in the conversation that has no label."""
    reordered: list[str] = field(default_factory=list)
    """In the thread, or answered, after a message that was sent later."""
    astray: list[str] = field(default_factory=list)
    """In another conversation's thread, or answered in another conversation."""
    labelled: list[str] = field(default_factory=list)
    """With a labelled repeated reply: no error, as it was unknown whether the first one had arrived."""

    @property
    def wrongs(self) -> dict[str, list[str]]:
        """Markers by kind of error; a test passes only without any."""
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
    """Counts the errors. ``sent``: the markers of each conversation in the order of acknowledgement.

    ``shown``: the replies there. ``label``: the prefix of a reply that may be a repetition.
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
