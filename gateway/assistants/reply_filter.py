"""Separates what a model says to people from its reasoning, its tool calls and its marks, in text that comes in pieces.

Servers are meant to do this; many do not. What is in code (between backticks or fences) is never touched, as an answer
may be about such marks.
"""

from __future__ import annotations

# ruff: noqa: RUF001  # DeepSeek's marks have full-width bars
import re
from dataclasses import dataclass

from gateway.assistants.citations import CITATION, citation_text
from gateway.assistants.text_calls import TextCall, parse_calls

THOUGHT, CALL = "thought", "call"


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a reply between two marks."""

    opening: str
    """A pattern."""
    closing: str
    """A pattern; the end of the text closes too."""
    kind: str
    only_first: bool = False
    """Whether it counts only where no other text is before it: in its middle it may be meant for people."""
    needs_closing: bool = False
    """Whether it is ordinary text if it is never closed."""


THOUGHT_END = (
    r"</(?:think|thinking|thought|reasoning|seed:think|mm:think)>|\[/THINK\]|◁/think▷|"
    r"<\|end_of_thought\|>|<\|END_THINKING\|>"
)
HARMONY_END = r"<\|(?:end|return|call|start|channel)\|>"
"""github.com/openai/openai-cookbook, "OpenAI harmony response format"."""
BLOCKS = (
    Block(
        r"<(?:think|thinking|seed:think|mm:think)>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>",
        THOUGHT_END,
        THOUGHT,
    ),
    Block(r"<(?:thought|reasoning)>", THOUGHT_END, THOUGHT, only_first=True),
    Block(
        r"<\|channel\|>\s*(?:commentary|analysis)\s+to=(?:functions\.)?[\w.-]+[^{]*?<\|message\|>", HARMONY_END, CALL
    ),
    Block(r"<\|channel\|>\s*(?:analysis|commentary)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>", HARMONY_END, THOUGHT),
    # The same when the server removed the special tokens only.
    Block(r"analysis(?=[A-Z\"'(])", r"assistantfinal", THOUGHT, only_first=True, needs_closing=True),
    Block(
        r"<tool_calls?>|<function_calls?>|<\|tool_call(?:_start)?\|>",
        r"</(?:tool|function)_calls?>|<\|/?tool_call(?:_end)?\|>",
        CALL,
    ),
    Block(r"(?=<function=[\w.-]+>)", r"(?<=</function>)", CALL),
    Block(r"\[TOOL_CALLS\]|<\|python_tag\|>", r"<\|eo[mt]_id\|>|</s>", CALL),
    Block(
        r"<｜tool▁calls▁begin｜>|<\|tool_calls_section_begin\|>",
        r"<｜tool▁calls▁end｜>|<\|tool_calls_section_end\|>",
        CALL,
    ),
)
STRAY_MARK = (
    r"<\|(?:start|im_start)\|>(?:assistant|system|user|tool)?|<\|channel\|>\s*final[^<]*<\|message\|>|"
    r"<\|(?:end|return|call|message|im_end|im_sep|eot_id|eom_id|endoftext|end_of_text|begin_of_text|assistant|end_of_turn)\|>|"
    r"<(?:end_of_turn|start_of_turn|eos|bos)>|</s>(?=\s*$)|<｜(?:end▁of▁sentence|Assistant)｜>"
)
MARK = re.compile(
    "|".join(
        (
            *(f"(?P<b{number}>{block.opening})" for number, block in enumerate(BLOCKS)),
            f"(?P<orphan>{THOUGHT_END})",
            f"(?P<token>{STRAY_MARK})",
            f"(?P<cite>{CITATION})",
        )
    )
)
UNFINISHED = re.compile(
    r"(?:<[^\s<>]{0,40}|<\|channel\|>[^<]{0,80}(?:<[^>]{0,12}>?[^<]{0,20})?(?:<[^>]{0,9})?|\[/?[A-Z_]{0,11}|◁[^▷]{0,8}|"
    r"<\|(?:start|im_start)\|>[a-z]{0,9}| ?【[^【】\n]{0,80}| ?\ue200[^\ue201]{0,2000}|"
    r" ?(?<![A-Za-z])(?:f|fi|fil|file|(?:file)?(?:c|ci|cit|cite(?:turn\d+[a-z]+\d+)*(?:t|tu|tur|turn\d*[a-z]*)?))| )\Z"
)
"""The end of a text that may be the beginning of a mark: it is held back."""
MAY_HAVE_MARK = re.compile(r"[<\[◁【\ue200`]|cite|(?:f|fi|fil|file|c|ci|cit| )\Z")
ANALYSIS = "analysis"


class ReplyFilter:
    """Filters one message of a model."""

    def __init__(self, *, begins_in_thought: bool = False) -> None:
        """``begins_in_thought``: the model is known to reason without an opening mark, which its template has."""
        self.calls: list[TextCall] = []
        """Calls that the model wrote as text."""
        self.had_orphan_end = False
        """Whether reasoning ended that no mark had begun: what was said before it is not part of the text."""
        self._held = ""
        self._block = Block("", THOUGHT_END, THOUGHT, needs_closing=True) if begins_in_thought else None
        self._opening = ""
        self._inner: list[str] = []
        self._said: list[str] = []
        self._thoughts: list[str] = []
        self._line = ""
        self._in_fence = False
        self._strip = False

    @property
    def text(self) -> str:
        """The text for people so far."""
        return "".join(self._said)

    @property
    def reasoning(self) -> str:
        return "\n\n".join(thought.strip() for thought in self._thoughts if thought.strip())

    def feed(self, text: str) -> str:
        """Adds text. Returns what of it, and of what was held back, is for people."""
        if not text:
            return ""
        self._held += text
        if self._block is None and self._said and not self._strip and not MAY_HAVE_MARK.search(self._held):
            held, self._held = self._held, ""
            return self._say(held)
        return self._read(at_end=False)

    def finish(self) -> str:
        """Ends the message. Returns the rest of the text for people."""
        said = self._read(at_end=True)
        if self._block is not None:
            block, inner = self._block, "".join(self._inner)
            self._block, self._inner = None, []
            if block.needs_closing:
                return said + self._say(self._opening + inner)
            self._close_block(block, inner)
        return said

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
            keep = 0 if at_end else min(len(self._held), MAX_MARK_CHARS)
            cut = len(self._held) - keep
            self._inner.append(self._held[:cut])
            self._held = self._held[cut:]
            return None
        inner = "".join(self._inner) + self._held[: found.start()]
        # The next block of the harmony format begins with the mark that ends this one.
        ends_at = found.start() if found[0] in {"<|start|>", "<|channel|>"} else found.end()
        self._held, self._block, self._inner = self._held[ends_at:], None, []
        self._close_block(block, inner)
        return ""

    def _close_block(self, block: Block, inner: str) -> None:
        self._strip = True
        if block.kind == THOUGHT:
            self._thoughts.append(inner)
            return
        named = re.search(r"to=(?:functions\.)?([\w.-]+)", self._opening)
        if named and self._opening.startswith("<|channel|>"):
            self.calls.append((named[1], inner.strip()))
        else:
            self.calls += parse_calls(inner)

    def _read_text(self, *, at_end: bool) -> str | None:
        found = MARK.search(self._held)
        unfinished = self._unfinished_at(at_end=at_end)
        if found is None or found.start() >= unfinished:
            text, self._held = self._held[:unfinished], self._held[unfinished:]
            return self._say(text) if text else None
        before, mark = self._held[: found.start()], found[0]
        self._held = self._held[found.end() :]
        said = self._say(before)
        return said + self._meet(found, mark)

    def _unfinished_at(self, *, at_end: bool) -> int:
        """Returns from where on the text may be a mark that is not complete yet."""
        if at_end:
            return len(self._held)
        if not self._said and ANALYSIS.startswith(self._held.lstrip()):
            return 0
        found = UNFINISHED.search(self._held)
        return found.start() if found else len(self._held)

    def _meet(self, found: re.Match[str], mark: str) -> str:
        """Handles a mark. Returns what is to be said instead of it."""
        name = found.lastgroup or ""
        if self._in_code or (name.startswith("b") and not self._may_open(BLOCKS[int(name[1:])])):
            return self._say(mark)
        if name == "orphan":
            self._forget_said()
        elif name == "cite":
            return self._say(citation_text(mark))
        elif name.startswith("b"):
            self._block, self._opening = BLOCKS[int(name[1:])], mark
        else:
            self._strip = self._strip or not self._said
        return ""

    def _may_open(self, block: Block) -> bool:
        if block.only_first:
            return not self.text.strip()
        return block.kind == CALL or not self._line.strip() or block.opening.startswith(r"<\|channel")

    def _forget_said(self) -> None:
        self._thoughts.append(self.text)
        self.had_orphan_end, self._said, self._line, self._in_fence, self._strip = True, [], "", False, True

    def _say(self, text: str) -> str:
        if self._strip:
            text = text.lstrip() if not self._said else text.lstrip("\n")
            self._strip = not text
        if not text:
            return ""
        self._said.append(text)
        *done, self._line = (self._line + text).split("\n")
        self._in_fence ^= sum(line.lstrip().startswith(("```", "~~~")) for line in done) % 2 == 1
        return text

    @property
    def _in_code(self) -> bool:
        line = self._line.lstrip()
        return self._in_fence or line.startswith(("```", "~~~")) or len(re.findall("`+", line)) % 2 == 1


MAX_MARK_CHARS = 40
"""No closing mark is longer: so much is held back of an open block."""


def clean_text(text: str) -> str:
    """Returns what of a complete text is for people."""
    reply = ReplyFilter()
    reply.feed(text)
    reply.finish()
    return reply.text
