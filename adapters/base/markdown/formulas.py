"""Formulas of several lines, in LaTeX: where they begin and end."""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock

FORMULA_LINE = re.compile(r"\$\$|\\\[|\\begin\{[A-Za-z]+\*?\}")
"""How the first line of one begins."""
MOST_LINES = 100
"""Of one: else each of many lines that begin one would be looked for an end to the end of the text."""


def take_formula(state: StateBlock, start: int, most: int, silent: bool) -> bool:  # noqa: FBT001
    """Takes a formula of several lines as a paragraph, in which no line begins a list, a heading or a quotation."""
    closing = FORMULA_LINE.match(_line(state, start))
    if not closing or state.is_code_block(start):
        return False
    end = _last_line(state, start, most, ending(closing.group()))
    if end <= start:
        return False
    if not silent:
        _paragraph(state, start, end + 1)
    return True


def closing_mark(opening: str) -> str:
    return "$$" if opening == "$$" else "\\]" if opening == "\\[" else opening.replace("begin", "end", 1)


def ending(opening: str) -> re.Pattern[str]:
    """Returns how the last line of a formula ends."""
    return re.compile(rf"{re.escape(closing_mark(opening))}[.,;]?\s*\Z")


def _last_line(state: StateBlock, start: int, most: int, closing: re.Pattern[str]) -> int:
    """Returns the line that closes a formula; ``start`` if none does, or the first line itself."""
    if closing.search(_line(state, start)[2:]):
        return start
    for line in range(start + 1, min(most, start + MOST_LINES)):
        if state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            break
        if closing.search(_line(state, line)):
            return line
    return start


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _paragraph(state: StateBlock, start: int, end: int) -> None:
    state.line = end
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, end]
    token = state.push("inline", "", 0)
    token.content = state.getLines(start, end, state.blkIndent, keepLastLF=False).strip()
    token.map, token.children = [start, end], []
    state.push("paragraph_close", "p", -1)
