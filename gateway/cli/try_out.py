"""Asks the assistant as a message would, so that ``check`` can tell what its server refuses."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Sequence
from contextlib import aclosing, suppress

from gateway.domain.errors import AssistantError
from gateway.domain.exchange import Exchange
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from gateway.domain.run_events import RunCompleted
from gateway.ports.assistant import Assistant, AttachmentLoader, no_attachments
from gateway.ports.check import CheckResult

TEST_SECONDS = 60.0
TEST_TEXT = "This is a test of the connection. Answer with one word: OK"
IMAGE_SIDE = 64
"""Pixels: smaller images are refused by some servers."""


async def try_out(assistant: Assistant, *, with_image: bool) -> Sequence[CheckResult]:
    """Sends a message, and one with an image, each in a thread of its own. What is refused, the assistant notes.

    Returns a failed result if the message is not answered; a model without images is no failure. Raises nothing.
    """
    problem = await _problem_of(assistant, no_attachments)
    if problem:
        return (CheckResult("test message", ok=False, detail=problem),)
    if with_image:
        await _problem_of(assistant, _image)
    return (CheckResult("test message", ok=True, detail="answered"),)


async def _problem_of(assistant: Assistant, attachments: AttachmentLoader) -> str:
    """Returns why a message is not answered; empty if it is."""
    try:
        async with asyncio.timeout(TEST_SECONDS):
            thread = await assistant.create_thread(())
            try:
                turn = await _turn(attachments)
                async with aclosing(assistant.run(turn, thread, _no_history, attachments)) as run:
                    answered = [isinstance(event, RunCompleted) async for event in run]
            finally:
                with suppress(AssistantError):
                    await assistant.delete_thread(thread)
    except AssistantError as exc:
        return str(exc)
    except TimeoutError:
        return f"no answer within {TEST_SECONDS:g} s"
    return "" if any(answered) else "the run ended without an answer"


async def _turn(attachments: AttachmentLoader) -> Turn:
    files = tuple(one.file for one in await attachments())
    message = Message(ConversationKey("check"), "check", TEST_TEXT, files=files)
    return Turn(TurnId("check"), 0, 1, message, TurnState.RUNNING)


async def _no_history() -> Sequence[Exchange]:
    return ()


async def _image() -> Sequence[Attachment]:
    content = _white_png(IMAGE_SIDE)
    return (Attachment(File("white.png", "check", "image/png", len(content)), BytesContent(content)),)


def _white_png(side: int) -> bytes:
    """Returns a white image (www.w3.org/TR/png, 8 bits of grey a pixel)."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\xff" * side) * side)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
