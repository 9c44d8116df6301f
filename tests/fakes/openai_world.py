"""What all rooms of the fake share: its knobs, its clock and ids, and the model that speaks a step's words."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Generic, TypeVar

from tests.fakes.openai_faults import Board, Faults
from tests.fakes.openai_script import Heard, Reply, Say, Script, Taken, pieces, words
from tests.fakes.openai_wire import ApiError, Json, Upload, bad

T = TypeVar("T")
Shown = TypeVar("Shown")

FEATURES = ("threads", "conversations", "responses", "background", "chat", "files", "containers", "audio")
NO_MODEL = "no-such-model"


class World:
    """Everything may be set from any thread, at any time; it counts for what comes after."""

    def __init__(self, *, record: bool = True, keep: int | None = None) -> None:
        self.features: set[str] = set(FEATURES)
        self.reply: Reply | None = None
        self.chunks = 5
        self.chunk_delay = 0.0
        self.think = 0.0
        self.poll_after_ms: int | None = None
        self.context_tokens: int | None = None
        """A longer input than this is refused as too long for the model."""
        self.shred = 0
        """Streams are sent in pieces of so many bytes, whatever they tear; 0: as they come."""
        self.takes_files = True
        self.transcripts: dict[bytes, str] = {}
        """What is said in recordings, by their content."""
        """Whether images and files are taken; if not, a part that holds one is refused."""
        self.uploads: dict[str, Upload] = {}
        """Of ``/files``, by id: what came, and what a run of a thread made."""
        self.container_files: dict[tuple[str, str], Upload] = {}
        """What responses made, by container and id."""
        self.models = ["gpt-5-mini", "gpt-4.1-mini", "gpt-4o"]
        self.faults = Faults()
        self.board = Board(record=record)
        self.steps = Script()
        self.lost: set[str] = set()
        self.keep = keep
        """How many threads, conversations and responses each are remembered; None: all."""
        self._seed = secrets.token_hex(6)
        self._count = count(1)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._seed}{next(self._count):012x}"

    def keep_file(self, upload: Upload, purpose: str) -> tuple[str, Upload]:
        """Put a file among those of ``/files``."""
        name, kept = self.new_id("file"), replace(upload, purpose=purpose)
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
        """What the model says. A reply that raises fails the run, so that no test waits for it in vain."""
        try:
            return words(self.reply if say.text is None else say.text, heard)
        except Exception as error:
            raise ApiError(500, f"The reply of the fake broke: {error!r}", kind="server_error") from error

    async def deltas(self, say: Say, text: str, taken: Taken) -> AsyncIterator[str]:
        """The text in its pieces, at the speed that is set."""
        for index, piece in enumerate(pieces(text, say.chunks or self.chunks)):
            if index == say.hold_after:
                await taken.released()
            elif index and self.chunk_delay:
                await asyncio.sleep(self.chunk_delay)
            yield piece


def now() -> int:
    return int(time.time())


class Shelf(Generic[T]):
    """Records by id. One that is lost, deleted or beyond the limit is not found."""

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
        """The record as the server remembers it, lost or not."""
        return self._records.get(key)


class View(Mapping[str, Shown], Generic[T, Shown]):
    """What a test may see of a shelf: a copy each time it looks."""

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
    """In the words of threads and chat."""
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
