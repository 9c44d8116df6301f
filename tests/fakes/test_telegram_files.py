"""Files in the fake Telegram, sent by users and by a bot."""

from __future__ import annotations

import aiohttp
import pytest
from telegram import Bot, MessageEntity
from telegram.error import BadRequest

from tests.fakes.telegram_files import MAX_DOWNLOAD_BYTES
from tests.fakes.telegram_messages import TOKEN, USER
from tests.fakes.telegram_server import FakeTelegram

PNG = b"\x89PNG\r\n\x1a\n and so on"


async def fetched(bot: Bot, file_id: str) -> bytes:
    return bytes(await (await bot.get_file(file_id)).download_as_bytearray())


async def test_a_bot_can_download_files_of_users(telegram: FakeTelegram, bot: Bot) -> None:
    photo, notes = telegram.add_file(PNG), telegram.add_file(b"%PDF", "notes.pdf", kind="document")
    voice = telegram.add_file(b"OggS", "voice.oga", kind="voice", mime_type="audio/ogg")
    telegram.user_says("look @gateway_bot", photo=photo)
    telegram.user_says(document=notes)
    telegram.user_says(voice=voice)
    told = [found["message"] for found in telegram.pending_updates()]
    assert (told[0]["caption"], told[0]["caption_entities"][0]["type"]) == ("look @gateway_bot", "mention")
    assert await fetched(bot, told[0]["photo"][-1]["file_id"]) == PNG
    assert await fetched(bot, told[1]["document"]["file_id"]) == b"%PDF"
    assert await fetched(bot, told[2]["voice"]["file_id"]) == b"OggS"
    assert [shown.files for shown in telegram.messages()] == [(photo,), (notes,), (voice,)]


async def test_a_file_that_is_too_large_cannot_be_downloaded(telegram: FakeTelegram, bot: Bot) -> None:
    largest = telegram.add_file(b"x", "a.bin", kind="document", size=MAX_DOWNLOAD_BYTES)
    larger = telegram.add_file(b"x", "a.bin", kind="document", size=MAX_DOWNLOAD_BYTES + 1)
    assert await fetched(bot, largest.id) == b"x"
    with pytest.raises(BadRequest, match="File is too big"):
        await bot.get_file(larger.id)
    with pytest.raises(BadRequest, match="Wrong file_id"):
        await bot.get_file("nothing")


async def test_a_download_needs_the_token(telegram: FakeTelegram) -> None:
    file = telegram.add_file(PNG)
    paths = [(f"{TOKEN}/photos/{file.id}.jpg", 200), (f"{TOKEN}/photos/none.jpg", 404)]
    paths += [(f"{TOKEN}/documents/{file.id}.jpg", 404), (f"123456:wrong/photos/{file.id}.jpg", 401)]
    async with aiohttp.ClientSession() as session:
        for path, status in paths:
            async with session.get(f"{telegram.base_file_url}{path}") as answer:
                assert answer.status == status


async def test_a_bot_can_send_files_with_captions(telegram: FakeTelegram, bot: Bot) -> None:
    theirs = telegram.user_says("hi")
    sent = await bot.send_photo(
        USER, PNG, caption="a cat", caption_entities=[MessageEntity("bold", 2, 3)], reply_to_message_id=theirs
    )
    await bot.send_document(USER, b"a,b", filename="table.csv")
    photo, table = telegram.bot_messages()
    assert (photo.text, photo.entities[0]["offset"], photo.reply_to) == ("a cat", 2, theirs)
    assert (photo.files[0].content, photo.files[0].kind) == (PNG, "photo")
    assert (table.files[0].name, table.files[0].content, table.files[0].mime_type) == ("table.csv", b"a,b", "text/csv")
    assert await fetched(bot, sent.photo[-1].file_id) == PNG
    with pytest.raises(BadRequest, match="There is no text in the message to edit"):
        await bot.edit_message_text("x", USER, sent.message_id)


async def test_invalid_and_too_large_files_are_refused(telegram: FakeTelegram, bot: Bot) -> None:
    with pytest.raises(BadRequest, match=r"(?i)image_process_failed"):
        await bot.send_photo(USER, b"not a picture")
    with pytest.raises(BadRequest, match="is too big for a photo"):
        await bot.send_photo(USER, PNG.ljust(10 * 1024 * 1024 + 1))
    with pytest.raises(BadRequest, match=r"(?i)file must be non-empty"):
        await bot.send_document(USER, b"")
    with pytest.raises(BadRequest, match="Message caption is too long"):
        await bot.send_photo(USER, PNG, caption="x" * 1025)
    assert telegram.messages() == []
