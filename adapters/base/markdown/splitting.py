"""Cuts Markdown into parts that a platform accepts, each of which is still valid Markdown.

A text becomes pieces: lines, and of lines that are too long, words, and of words that are too long, characters. Each
piece has a grade that says how good a cut before it is, and a frame if such a cut interrupts something: a fence is
closed and opened again, a table gets its header again, the rest of what is quoted its mark. A formula of several lines
is cut only where it does not fit into a part, and so is what would not be read any more if it were: a link, code or a
formula within a line, strong text. What is nested in a list stands at the left at the beginning of a part, where it
would be code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adapters.base.markdown.formulas import FORMULA_LINE, ending
from adapters.base.markdown.line_parts import CHARACTERS, Grade, taken_apart

MIN_LIMIT = 64
"""Below this there would be no room for a fence and a word in it."""

CONTAINERS = r"[ \t]*+(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]++|>[ \t]*+)*+"
"""What precedes a block in lists and quotations."""
FENCE = re.compile(rf"(?P<before>{CONTAINERS})(?P<mark>`{{3,}}+(?=[^`\n]*+$)|~{{3,}}+).*+")
BEFORE = re.compile(CONTAINERS)
QUOTED = re.compile(r"(?:[ \t]*>)*")
FORMULA = re.compile(rf"{CONTAINERS}(?P<mark>{FORMULA_LINE.pattern})")
LIST_MARK = re.compile(r"[-*+](?=[ \t])|[0-9]{1,9}[.)]")
ITEM = re.compile(rf"(?:{LIST_MARK.pattern})(?=\s)")
HEADING = re.compile(rf"{CONTAINERS}#{{1,6}}(?:[ \t]|$)")
DELIMITERS = re.compile(r"[ \t>]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?\s*+")
"""The line below a table's header."""
LINE = re.compile(r"[^\n]*+\n|[^\n]++")
CODE_WIDTH = 4
"""Columns of white space that make code of a line, outside of lists."""
BLANK_LINES = re.compile(r"\A(?:[ \t\r]*+\n)++")

Measure = Callable[[str], int]


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def cut(text: str, limit: int, measure: Measure = len) -> list[str]:
    """Returns the text in parts of at most ``limit`` each; none for white space.

    The parts together are the text, but for white space at the cuts, the fence lines that close and reopen a fence
    around a cut in it, the header that a table has again after one, and the mark of a quotation. ``measure`` must be
    additive, and at most 4 for one character. Takes time in proportion to the text.
    Raises ValueError for a limit below 64.
    """
    if limit < MIN_LIMIT:
        raise ValueError(f"A limit of {limit} is too small; the minimum is {MIN_LIMIT}.")
    if measure(text) <= limit:
        return [text] if text.strip() else []
    pieces = _Cutting(limit // 2, measure).pieces_of(text)
    parts: list[str] = []
    start = 0
    while start < len(pieces):
        end = _end_of_part(pieces, start, limit)
        parts.append(_part(text, pieces[start], pieces[end] if end < len(pieces) else None))
        start = end
    return [part for part in parts if part]


def split(text: str, limit: int, measure: Measure = len) -> tuple[str, str]:
    """Returns the first part of a text and the rest, which opens again what the cut interrupts. See ``cut``."""
    pieces = _Cutting(limit // 2, measure).pieces_of(text)
    end = _end_of_part(pieces, 0, limit)
    if end == len(pieces):
        return text, ""
    following = pieces[end]
    rest = text[following.start :]
    rest = following.frame.opening + rest if following.frame else BLANK_LINES.sub("", rest)
    return _part(text, pieces[0], following), _dedented(rest) if following.nested else rest


def finished(text: str) -> int:
    """Returns the length of the complete blocks of an unfinished text, which nothing that follows can change."""
    end = position = 0
    mark = before = ""
    after_block = False
    for line in LINE.findall(text):
        whole = line.endswith("\n")
        mark = "" if leaves_quotation(line, before) else mark
        if mark:
            after_block = whole and _closes(line, mark)
            mark = "" if after_block else mark
        else:
            if after_block and not line[0].isspace():
                end = position
            found = FENCE.match(line)
            mark, before = (found["mark"], found["before"]) if found and whole else ("", "")
            after_block = whole and not line.strip()
        position += len(line)
    return end


@dataclass(frozen=True, slots=True)
class _Frame:
    """What continues across a cut: how to end it before, and how to open it again after. Sizes as measured."""

    opening: str
    opening_size: int
    closing: str = ""
    closing_size: int = 0


BREAKING = frozenset({Grade.CHARACTER, Grade.WORD, Grade.SENTENCE})


class _Piece(NamedTuple):
    """A stretch of the text that is not cut."""

    start: int
    size: int
    grade: Grade
    """Of a cut before it."""
    frame: _Frame | None
    """What such a cut interrupts."""
    broken: bool
    """Whether such a cut breaks a line."""
    nested: bool
    """Whether white space before it may say in which item of a list it is."""

    @property
    def opening(self) -> int:
        """What the frame adds to the part that begins with this piece."""
        return self.frame.opening_size if self.frame else 0

    @property
    def closing(self) -> int:
        """What the frame adds to the part that ends before this piece."""
        return self.frame.closing_size + self.broken if self.frame and self.frame.closing else 0


def _end_of_part(pieces: Sequence[_Piece], start: int, limit: int) -> int:
    """Returns the index of the piece after the part that begins with piece ``start``.

    Chooses the last place of the best grade. A place that leaves the part three quarters empty counts for little.
    """
    last: dict[int, int] = {}
    used = pieces[start].opening
    for index in range(start + 1, len(pieces)):
        used += pieces[index - 1].size
        piece = pieces[index]
        if used + piece.closing > limit:
            break
        scarce = used * 4 < limit and piece.grade > Grade.NEVER
        last[1 if scarce else 2 * piece.grade] = index
    else:
        if used + pieces[-1].size <= limit:
            return len(pieces)
    return last[max(last)] if last else start + 1


def _part(text: str, first: _Piece, following: _Piece | None) -> str:
    """Returns the part from one piece to before another; empty if it is white space."""
    body = _framed(text, first, following)
    return _dedented(body) if first.nested else body


def _dedented(text: str) -> str:
    """Returns a text without the white space that would make code of its first lines, down to one that has less."""
    width = _indentation(text)
    lines = LINE.findall(text) if width >= CODE_WIDTH else [text]
    for at, line in enumerate(lines):
        width = min(width, _indentation(line)) if line.strip() else width
        if width < CODE_WIDTH:
            break
        lines[at] = " " * (_indentation(line) - width) + line.lstrip(" \t")
    return "".join(lines)


def _indentation(line: str) -> int:
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(CODE_WIDTH))


def _framed(text: str, first: _Piece, following: _Piece | None) -> str:
    body = text[first.start : following.start if following else len(text)]
    if not body.strip():
        return ""
    if first.frame:
        body = first.frame.opening + body
    elif first.start:
        body = BLANK_LINES.sub("", body)
    if following is None:
        return body
    if following.frame and following.frame.closing:
        return body + ("\n" if following.broken else "") + following.frame.closing
    return body.rstrip()


class _Cutting:
    """Reads a text block by block. A method that reads a block returns the next line, or 0 if it is not its block."""

    def __init__(self, most: int, measure: Measure) -> None:
        self._most = most
        """The maximum measure of a piece, and of a frame: one of each fits into a part."""
        self._measure = measure
        self._pieces: list[_Piece] = []
        self._lines: list[str] = []
        self._position = 0
        self._gap = False
        """Whether a block ended before the current line."""
        self._headed = False
        """Whether only a heading precedes the current line."""
        self._listed = False
        """Whether an indented line may belong to an item of a list."""
        self._quotation = ""
        """What begins a line of the quotation whose paragraph goes on, also with a line without the mark."""

    def pieces_of(self, text: str) -> list[_Piece]:
        self._lines = LINE.findall(text)
        at = 0
        while at < len(self._lines):
            at = self._fence(at) or self._formula(at) or self._table(at) or self._plain(at)
        return self._pieces

    def _fence(self, at: int) -> int:
        line = self._lines[at]
        found = FENCE.match(line)
        if not found or self._measure(line) > self._most:
            return 0
        before = _without_list_marks(found["before"])
        opening, closing = before + line[found.end("before") :], before + found["mark"]
        frame = self._frame(opening, closing) or self._frame(closing + "\n", closing)
        within = self._within(_quotation(before), frame)
        self._listed = self._listed or LIST_MARK.search(found["before"]) is not None
        self._add(line, self._grade(starts_block=True))
        grade = Grade.NEVER
        ended = False
        while (at := at + 1) < len(self._lines) and not ended:
            if leaves_quotation(self._lines[at], found["before"]):
                break
            ended = _closes(self._lines[at], found["mark"])
            self._add(self._lines[at], Grade.NEVER if ended else grade, frame, within)
            grade = Grade.LINE
        self._gap, self._headed, self._quotation = True, False, ""
        return at

    def _formula(self, at: int) -> int:
        """Reads a formula of several lines, to an empty one if the line that closes it is not there yet."""
        found = FORMULA.match(self._lines[at])
        closing = ending(found["mark"]) if found else None
        if not found or not closing or closing.search(self._lines[at], found.end()):
            return 0
        self._add_line(at, self._grade(starts_block=self._gap))
        closed = False
        while (at := at + 1) < len(self._lines) and not closed and _is_within(self._lines[at]):
            closed = closing.search(self._lines[at]) is not None
            self._add_line(at, Grade.NEVER)
        self._gap = self._headed = False
        self._quotation = ""
        return at

    def _table(self, at: int) -> int:
        header, delimiters = self._lines[at], "".join(self._lines[at + 1 : at + 2])
        if "|" not in header or "|" not in delimiters or not DELIMITERS.fullmatch(delimiters):
            return 0
        frame = self._frame(header + delimiters)
        self._add_line(at, self._grade(starts_block=self._gap))
        self._add(delimiters, Grade.NEVER)
        grade = Grade.NEVER
        at += 2
        while at < len(self._lines) and "|" in self._lines[at] and not FENCE.match(self._lines[at]):
            self._add_line(at, grade, frame)
            grade = Grade.LINE
            at += 1
        self._gap, self._headed, self._quotation = True, False, ""
        return at

    def _plain(self, at: int) -> int:
        line = self._lines[at]
        blank, heading = not line.strip(), HEADING.match(line) is not None
        if not blank and not line[0].isspace():
            goes_on = self._listed and not self._gap and not heading
            self._listed = ITEM.match(line) is not None or goes_on
        marked = _quotation(line)
        unmarked = "" if marked or blank or heading or ITEM.match(line.lstrip()) else self._quotation
        within = self._within(marked or unmarked)
        self._add(line, self._grade(starts_block=blank or heading or self._gap), self._within(unmarked), within)
        self._quotation = "" if heading or not line.strip("> \t\r\n") else marked or unmarked
        self._gap = blank or heading
        self._headed = heading or (blank and self._headed)
        return at + 1

    def _grade(self, *, starts_block: bool) -> Grade:
        return Grade.BLOCK if starts_block and not self._headed else Grade.LINE

    def _frame(self, opening: str, closing: str = "") -> _Frame | None:
        """Returns None if the frame would leave too little room."""
        frame = _Frame(opening, self._measure(opening), closing, self._measure(closing))
        return frame if frame.opening_size + frame.closing_size < self._most else None

    def _within(self, quotation: str, frame: _Frame | None = None) -> _Frame | None:
        """Returns what a cut within a line interrupts: what a cut before it does, and its quotation."""
        if not quotation:
            return frame
        opening, closing = (frame.opening, frame.closing) if frame else ("", "")
        return self._frame(opening + quotation, closing) or frame

    def _add_line(self, at: int, grade: Grade, frame: _Frame | None = None) -> None:
        line = self._lines[at]
        self._add(line, grade, frame, self._within(_quotation(line), frame))

    def _add(
        self, text: str, grade: Grade, frame: _Frame | None = None, within: _Frame | None = None, level: int = 0
    ) -> None:
        """Adds a line, or a part of one, in parts if it is too long.

        ``within``: what a cut within it interrupts. ``level``: see ``taken_apart``.
        """
        size = self._measure(text)
        if size <= self._most or level > CHARACTERS:
            self._pieces.append(_Piece(self._position, size, grade, frame, grade in BREAKING, self._listed))
            self._position += len(text)
            return
        for part, part_grade in taken_apart(text, grade, level, self._most // 4):
            self._add(part, part_grade, frame, within, level + 1)
            frame = within


def _without_list_marks(before: str) -> str:
    return LIST_MARK.sub(lambda mark: " " * len(mark.group()), before)


def _quotation(line: str) -> str:
    """Returns what begins a further line of the quotation that a line is in; "" if it is in none."""
    before = BEFORE.match(line)
    marks = before[0][: before[0].rfind(">") + 1] if before else ""
    return f"{_without_list_marks(marks)} " if marks else ""


def leaves_quotation(line: str, before: str) -> bool:
    """Tells whether a line is outside of the quotation that a fence is in, which ends both.

    ``before``: what precedes the fence on its first line.
    """
    depth, quoted = before.count(">"), QUOTED.match(line)
    return depth > 0 and quoted is not None and quoted[0].count(">") < depth


def _is_within(line: str) -> bool:
    """Tells whether a formula can go on with a line."""
    return bool(line.strip(" \t\r\n>")) and not FENCE.match(line)


def _closes(line: str, mark: str) -> bool:
    bare = line.lstrip(" \t>").rstrip()
    return len(bare) >= len(mark) and not bare.strip(mark[0])
