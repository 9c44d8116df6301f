"""Where the content of a file comes from: over HTTP, or from the disk of a Bot API server on the same machine."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import IO

import aiohttp
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError

from adapters.base.error_map import DEFAULT_RETRY_AFTER
from adapters.base.errors import Rejected
from adapters.telegram.errors import Reason
from gateway.ports.spool import FileWriter

PIECE_BYTES = 256 * 1024
NOT_ALLOWED = "the Bot API server keeps it on its own disk, and TELEGRAM_LOCAL_FILES does not allow that place"


def check_status(response: aiohttp.ClientResponse) -> None:
    """Raises TelegramError unless the response has the content of a file. Its body may be anything, so it is not read.

    A redirect is refused too: the token is in the URL.
    """
    status = response.status
    if status == HTTPStatus.OK:
        return
    raise _refusal(status)


def _refusal(status: int) -> TelegramError:
    message = f"status {status}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
        return InvalidToken(message)
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden(message)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RetryAfter(int(DEFAULT_RETRY_AFTER))
    return NetworkError(message) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else BadRequest(message)


async def copy_local_file(path: str, folder: str | None, writer: FileWriter) -> None:
    """Writes a file that a Bot API server in local mode names by its path (core.telegram.org/bots/api#file).

    ``folder``: the only one that is read from; None: there is none. Raises Rejected, and what ``writer`` raises.
    """
    if folder is None:
        raise Rejected(NOT_ALLOWED, reason=Reason.FILE)
    try:
        opened = await asyncio.to_thread(_open_within, Path(path), Path(folder))
    except OSError as exc:
        raise Rejected(f"it cannot be read from the disk: {exc.strerror}", reason=Reason.FILE) from exc
    with opened:
        while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
            await writer.write(piece)


def _open_within(path: Path, folder: Path) -> IO[bytes]:
    """Opens a file. Raises OSError, and Rejected for anything that is not a file below ``folder``."""
    found = path.resolve(strict=True)  # a link may lead elsewhere
    if not found.is_relative_to(folder.resolve()) or not found.is_file():
        raise Rejected(NOT_ALLOWED, reason=Reason.FILE)
    return found.open("rb")
