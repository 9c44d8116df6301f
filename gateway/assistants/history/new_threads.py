"""When to go on in a new thread: the server cannot continue the old one, and what the new one begins with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gateway import logs
from gateway.assistants.errors.error_map import Filtered, InputTooLong
from gateway.assistants.history.exchanges import exchange_chars, fit_history
from gateway.assistants.history.past import MAX_REMEMBERED, FilteredExchanges, digest
from gateway.domain.errors import AssistantError, ThreadMissing
from gateway.domain.exchange import Exchange
from gateway.ports.assistant import HistoryLoader

log = logs.get_logger(__name__)


class NewThreads:
    """Decides for the threads of one backend, whose history the server keeps."""

    def __init__(self) -> None:
        self._filtered = FilteredExchanges()
        self._limits: OrderedDict[str, int] = OrderedDict()
        """How many characters of history a new thread begins with, by the digest of its newest exchange."""
        self._unproven: OrderedDict[str, int] = OrderedDict()
        """Threads that have answered nothing yet, with the characters that they began with."""

    def history_for(self, history: Sequence[Exchange]) -> list[Exchange]:
        """Returns what a new thread is to begin with."""
        past = self._filtered.without(history)
        limit = self._limits.get(digest(history[-1])) if history else None
        return past if limit is None else fit_history(past, limit)

    def created(self, thread_id: str, history: Sequence[Exchange]) -> None:
        """Notes a thread that was created with this history."""
        self._unproven[thread_id] = sum(map(exchange_chars, history))
        if len(self._unproven) > MAX_REMEMBERED:
            self._unproven.popitem(last=False)

    def answered(self, thread_id: str) -> None:
        """Notes that a thread works."""
        self._unproven.pop(thread_id, None)

    async def error_for(self, error: AssistantError, thread_id: str, history: HistoryLoader) -> AssistantError:
        """Returns ThreadMissing for a refusal that a new thread may not meet, else the error itself.

        An unknown refusal counts as one of the thread, once: a new thread shows whether it is. A past that is too long
        or trips a filter is left out, first a part of it and then all.
        """
        began_with = self._unproven.get(thread_id)
        past = await history()
        if began_with == 0 or (not past and began_with is not None):
            if isinstance(error, Filtered):  # from now on the thread may hold the message that was refused
                self._unproven.pop(thread_id, None)
            self._filtered.discard(past)
            return error
        if past and isinstance(error, InputTooLong):
            self._limits[digest(past[-1])] = 0 if began_with else sum(map(exchange_chars, past)) // 2
        elif isinstance(error, Filtered):
            self._filtered.add(past if began_with else past[-1:])
        elif began_with is not None:
            return error
        log.warning("the server cannot continue the thread; a new one is needed", thread=thread_id, error=str(error))
        return ThreadMissing(str(error))
