"""A file that a tool returned comes with the reply, also when a process died in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from gateway.domain.errors import AssistantRefused
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import ThreadId, TurnId
from gateway.domain.run_events import RunCompleted, RunEvent, ToolCall
from gateway.ports.assistant import Assistant
from gateway.worker.tool_files import MAX_FILES, AssistantWithToolFiles, KeptFiles
from tests.fakes.assistant import FakeAssistant
from tests.gateway.turn_factory import TURN

THREAD = ThreadId("t")


class MemoryFiles:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[TurnId, File, bytes]] = {}

    def keep(self, turn_id: TurnId, file: File, content: bytes) -> None:
        self.kept.setdefault(file.reference, (turn_id, file, content))

    def of_turn(self, turn_id: TurnId) -> Sequence[File]:
        return [file for of, file, _ in self.kept.values() if of == turn_id]

    def content(self, reference: str) -> bytes | None:
        return self.kept[reference][2] if reference in self.kept else None


class Drawing(FakeAssistant):
    """Draws with a tool, and answers."""

    drawn: Sequence[bytes] = (b"png",)

    async def run(self, *asked: Any) -> AsyncGenerator[RunEvent, None]:
        for number, content in enumerate(self.drawn):
            files = (Attachment(File("chart.png", "", "image/png"), BytesContent(content)),)
            yield ToolCall(f"{number}", "chart", output="drawn", done=True, files=files)
        yield RunCompleted("Here.")

    async def resume(self, *asked: Any) -> AsyncGenerator[RunEvent, None]:
        yield RunCompleted("Here.")


class Written:
    data, size = b"", 0

    async def write(self, piece: bytes) -> None:
        self.data += piece


@pytest.fixture
def kept() -> Iterator[KeptFiles]:
    with ThreadPoolExecutor(1) as executor:
        yield KeptFiles(MemoryFiles(), executor)


async def test_the_reply_has_the_file_and_its_content_is_fetched(kept: KeptFiles) -> None:
    assistant, turn = AssistantWithToolFiles(Drawing(), kept), TURN
    events = [event async for event in assistant.run(turn, THREAD, cast("Any", None))]
    assert [event.files for event in events if isinstance(event, ToolCall)] == [()]
    (file,) = cast("RunCompleted", events[-1]).files
    assert (file.name, file.media_type, file.size) == ("chart.png", "image/png", 3)
    written = Written()
    await assistant.fetch_file(file, written)
    assert written.data == b"png"
    with pytest.raises(AssistantRefused, match="deleted"):
        await assistant.fetch_file(File("x.png", "tool x"), written)


async def test_a_file_of_an_attempt_that_died_comes_once(kept: KeptFiles) -> None:
    assistant, turn = AssistantWithToolFiles(Drawing(), kept), TURN
    async for _ in assistant.run(turn, THREAD, cast("Any", None)):
        pass
    for again in (
        assistant.run(turn, THREAD, cast("Any", None)),
        assistant.resume(turn, THREAD, None, cast("Any", None)),
    ):
        *_, last = [event async for event in again]
        assert len(cast("RunCompleted", last).files) == 1


async def test_an_assistant_without_tools_still_has_the_files_of_an_attempt_that_died(kept: KeptFiles) -> None:
    async for _ in AssistantWithToolFiles(Drawing(), kept).run(TURN, THREAD, cast("Any", None)):
        pass
    assistant = AssistantWithToolFiles(Drawing(), kept, has_tools=False)
    *_, last = [event async for event in assistant.resume(TURN, THREAD, None, cast("Any", None))]
    assert len(cast("RunCompleted", last).files) == 1


async def test_there_are_only_so_many_files(kept: KeptFiles) -> None:
    drawing = Drawing()
    drawing.drawn = [b"%d" % number for number in range(MAX_FILES + 3)]
    *_, last = [event async for event in AssistantWithToolFiles(drawing, kept).run(TURN, THREAD, cast("Any", None))]
    assert len(cast("RunCompleted", last).files) == MAX_FILES


async def test_closing_gives_up_what_it_held(kept: KeptFiles) -> None:
    closed: list[bool] = []
    inner: Assistant = FakeAssistant()
    await AssistantWithToolFiles(inner, kept, lambda: closed.append(True)).close()
    assert closed == [True]
