"""Files on their way through the process: not in memory, within their limits, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.coordination import file_spool
from gateway.coordination.file_spool import NO_ROOM, TOO_LARGE_TOGETHER, FileSpool, TurnSpool
from gateway.coordination.spooled_file import PIECE_BYTES
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Attachment, File
from gateway.ports.spool import Download, FileWriter
from tests.fakes.file_contents import ALL, read_all

TOO_LARGE = "it is larger than 1e-05 MB"
MB = 2**20


def brings(**contents: bytes) -> Download:
    async def download(file: File, writer: FileWriter) -> None:
        for at in range(len(contents[file.name])):
            await writer.write(contents[file.name][at : at + 1])

    return download


@pytest.fixture
def turn() -> Iterator[Callable[..., TurnSpool]]:
    opened: list[TurnSpool] = []

    def make(spool: FileSpool) -> TurnSpool:
        opened.append(spool.open_turn())
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def problems(attachments: Sequence[Attachment]) -> list[str]:
    return [one.problem for one in attachments]


async def test_a_large_file_is_on_disk_and_comes_back_whole_as_often_as_needed(tmp_path: Path) -> None:
    piece = bytes(range(256)) * 256

    async def download(file: File, writer: FileWriter) -> None:
        for _ in range(320):
            await writer.write(piece)

    spool = FileSpool(folder=str(tmp_path)).open_turn()
    tracemalloc.start()
    (one,) = await spool.receive([File("a", "1")], download, max_bytes=30 * MB)
    for _ in range(2):
        assert sum([len(part) async for part in one.content.pieces()]) == one.content.size == 20 * MB
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * MB
    assert one.content.head(300) == piece[:300]
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # it has no name, so nothing is left of it when the process dies
    spool.close()


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
async def test_every_size_comes_back_as_it_was(turn: Callable[..., TurnSpool], size: int) -> None:
    data = bytes(at % 251 for at in range(size))

    async def download(file: File, writer: FileWriter) -> None:
        await writer.write(data)

    (one,) = await turn(FileSpool()).receive([File("a", "1")], download, max_bytes=ALL)
    assert await read_all(one.content) == one.content.head(ALL) == data


@pytest.mark.parametrize("told", [0, 3])
async def test_a_file_that_never_ends_is_broken_off_at_its_limit(turn: Callable[..., TurnSpool], told: int) -> None:
    written = 0

    async def download(file: File, writer: FileWriter) -> None:
        nonlocal written
        while True:
            await writer.write(b"x")
            written += 1

    assert problems(await turn(FileSpool()).receive([File("a", "1", size=told)], download, max_bytes=10)) == [TOO_LARGE]
    assert written == 10


@pytest.mark.parametrize("size", [0, 4])
async def test_the_files_of_one_message_have_a_limit_together(turn: Callable[..., TurnSpool], size: int) -> None:
    files = [File(name, "1", size=size) for name in "abc"]
    spool = turn(FileSpool(max_message_bytes=10))
    got = await spool.receive(files, brings(a=b"1234", b=b"1234", c=b"1234"), max_bytes=10)
    assert sorted(problems(got)) == ["", "", TOO_LARGE_TOGETHER]
    assert sum(one.content.size for one in got) == 8


async def test_a_file_that_was_announced_as_too_large_is_not_fetched(turn: Callable[..., TurnSpool]) -> None:
    got = await turn(FileSpool()).receive(
        [File("a", "1", size=11), File("b", "1", size=1)], brings(b=b"x"), max_bytes=10
    )
    assert problems(got) == [TOO_LARGE, ""]


async def test_messages_wait_for_room_in_the_process(turn: Callable[..., TurnSpool]) -> None:
    spool = FileSpool(max_bytes=10)
    first, second = turn(spool), turn(spool)
    file = File("a", "1", size=6)
    await first.receive([file], brings(a=b"123456"), max_bytes=10)
    waiting = asyncio.create_task(second.receive([file], brings(a=b"123456"), max_bytes=10))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    first.close()
    assert problems(await waiting) == [""]


async def test_what_was_reserved_for_files_of_unknown_size_is_given_back(turn: Callable[..., TurnSpool]) -> None:
    spool = FileSpool(max_bytes=10)
    file = File("a", "1")
    for _ in range(3):
        assert problems(await turn(spool).receive([file], brings(a=b"123"), max_bytes=4)) == [""]


async def test_a_file_that_is_larger_than_it_said_counts_as_it_is(turn: Callable[..., TurnSpool]) -> None:
    spool = FileSpool(max_bytes=10)
    first = turn(spool)
    assert problems(await first.receive([File("a", "1", size=1)], brings(a=b"123456"), max_bytes=10)) == [""]
    waiting = asyncio.create_task(turn(spool).receive([File("b", "1", size=5)], brings(b=b"12345"), max_bytes=10))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    first.close()
    assert problems(await waiting) == [""]


async def test_without_room_for_long_a_message_goes_without_its_files(
    turn: Callable[..., TurnSpool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_spool, "MAX_WAIT", 0.0)
    spool = FileSpool(max_bytes=4)
    await turn(spool).receive([File("a", "1", size=4)], brings(a=b"1234"), max_bytes=10)
    assert problems(await turn(spool).receive([File("a", "1", size=1)], brings(a=b"1"), max_bytes=10)) == [NO_ROOM]


async def test_a_full_disk_is_a_problem_that_is_named(tmp_path: Path, turn: Callable[..., TurnSpool]) -> None:
    async def download(file: File, writer: FileWriter) -> None:
        await writer.write(bytes(PIECE_BYTES))

    spool = turn(FileSpool(folder=str(tmp_path / "gone")))
    (one,) = await spool.receive([File("a", "1")], download, max_bytes=ALL)
    assert (one.problem, one.content.size) == ("there is no room for it on this machine", 0)


def fails(error: Exception) -> Callable[[FileWriter], Awaitable[None]]:
    async def fetch(writer: FileWriter) -> None:
        raise error

    return fetch


async def test_one_file_of_a_reply_is_kept_for_the_time_of_its_sending() -> None:
    async def fetch(writer: FileWriter) -> None:
        await writer.write(b"1234")

    spool = FileSpool(max_bytes=4)
    for _ in range(2):
        with pytest.raises(DeliveryError, match="gone"):
            async with spool.kept(fails(DeliveryError("gone")), 4):
                pass
        async with spool.kept(fetch, 4) as content:
            assert content.head(ALL) == b"1234"
