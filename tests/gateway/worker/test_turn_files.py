"""Files of a turn after a death over them: the next attempt goes without, and says so to both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import ConversationKey, Message, RunId, Turn, TurnId, TurnState
from gateway.ports.spool import FileWriter, Spool
from gateway.worker.turns.turn_files import LEFT_OUT, LEFT_OUT_NOTICE, may_have_died_over_files
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue_one
from tests.fakes.assistant import FakeAssistant
from tests.fakes.platform import FakePlatform
from tests.gateway.worker_process import MAX_REPLY_CHARS, Start

FILE = File("photo.png", "ref")
LOOK = replace(FakePlatform().message("look"), files=(FILE,))


def dies(url: str, times: int, message: Message = LOOK) -> None:
    """Lets processes claim a turn and die."""
    store = SqlStore(url, lease_seconds=0.0)
    enqueue_one(store, message, TurnId("turn_1"))
    for number in range(times):
        assert len(store.claim(f"victim {number}", ["fake"], 1)) == 1
    store.close()


@pytest.mark.parametrize("times", [1, 2])
def test_after_a_death_over_them_files_are_left_out(
    start: Start, sqlite_url: str, assistant: FakeAssistant, times: int
) -> None:
    dies(sqlite_url, times)
    process = start()
    process.platform.attachments = [Attachment(FILE, BytesContent(b"pixels"))]
    (turn,) = process.platform.wait_for(1)
    assert turn.reply == f"You said: look\n\n{LEFT_OUT_NOTICE}"
    assert assistant.attached == [Attachment(FILE, problem=LEFT_OUT)]


def test_the_next_message_brings_its_files_again(start: Start, sqlite_url: str, assistant: FakeAssistant) -> None:
    dies(sqlite_url, 1)
    process = start()
    process.platform.attachments = [Attachment(FILE, BytesContent(b"pixels"))]
    process.platform.wait_for(1)
    process.inbox.accept(replace(LOOK, message_id="again"))
    _, second = process.platform.wait_for(2)
    assert second.reply == "You said: look"
    assert assistant.attached[-1].content == BytesContent(b"pixels")


def test_a_message_without_files_says_nothing_of_files(start: Start, sqlite_url: str) -> None:
    dies(sqlite_url, 1, FakePlatform().message("hello"))
    process = start()
    (turn,) = process.platform.wait_for(1)
    assert turn.reply == "You said: hello"


def test_files_that_reached_the_assistant_are_suspected_at_the_second_death_only() -> None:
    message = Message(ConversationKey("fake"), "1", "look", files=(FILE,))
    turn = Turn(TurnId("t"), 1, 1, message, TurnState.RUNNING, attempts=1)
    assert not may_have_died_over_files(turn)
    assert may_have_died_over_files(replace(turn, attempts=2))
    assert not may_have_died_over_files(replace(turn, attempts=2, run_id=RunId("run_1")))
    assert may_have_died_over_files(replace(turn, attempts=3, run_id=RunId("run_1")))


def test_files_are_fetched_once_and_deleted_when_the_turn_ends(
    start: Start, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start()
    kept: list[Attachment] = []

    async def download(file: File, writer: FileWriter) -> None:
        await writer.write(b"pixels")

    async def fetch(turn: Turn, spool: Spool) -> Sequence[Attachment]:
        kept.extend(await spool.receive(turn.message.files, download, max_bytes=10))
        assert kept[-1].content.head(9) == b"pixels"
        return kept

    monkeypatch.setattr(process.platform, "fetch_attachments", fetch)
    process.inbox.accept(LOOK)
    process.platform.wait_for(1)
    assert [one.content.size for one in kept] == [0]


def test_a_long_reply_is_cut_before_it_is_stored(start: Start) -> None:
    process = start()
    turn = process.say("x" * MAX_REPLY_CHARS)
    process.platform.wait_for(1)
    stored = process.stored(turn)
    assert stored.reply.startswith("You said: xxx")
    assert "was cut off here" in stored.reply
    assert len(stored.reply) < MAX_REPLY_CHARS + 100
