"""State and options that all routes of the fake share, and the text generation of the fake model."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Generic, TypeVar

from tests.fakes.openai_faults import HttpFaults, RequestLog
from tests.fakes.openai_messages import ApiError, FileUpload, Json, bad_request
from tests.fakes.openai_script import ActiveStep, CallTool, PromptMessage, Reply, Say, Script, reply_text, split_evenly

T = TypeVar("T")
Converted = TypeVar("Converted")

FEATURES = (
    "threads",
    "conversations",
    "responses",
    "background",
    "chat",
    "files",
    "vector_stores",
    "containers",
    "audio",
)
NO_MODEL = "no-such-model"


class FakeOpenAIState:
    """Every option may be set from any thread at any time; it applies to later requests."""

    def __init__(self, *, record: bool = True, max_kept: int | None = None) -> None:
        self.features: set[str] = set(FEATURES)
        self.reply: Reply | None = None
        self.chunks = 5
        self.chunk_delay = 0.0
        self.think = 0.0
        self.calls_first: CallTool | None = None
        """A function that is called before each message is answered, if the request has it (responses only)."""
        self.poll_after_ms: int | None = None
        self.context_tokens: int | None = None
        """A longer input is rejected as too long for the model."""
        self.stream_chunk_bytes = 0
        """Streams are sent in pieces of this many bytes, regardless of event boundaries; 0: unsplit."""
        self.accepts_files = True
        """Whether images and files are accepted; if not, parts with them are rejected."""
        self.transcripts: dict[bytes, str] = {}
        """Transcripts of recordings, by their content."""
        self.uploads: dict[str, FileUpload] = {}
        """Files of ``/files`` by id: uploaded ones, and those made by runs of threads."""
        self.container_files: dict[tuple[str, str], FileUpload] = {}
        """Files made by responses, by container and id."""
        self.models = ["gpt-5-mini", "gpt-4.1-mini", "gpt-4o"]
        self.faults = HttpFaults()
        self.request_log = RequestLog(record=record)
        self.script_steps = Script()
        self.lost_ids: set[str] = set()
        self.max_kept = max_kept
        """How many threads, conversations and responses to keep of each; None: all."""
        self._seed = secrets.token_hex(6)
        self._count = count(1)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._seed}{next(self._count):012x}"

    def add_file(self, upload: FileUpload, purpose: str) -> tuple[str, FileUpload]:
        """Adds a file to ``/files``."""
        name, kept = self.new_id("file"), replace(upload, purpose=purpose, created_at=timestamp())
        self.uploads[name] = kept
        return name, kept

    def next_step(self) -> ActiveStep:
        return self.script_steps.next_step()

    def check_model(self, model: object) -> str:
        if not isinstance(model, str):
            raise bad_request("Invalid type for 'model': expected a string.", param="model", code="invalid_type")
        if model == NO_MODEL:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found")
        return model

    def check_size(self, size: int, param: str, message: str) -> None:
        if self.context_tokens is not None and size > self.context_tokens:
            raise bad_request(message, param=param, code="context_length_exceeded")

    async def think_pause(self) -> None:
        if self.think:
            await asyncio.sleep(self.think)

    def reply_text(self, say: Say, prompt: Sequence[PromptMessage]) -> str:
        """Returns the text of a message. A reply function that raises fails the run, so that tests do not hang."""
        try:
            return reply_text(self.reply if say.text is None else say.text, prompt)
        except Exception as error:
            raise ApiError(500, f"The reply function of the fake failed: {error!r}", kind="server_error") from error

    async def deltas(self, say: Say, text: str, step: ActiveStep) -> AsyncIterator[str]:
        """Yields the text in pieces, at the configured speed."""
        for index, piece in enumerate(split_evenly(text, say.chunks or self.chunks)):
            if index == say.hold_after:
                await step.wait_for_release()
            elif index and self.chunk_delay:
                await asyncio.sleep(self.chunk_delay)
            yield piece


def timestamp() -> int:
    return int(time.time())


class ObjectStore(Generic[T]):
    """Objects by id. Lost and deleted ones, and the oldest beyond the limit, are not found."""

    def __init__(self, state: FakeOpenAIState, not_found: Callable[[str], ApiError]) -> None:
        self._state = state
        self._not_found = not_found
        self._objects: dict[str, T] = {}

    def __setitem__(self, key: str, record: T) -> None:
        self._objects[key] = record
        if self._state.max_kept is not None and len(self._objects) > self._state.max_kept:
            del self._objects[next(iter(self._objects))]

    def __getitem__(self, key: str) -> T:
        record = None if key in self._state.lost_ids else self._objects.get(key)
        if record is None:
            raise self._not_found(key)
        return record

    def __delitem__(self, key: str) -> None:
        self._objects.pop(key, None)

    def __contains__(self, key: str) -> bool:
        return key in self._objects and key not in self._state.lost_ids

    def all(self) -> list[T]:
        return list(self._objects.values())

    def keys(self) -> list[str]:
        return list(self._objects)

    def get_even_if_lost(self, key: str) -> T | None:
        """Returns the object even if it is lost; None if it does not exist."""
        return self._objects.get(key)


class ObjectView(Mapping[str, Converted], Generic[T, Converted]):
    """Read-only mapping over an object store for tests; converts on each access."""

    def __init__(self, store: ObjectStore[T], convert: Callable[[T], Converted]) -> None:
        self._store = store
        self._convert = convert

    def __getitem__(self, key: str) -> Converted:
        record = self._store.get_even_if_lost(key)
        if record is None:
            raise KeyError(key)
        return self._convert(record)

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.keys())

    def __len__(self) -> int:
        return len(self._store.keys())


def token_usage(tokens_in: int, tokens_out: int) -> Json:
    """Returns token counts under the field names of threads and chat."""
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
