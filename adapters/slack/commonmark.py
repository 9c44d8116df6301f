"""Writes a line of Markdown such that CommonMark, which Slack reads, finds in it what the gateway's own reading does.

Slack reads backslash escapes: docs.slack.dev/reference/block-kit/blocks/markdown-block. A change depends on the line
before it and the word around it alone, so that a line that grows stays as it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from markdown_it import MarkdownIt

from adapters.base.markdown.delimiters import DelimiterRun
from adapters.base.markdown.reading import parser
from adapters.base.markdown.reading_notes import NOTES

HAIR_SPACE = "\u200a"
"""The narrowest white space. Beside it, CommonMark takes a mark that touches punctuation of a script without spaces."""
PLAIN = re.compile(
    r"""(?:
    [^\\`*_\[\]~<:!@]++ | :(?!//) | !(?!\[)
    | (?<![^\s(])\*{1,2}+(?=[A-Za-z])                          # opens, for everybody
    | (?<=[A-Za-z])\*{1,2}+(?=[\s,:;!?)]|\.(?!\w)|\Z)          # closes
    | (?<=[A-Za-z0-9])_(?=[A-Za-z0-9])
    | `[^`<\n]++`(?!`)
    | ://[A-Za-z0-9./?=&%#-]++(?![^\s,;!?)])
    | \[[^\\`*_\[\]~<:!@]++\]\(https?://[A-Za-z0-9./?=&%#-]++\)
    )*+""",
    re.VERBOSE,
)
"""A line that says the same to everybody, as most do, and holds nothing that calls people."""
LINK = re.compile(r"<https?://[^\s<>|]++(?:\|[^<>\n]*+)?>")
"""Slack's own form of a link."""
MARKUP = frozenset("\\`*_[~")
PUNCTUATION = re.compile(r"""[!"#$%&'()*+,./:;<=>?@\[\\\]^_`{|}~-]""")

_reader: Callable[[], MarkdownIt] = cache(parser)


class Line:
    """A line, and what must change in it."""

    def __init__(self, line: str, *, in_table: bool = False) -> None:
        """``in_table``: whether it is a row, in which a backslash before a bar is no text for anybody."""
        self.line = line
        self._in_table = in_table
        self._insertions: dict[int, str] = {}
        self._kept: list[tuple[int, int]] = []
        self._open: set[str] = set()
        """The marks that have opened something."""
        if not PLAIN.fullmatch(line):
            _reader().inline.parse(line, _reader(), {NOTES: self}, [])
            self._kept += [found.span() for found in LINK.finditer(line)]
            self._kept.sort()

    def parts(self) -> Iterator[tuple[str, bool]]:
        """Yields the line in parts, changed, each with whether it is code, a URL or the destination of a link."""
        at = 0
        for start, end in self._kept:
            if start >= at:
                yield self._changed(at, start), False
                yield self.line[start:end], True
                at = end
        yield self._changed(at, len(self.line)), False

    def _changed(self, start: int, end: int) -> str:
        if not self._insertions:
            return self.line[start:end]
        changed = (self._insertions.get(at, "") + self.line[at] for at in range(start, end))
        return "".join(changed) + (self._insertions.get(end, "") if end == len(self.line) else "")

    # ------------------------------------------------------------ adapters.base.markdown.reading_notes.Notes

    def stands(self, start: int, end: int) -> None:
        for at in range(start, end):
            char, after = self.line[at], self.line[at + 1 : at + 2]
            if self._in_table and char == "\\" and after == "|":
                continue
            if char in MARKUP and (char != "\\" or PUNCTUATION.match(after)):
                self._insertions[at] = "\\"

    def keeps(self, start: int, end: int) -> None:
        self._kept.append((start, end))
        if self.line.startswith("[](", start - 2):  # of which nothing would be seen
            self._insertions[start - 1] = "image" if self.line[: start - 2].endswith("!") else "link"

    def marks(self, start: int, run: DelimiterRun, *, opens: bool, closes: bool) -> None:
        mark = self.line[start]
        if run.can_close and mark in self._open:
            self._open.discard(mark)
            self._widen(run.end, needed=not closes)
        elif run.can_open and not (closes and mark in self._open):
            self._open.add(mark)
            self._widen(start, needed=not opens)
        elif opens or (closes and not run.can_close):  # in no pair, but Slack could find one
            self.stands(start, run.end)

    def _widen(self, at: int, *, needed: bool) -> None:
        if needed:
            self._insertions[at] = HAIR_SPACE + self._insertions.get(at, "")
