"""Takes a line apart that is too long for a part: into words, and those into characters, but no markup within it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum

from gateway.domain.files import JOINERS

SPAN = re.compile(
    r"""  ``(?:(?!``)[^\n]){1,200}+(?:``|\Z)
        | `[^`\n]{1,200}+(?:`|\Z)
        | !?\[[^\[\]\n]{1,200}+(?:\Z|\](?:\Z|\([^()\s]{1,400}+(?:\)|\Z)))
        | \*\*(?!\s)[^*\n]{1,200}+(?:\*\*|\Z)
        | \$(?![\s\d])[^$\n]{1,200}+(?:\Z|(?<!\s)\$(?!\d))
        | \\\((?:[^\\\n]|\\(?!\))){1,200}+(?:\\\)|\Z)""",
    re.VERBOSE,
)
"""What is markup only as a whole. One that the text ends in may still be completed."""
PARTS = (
    re.compile(rf"(?:{SPAN.pattern}|\S)++\s*+|\s++", re.VERBOSE),
    re.compile(rf"(?:{SPAN.pattern})\s*+|(?:(?!{SPAN.pattern})\S)++\s*+|\s++", re.VERBOSE),
    re.compile(r"\S++\s*+|\s++"),
)
"""What a line that is too long consists of, and what each of these does in turn, if it is too long itself: words and
what is markup in them, either alone, and words."""
CHARACTERS = len(PARTS)
SENTENCE_END = re.compile(r"""[.!?:;…][)\]"'”’»*_]*\s+\Z""")  # noqa: RUF001  # as they are written
STOPS, PAUSES = "。！？", "、，；："  # noqa: RUF001  # of languages that have no spaces between words


class Grade(IntEnum):
    """How good a cut is at some place."""

    NEVER = 0
    CHARACTER = 1
    WORD = 2
    SENTENCE = 3
    LINE = 4
    BLOCK = 5


def taken_apart(text: str, grade: Grade, level: int, most: int) -> Iterator[tuple[str, Grade]]:
    """Yields the parts of a text, each with the grade of a cut before it; the first has that of the text.

    ``level``: 0 for a line, and one more for each of its parts in turn, up to ``CHARACTERS`` for a word, of which the
    user-perceived characters are yielded. ``most``: code points of one of these.
    """
    if level == CHARACTERS:
        yield from _characters(text, grade, most)
        return
    for found in PARTS[level].finditer(text):
        yield found.group(), grade
        grade = _grade_behind(found.group())


def _characters(word: str, grade: Grade, most: int) -> Iterator[tuple[str, Grade]]:
    """Yields user-perceived characters of up to ``most`` code points."""
    start = 0
    for index in range(1, len(word) + 1):
        if index < len(word) and index - start < most and _continues(word, start, index):
            continue
        yield word[start:index], grade
        grade = _grade_behind(word[start:index])
        start = index


def _grade_behind(text: str) -> Grade:
    if text[-1].isspace():
        return Grade.SENTENCE if SENTENCE_END.search(text[-16:]) else Grade.WORD
    return Grade.SENTENCE if text[-1] in STOPS else Grade.WORD if text[-1] in PAUSES else Grade.CHARACTER


def _continues(text: str, start: int, index: int) -> bool:
    """Returns whether the code point at ``index`` belongs to the character that begins at ``start``."""
    char = text[index]
    if char < "\u0300":
        return False
    return (
        unicodedata.category(char).startswith("M")  # combining marks, variation selectors, the frame of a keycap
        or char in JOINERS
        or text[index - 1] == "\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= char <= "\U000e007f"  # tags: the flags of regions
        or "\u1160" <= char <= "\u11ff"  # vowels and finals of Hangul
        or ("\udc00" <= char <= "\udfff" and "\ud800" <= text[index - 1] <= "\udbff")
        or (index - start == 1 and _is_regional(char) and _is_regional(text[start]))  # two make a flag
    )


def _is_regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def unfinished_span(line: str) -> int:
    """Returns where something begins that is markup only as a whole, and that an unfinished line does not end.

    Returns the length of the line if nothing does.
    """
    for span in SPAN.finditer(line):
        if span.end() == len(line) and not SPAN.match(f"{line}\n", span.start()):
            return span.start()
    return len(line)
