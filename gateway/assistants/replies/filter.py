"""Separates what a model says to people from its reasoning, its tool calls and its marks, in text that comes in pieces.

Servers are meant to do this; many do not. What is in code (between backticks or fences) is never touched, as an answer
may be about such marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gateway.assistants.replies.citations import citation_text
from gateway.assistants.replies.marks import (
    BLOCKS,
    MAX_CLOSING_CHARS,
    MAX_UNFINISHED_CHARS,
    THOUGHT_END,
    UNFINISHED_FIRST,
    Kind,
    MarkedPart,
    MarkPlace,
    find_mark,
    find_unfinished,
    may_have_mark,
)
from gateway.assistants.replies.text_calls import TextCall, parse_calls

FENCE_CHARS = 3
IN_THOUGHT = MarkedPart("", THOUGHT_END, Kind.THOUGHT, needs_closing=True)
REASONING_MODEL = re.compile(r"(?<![a-z])(?:r1|qwq|thinking|reasoner|reasoning)(?![a-z])", re.IGNORECASE)
"""Names of models whose chat templates begin the reasoning, so that its opening mark is not in the answer."""


class LineSoFar:
    """What is to be known of a line while it is written, so that each piece is read once."""

    def __init__(self) -> None:
        self.head = ""
        """Its first characters that are not blank."""
        self.last = ""
        """Its last character."""
        self._backticks = 0
        """How many runs of backticks it has."""

    def add(self, text: str) -> None:
        if not text:
            return
        if len(self.head) < FENCE_CHARS:
            self.head = (self.head + text[:FENCE_CHARS]).lstrip()[:FENCE_CHARS] or text.lstrip()[:FENCE_CHARS]
        if "`" in text:
            self._backticks += len(re.findall("`+", text)) - (self.last == text[0] == "`")
        self.last = text[-1]

    @property
    def is_fence(self) -> bool:
        """Whether it begins or ends a block of code."""
        return self.head.startswith(("```", "~~~"))

    @property
    def is_in_code(self) -> bool:
        """Whether code between backticks has begun and not ended."""
        return self._backticks % 2 == 1


class ReplyFilter:
    """Filters one message of a model."""

    def __init__(self, *, begins_in_thought: bool = False, tools: Iterable[str] = ()) -> None:
        """``begins_in_thought``: the model may reason without an opening mark, which its template has.

        ``tools``: the names that a call must have which no mark tells from text.
        """
        self.calls: list[TextCall] = []
        """Calls that the model wrote as text."""
        self.ended_unopened_thought = False
        """Whether the message began with reasoning that no mark had begun."""
        self.retracted = False
        """Whether something that was said turned out not to be for people."""
        self._tools = frozenset(tools)
        self._fed: list[str] = []
        self._reads_as_any = not begins_in_thought
        self._held = ""
        self._block = IN_THOUGHT if begins_in_thought else None
        self._opening = ""
        self._inner: list[str] = []
        self._said: list[str] = []
        self._thoughts: list[str] = []
        self._line = LineSoFar()
        self._in_fence = False
        self._strip = False
        self._is_wrapped = False
        self._said_before_token = -1
        """How many pieces were said when the last mark came."""
        self._bare_calls = bool(self._tools)
        self._may_be_closed = True
        """Whether a block inside of a line may be closed: not if the rest of the text was searched already."""

    @property
    def text(self) -> str:
        """The text for people so far."""
        return "".join(self._said)

    @property
    def reasoning(self) -> str:
        return "\n\n".join(thought.strip() for thought in self._thoughts if thought.strip())

    def begin_in_text(self) -> None:
        """Notes that the server keeps reasoning apart: nothing of what follows is reasoning without an opening mark."""
        if self._block is IN_THOUGHT:
            self._block, self._held, self._inner = None, "".join(self._inner) + self._held, []

    def feed(self, text: str) -> str:
        """Adds text. Returns what of it, and of what was held back, is for people."""
        if not text:
            return ""
        self._fed.append(text)
        self._held += text
        if self._block is None and self._said and not self._strip and not may_have_mark(self._held):
            held, self._held = self._held, ""
            return self._say(held)
        return self._read(at_end=False)

    def has_read(self, text: str) -> bool:
        """Tells whether the text that was fed is this one, and was read as any filter reads it."""
        return self._reads_as_any and "".join(self._fed) == text

    def finish(self, text: str = "") -> str:
        """Ends the message, with its last text. Returns the rest of the text for people."""
        self._held += text
        said = self._read(at_end=True)
        while self._block is not None:
            said += self._end_open_block(self._block) + self._read(at_end=True)
        return said

    def _end_open_block(self, block: MarkedPart) -> str:
        """Ends a block that nothing closed. Returns what of it is for people; what is to be read again is held."""
        inner, self._block, self._inner = "".join(self._inner), None, []
        if block.kind is Kind.BARE_CALL:
            self._end_bare_call(inner)
        elif block.needs_closing:
            self._held, self._may_be_closed = inner, False
            return self._say(self._opening)
        else:
            self._close_block(block, inner)
        return ""

    def _end_bare_call(self, inner: str) -> None:
        calls = parse_calls(inner)
        if calls and all(name in self._tools for name, _ in calls):
            self.calls += calls
        else:
            self._bare_calls, self._held = False, inner

    def _read(self, *, at_end: bool) -> str:
        said: list[str] = []
        while self._held:
            step = self._read_block(at_end=at_end) if self._block else self._read_text(at_end=at_end)
            if step is None:
                break
            said.append(step)
        return "".join(said)

    def _read_block(self, *, at_end: bool) -> str | None:
        """Reads on inside a block. Returns None when more text is needed."""
        block = self._block
        assert block is not None  # noqa: S101  # the caller's condition, for mypy
        found = re.search(block.closing, self._held)
        if found is None:
            keep = 0 if at_end else min(len(self._held), MAX_CLOSING_CHARS)
            cut = len(self._held) - keep
            self._inner.append(self._held[:cut])
            self._held = self._held[cut:]
            return None
        inner = "".join(self._inner) + self._held[: found.start()]
        # The next block of the harmony format begins with the mark that ends this one.
        ends_at = found.start() if found[0] in {"<|start|>", "<|channel|>"} else found.end()
        self.ended_unopened_thought = self.ended_unopened_thought or block is IN_THOUGHT
        self._held, self._block, self._inner = self._held[ends_at:], None, []
        self._close_block(block, inner)
        return ""

    def _close_block(self, block: MarkedPart, inner: str) -> None:
        self._strip = True
        if block.kind is Kind.THOUGHT:
            self._thoughts.append(inner)
        elif block.kind is Kind.CALL:
            # The harmony format names the function in the mark.
            named = re.search(r"to=(?:functions\.)?([\w.-]+)", self._opening)
            self.calls += [(named[1], inner.strip())] if named else parse_calls(inner)

    def _read_text(self, *, at_end: bool) -> str | None:
        found = find_mark(self._held)
        is_far = found is not None and len(self._held) - found.start() > MAX_UNFINISHED_CHARS
        unfinished = len(self._held) if is_far else self._unfinished_at(at_end=at_end)
        if found is None or found.start() >= unfinished:
            text, self._held = self._held[:unfinished], self._held[unfinished:]
            return self._say(text) if text else None
        before, self._held = self._held[: found.start()], self._held[found.start() :]
        said = self._say(before)
        return said + self._meet(found.lastgroup or "", found[0])

    def _unfinished_at(self, *, at_end: bool) -> int:
        """Returns from where on the text may be a mark that is not complete yet."""
        if at_end:
            return len(self._held)
        # Some models write blanks without end: not all of them are read again with each.
        if not self._said and len(self._held) <= MAX_UNFINISHED_CHARS and UNFINISHED_FIRST.match(self._held):
            return 0
        found = find_unfinished(self._held)
        if found is None or (found.start() == 0 and found[0][0] in "ft" and self._line.last.isalpha()):
            return len(self._held)  # the letters go on with a word
        return found.start()

    def _meet(self, name: str, mark: str) -> str:
        """Handles a mark, with which the held text begins. Returns what is to be said instead of it."""
        block = BLOCKS[int(name[1:])] if name[1:].isdigit() else None
        if not self._counts(name, block):
            mark = mark or self._held[0]  # a pattern that only looks ahead
            self._held = self._held[len(mark) :]
            return self._say(mark)
        self._held = self._held[len(mark) :]
        is_after_token, self._said_before_token = self._said_before_token == len(self._said), len(self._said)
        if block is not None and block.kind is Kind.OTHERS_TURN and self._line.head and not is_after_token:
            return ""
        if block is not None:
            self._block = replace(block, needs_closing=True) if self._is_inside(block) else block
            self._opening = mark
        elif name == "cite":
            return self._say(citation_text(mark))
        elif name == "wrapper":
            self._is_wrapped = self._strip = True
        elif name in {"orphan", "final"} and self._has_spoken:
            self._forget_said(is_orphan=name == "orphan")
        else:
            self._strip = self._strip or not self._said
        return ""

    def _counts(self, name: str, block: MarkedPart | None) -> bool:
        """Returns whether a mark means something where it stands."""
        if self._in_code or (block is not None and self._is_inside(block) and not self._may_be_closed):
            return False
        is_first = not self._has_spoken
        if name == "lead" or (block is not None and block.place is MarkPlace.FIRST):
            return is_first and (block is None or block.kind is not Kind.BARE_CALL or self._bare_calls)
        if name == "wrapper":
            return self._is_wrapped or (is_first and bool(self._thoughts))
        return True

    def _is_inside(self, block: MarkedPart) -> bool:
        """Returns whether a block that is meant to begin a line would begin inside of one."""
        return block.place is MarkPlace.NEW_LINE and bool(self._line.head)

    @property
    def _has_spoken(self) -> bool:
        return any(piece.strip() for piece in self._said)

    def _forget_said(self, *, is_orphan: bool) -> None:
        self.ended_unopened_thought = self.ended_unopened_thought or (is_orphan and not self._thoughts)
        self._thoughts.append(self.text)
        self.retracted = True
        self._said, self._line, self._in_fence, self._strip = [], LineSoFar(), False, True

    def _say(self, text: str) -> str:
        if self._strip:
            text = text.lstrip() if not self._said else text.lstrip("\n")
            self._strip = not text
        if not text:
            return ""
        self._said.append(text)
        first, *others = text.split("\n")
        self._line.add(first)
        for other in others:
            self._in_fence ^= self._line.is_fence
            self._line = LineSoFar()
            self._line.add(other)
        return text

    @property
    def _in_code(self) -> bool:
        return self._in_fence or self._line.is_fence or self._line.is_in_code


@dataclass
class _Beginnings:
    """How the messages of a model begin, as far as that is known."""

    in_thought: bool
    is_known: bool = False


class ReplyFilters:
    """Makes the filters of one backend, and learns whether its model begins in thought."""

    def __init__(
        self, model: str = "", tools: Callable[[], Iterable[str]] = tuple, beginnings: _Beginnings | None = None
    ) -> None:
        """``tools``: returns the names of the functions that the model may call now."""
        self._tools = tools
        self._beginnings = beginnings or _Beginnings(REASONING_MODEL.search(model) is not None)

    def with_tools(self, names: Iterable[str]) -> ReplyFilters:
        """Returns the same for a turn whose model may call these functions too. What it learns is learnt here."""
        own, more = self._tools, frozenset(names)
        if not more:
            return self
        return ReplyFilters(tools=lambda: more.union(own()), beginnings=self._beginnings)

    def create(self) -> ReplyFilter:
        """Returns a filter for one message."""
        return ReplyFilter(begins_in_thought=self._beginnings.in_thought, tools=self._tools())

    def read(self, text: str) -> ReplyFilter:
        """Returns the filter that has read a complete text."""
        reply = ReplyFilter(tools=self._tools())
        reply.finish(text)
        return reply

    def learn(self, reply: ReplyFilter) -> None:
        """Notes how a complete message began. What the name of a model promises is believed until it is not so."""
        known = self._beginnings
        known.is_known = known.is_known or reply.ended_unopened_thought
        if not known.is_known:
            known.in_thought = False
        elif reply.ended_unopened_thought:
            known.in_thought = True


PLAIN = ReplyFilters()
"""For texts that are only read, such as those of a past."""
