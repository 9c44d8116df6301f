"""What adapters of chat platforms do alike: take places under limits, and fetch the files of a message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway import logs
from gateway.errors import DeliveryError, StoreUnavailable
from gateway.messages import Attachment, File, Message
from gateway.ports import Outbox
from gateway.storing import Rate

AT_ONCE = 3
"""Files of one message that are fetched at the same time."""

log = logs.get(__name__)


async def take_each(outbox: Outbox, places: Mapping[str, Rate], *, patience: float) -> str | None:
    """A place in each of these buckets, with one patience for all. The bucket that had none in time; None: all had."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience
    for bucket, rate in places.items():
        try:
            taken = await outbox.take(bucket, rate, patience=max(deadline - clock(), 0.0))
        except StoreUnavailable:
            taken = False
        if not taken:
            return bucket
    return None


async def fetch_each(message: Message, content: Callable[[File], Awaitable[bytes]]) -> Sequence[Attachment]:
    """The files of a message with their content: one for each, in order.

    ``content`` may raise DeliveryError, whose words are for the assistant then. Raises nothing.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def fetch_one(file: File) -> Attachment:
        async with places:
            return await _fetch(file, content)

    return await asyncio.gather(*map(fetch_one, message.files))


async def _fetch(file: File, content: Callable[[File], Awaitable[bytes]]) -> Attachment:
    try:
        return Attachment(file, await content(file))
    except DeliveryError as exc:
        problem = str(exc)
    except Exception:
        log.exception("a file could not be fetched")
        problem = "something went wrong"
    return Attachment(file, problem=problem)


def too_large(limit: int) -> str:
    """``limit`` in bytes."""
    return f"it is larger than {limit / 1e6:.3g} MB"
