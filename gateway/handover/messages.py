"""Makes the messages with which a conversation is handed over, answered in by a person, and given back. No I/O.

Each is recorded like any other message. So it has its place among them, is delivered once, and is there after a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.context import ChatContext
from gateway.domain.conversations import Conversation
from gateway.domain.errors import Conflict, MalformedRequest
from gateway.domain.files import File
from gateway.domain.models import PUSHED, STAFF, Message, MessageKind, Turn
from gateway.domain.visible_text import is_visible
from gateway.ports.audit_trail import AuditedAction
from gateway.ports.handovers import HAND_OVER_TEXT

ASSISTANT = f"{PUSHED}assistant"
"""``Message.caller`` when the assistant hands a conversation over."""
TIME = f"{PUSHED}time"
"""When its time is up."""
MAX_REASON_CHARS = 500
ACTIONS = {
    MessageKind.HAND_OVER: AuditedAction.CONVERSATION_TAKEN_OVER,
    MessageKind.PROMPT: AuditedAction.CONVERSATION_ANSWERED,
    MessageKind.RESUME: AuditedAction.CONVERSATION_GIVEN_BACK,
}
"""What the audit trail says of an operator who sends a message of this kind."""
RESUME_TEXT = "/resume"


def staff(name: str) -> str:
    """Returns ``Message.caller`` of a member of the staff."""
    return f"{STAFF}{' '.join(name.split())[:100] or 'operator'}"


def take_over(conversation: Conversation, turns: Sequence[Turn], caller: str, reason: str, name: str) -> Message:
    """Returns the message that hands a conversation over. ``turns``: its newest, oldest first.

    ``name``: the same one again is the same message. Raises Conflict when a person cannot take it over.
    """
    last = _last_message(turns)
    if last.options is not None and last.options.is_program:
        raise Conflict("A program asks in this conversation: no person can take it over.", code="no_handover")
    if conversation.handover is not None:
        raise Conflict("A person has taken this conversation over already.", code="handed_over")
    text = " ".join(reason.split())[:MAX_REASON_CHARS] or HAND_OVER_TEXT
    return _message(conversation, last, MessageKind.HAND_OVER, caller, text, name)


def answer(
    conversation: Conversation,
    turns: Sequence[Turn],
    caller: str,
    text: str,
    name: str,
    most: int,
    files: Sequence[File] = (),
) -> Message:
    """Returns the answer of a person, who has taken the conversation over. Raises Conflict, MalformedRequest.

    ``files``: those that the answer has, as ``passed_on`` returns them.
    """
    check_handed_over(conversation)
    if not is_visible(text):
        raise MalformedRequest("An answer must not be empty.", code="empty_message")
    if len(text) > most:
        raise MalformedRequest(f"An answer must have at most {most} characters.", code="message_too_long")
    made = _message(conversation, _last_message(turns), MessageKind.PROMPT, caller, "", name)
    return replace(made, given_reply=text, files=tuple(files))


def give_back(conversation: Conversation, turns: Sequence[Turn], caller: str, name: str) -> Message:
    """Returns the message that gives a conversation back to its assistant. Raises Conflict."""
    check_handed_over(conversation)
    return _message(conversation, _last_message(turns), MessageKind.RESUME, caller, RESUME_TEXT, name)


def check_handed_over(conversation: Conversation) -> None:
    """Raises Conflict when no person has taken the conversation over."""
    if conversation.handover is None:
        raise Conflict("The assistant answers in this conversation. Take it over first.", code="not_handed_over")


def last_answer_at(turns: Sequence[Turn]) -> float:
    """Returns when a member of the staff answered last; 0 if none of the turns is such an answer."""
    return max((each.received_at for each in turns if each.is_pushed_text and each.message.is_from_staff), default=0.0)


def _message(
    conversation: Conversation, last: Message, kind: MessageKind, caller: str, text: str, name: str
) -> Message:
    """Returns a message that is answered where, and in the language in which, a person wrote last.

    It is theirs, so that it is erased and exported with what they wrote.
    """
    context = ChatContext(language=last.language) if last.language else None
    return Message(
        *(conversation.key, f"handover:{name}", text, last.author, last.address, kind),
        caller=caller,
        context=context,
        may_start_conversation=False,
    )


def _last_message(turns: Sequence[Turn]) -> Message:
    """Returns the newest message of a person; else that of any turn. Raises Conflict when all are erased."""
    known = [each.message for each in reversed(turns) if each.erased_at is None]
    of_people = (each for each in known if not each.is_pushed)
    found = next(of_people, known[0] if known else None)
    if found is None:
        explanation = "All messages of this conversation are erased, so it is not known where to answer."
        raise Conflict(explanation, code="no_address")
    return found
