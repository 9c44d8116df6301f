"""The marks that models leave in their text: around reasoning, around tool calls, of turns, and special tokens.

Where a format is not the model's own, its source is beside it; the others are in the chat templates of the models.
"""

from __future__ import annotations

# ruff: noqa: RUF001  # DeepSeek's marks have full-width bars
import re
from dataclasses import dataclass
from enum import Enum

from gateway.assistants.replies.citations import CITATION


class Kind(Enum):
    """What is between two marks."""

    THOUGHT = "thought"
    CALL = "call"
    BARE_CALL = "bare call"
    """A call if a tool has its name, else text."""
    FOREIGN = "foreign"
    """What is neither for people nor for the gateway, such as outputs that the model made up."""
    OTHERS_TURN = "other's turn"
    """The model goes on as somebody else. Inside of a line only the mark is left out, as the text may be about it."""


class MarkPlace(Enum):
    """Where a block may begin."""

    ANYWHERE = "anywhere"
    NEW_LINE = "new line"
    """Inside of a line it counts only if it is closed."""
    FIRST = "first"
    """Only where no other text is before it: later it may be meant for people."""


@dataclass(frozen=True, slots=True)
class MarkedPart:
    """A part of a reply between two marks."""

    opening: str
    """A pattern."""
    closing: str
    """A pattern; the end of the text closes too."""
    kind: Kind
    place: MarkPlace = MarkPlace.ANYWHERE
    needs_closing: bool = False
    """Whether it is ordinary text if it is never closed."""


def _beginning_of(word: str) -> str:
    """Returns the pattern of a word that may have been cut anywhere after its first letter."""
    return word[0] + "".join(f"(?:{letter}" for letter in word[1:]) + ")?" * (len(word) - 1)


NEVER = r"(?!)"
THINK = r"(?:[a-z]{1,10}:)?think(?:ing)?"
ONLY_FIRST_THINK = r"(?:thoughts?|reasoning|reflection|scratchpad|(?:inner|internal)_?(?:monologue|thoughts?))"
ATTRIBUTES = r"(?:\s[^<>\n]{0,100})?"
THOUGHT_END = rf"(?i:</{THINK}>)|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>|<channel\|>"
THOUGHT_START = (
    rf"(?i:<{THINK}{ATTRIBUTES}>)|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>|"
    r"<\|channel>(?:thought|analysis)\n?"
)

HARMONY_END = r"<\|(?:end|return|call|start|channel)\|>"
"""github.com/openai/openai-cookbook, "OpenAI harmony response format"."""
HARMONY_TAIL = r"[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
HARMONY_CALL = (
    rf"<\|start\|>assistant\s+to=[\w.-]+[^<]{{0,40}}<\|channel\|>{HARMONY_TAIL}|"
    rf"<\|channel\|>\s*\w+\s+to=[\w.-]+{HARMONY_TAIL}"
)
STRIPPED_CALL = r"(?:assistant\s?| )?commentary\s+to=(?:functions\.)?[\w.-]+\s*+(?:json|code)?\s*+(?=\{)"
"""The harmony format where a server removed the special tokens and nothing else."""

CALL_TAG = r"(?:[a-z]{1,10}:|｜DSML｜)?(?:tool|function)_call"
BARE_CALL = (
    r"(?=\{\s*\"(?:name|function|type|tool|tool_name)\"\s*:|\[\s*\{\s*\"(?:name|function|type)\"\s*:|"
    r"\[\s*[A-Za-z_]\w*\(|```(?:json|xml|tool_call)?\s*(?:<tool_call>|\{\s*\"(?:name|function|type)\"\s*:)|"
    r"```tool_c(?:ode|all)\s)"
)
OTHERS_TURN = (
    r"<\|(?:im_start|start)\|>\s?(?!assistant)[A-Za-z][\w.]*|<start_of_turn>\s?(?!model)[a-z]+|"
    r"<\|start_header_id\|>\s?(?!assistant)[a-z]+|<\|(?:user|system|observation|ipython)\|>|<｜User｜>|<\|turn>\s?(?!model)[a-z]+"
)

BLOCKS = (
    MarkedPart(THOUGHT_START, THOUGHT_END, Kind.THOUGHT, MarkPlace.NEW_LINE),
    MarkedPart(
        rf"(?i:<{ONLY_FIRST_THINK}{ATTRIBUTES}>)", rf"(?i:</{ONLY_FIRST_THINK}>)", Kind.THOUGHT, MarkPlace.FIRST
    ),
    MarkedPart(r"<details type=\"reasoning\"[^<>]{0,100}>", r"</details>", Kind.THOUGHT),  # Open WebUI
    MarkedPart(HARMONY_CALL, HARMONY_END, Kind.CALL),
    MarkedPart(rf"<\|channel\|>\s*(?:analysis|commentary){HARMONY_TAIL}", HARMONY_END, Kind.THOUGHT),
    MarkedPart(
        r"analysis\s?(?=[A-Z\"'(])",
        r"assistant\s?final\s?|(?=assistant\s?commentary\s+to=)",
        Kind.THOUGHT,
        MarkPlace.FIRST,
        needs_closing=True,
    ),
    MarkedPart(STRIPPED_CALL, r"(?=assistant\s?(?:final|commentary|analysis))", Kind.CALL, MarkPlace.FIRST),
    MarkedPart(rf"<{CALL_TAG}s>", rf"</{CALL_TAG}s>", Kind.CALL),
    MarkedPart(rf"<{CALL_TAG}{ATTRIBUTES}>|<tool_use>", rf"</{CALL_TAG}s?>|</tool_use>", Kind.CALL),
    MarkedPart(r"<\|tool_call(?:_start)?(?:\|>|>)", r"<\|/?tool_call(?:_end)?\|>|<tool_call\|>", Kind.CALL),
    MarkedPart(r"<start_function_call>", r"<end_function_call>", Kind.CALL),
    MarkedPart(r"(?=<function=[\w.-]+>)", r"(?<=</function>)", Kind.CALL),
    MarkedPart(r"(?=<invoke name=)", r"(?<=</invoke>)", Kind.CALL),
    MarkedPart(r"\[TOOL_CALLS\]|<\|python_tag\|>", r"<\|eo[mt]_id\|>|</s>", Kind.CALL),
    MarkedPart(r"<\|python_start\|>", r"<\|python_end\|>", Kind.CALL),
    MarkedPart(r"<\|(?:START_ACTION|action_start)\|>", r"<\|(?:END_ACTION|action_end)\|>", Kind.CALL),
    MarkedPart(
        r"<｜tool▁calls▁begin｜>|<\|tool_calls_section_begin\|>",
        r"<｜tool▁calls▁end｜>|<\|tool_calls_section_end\|>",
        Kind.CALL,
    ),
    MarkedPart(BARE_CALL, NEVER, Kind.BARE_CALL, MarkPlace.FIRST),
    MarkedPart(r"<(?:\|?tool_response)>", r"</tool_response>|<tool_response\|>", Kind.FOREIGN),
    MarkedPart(r"<grok:render\b", r"</grok:render>", Kind.FOREIGN),  # a mark of a source
    MarkedPart(OTHERS_TURN, NEVER, Kind.OTHERS_TURN),
)
FINAL = rf"<\|channel\|>\s*final{HARMONY_TAIL}"
"""Begins what is said to people: what came before it was not."""
LEAD = r"assistant\s?final(?=\S)"
"""The same without its tokens. Counts only as the first text."""
WRAPPER = r"</?(?:answer|response|final_answer|output)>"
"""Around what is said after reasoning (GLM, ERNIE, Granite). Counts only there."""
SPECIAL_TOKEN = (
    r"<\|start_header_id\|>\s?assistant\s?(?:<\|end_header_id\|>\s*)?|<\|(?:im_start|start)\|>\s?(?:assistant)?|"
    r"(?:<start_of_turn>|<\|turn>)\s?(?:model\s?)?|<end_of_turn>|<(?:eos|bos)>|<s>|</s>|"
    rf"</{CALL_TAG}s?>|<[|｜](?=[^<>]*[A-Za-z]{{2}})[^|｜<>\n]{{1,40}}[|｜]>|"
    r"<\|[a-z_]{2,30}>|<[a-z_]{2,30}\|>"
)

PRIVATE = "|".join(map(chr, range(0xE200, 0xE210)))
"""The private-use characters of marks. No set in brackets, for the reason that ``_first`` gives."""
MARK = re.compile(
    "|".join(
        (
            *(f"(?P<b{number}>{block.opening})" for number, block in enumerate(BLOCKS)),
            f"(?P<orphan>{THOUGHT_END})",
            f"(?P<final>{FINAL})",
            f"(?P<lead>{LEAD})",
            f"(?P<wrapper>{WRAPPER})",
            f"(?P<token>{SPECIAL_TOKEN})",
            f"(?P<cite>{CITATION})",
        )
    )
)
MARK_START = re.compile(
    rf"<|\[|◁|【|{PRIVATE}|\{{|`(?=``)|:(?=content)|a(?=nalysis|ssistant)|c(?=ite|ommentary)|f(?=ilecite)|t(?=urn\d)|"
    r" (?=[<\[【\ue200-\ue20f:]|cite|commentary|filecite|turn\d)"
)
"""The first character of any mark."""
UNFINISHED = re.compile(
    r"(?:</?[^\s<>]{0,40}|(?i:</?(?:[a-z]{1,10}:)?think\w*)[^<>\n]{0,100}|"
    r"<(?:thought|reason|reflect|scratch|inner|internal|details|co:|/co:|invoke|grok:)[^<>\n]{0,120}|"
    r"<\|start\|>assistant\s(?!.*<\|message\|>)[^<]{0,60}(?:<[^<]{0,60}){0,3}|"
    r"<\|channel\|>[^<]{0,80}(?:<[^>]{0,12}>?[^<]{0,40})?(?:<[^>]{0,9})?|<\|channel>\w{0,10}|"
    r"<(?:start_of_turn|\|turn|\|im_start\||\|start\||\|start_header_id\|)>\s?[A-Za-z.]{0,20}(?:<[^>]{0,20})?|"
    r"\[/?[A-Z_]{0,11}|◁[^▷]{0,8}|\[\^?[\w:^]{0,12}| ?:(?:c[a-zA-Z]{0,15}(?:\[[\w:]{0,14}\]?(?:\{[\w=]{0,12})?)?)?|"
    r"\[oaicite:\d+\](?:\{[\w=]{0,12})?| ?【[^【】\n]{0,200}| ?\ue200[^\ue201]{0,2000}|"
    r" ?(?:(?<![A-Za-z])(?:f|fi|fil|file|(?:turn\d+[a-z]+\d+[ ,]?)*(?:t|tu|tur|turn\d*[a-z]*\d*))|"
    r"(?:(?<![A-Za-z])file)?(?:c|ci|cit|cite(?:turn\d+[a-z]+\d+)*(?:t|tu|tur|turn\d*[a-z]*\d*)?))| )\Z"
)
"""The end of a text that may be the beginning of a mark: it is held back."""
UNFINISHED_WORD = r"f(?=i?l?e?\Z|ilec)|c(?=i?t?\Z|ite)|t(?=u?r?n?\Z|urn)"
UNFINISHED_START = re.compile(rf"<|\[|◁|【|\ue200|:|{UNFINISHED_WORD}| (?=\Z|[:【\ue200]|{UNFINISHED_WORD})")
"""Its first character."""
UNFINISHED_FIRST = re.compile(
    rf"\s*+(?:{_beginning_of('analysis')}\s?|{_beginning_of('assistant')}(?:(?<=assistant)\s?[a-z]{{0,10}})?|"
    rf"(?:assistant\s?)?{_beginning_of('commentary')}(?:\s+(?:t|to|to=[\w.-]*\s*\w{{0,4}}\s*)?)?|"
    r"\{\s*(?:\"\w{0,10}\"?\s*:?)?|\[\s*(?:\{\s*(?:\"\w{0,10}\"?\s*:?)?|\w{0,40})|"
    r"`{1,3}[a-z_]{0,10}\s*(?:<[a-z_]{0,10}|\{\s*(?:\"\w{0,10}\"?\s*:?)?)?)?\Z"
)
"""The same for marks that count only as the first text."""
ANY_MARK = re.compile(rf"<|\[|◁|【|{PRIVATE}|`|:|cite|turn\d")
"""What a text has that has a mark, except for those that count only as the first text."""
ANY_UNFINISHED = re.compile(r"(?:\bf|\bfi|\bfil|c|ci|cit|\bt|\btu|\btur|\bturn| )\Z")
"""How a text ends that may end with the beginning of one."""
LONGEST_UNFINISHED_WORD = 4
MAX_CLOSING_CHARS = 40
"""No closing mark is longer: so much is held back of an open block."""
MAX_UNFINISHED_CHARS = 2_100
"""No mark that is not complete is longer."""


def find_mark(text: str) -> re.Match[str] | None:
    """Returns the first mark in a text."""
    return _first(MARK, MARK_START, text, 0)


def find_unfinished(text: str) -> re.Match[str] | None:
    """Returns the end of a text that may be the beginning of a mark."""
    return _first(UNFINISHED, UNFINISHED_START, text, max(len(text) - MAX_UNFINISHED_CHARS, 0))


def may_have_mark(text: str) -> bool:
    """Tells whether a text that goes on with others may have a mark, or the beginning of one at its end."""
    end = max(len(text) - LONGEST_UNFINISHED_WORD, 0)
    return ANY_MARK.search(text) is not None or ANY_UNFINISHED.search(text, end) is not None


def _first(pattern: re.Pattern[str], starts: re.Pattern[str], text: str, start: int) -> re.Match[str] | None:
    """Returns the first match of a pattern, at a tenth of the cost of searching it.

    ``starts``: finds the first character of any match. Python skips quickly what cannot begin a pattern whose
    alternatives all begin with a character; it tries any other pattern at each character of the text.
    """
    for place in starts.finditer(text, start):
        if found := pattern.match(text, place.start()):
            return found
    return None
