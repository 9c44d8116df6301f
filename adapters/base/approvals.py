"""What people see of a call of a tool that they have to approve: the question, its buttons, and what was decided."""

from __future__ import annotations

import json
import re
import unicodedata

from gateway.domain.approvals import REFUSALS, Approval, Decider, Decision, Verdict, VerdictResult
from gateway.domain.models import TurnId
from gateway.domain.sentences import Sentence, sentence
from gateway.languages import say

APPROVE, DENY = "yes", "no"
"""How the values of buttons begin; what follows a colon is ``question_id``."""
LABELS = {APPROVE: sentence("Approve"), DENY: sentence("Deny")}
MAX_SHOWN = 1500
"""Characters of arguments that are shown whole. Every platform takes a message of that length."""
HEAD, TAIL = 1000, 300
"""Characters that are shown of the beginning and the end of longer ones."""
MAX_NAME_CHARS = 100
BACKTICKS = re.compile("`+")


def question_id(approval: Approval) -> TurnId:
    """Returns by what a question is found again at a platform, as a reply is by its turn's id. Buttons carry it, so
    that a click is about the arguments that were shown.
    """
    return TurnId(f"{approval.id}.{approval.digest}")


def verdict_of(button: str, decider: Decider) -> Verdict | None:
    """Returns what the value of a pressed button says; None if it is none of these."""
    action, _, asked = button.partition(":")
    approval_id, _, digest = asked.partition(".")
    return Verdict(approval_id, digest, action == APPROVE, decider) if action in LABELS and digest else None


def told(result: VerdictResult, language: str) -> str:
    """Returns what whoever pressed a button is told; empty if the question shows it."""
    return say(REFUSALS[result], language) if result in REFUSALS else ""


def question(approval: Approval, language: str) -> str:
    """Returns a question as Markdown, with what was decided."""
    asked = say(sentence("May the assistant call **{tool}**?", tool=approval.tool), language)
    decided = [say(_decided(approval), language)] if approval.decision else []
    return "\n\n".join([asked, fenced(shown_arguments(approval, language)), *decided])


def shown_arguments(approval: Approval, language: str) -> str:
    """Returns the arguments for people: complete, or their beginning and end with their length and digest."""
    text = readable(approval.arguments)
    if len(text) <= MAX_SHOWN:
        return text
    cut = sentence(
        "[… {count} characters in all; the digest of tool and arguments is {digest}]",
        count=str(len(text)),
        digest=approval.digest,
    )
    return f"{text[:HEAD]}\n{say(cut, language)}\n{text[-TAIL:]}"


def readable(arguments: str) -> str:
    """Returns JSON as lines. What is invisible, or changes how other characters are shown, is escaped."""
    try:
        text = json.dumps(json.loads(arguments), ensure_ascii=False, indent=2)
    except ValueError:
        text = arguments
    return "".join(map(_visible, text))


def fenced(text: str) -> str:
    """Returns a block of code. Nothing in the text ends it."""
    fence = "`" * max(3, *(len(run) + 1 for run in ["", *BACKTICKS.findall(text)]))
    return f"{fence}\n{text}\n{fence}"


def _visible(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return character
    return json.dumps(character)[1:-1]


def _decided(approval: Approval) -> Sentence:
    """Returns what was decided, and by whom."""
    name = " ".join("".join(map(_visible, approval.decided_name or approval.decided_by)).split())[:MAX_NAME_CHARS]
    match approval.decision:
        case Decision.APPROVED:
            return sentence("Approved by {name}.", name=_plain(name))
        case Decision.DENIED:
            return sentence("Denied by {name}.", name=_plain(name))
        case Decision.EXPIRED:
            return sentence("Nobody has decided in time. It is not carried out.")
        case _:
            return sentence("Cancelled. It is not carried out.")


def _plain(name: str) -> str:
    """Escapes what would be markup in a name."""
    return re.sub(r"([\\`*_\[\]~<>|#])", r"\\\1", name)


def labels(language: str) -> list[tuple[str, str]]:
    """Returns the buttons of a question: the beginning of each value, and what is written on it."""
    return [(action, say(label, language)) for action, label in LABELS.items()]
