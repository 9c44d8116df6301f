"""The backend ``offline``: no key, no network, no model. It explains that, and shows that the gateway works."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence

from gateway.domain.errors import AssistantRefused
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import Message, RunId, ThreadId, Turn
from gateway.domain.run_events import RunCompleted, RunEvent, RunStarted, TextDelta
from gateway.domain.sentences import Sentence, sentence
from gateway.languages import say
from gateway.ports.assistant import AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.spool import FileWriter

EXCERPT_CHARS = 80
EXPLANATION = sentence(
    "I am the offline assistant: there is no model behind me, I can only repeat. To talk to a real one, set "
    "OPENAI_API_KEY (or OPENAI_BASE_URL and OPENAI_MODEL for a server of your own), leave ASSISTANT_BACKEND out, "
    "and start the gateway again."
)


class OfflineBackend:
    """Replies at once, without a model."""

    name = "offline"
    description = "the offline assistant (no key is set)"
    model = ""
    is_metered = False
    resumes_runs = False

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:  # noqa: ARG002  # every run gets it anyway
        return ThreadId(f"offline_{secrets.token_hex(12)}")

    async def run(
        self,
        turn: Turn,
        thread_id: ThreadId,  # noqa: ARG002  # required by the port
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,  # noqa: ARG002  # not read
    ) -> AsyncGenerator[RunEvent, None]:
        yield RunStarted(RunId(f"offline_{turn.id}"))
        reply = compose_reply(turn.message, await history())
        for word in re.findall(r"\s*\S+\s*", reply):
            yield TextDelta(word)
        yield RunCompleted(reply)

    def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,  # noqa: ARG002  # an earlier run left nothing to resume
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self.run(turn, thread_id, history, attachments)

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        """Does nothing: no run outlives its caller."""

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> None:
        """Returns None: nothing is counted."""

    async def fetch_file(self, file: File, writer: FileWriter) -> None:  # noqa: ARG002  # nothing is written
        raise AssistantRefused(f"the offline assistant makes no files: {file.name}")

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:  # noqa: ARG002  # only the gateway itself creates these threads
        return None

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        """Does nothing: every run gets the history."""

    async def delete_thread(self, thread_id: ThreadId) -> None:
        """Does nothing: no data is stored."""

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult("assistant", ok=True, detail=self.description),)

    async def close(self) -> None:
        """Does nothing: no connection is open."""


def compose_reply(message: Message, history: Sequence[Exchange]) -> str:
    """Returns the reply to a message; it quotes the history to show that the conversation is remembered."""
    lines = (_read(message), _remembered(history))
    return "\n\n".join(" ".join(say(said, message.language) for said in line) for line in lines)


def _read(message: Message) -> Iterator[Sentence]:
    if message.text or not message.files:
        yield sentence("You said: {text}", text=_excerpt(message.text))
    if message.files:
        names = ", ".join(_excerpt(file.name) for file in message.files)
        yield sentence("You attached {names}, which I cannot look at.", names=names)


def _remembered(history: Sequence[Exchange]) -> Iterator[Sentence]:
    if not history:
        yield EXPLANATION
        return
    first, last = (_excerpt(each.text or each.reply) for each in (history[0], history[-1]))
    yield sentence("This is message {number} of our conversation.", number=len(history) + 1)
    if len(history) == 1:
        yield sentence("Before it you said: {text}", text=last)
    else:
        yield sentence("The first one was: {first} And the one before this: {last}", first=first, last=last)


def _excerpt(text: str) -> str:
    """Returns the text in one line of limited length, in quotation marks."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= EXCERPT_CHARS else line[: EXCERPT_CHARS - 1].rstrip() + '…'}”"
