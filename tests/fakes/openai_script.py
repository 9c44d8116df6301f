"""The script of the fake model: what it does each time it is called, and its default reply."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

Reply = str | Callable[[list[str]], str]
"""A text, or a function that returns one from the message texts in the prompt (oldest first)."""


@dataclass(frozen=True)
class Say:
    """Writes a message (None: the server's ``reply``) in ``chunks`` deltas (None: the server's ``chunks``).

    With ``hold_after`` it hangs after so many deltas until it is released or cancelled. A ``refusal`` is written into
    the refusal part of the message instead of its text. A Fail, Incomplete or Expire directly after it leaves the
    message unfinished.
    """

    text: Reply | None = None
    chunks: int | None = None
    hold_after: int | None = None
    refusal: bool = False


@dataclass(frozen=True)
class CallTool:
    """Calls a function and ends the step: the client must submit the output."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    """A string is sent unchanged, as models sometimes write arguments that are invalid JSON."""
    beside: dict[str, Any] = field(default_factory=dict)
    """Further fields of the call, as some servers have them (chat only)."""

    @property
    def arguments_json(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class HostedTool:
    """Uses a hosted tool, then continues."""

    name: Literal["code_interpreter", "web_search", "file_search"]
    input: str = ""
    output: str = ""


@dataclass(frozen=True)
class MakeFile:
    """Makes a file by code. Each later message cites it (threads and responses)."""

    name: str
    content: bytes


@dataclass(frozen=True)
class MakeImage:
    """Makes an image: an item of a response, or a part of the next message in a thread."""

    content: bytes


@dataclass(frozen=True)
class Think:
    """Adds a reasoning item without text, as reasoning models do (responses only)."""

    summary: str = ""


@dataclass(frozen=True)
class Fail:
    """Ends the run as failed. Threads and responses allow server_error, rate_limit_exceeded, invalid_prompt."""

    code: str = "server_error"
    message: str = "The server had an error while processing your request. Sorry about that!"


@dataclass(frozen=True)
class Incomplete:
    """Ends the run as incomplete: max_output_tokens, content_filter, or with threads max_prompt_tokens."""

    reason: str = "max_output_tokens"


@dataclass(frozen=True)
class Expire:
    """Ends the run as expired. Responses and chat have no such status: there it fails."""


@dataclass(frozen=True)
class Hang:
    """Does nothing until the fake is released or the run is cancelled, then continues."""


Act = Say | CallTool | HostedTool | MakeFile | MakeImage | Think | Fail | Incomplete | Expire | Hang
ScriptStep = list[Act] | tuple[Act, ...]
"""The acts of one call of the model. Ends with a Say of the server's reply unless its acts end it."""

ReleaseFuture = Future[None]

FINAL_ACTS = (Say, CallTool, Fail, Incomplete, Expire)


@dataclass(frozen=True)
class PromptMessage:
    """One message of the model's prompt."""

    role: str
    text: str


def reply_text(reply: Reply | None, prompt: Sequence[PromptMessage]) -> str:
    """Returns the text of a reply. None echoes the last user message."""
    if reply is None:
        asked = next((one.text for one in reversed(prompt) if one.role == "user"), "")
        return f"You said: {asked}"
    return reply if isinstance(reply, str) else reply([one.text for one in prompt])


def split_evenly(text: str, count: int) -> list[str]:
    """Splits a text into ``count`` parts of about the same length; fewer if it is shorter than that."""
    count = max(1, min(count, len(text)))
    size, longer = divmod(len(text), count)
    cuts = [index * size + min(index, longer) for index in range(count + 1)]
    return [text[start:end] for start, end in pairwise(cuts)]


def count_tokens(*texts: str) -> int:
    """Estimates the token count: four characters per token, at least one token."""
    return max(1, sum(len(text) for text in texts) // 4)


class ActiveStep:
    """A step that is being played, and the future that its hanging acts wait for."""

    def __init__(self, acts: list[Act], released: ReleaseFuture | None = None) -> None:
        self.acts = acts
        self._released = released or ReleaseFuture()

    def abrupt_end_after(self, say: Say) -> Fail | Incomplete | Expire | None:
        """Returns the Fail, Incomplete or Expire directly after a message, which leaves it unfinished."""
        after = self.acts[self.acts.index(say) + 1 :]
        return after[0] if after and isinstance(after[0], Fail | Incomplete | Expire) else None

    async def wait_for_release(self) -> None:
        # shielded, as other steps may wait for the same future
        await asyncio.shield(asyncio.wrap_future(self._released))


class Script:
    """The pending steps; one is played each time the model is called. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._released: ReleaseFuture = ReleaseFuture()
        self._steps: deque[tuple[ScriptStep, ReleaseFuture]] = deque()

    def add(self, replies: Iterable[Act | ScriptStep | str]) -> None:
        with self._lock:
            if self._released.done():
                self._released = ReleaseFuture()
            self._steps.extend((_as_step(reply), self._released) for reply in replies)

    def release(self) -> None:
        """Releases the hanging acts of all steps added so far."""
        with self._lock:
            if not self._released.done():
                self._released.set_result(None)

    def next_step(self) -> ActiveStep:
        """Returns the next step, completed by a final act."""
        with self._lock:
            step, gate = self._steps.popleft() if self._steps else ((), self._released)
        acts = list(step)
        if not any(isinstance(act, FINAL_ACTS) for act in acts):
            acts.append(Say())
        return ActiveStep(acts, gate)


def _as_step(reply: Act | ScriptStep | str) -> ScriptStep:
    if isinstance(reply, str):
        return (Say(reply),)
    return tuple(reply) if isinstance(reply, list | tuple) else (reply,)
