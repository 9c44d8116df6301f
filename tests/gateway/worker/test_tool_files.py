"""A file that a tool returned comes with the reply, also when a process died in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard, lease_clock
from gateway.domain.approvals import HeldCall
from gateway.domain.conversations import Claim
from gateway.domain.errors import AssistantRefused, AssistantUnavailable
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import DEFAULT_ASSISTANT, ConversationKey, Message, TurnId
from gateway.domain.run_events import PreviewEvent, RunCompleted, ToolCall
from gateway.observability.metrics import Metrics
from gateway.ports.leased_writes import ReleaseLease
from gateway.worker.answering.assistant_runner import AssistantRunner
from gateway.worker.answering.assistants import RunningAssistant
from gateway.worker.answering.tool_files import MAX_FILES, KeptFiles
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue_one
from tests.fakes.assistant import AssistantStep, FakeAssistant
from tests.gateway.turn_factory import TURN


class MemoryFiles:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[TurnId, File, bytes]] = {}

    def keep(self, turn_id: TurnId, file: File, content: bytes) -> None:
        self.kept.setdefault(file.reference, (turn_id, file, content))

    def of_turn(self, turn_id: TurnId) -> Sequence[File]:
        return [file for of, file, _ in self.kept.values() if of == turn_id]

    def content(self, reference: str) -> bytes | None:
        return self.kept[reference][2] if reference in self.kept else None


class Written:
    data, size = b"", 0

    async def write(self, piece: bytes) -> None:
        self.data += piece


class Studio:
    """One turn at an assistant that draws with a tool."""

    def __init__(self, store: SqlStore, executor: ThreadPoolExecutor) -> None:
        self.assistant = FakeAssistant()
        self.shown: list[PreviewEvent] = []
        self._store, self._journal = store, AsyncStore(store, executor)
        self.kept = KeptFiles(MemoryFiles(), executor)
        runner = AssistantRunner(
            self._journal, self.assistant, Metrics(), max_retries=0, retry_delay=0.0, tool_files=self.kept
        )
        self.running = RunningAssistant(DEFAULT_ASSISTANT, self.assistant, runner, tool_files=self.kept)
        recorded = enqueue_one(store, Message(ConversationKey("fake"), "1", "draw"), TurnId("turn_1"), owner="me")
        assert recorded.claim is not None
        self._claim: Claim = recorded.claim

    async def answer(self, *steps: AssistantStep) -> RunCompleted:
        """Returns the reply of an assistant that does this."""
        self.assistant.script(*steps)
        guard = LeaseGuard(self._journal, self._claim, lease_seconds=60.0, requested_at=lease_clock())
        runner = self.running.runner
        return await runner.run_turn(runner.attempt(guard, self.shown.append))

    def die(self) -> None:
        """Leaves the turn to another process."""
        self._store.apply_writes([ReleaseLease(self._claim.lease)])
        (self._claim,) = self._store.claim("other", ["fake"], 1)


def drawn(content: bytes = b"png", number: int = 1) -> ToolCall:
    files = (Attachment(File("chart.png", "", "image/png"), BytesContent(content)),)
    return ToolCall(f"{number}", "chart", output="drawn", done=True, files=files)


@pytest.fixture
def studio(sqlite_store: SqlStore) -> Iterator[Studio]:
    with ThreadPoolExecutor(1) as executor:
        yield Studio(sqlite_store, executor)


async def test_the_reply_has_the_file_and_its_content_is_fetched(studio: Studio) -> None:
    reply = await studio.answer(drawn(), RunCompleted("Here."))
    assert [event.files for event in studio.shown if isinstance(event, ToolCall)] == [()]
    (file,) = reply.files
    assert (file.name, file.media_type, file.size) == ("chart.png", "image/png", 3)
    written = Written()
    await studio.running.fetch_file(file, written)
    assert written.data == b"png"
    with pytest.raises(AssistantRefused, match="deleted"):
        await studio.running.fetch_file(File("x.png", "tool x"), written)


async def test_a_file_that_the_assistant_made_itself_is_fetched_there(studio: Studio) -> None:
    studio.assistant.files["file-1"] = b"plot"
    reply = await studio.answer(drawn(), RunCompleted("Here.", files=(File("plot.png", "file-1"),)))
    assert [file.name for file in reply.files] == ["plot.png", "chart.png"]
    written = Written()
    await studio.running.fetch_file(reply.files[0], written)
    assert written.data == b"plot"


@pytest.mark.parametrize("again", [(), (drawn(),)], ids=["not drawn again", "drawn again"])
async def test_a_file_of_an_attempt_that_died_comes_once(studio: Studio, again: Sequence[ToolCall]) -> None:
    with pytest.raises(AssistantUnavailable):
        await studio.answer(drawn(), AssistantUnavailable("gone"))
    studio.die()
    assert len((await studio.answer(*again, RunCompleted("Here."))).files) == 1


async def test_there_are_only_so_many_files(studio: Studio) -> None:
    calls = [drawn(b"%d" % number, number) for number in range(MAX_FILES + 3)]
    assert len((await studio.answer(*calls, RunCompleted("Here."))).files) == MAX_FILES


async def test_the_files_of_tools_that_people_approved_are_kept(studio: Studio) -> None:
    async def run(_: Sequence[HeldCall]) -> AsyncGenerator[ToolCall, None]:
        yield drawn()

    assert [event.files async for event in studio.kept.kept_from(run)(TURN, ())] == [()]
    assert [file.name for file in await studio.kept.of_turn(TURN)] == ["chart.png"]


async def test_closing_gives_up_what_it_held(studio: Studio) -> None:
    closed: list[bool] = []
    studio.running.on_close = lambda: closed.append(True)
    await studio.running.close()
    assert closed == [True]
    assert studio.assistant.closed
