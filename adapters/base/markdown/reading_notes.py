"""Tells whoever writes Markdown for another parser how a line of it was read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from markdown_it.rules_inline import StateInline

from adapters.base.markdown.delimiters import DelimiterRun

NOTES = "notes"
"""The key in the environment of a parser under which it finds the notes."""

InlineRule = Callable[[StateInline, bool], bool]


class Notes(Protocol):
    """Is told how a line was read, so that it can be written for a parser without the rules here.

    Offsets are those of the line. It is parsed as inline content, with the notes in the environment as ``NOTES``.
    """

    line: str

    def stands(self, start: int, end: int) -> None:
        """Is told of what stands as it was written, although CommonMark may find markup in it."""

    def keeps(self, start: int, end: int) -> None:
        """Is told of a URL, of code, or of the destination of a link."""

    def marks(self, start: int, run: DelimiterRun, *, opens: bool, closes: bool) -> None:
        """Is told of a run of marks. ``opens``, ``closes``: what CommonMark lets it do."""


def notes_of(state: StateInline) -> Notes | None:
    notes: Notes | None = state.env.get(NOTES)
    return notes if notes and notes.line == state.src else None


def noted(rule: InlineRule) -> InlineRule:
    """Returns a rule for what stays as it is, in any reading."""

    def with_note(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
        start = state.pos
        if not rule(state, silent):
            return False
        if not silent and (notes := notes_of(state)):
            notes.keeps(start, state.pos)
        return True

    return with_note
