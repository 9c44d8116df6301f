"""Sentences that the bot says in Slack without asking the assistant."""

from __future__ import annotations

from gateway.domain.models import MessageKind
from gateway.domain.sentences import Sentence, sentence

RESET_IN_THREADS = sentence(
    """\
Each thread is a conversation of its own: to begin a new one, write a message outside of the thread. To have me forget \
what was said in a thread, write `reset` there; in a channel, mention me with it."""
)
CHOOSE_IN_THREADS = sentence(
    """\
Each thread is a conversation of its own: to have another assistant answer in one, mention me there with `assistant` \
and its name; `assistants` lists those you can choose."""
)
HANDOVER_IN_THREADS = sentence(
    """\
Each thread is a conversation of its own: to have a person answer in one, mention me there with `human`; `resume` has \
the assistant answer again."""
)
IN_THREADS = {
    MessageKind.RESET: RESET_IN_THREADS,
    MessageKind.CHOOSE: CHOOSE_IN_THREADS,
    MessageKind.HAND_OVER: HANDOVER_IN_THREADS,
    MessageKind.RESUME: HANDOVER_IN_THREADS,
}
"""What is said to a command that names no thread, where each is a conversation."""
REMEMBERED = {
    "topic": sentence("I remember what was said in a thread; a new message begins a new one."),
    "channel": sentence("I remember what was said to me in a channel, whoever said it."),
    "user": sentence("I remember what you said to me in a channel, and nobody else's words."),
}
"""By ``SLACK_SCOPE``."""


def help_text(scope: str) -> Sentence:
    """Returns what the bot says of itself. ``scope``: as ``SLACK_SCOPE``."""
    return sentence(
        """\
I pass on what you write to an assistant, and bring its reply.
• Write to me directly, or mention me in a channel. {scope}
• Attach images or documents, if that is what it is about.
• `stop`, or the Stop button, ends what I am working on (so does `cancel`, while I am). `reset` makes me \
forget what was said; in a channel, mention me with it.
• As long as I have not begun with a message, you can edit it, or delete it.""",
        scope=REMEMBERED[scope],
    )
