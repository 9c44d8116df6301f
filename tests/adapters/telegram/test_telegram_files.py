"""Files in both directions: every way in which one is not to be had, and what Telegram shows of what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.base.errors import OutcomeUnknown, Rejected, Unreachable
from adapters.telegram import files
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.errors import Reason
from adapters.telegram.files import fetch, upload
from adapters.telegram.reply_target import TelegramTarget
from adapters.telegram.settings import TelegramSettings
from gateway.coordination.file_spool import CONCURRENT_DOWNLOADS
from gateway.domain.files import BytesContent, File
from gateway.domain.models import ConversationKey, Message
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.discarding_server import DiscardingServer
from tests.fakes.file_contents import BytesWriter, Fetched, LargeContent, fetched_by, little_memory
from tests.fakes.raw_server import RawServer
from tests.fakes.telegram_files import MAX_DOWNLOAD_BYTES
from tests.fakes.telegram_messages import TOKEN, USER
from tests.fakes.telegram_server import (
    FakeTelegram,
    HangingCall,
    HttpStatus,
    RateLimit,
    ResponseLost,
    TelegramErrorFault,
)

PNG = b"\x89PNG\r\n\x1a\n picture"
HERE = TelegramTarget(str(USER), type="private")


async def unannounced() -> None:
    """Stands for saving that a file is about to be sent."""


LIMIT = 1000
MADE = File("chart.png", "file-1", "image/png")
PLAIN = replace(MADE, media_type="")


@pytest.fixture
def server(running: FakeTelegram) -> Iterator[FakeTelegram]:
    yield running
    running.faults.clear()


@pytest.fixture
async def calls(server: FakeTelegram) -> AsyncIterator[TelegramClient]:
    calls = TelegramClient(TelegramSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=server.url))
    yield calls
    await calls.close()


async def get(calls: TelegramClient, *kept: File, limit: int = LIMIT) -> list[Fetched]:
    message = Message(ConversationKey("telegram"), "1", "see", files=kept)
    return await fetched_by(lambda spool: fetch(calls, message, spool, limit))


# ---------------------------------------------------------------- what people attach


async def test_files_come_in_order_as_they_are(server: FakeTelegram, calls: TelegramClient) -> None:
    contents = [b"one", b"", bytes(range(256)), b"four"]
    kept = [server.add_file(content, f"{at}.bin", kind="document") for at, content in enumerate(contents)]
    given = [File(each.name, each.id) for each in kept]
    got = await get(calls, *given)
    assert [(one.file, one.content, one.problem) for one in got] == [
        (file, content, "") for file, content in zip(given, contents, strict=True)
    ]


async def test_a_voice_note_keeps_its_type(server: FakeTelegram, calls: TelegramClient) -> None:
    kept = server.add_file(b"OggS", "note.oga", kind="voice", mime_type="audio/ogg")
    (got,) = await get(calls, File("voice.ogg", kept.id, "audio/ogg", 4))
    assert (got.content, got.file.media_type) == (b"OggS", "audio/ogg")


async def test_only_a_few_files_are_fetched_at_a_time(server: FakeTelegram, calls: TelegramClient) -> None:
    kept = [server.add_file(b"x", f"{at}.bin", kind="document") for at in range(8)]
    server.faults.add("getFile", HangingCall(times=None))
    getting = asyncio.ensure_future(get(calls, *(File(each.name, each.id) for each in kept)))
    await server.wait_until_async(lambda: server.faults.hanging == CONCURRENT_DOWNLOADS)
    server.faults.release()
    assert [one.problem for one in await getting] == [""] * 8


@pytest.mark.parametrize(
    ("size", "told", "content", "asked"),
    [(5000, 5000, b"", 0), (0, None, b"x" * 1001, 1), (0, 5000, b"x", 1), (0, 3, b"x" * 1001, 1)],
)
async def test_a_file_over_the_limit_is_not_taken(
    server: FakeTelegram, calls: TelegramClient, size: int, told: int | None, content: bytes, asked: int
) -> None:
    kept = server.add_file(content, "a.bin", kind="document", size=told)
    before = len(server.calls("getFile"))
    (got,) = await get(calls, File("a.bin", kept.id, size=size))
    assert (got.content, got.problem) == (b"", "it is larger than 0.001 MB")
    assert len(server.calls("getFile")) == before + asked


async def test_what_telegram_does_not_hand_out_says_so(server: FakeTelegram, calls: TelegramClient) -> None:
    kept = server.add_file(b"x", "a.bin", kind="document", size=MAX_DOWNLOAD_BYTES + 1)
    gone, large = await get(calls, File("gone.bin", "BQAC-none"), File("a.bin", kept.id), limit=10**9)
    assert "wrong file_id" in gone.problem.lower()
    assert "file is too big" in large.problem.lower()


@pytest.mark.parametrize("fault", [HttpStatus(500), ResponseLost(), RateLimit(3), TelegramErrorFault(401)], ids=str)
async def test_a_file_that_fails_says_so_and_holds_up_no_other(
    server: FakeTelegram, calls: TelegramClient, fault: HttpStatus | ResponseLost | RateLimit | TelegramErrorFault
) -> None:
    kept = server.add_file(b"x", "a.bin", kind="document")
    server.faults.add("getFile", fault)
    got = await get(calls, *[File("a.bin", kept.id)] * 2)
    assert sorted(one.content for one in got) == [b"", b"x"]
    assert [bool(one.problem) for one in got] == [not one.content for one in got]


async def test_content_that_is_gone_or_broken_off_says_so() -> None:
    async with RawServer() as raw:
        calls = TelegramClient(
            TelegramSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=f"http://127.0.0.1:{raw.port}")
        )
        for _ in range(2):
            raw.add_response(b'{"ok": true, "result": {"file_id": "f", "file_unique_id": "u", "file_path": "a/b.c"}}')
            raw.add_response(b'{"ok": false, "description": "Not Found"}', status="404 Not Found")
        raw.add_response(b'{"ok": true, "result": {"file_id": "f", "file_unique_id": "u"}}')
        with pytest.raises(Rejected, match="it is gone") as caught:
            await calls.download("f", BytesWriter(), LIMIT)
        assert caught.value.reason is Reason.FILE
        first, second = [*await get(calls, File("a", "f")), *await get(calls, File("a", "f"))]
        assert "gone" in first.problem
        assert "Telegram" in second.problem
        await calls.close()


# ---------------------------------------------------------------- what the assistant made


async def test_a_picture_is_shown_as_one(server: FakeTelegram, calls: TelegramClient) -> None:
    delivery = FakeDeliveryContext()
    number = await upload(calls, HERE, delivery, unannounced, MADE, BytesContent(PNG))
    shown = server.bot_messages()[-1]
    assert str(shown.message_id) == number
    assert [(file.kind, file.name, file.content) for file in shown.files] == [("photo", "chart.png", PNG)]
    assert delivery.acquired[0] == f"telegram:{calls.bot_id}:chat:{USER}"


async def test_a_name_that_could_break_the_form_is_made_harmless(server: FakeTelegram, calls: TelegramClient) -> None:
    await upload(
        calls, HERE, FakeDeliveryContext(), unannounced, replace(MADE, name='ü "a"\r\nb.png'), BytesContent(PNG)
    )
    (file,) = server.bot_messages()[-1].files
    assert file.name == "ü %22a%22__b.png"


@pytest.mark.parametrize(
    ("made", "content"),
    [
        (File("a.csv", "f", "text/csv"), b"a,b"),
        (File("a.gif", "f", "image/gif"), b"GIF89a"),
        (File("a.svg", "f", "image/svg+xml"), b"<svg/>"),
        (File("a.png", "f", "image/png"), b"no picture at all"),
    ],
)
async def test_anything_else_goes_as_a_document(
    server: FakeTelegram, calls: TelegramClient, made: File, content: bytes
) -> None:
    assert await upload(calls, HERE, FakeDeliveryContext(), unannounced, made, BytesContent(content))
    assert [(file.kind, file.name, file.content) for file in server.bot_messages()[-1].files] == [
        ("document", made.name, content)
    ]


async def test_a_large_picture_goes_as_a_document(
    server: FakeTelegram, calls: TelegramClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_PHOTO_BYTES", len(PNG) - 1)
    await upload(calls, HERE, FakeDeliveryContext(), unannounced, MADE, BytesContent(PNG))
    assert server.bot_messages()[-1].files[0].kind == "document"


async def test_it_goes_into_its_topic(server: FakeTelegram, calls: TelegramClient) -> None:
    server.add_topic(-1009, 77)
    await upload(
        calls,
        TelegramTarget("-1009", "77"),
        FakeDeliveryContext(),
        unannounced,
        replace(MADE, media_type=""),
        BytesContent(PNG),
    )
    assert server.bot_messages(-1009, 77)[-1].files[0].name == "chart.png"


async def test_a_file_that_telegram_never_takes_is_declined(calls: TelegramClient) -> None:
    with pytest.raises(Rejected) as caught:
        await upload(calls, HERE, FakeDeliveryContext(), unannounced, File("a.txt", "f"), BytesContent())
    assert caught.value.reason is Reason.FILE
    assert caught.value.retry_after is None


async def test_who_is_blocked_is_not_asked_twice(server: FakeTelegram, calls: TelegramClient) -> None:
    server.faults.add("sendPhoto", TelegramErrorFault(403, "bot was blocked by the user"))
    before = len(server.calls("sendDocument"))
    with pytest.raises(Rejected) as caught:
        await upload(calls, HERE, FakeDeliveryContext(), unannounced, MADE, BytesContent(PNG))
    assert caught.value.reason is Reason.BLOCKED
    assert len(server.calls("sendDocument")) == before


async def test_a_lost_answer_is_unsure_and_nothing_is_sent_twice(server: FakeTelegram, calls: TelegramClient) -> None:
    before = len(server.bot_messages())
    server.faults.add("send*", ResponseLost())
    with pytest.raises(OutcomeUnknown):
        await upload(calls, HERE, FakeDeliveryContext(), unannounced, MADE, BytesContent(PNG))
    assert len(server.bot_messages()) == before + 1


async def test_where_nobody_is_nothing_was_sent() -> None:
    async with RawServer() as raw:
        url = f"http://127.0.0.1:{raw.port}"
    calls = TelegramClient(TelegramSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=url))
    with pytest.raises(Unreachable):
        await upload(calls, HERE, FakeDeliveryContext(), unannounced, MADE, BytesContent(PNG))
    await calls.close()


async def test_a_large_file_goes_to_telegram_without_being_in_memory() -> None:
    sent = {"ok": True, "result": {"message_id": 7, "date": 1, "chat": {"id": USER, "type": "private"}}}
    async with DiscardingServer(json.dumps(sent).encode()) as server:
        calls = TelegramClient(TelegramSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=server.url))
        with little_memory():
            assert await upload(calls, HERE, FakeDeliveryContext(), unannounced, PLAIN, LargeContent()) == "7"
        await calls.close()
    assert server.received > LargeContent().size


# ---------------------------------------------------------------- files on the disk of a Bot API server


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


def place(raw: RawServer, path: Path) -> None:
    told = {"ok": True, "result": {"file_id": "f", "file_unique_id": "u", "file_path": str(path)}}
    raw.add_response(json.dumps(told).encode())


async def read_from_disk(raw: RawServer, path: Path, folder: Path | None) -> Fetched:
    settings = TelegramSettings(
        telegram_bot_token=SecretStr(TOKEN),
        telegram_api_url=raw.url,
        telegram_local_files=str(folder) if folder else None,
    )
    calls = TelegramClient(settings)
    place(raw, path)
    (got,) = await get(calls, File("a", "f"))
    await calls.close()
    return got


async def test_a_local_path_is_read_only_below_the_folder_that_a_setting_names(raw: RawServer, tmp_path: Path) -> None:
    allowed, secret = tmp_path / "files", tmp_path / "secret"
    allowed.mkdir()
    secret.write_bytes(b"secret")
    (allowed / "a").write_bytes(b"content")
    (allowed / "link").symlink_to(secret)
    assert (await read_from_disk(raw, allowed / "a", allowed)).content == b"content"
    for path, folder in [(allowed / "a", None), (secret, allowed), (allowed / "link", allowed), (allowed, allowed)]:
        got = await read_from_disk(raw, path, folder)
        assert (got.content, "TELEGRAM_LOCAL_FILES" in got.problem) == (b"", True)
    assert "No such file" in (await read_from_disk(raw, allowed / "none", allowed)).problem


async def test_a_local_file_over_the_limit_is_broken_off(raw: RawServer, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (LIMIT + 1))
    assert (await read_from_disk(raw, tmp_path / "a", tmp_path)).problem == "it is larger than 0.001 MB"


async def test_a_relative_path_is_never_taken_from_the_disk(
    raw: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(b"secret")
    raw_answer = b"from the server"
    settings = TelegramSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=raw.url)
    calls = TelegramClient(settings)
    place(raw, Path("a"))
    raw.add_response(raw_answer)
    (got,) = await get(calls, File("a", "f"))
    await calls.close()
    assert got.content == raw_answer


async def test_content_that_never_ends_is_broken_off_while_it_streams(raw: RawServer) -> None:
    settings = TelegramSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=raw.url)
    calls = TelegramClient(settings)
    place(raw, Path("a"))
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    raw.answers.append(([head, *[b"2\r\nxx\r\n"] * LIMIT], False))  # and no end
    (got,) = await get(calls, File("a", "f"))
    await calls.close()
    assert got.problem == "it is larger than 0.001 MB"
