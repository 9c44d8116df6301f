"""The backend: it repeats what is said, with a number that counts the messages of the conversation."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from gateway.assistants import SharedValues
from gateway.assistants.tool_calls import FunctionCall, held_calls, run_calls
from gateway.domain.errors import AssistantRefused, SettingsError
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import NO_TOKENS, RunId, ThreadId, Turn
from gateway.domain.run_events import CallsHeld, RunCompleted, RunEvent, RunStarted, TextDelta
from gateway.ports.assistant import Assistant, AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.spool import FileWriter
from gateway.settings import Settings
from gateway.tools import ToolBox, ToolResult


def build(settings: Settings, toolbox: ToolBox, _: SharedValues) -> Assistant:
    """Returns the backend; a package says itself what it needs and what it does not take."""
    if settings.openai_temperature is not None:
        raise SettingsError("The backend parrot takes no OPENAI_TEMPERATURE.")
    return Parrot(toolbox)


class Parrot:
    """It calls a tool where it is told to: ``call refund {"order": 1}``."""

    name = "parrot"
    description = "a parrot"
    model = ""
    is_metered = False
    resumes_runs = False

    def __init__(self, toolbox: ToolBox) -> None:
        self._toolbox = toolbox

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:  # each run gets it
        return ThreadId(f"parrot_{secrets.token_hex(12)}")

    async def run(
        self,
        turn: Turn,
        thread_id: ThreadId,  # nothing is stored
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,  # not read
    ) -> AsyncGenerator[RunEvent, None]:
        yield RunStarted(RunId(f"parrot_{turn.id}"))
        reply = f"{len(await history()) + 1}: {turn.message.text}!"
        if turn.options.outputs:  # of calls that people have decided about
            reply = ", ".join(each.output for each in turn.options.outputs)
        elif turn.message.text.startswith("call "):
            _, name, *arguments = turn.message.text.split(" ", 2)
            calls = [FunctionCall(f"call_{turn.id}", name, "".join(arguments) or "{}")]
            outputs = dict[str, ToolResult]()
            if held := held_calls(self._toolbox, calls):
                yield CallsHeld(held, "", (), NO_TOKENS, self.model)
                return
            async with aclosing(run_calls(self._toolbox, calls, outputs)) as events:
                async for event in events:
                    yield event
            reply = outputs[calls[0].id].text
        yield TextDelta(reply)
        yield RunCompleted(reply)

    def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,  # an earlier run left nothing
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        return self.run(turn, thread_id, history, attachments)

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        """Does nothing: no run outlives its caller."""

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> None:
        """Returns None: nothing is counted."""

    async def fetch_file(self, file: File, writer: FileWriter) -> None:  # nothing is written
        raise AssistantRefused(f"a parrot makes no files: {file.name}")

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:  # none elsewhere
        return None

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        """Does nothing: each run gets the history."""

    async def delete_thread(self, thread_id: ThreadId) -> None:
        """Does nothing: nothing is stored."""

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult("parrot", ok=True),)

    async def close(self) -> None:
        """Does nothing: no connection is open."""
