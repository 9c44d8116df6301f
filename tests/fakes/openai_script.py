"""What the fake model does when it is asked: the acts of a script, and the reply when there is no script."""

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
"""A text, or a function of the message texts that the model sees (oldest first) that makes one."""


@dataclass(frozen=True)
class Say:
    """Write a message (None: the server's ``reply``) in ``chunks`` deltas (None: as many as the server's ``chunks``).

    With ``hold_after`` it hangs after so many deltas until it is released or cancelled. A ``refusal`` is
    written into the message's refusal part instead of its text. With a Fail, Incomplete or Expire right behind
    it the message stays unfinished.
    """

    text: Reply | None = None
    chunks: int | None = None
    hold_after: int | None = None
    refusal: bool = False


@dataclass(frozen=True)
class CallTool:
    """Call a function of the caller's and end this step: the caller must bring the output."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    """A string is sent as it is: models do write arguments that are no JSON."""

    @property
    def arguments_json(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class HostedTool:
    """Use a tool that runs at the server, then go on."""

    name: Literal["code_interpreter", "web_search", "file_search"]
    input: str = ""
    output: str = ""


@dataclass(frozen=True)
class MakeFile:
    """Make a file by code. Each message behind it cites it (threads and responses)."""

    name: str
    content: bytes


@dataclass(frozen=True)
class MakeImage:
    """Make an image: an item of a response, a part of the next message in a thread."""

    content: bytes


@dataclass(frozen=True)
class Reason:
    """Think before answering, as reasoning models do: an output item without text (responses only)."""

    summary: str = ""


@dataclass(frozen=True)
class Fail:
    """End the run as failed. Threads and responses allow server_error, rate_limit_exceeded, invalid_prompt."""

    code: str = "server_error"
    message: str = "The server had an error while processing your request. Sorry about that!"


@dataclass(frozen=True)
class Incomplete:
    """End the run as incomplete: max_output_tokens, or content_filter."""

    reason: str = "max_output_tokens"


@dataclass(frozen=True)
class Expire:
    """End the run as expired. Responses and chat know no such end: there it is a failure."""


@dataclass(frozen=True)
class Hang:
    """Do nothing until the fake is released or the run is cancelled, then go on."""


Act = Say | CallTool | HostedTool | MakeFile | MakeImage | Reason | Fail | Incomplete | Expire | Hang
Step = list[Act] | tuple[Act, ...]
"""What the model does when it is asked once. Ends with a Say of the server's reply unless its acts end it."""

Gate = Future[None]

ENDS = (Say, CallTool, Fail, Incomplete, Expire)


@dataclass(frozen=True)
class Heard:
    """One message that the model sees."""

    role: str
    text: str


def words(reply: Reply | None, heard: Sequence[Heard]) -> str:
    """What a reply comes to. None says the last thing that the person said."""
    if reply is None:
        asked = next((one.text for one in reversed(heard) if one.role == "user"), "")
        return f"You said: {asked}"
    return reply if isinstance(reply, str) else reply([one.text for one in heard])


def pieces(text: str, count: int) -> list[str]:
    """The text in ``count`` parts of about the same length; fewer when it has not so many characters."""
    count = max(1, min(count, len(text)))
    size, longer = divmod(len(text), count)
    cuts = [index * size + min(index, longer) for index in range(count + 1)]
    return [text[start:end] for start, end in pairwise(cuts)]


def tokens(*texts: str) -> int:
    """About what a tokenizer would count: four characters each, at least one in all."""
    return max(1, sum(len(text) for text in texts) // 4)


class Taken:
    """A step on its way, with the gate that its hanging acts wait at."""

    def __init__(self, acts: list[Act], gate: Gate) -> None:
        self.acts = acts
        self._gate = gate

    def cut_by(self, say: Say) -> Fail | Incomplete | Expire | None:
        """The bad end that follows a message at once, and so leaves it unfinished."""
        after = self.acts[self.acts.index(say) + 1 :]
        return after[0] if after and isinstance(after[0], Fail | Incomplete | Expire) else None

    async def released(self) -> None:
        # shielded: whoever is cancelled while it waits leaves the gate to the others
        await asyncio.shield(asyncio.wrap_future(self._gate))


class Script:
    """The steps to come, one taken each time the model is asked. May be filled from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gate: Gate = Gate()
        self._steps: deque[tuple[Step, Gate]] = deque()

    def add(self, replies: Iterable[Act | Step | str]) -> None:
        with self._lock:
            if self._gate.done():
                self._gate = Gate()
            self._steps.extend((_as_step(reply), self._gate) for reply in replies)

    def release(self) -> None:
        """Let go whatever hangs or will hang by the steps that were added so far."""
        with self._lock:
            if not self._gate.done():
                self._gate.set_result(None)

    def take(self) -> Taken:
        """The next step, complete with an end."""
        with self._lock:
            step, gate = self._steps.popleft() if self._steps else ((), self._gate)
        acts = list(step)
        if not any(isinstance(act, ENDS) for act in acts):
            acts.append(Say())
        return Taken(acts, gate)


def _as_step(reply: Act | Step | str) -> Step:
    if isinstance(reply, str):
        return (Say(reply),)
    return tuple(reply) if isinstance(reply, list | tuple) else (reply,)
