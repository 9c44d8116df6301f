"""Checks every message: compares what users sent, the replies they saw, and the assistant's threads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MARKER = re.compile(r"m\d{7}")
"""A text that is unique in the whole test; it is in a message and so in its reply."""

ChannelKey = tuple[str, str]
"""A platform, and a conversation there."""


@dataclass(frozen=True, slots=True)
class RememberedMessage:
    """A message in a thread at the assistant."""

    by_user: bool
    text: str


@dataclass(slots=True)
class MessageCounts:
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
    misplaced: list[str] = field(default_factory=list)
    """In another conversation's thread, or answered in another conversation."""
    labelled: list[str] = field(default_factory=list)
    """With a labelled repeated reply: no error, as it was unknown whether the first one had arrived."""

    @property
    def violations(self) -> dict[str, list[str]]:
        """Markers by kind of error; a test passes only without any."""
        return {
            "lost": self.lost,
            "asked twice in their thread": self.asked_again,
            "answered twice in their thread": self.answered_again,
            "replies repeated without a label": self.repeated,
            "out of order": self.reordered,
            "in another thread, or answered elsewhere": self.misplaced,
        }


def count_messages(
    sent: Mapping[ChannelKey, Sequence[str]],
    shown: Mapping[ChannelKey, Sequence[str]],
    threads: Iterable[Sequence[RememberedMessage]],
    *,
    label: str,
) -> MessageCounts:
    """Counts the errors. ``sent``: the markers of each conversation in the order of acknowledgement.

    ``shown``: the replies there. ``label``: the prefix of a reply that may be a repetition.
    """
    return _Counter(sent, label).count(shown, threads)


class _Counter:
    def __init__(self, said: Mapping[ChannelKey, Sequence[str]], label: str) -> None:
        self._sent = said
        self._label = label
        self._channel_of = {mark: place for place, marks in said.items() for mark in marks}
        self._position_of = {mark: number for marks in said.values() for number, mark in enumerate(marks)}
        self._asked: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._replied: Counter[str] = Counter()
        self._counts = MessageCounts(messages=len(self._channel_of))

    def count(
        self, shown: Mapping[ChannelKey, Sequence[str]], threads: Iterable[Sequence[RememberedMessage]]
    ) -> MessageCounts:
        thread_of: dict[ChannelKey, int] = {}
        for number, lines in enumerate(threads):
            self._read_thread(number, lines, thread_of)
        for place, replies in shown.items():
            self._read_replies(place, replies)
        everywhere = (self._asked, self._answered, self._replied)
        self._counts.lost = [mark for mark in self._channel_of if not all(found[mark] for found in everywhere)]
        self._counts.asked_again = _repeated(self._asked)
        self._counts.answered_again = _repeated(self._answered)
        return self._counts

    def _read_thread(self, number: int, lines: Sequence[RememberedMessage], thread_of: dict[ChannelKey, int]) -> None:
        for by_person, found in ((True, self._asked), (False, self._answered)):
            marks = self._markers_in(line.text for line in lines if line.by_user == by_person)
            found.update(marks)
            self._counts.reordered += self._inversions(marks)
        # Each conversation has one thread, and each thread one conversation.
        marks = self._markers_in(line.text for line in lines)
        for mark in marks:
            place = self._channel_of[mark]
            if place != self._channel_of[marks[0]] or thread_of.setdefault(place, number) != number:
                self._counts.misplaced.append(mark)

    def _read_replies(self, place: ChannelKey, replies: Sequence[str]) -> None:
        marks: list[str] = []
        for reply in replies:
            here = self._markers_in([reply])
            if reply.startswith(self._label):
                self._counts.labelled += here
            else:
                self._counts.repeated += [mark for mark in here if mark in marks]
            self._counts.misplaced += [mark for mark in here if self._channel_of[mark] != place]
            marks += [mark for mark in here if mark not in marks]
        self._replied.update(mark for mark in marks if self._channel_of[mark] == place)
        self._counts.reordered += self._inversions(marks)

    def _markers_in(self, texts: Iterable[str]) -> list[str]:
        return [mark for text in texts for mark in MARKER.findall(text) if mark in self._channel_of]

    def _inversions(self, marks: Sequence[str]) -> list[str]:
        return [
            other
            for one, other in pairwise(dict.fromkeys(marks))
            if self._channel_of[one] == self._channel_of[other] and self._position_of[one] > self._position_of[other]
        ]


def _repeated(found: Counter[str]) -> list[str]:
    return [mark for mark, times in found.items() if times > 1]
