"""State and options that all routes of the fake share, and the text generation of the fake model."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Generic, TypeVar

from tests.fakes.openai_faults import Board, Faults
from tests.fakes.openai_messages import ApiError, Json, Upload, bad
from tests.fakes.openai_script import Heard, Reply, Say, Script, Taken, pieces, words

T = TypeVar("T")
Shown = TypeVar("Shown")

FEATURES = ("threads", "conversations", "responses", "background", "chat", "files", "containers", "audio")
NO_MODEL = "no-such-model"


class World:
    """Every option may be set from any thread at any time; it applies to later requests."""

    def __init__(self, *, record: bool = True, keep: int | None = None) -> None:
        self.features: set[str] = set(FEATURES)
        self.reply: Reply | None = None
        self.chunks = 5
        self.chunk_delay = 0.0
        self.think = 0.0
        self.poll_after_ms: int | None = None
        self.context_tokens: int | None = None
        """A longer input is rejected as too long for the model."""
        self.shred = 0
        """Streams are sent in pieces of this many bytes, regardless of event boundaries; 0: unsplit."""
        self.takes_files = True
        """Whether images and files are accepted; if not, parts with them are rejected."""
        self.transcripts: dict[bytes, str] = {}
        """Transcripts of recordings, by their content."""
        self.uploads: dict[str, Upload] = {}
        """Files of ``/files`` by id: uploaded ones, and those made by runs of threads."""
        self.container_files: dict[tuple[str, str], Upload] = {}
        """Files made by responses, by container and id."""
        self.models = ["gpt-5-mini", "gpt-4.1-mini", "gpt-4o"]
        self.faults = Faults()
        self.board = Board(record=record)
        self.steps = Script()
        self.lost: set[str] = set()
        self.keep = keep
        """How many threads, conversations and responses to keep of each; None: all."""
        self._seed = secrets.token_hex(6)
        self._count = count(1)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._seed}{next(self._count):012x}"

    def keep_file(self, upload: Upload, purpose: str) -> tuple[str, Upload]:
        """Adds a file to ``/files``."""
        name, kept = self.new_id("file"), replace(upload, purpose=purpose, created_at=now())
        self.uploads[name] = kept
        return name, kept

    def take_step(self) -> Taken:
        return self.steps.take()

    def check_model(self, model: object) -> str:
        if not isinstance(model, str):
            raise bad("Invalid type for 'model': expected a string.", param="model", code="invalid_type")
        if model == NO_MODEL:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found")
        return model

    def check_size(self, size: int, param: str, message: str) -> None:
        if self.context_tokens is not None and size > self.context_tokens:
            raise bad(message, param=param, code="context_length_exceeded")

    async def pause(self) -> None:
        if self.think:
            await asyncio.sleep(self.think)

    def words(self, say: Say, heard: Sequence[Heard]) -> str:
        """Returns the text of a message. A reply function that raises fails the run, so that tests do not hang."""
        try:
            return words(self.reply if say.text is None else say.text, heard)
        except Exception as error:
            raise ApiError(500, f"The reply function of the fake failed: {error!r}", kind="server_error") from error

    async def deltas(self, say: Say, text: str, taken: Taken) -> AsyncIterator[str]:
        """Yields the text in pieces, at the configured speed."""
        for index, piece in enumerate(pieces(text, say.chunks or self.chunks)):
            if index == say.hold_after:
                await taken.released()
            elif index and self.chunk_delay:
                await asyncio.sleep(self.chunk_delay)
            yield piece


def now() -> int:
    return int(time.time())


class Shelf(Generic[T]):
    """Objects by id. Lost and deleted ones, and the oldest beyond the limit, are not found."""

    def __init__(self, world: World, missing: Callable[[str], ApiError]) -> None:
        self._world = world
        self._missing = missing
        self._records: dict[str, T] = {}

    def __setitem__(self, key: str, record: T) -> None:
        self._records[key] = record
        if self._world.keep is not None and len(self._records) > self._world.keep:
            del self._records[next(iter(self._records))]

    def __getitem__(self, key: str) -> T:
        record = None if key in self._world.lost else self._records.get(key)
        if record is None:
            raise self._missing(key)
        return record

    def __delitem__(self, key: str) -> None:
        self._records.pop(key, None)

    def __contains__(self, key: str) -> bool:
        return key in self._records and key not in self._world.lost

    def all(self) -> list[T]:
        return list(self._records.values())

    def keys(self) -> list[str]:
        return list(self._records)

    def peek(self, key: str) -> T | None:
        """Returns the object even if it is lost; None if it does not exist."""
        return self._records.get(key)


class View(Mapping[str, Shown], Generic[T, Shown]):
    """Read-only mapping over an object store for tests; converts on each access."""

    def __init__(self, shelf: Shelf[T], show: Callable[[T], Shown]) -> None:
        self._shelf = shelf
        self._show = show

    def __getitem__(self, key: str) -> Shown:
        record = self._shelf.peek(key)
        if record is None:
            raise KeyError(key)
        return self._show(record)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shelf.keys())

    def __len__(self) -> int:
        return len(self._shelf.keys())


def usage(tokens_in: int, tokens_out: int) -> Json:
    """Returns token counts under the field names of threads and chat."""
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
