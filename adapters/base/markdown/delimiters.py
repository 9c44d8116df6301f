"""Tells which marks of Markdown (``*``, ``_``, ``~~``) are meant as markup, and which are part of what is written.

Stricter than CommonMark about operators, globs and names (``2*3*4``, ``*.log``, ``(a)*b``), which it takes for
emphasis. Kinder to languages without spaces between words, by the CommonMark CJK-friendly amendments:
github.com/tats-u/markdown-cjk-friendly/blob/main/specification.md. A decision depends on the word around a mark alone,
so that a reply that grows is read the same.

``gateway/pages/chat/delimiters.js`` decides the same for the page. Both are tested with ``tests/markdown_cases.json``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARKS = "*_~"
PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}

NO_OPENER_AFTER = frozenset(")]}/\\^$@#%&")
"""A mark behind one of these is an operator, or part of a path or a formula: ``(a)*b``, ``/srv/*.log``, ``{y}_i``."""
NO_OPENER_BEFORE = frozenset(")]},;")
NO_CLOSER_AFTER = frozenset("([{\\")
NO_ITALIC_CLOSER_AFTER = frozenset("/^$")
NO_ITALIC_CLOSER_BEFORE = frozenset("([{\\$+/^=")

END_OF_WORD = re.compile(r"[^\W\d_]{2,}\*\*(?![^\W_])")
"""What follows ``**`` within a word whose end stands out: walk**ed**."""
BEGINNING_OF_WORD = re.compile(r"(?<![^\W_])\*\*[^\s*]{1,60}\Z")
"""What precedes ``**`` within a word whose beginning stands out: **S**ingle."""
LETTERS = re.compile(r"\*\*[^\W\d_]{1,60}\Z")
LETTERS_ALONE = re.compile(rf"(?<![^\W_]){LETTERS.pattern}")
LONGEST_WORD = 64


class DelimiterRun(NamedTuple):
    """A sequence of one mark, and whether it may open or close emphasis: spec.commonmark.org/0.31.2/#delimiter-run"""

    end: int
    can_open: bool
    can_close: bool


def scan(text: str, start: int, most: int) -> DelimiterRun:
    """Returns the run that begins at ``start``. ``most``: where the text ends that is being read."""
    end = _skip(text, start, most, text[start])
    left = start
    while left and text[left - 1] in MARKS:
        left -= 1
    right = _skip(text, end, most, MARKS)
    before = text[left - 1] if left else " "
    after = text[right : min(right + 2, most)] or " "
    if PAIRS.get(before, before) == after[0] and not before.isalnum():  # "*", (*), and a mark between spaces
        return DelimiterRun(end, can_open=False, can_close=False)
    italic = text[start] == "_" or end - start == 1
    opens, closes = _may_open(before, after, italic=italic), _may_close(before, after, italic=italic)
    if opens and before.isalnum():
        opens = not italic and _opens_in_word(text, end, before)
    if closes and after[0].isalnum():
        closes = _closes_in_word(text, start, after[0], italic=italic)
    return DelimiterRun(end, opens, closes)


def _skip(text: str, at: int, most: int, marks: str) -> int:
    while at < most and text[at] in marks:
        at += 1
    return at


def _may_open(before: str, after: str, *, italic: bool) -> bool:
    if after[0].isspace() or before in NO_OPENER_AFTER or after[0] in NO_OPENER_BEFORE:
        return False
    glob = after[0] == "/" or (after[0] == "." and after[1:].isalnum())
    return not (italic and (glob or before == "."))


def _may_close(before: str, after: str, *, italic: bool) -> bool:
    if before.isspace() or before in NO_CLOSER_AFTER:
        return False
    if italic:
        glob = after[0] == "." and after[1:].isalnum()
        return not (glob or before in NO_ITALIC_CLOSER_AFTER or after[0] in NO_ITALIC_CLOSER_BEFORE)
    return not (before in ")]" and after[0] in "([")


def _opens_in_word(text: str, end: int, before: str) -> bool:
    return _is_unspaced(before) or (before.isalpha() and END_OF_WORD.match(text, end) is not None)


def _closes_in_word(text: str, start: int, after: str, *, italic: bool) -> bool:
    if _is_unspaced(after):
        return text[start] != "_"
    if italic:
        return False
    before = text[max(0, start - LONGEST_WORD) : start]
    letters = _is_unspaced(before[-1])
    if after.isalpha():
        return BEGINNING_OF_WORD.search(before) is not None or (letters and LETTERS.search(before) is not None)
    return letters and LETTERS_ALONE.search(before) is not None


def _is_unspaced(char: str) -> bool:
    """Tells a letter of a script that may stand without spaces between words. Such scripts have no upper case."""
    return char.isalpha() and char.lower() == char.upper()
