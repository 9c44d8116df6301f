"""What the core expects of an assistant backend. All async, on the worker's loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol

from gateway.domain.exchange import Exchange
from gateway.domain.files import Attachment, File
from gateway.domain.models import RunId, ThreadId, Turn
from gateway.domain.run_events import RunEvent, UsageCounted
from gateway.ports.check import CheckResult
from gateway.ports.spool import FileWriter

HistoryLoader = Callable[[], Awaitable[Sequence[Exchange]]]
"""Loads the exchanges before a turn, oldest first. Called by a backend that needs them."""


AttachmentLoader = Callable[[], Awaitable[Sequence[Attachment]]]
"""Fetches the files of a turn's message, one Attachment per file, in order. Called by a backend that needs them.
Raises nothing."""


async def no_attachments() -> Sequence[Attachment]:
    """Returns none: the loader for a message without files."""
    return ()


class Assistant(Protocol):
    """A backend that reaches an assistant. All async. Every method may do I/O and raises only AssistantError."""

    name: str
    description: str
    """For people: the backend, its model and its address. Contains no secrets."""
    model: str
    """The configured model; empty if there is none."""
    is_metered: bool
    """Whether its runs use tokens. If so, a run that the server did not count is charged as an estimate."""
    resumes_runs: bool
    """Whether a run outlives its caller, so that ``resume`` goes on with it. If not, ``resume`` pays a second run."""

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:
        """Creates a thread that contains these exchanges, oldest first. ``is_kept``: it may have several turns."""
        ...

    def run(
        self, turn: Turn, thread_id: ThreadId, history: HistoryLoader, attachments: AttachmentLoader = no_attachments
    ) -> AsyncGenerator[RunEvent, None]:
        """Posts the message and runs the assistant on it, without checking the thread: no earlier attempt posted it.

        What the message's ``options`` ask and the backend cannot do is refused by name (``unsupported``).

        Yields RunStarted as soon as the run has an id (again if the id changes), then preview events, and RunCompleted
        last. An iterator that ends without RunCompleted has raised. Closing it early leaves the run at the backend
        active; ``cancel_run`` stops it.
        """
        ...

    def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        """Completes an earlier attempt without posting the message to the thread twice.

        With a run id it attaches to that run. Without one it looks in the thread for what the attempt left there, and
        posts only if it left nothing. Yields as ``run`` does.
        """
        ...

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        """Stops a run at the backend; no error if it has ended already."""
        ...

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> UsageCounted | None:
        """Returns what the server counted for a run that was cancelled or lost; waits for its end if it goes on.

        None if the server does not know the run, or did not count it.
        """
        ...

    async def fetch_file(self, file: File, writer: FileWriter) -> None:
        """Writes the content of a file of a reply. Raises AssistantRefused when it no longer exists or is too large."""
        ...

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:
        """Returns the newest 100 exchanges of a thread created elsewhere, oldest first. None: no such thread."""
        ...

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        """Adds a turn's reply, which no run wrote, to a thread as the assistant's. Called again, it adds nothing.

        ``before``: messages without a reply, which no run was asked, to be added before it.
        """
        ...

    async def delete_thread(self, thread_id: ThreadId) -> None:
        """Deletes a thread at the backend; no error if it does not exist."""
        ...

    async def check(self) -> Sequence[CheckResult]:
        """Checks that the backend answers, with the smallest request that proves it. Raises nothing."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...
