"""Reads the markup within a line of Markdown that the gateway reads in its own way: emphasis, links and line breaks."""

from __future__ import annotations

import re

from markdown_it.rules_inline import StateInline, image, link
from markdown_it.rules_inline.state_inline import Delimiter

from adapters.base.markdown.delimiters import MARKS, scan
from adapters.base.markdown.reading_notes import InlineRule, notes_of

BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
BARE = re.compile(r"[\w+*^=,-]+", re.ASCII)
"""What no link leads to: an argument, as in ``f[i](x)``."""
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/#]|\.{1,2}/|www\.")
LONGEST_ADDRESS = 200
"""Characters of which it is told whether they may be an address."""


def take_break(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Takes a ``<br>``, the one tag that is read: nothing else ends a line in a cell of a table."""
    found = BREAK.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def take_marks(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Takes a run of marks, of which markdown-it then makes pairs."""
    start = state.pos
    mark = state.src[start]
    if silent or mark not in MARKS:
        return False
    run = scan(state.src, start, state.posMax)
    length = run.end - start
    if mark == "~" and length != len("~~"):
        return False
    if notes := notes_of(state):
        plain = state.scanDelims(start, mark != "_")
        notes.marks(start, run, opens=plain.can_open, closes=plain.can_close)
    step = 1 if mark != "~" else length
    for _ in range(0, length, step):
        token = state.push("text", "", 0)
        token.content = mark * step
        at = len(state.tokens) - 1
        # A length of 0 switches off the rule of three, which is for * and _ alone.
        known = 0 if mark == "~" else length
        state.delimiters.append(Delimiter(ord(mark), known, at, -1, run.can_open, run.can_close))
    state.pos = run.end
    return True


def take_link(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    return _linked(state, silent, link, state.pos)


def take_image(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    return _linked(state, silent, image, state.pos + 1)


def _linked(state: StateInline, silent: bool, rule: InlineRule, bracket: int) -> bool:  # noqa: FBT001
    """Applies the rule, unless the brackets are an index and the parentheses a call: ``f[i](x)``."""
    start, text = state.pos, state.src
    if text[bracket : bracket + 1] != "[" or (bracket > start and text[start] != "!"):
        return False
    label_end = state.md.helpers.parseLinkLabel(state, bracket, bracket == start)
    if label_end < 0 or text[label_end + 1 : label_end + 2] != "(":
        return False
    address = text[label_end + 2 : label_end + 2 + LONGEST_ADDRESS].lstrip()
    if not _leads_somewhere(address, text[start - 1] if start else " "):
        if not silent and (notes := notes_of(state)):
            notes.stands(bracket, bracket + 1)
        return False
    if not rule(state, silent):
        return False
    if not silent and (notes := notes_of(state)):
        notes.keeps(label_end + 1, state.pos)
    return True


def _leads_somewhere(address: str, before: str) -> bool:
    """Tells whether what is in parentheses may be an address."""
    if address.startswith("<"):
        return True
    if before.isalnum() or before in ")]":
        return ADDRESS.match(address) is not None
    bare = BARE.match(address)
    return bare is None or address[bare.end() : bare.end() + 1] != ")"
