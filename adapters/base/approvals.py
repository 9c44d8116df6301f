"""What people see of a call of a tool that they have to approve: the question, its buttons, and what was decided."""

from __future__ import annotations

import re

from adapters.base.markdown.reading import literal
from gateway.domain.approvals import REFUSALS, Approval, Decider, Decision, Verdict, VerdictResult
from gateway.domain.models import TurnId
from gateway.domain.sentences import Sentence, sentence
from gateway.domain.shown_arguments import FILE_NAME, is_shortened, readable, shortened, visible
from gateway.languages import say

APPROVE, DENY = "yes", "no"
"""How the values of buttons begin; what follows a colon is ``question_id``."""
LABELS = {APPROVE: sentence("Approve"), DENY: sentence("Deny")}
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
    shown = fenced(shortened(approval.arguments))
    # Below the block, as nothing in the arguments can stand there.
    notes = [say(_shortened_note(approval), language)] if is_shortened(approval.arguments) else []
    return "\n\n".join([asked, shown, *notes, *decided])


def _shortened_note(approval: Approval) -> Sentence:
    return sentence(
        "Not all of it is shown: “[… 9 …]” stands for 9 characters that are left out, of {count}. All of it is in the "
        "file {file} below, for operators in /admin, and for programs at GET /chat/approvals. The digest of tool and "
        "arguments is {digest}.",
        file=FILE_NAME,
        count=len(readable(approval.arguments)),
        digest=approval.digest,
    )


def fenced(text: str) -> str:
    """Returns a block of code. Nothing in the text ends it."""
    fence = "`" * max(3, *(len(run) + 1 for run in ["", *BACKTICKS.findall(text)]))
    return f"{fence}\n{text}\n{fence}"


def _decided(approval: Approval) -> Sentence:
    """Returns what was decided, and by whom."""
    name = " ".join("".join(map(visible, approval.decided_name or approval.decided_by)).split())[:MAX_NAME_CHARS]
    match approval.decision:
        case Decision.APPROVED:
            return sentence("Approved by {name}.", name=literal(name))
        case Decision.DENIED:
            return sentence("Denied by {name}.", name=literal(name))
        case Decision.EXPIRED:
            return sentence("Nobody has decided in time. It is not carried out.")
        case _:
            return sentence("Cancelled. It is not carried out.")


def labels(language: str) -> list[tuple[str, str]]:
    """Returns the buttons of a question: the beginning of each value, and what is written on it."""
    return [(action, say(label, language)) for action, label in LABELS.items()]
