"""Reads as much of conversations, and as many handovers, as a question needs: page by page, without a limit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

from gateway.coordination.async_store import AsyncStore
from gateway.domain.models import Turn
from gateway.ports.handovers import Handovers, OpenHandover
from gateway.ports.store import Store

PAGE = 100
LEAST = 200
"""Turns that are read in any case: what is unanswered is counted among them."""


async def all_open(store: AsyncStore, handovers: Handovers, older_than: float = 0.0) -> AsyncIterator[OpenHandover]:
    """Yields all that ``Handovers.listed_open`` returns, page by page. Raises StoreUnavailable."""
    last: OpenHandover | None = None
    while True:
        after = last
        found = await store.call(lambda _: handovers.listed_open(PAGE, older_than=older_than, after=after))  # noqa: B023
        for each in found:
            yield each
        if len(found) < PAGE:
            return
        last = found[-1]


def roots_of(introduced: Sequence[tuple[OpenHandover, Turn]]) -> Mapping[tuple[int, int], Sequence[Turn]]:
    """Returns the turns that began a topic, by conversation and seq of the handover; the newest of each last.

    ``introduced``: as ``Handovers.introduced`` returns it.
    """
    roots = dict[tuple[int, int], list[Turn]]()
    for found, root in introduced:
        roots.setdefault((found.record.conversation_id, found.record.seq), []).append(root)
    return roots


def refusals(introduced: Sequence[tuple[OpenHandover, Turn]]) -> Mapping[int, str]:
    """Returns why handovers are not shown in the channel of the staff, by conversation."""
    newest = ((number, roots[-1]) for (number, _), roots in roots_of(introduced).items())
    return {number: root.failure.detail for number, root in newest if root.failure is not None}


def turns_after(store: Store, conversation_id: int, seq: int) -> Sequence[Turn]:
    """Returns all turns of a conversation behind a seq, oldest first. Does I/O; raises StoreUnavailable."""
    return [each for each in _until(store, conversation_id, lambda turn: turn.seq <= seq) if each.seq > seq]


def turns_to_answer(store: Store, conversation_id: int) -> Sequence[Turn]:
    """Returns the newest turns of a conversation, oldest first: as many as it takes to know where to answer.

    Does I/O; raises StoreUnavailable.
    """
    return _until(store, conversation_id, lambda turn: turn.erased_at is None and not turn.message.is_pushed, LEAST)


def _until(store: Store, conversation_id: int, is_enough: Callable[[Turn], bool], page: int = PAGE) -> Sequence[Turn]:
    pages = list[Sequence[Turn]]()
    for each in _pages(store, conversation_id, page):
        pages.append(each)
        if any(map(is_enough, each)):
            break
    return [turn for each in reversed(pages) for turn in each]


def _pages(store: Store, conversation_id: int, page: int) -> Iterator[Sequence[Turn]]:
    """Yields the turns of a conversation, the newest page first."""
    before: int | None = None
    while found := store.transcript(conversation_id, before=before, limit=page):
        yield found
        before = found[0].seq
