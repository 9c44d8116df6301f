"""The arguments of a call as whoever approves it sees them: nothing in them can pretend to be something else."""

from __future__ import annotations

import json
import re
import unicodedata

from gateway.domain.files import File

MAX_SHOWN = 1500
"""Characters that are shown whole. Every platform takes a message of that length."""
LINE_HEAD, LINE_TAIL = 160, 60
"""Characters that are shown of the beginning and the end of a longer line: each has one value, and its name."""
FILE_NAME = "arguments.json"
ARGUMENTS = "arguments"
"""The reference of the file that has all of them."""
HIDDEN_KINDS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what is not seen, or turns what is beside it."""
HIDDEN_OTHERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters, marks and signs that are not seen either: Unicode's Default_Ignorable_Code_Point, and Braille's blank. A
text of any length can be written in variation selectors behind one letter."""
HEAD, TAIL = 900, 300
"""Characters of which the lines are shown that begin and end what has too many of them."""


def readable(arguments: str) -> str:
    """Returns JSON as lines. What is invisible, or changes how other characters are shown, is escaped."""
    try:
        text = json.dumps(json.loads(arguments), ensure_ascii=False, indent=2)
    except ValueError:
        text = arguments
    return "".join(map(visible, text))


def shortened(arguments: str) -> str:
    """Returns ``readable`` in at most MAX_SHOWN characters; what is left out is marked by its number of characters.

    Long values are cut, so that the name of each is seen. A mark stands outside quotes, where no value can be.
    """
    text = readable(arguments)
    if len(text) <= MAX_SHOWN:
        return text
    lines = list(map(_cut_line, text.split("\n")))
    if len("\n".join(lines)) <= MAX_SHOWN:
        return "\n".join(lines)
    begin, end = _fitting(lines, HEAD), len(lines) - _fitting(lines[::-1], TAIL)
    left_out = len("\n".join(text.split("\n")[begin:end]))
    return "\n".join([*lines[:begin], f"[… {left_out:,} …]", *lines[end:]])


def is_shortened(arguments: str) -> bool:
    """Returns whether ``shortened`` leaves anything out."""
    return len(readable(arguments)) > MAX_SHOWN


def arguments_file(arguments: str) -> File | None:
    """Returns the file that has all that ``shortened`` leaves out; None: that is nothing."""
    if not is_shortened(arguments):
        return None
    return File(FILE_NAME, ARGUMENTS, "application/json", len(arguments_content(arguments)))


def arguments_content(arguments: str) -> bytes:
    """Returns the content of that file."""
    return readable(arguments).encode()


def visible(character: str) -> str:
    """Returns a character; escaped, if it is invisible."""
    hides = unicodedata.category(character) in HIDDEN_KINDS or HIDDEN_OTHERS.match(character)
    return json.dumps(character)[1:-1] if hides and character != "\n" else character


def _cut_line(line: str) -> str:
    if len(line) <= LINE_HEAD + LINE_TAIL + 40:
        return line
    # A backslash before a quote makes it a part of the value, and so it would the quotes of the mark.
    head, tail = line[:LINE_HEAD].rstrip("\\"), line[-LINE_TAIL:].lstrip('\\"')
    return f'{head}" [… {len(line) - len(head) - len(tail):,} …] "{tail}'


def _fitting(lines: list[str], most: int) -> int:
    """Returns how many of the lines are together not longer than that."""
    for number, line in enumerate(lines):
        most -= len(line) + 1
        if most < 0:
            return number
    return len(lines)
