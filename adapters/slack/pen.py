"""Writes the messages of one reply, and keeps what is known of them right whatever comes of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from adapters.slack.calls import Calls
from adapters.slack.errors import Away, Crowded, Declined, Throttled
from adapters.slack.places import Place
from adapters.slack.standing import Part, Standing, Wanted, metadata
from gateway.messages import TurnId
from gateway.ports import Outbox

Chunk = Mapping[str, Any]
Ending = Literal["complete", "error"]

NOT_DONE = (Crowded, Throttled, Away, Declined)
"""After any other error, and when we are cancelled, nobody knows whether it was done."""
ENDED = "message_not_in_streaming_state"
ENDINGS = frozenset({ENDED, "stopped_by_user"})
"""Slack's answers for a stream that is over: because of its age, or because somebody pressed Stop."""
GONE = "message_not_found"
TITLE_CHARACTERS = 100


class Pen:
    """Every method raises as ``Calls.call`` does, and LeaseLost. What is posted is noted at once."""

    def __init__(self, calls: Calls, place: Place, turn: TurnId, outbox: Outbox, standing: Standing) -> None:
        self.place = place
        self.standing = standing
        self._calls = calls
        self._turn = turn
        self._outbox = outbox
        self._clock = asyncio.get_running_loop().time

    async def post(self, wanted: Wanted, *, patience: float) -> None:
        """One more part, by chat.postMessage."""
        payload = metadata(self._turn, part=len(self.standing.parts), mark=wanted.mark)
        with self._appearing():
            ts = await self._say(wanted, payload, patience)
            self._add(Part(ts, wanted.text, wanted.mark))
        await self.note()

    async def post_line(self, wanted: Wanted, *, file: int, patience: float) -> str:
        """A line that stands for a file; its ts. The caller notes it."""
        with self._appearing():
            return await self._say(wanted, metadata(self._turn, file=file), patience)

    async def start(self, text: str, tasks: Sequence[Chunk], *, patience: float) -> None:
        """One more part, as a stream. It bears no metadata until it ends: chat.startStream takes none."""
        place = self.place
        args = {
            "channel": place.channel,
            "thread_ts": place.thread_ts,
            "recipient_team_id": place.user_team,
            "recipient_user_id": place.user,
            "chunks": _chunks(text, tasks),
        }
        with self._appearing():
            answer = await self._call("chat.startStream", args, patience)
            part = Part(answer["ts"], text, streaming=True)
            _learn(part, tasks)
            self._add(part)
        await self.note()

    async def append(self, part: Part, more: str, tasks: Sequence[Chunk], *, patience: float) -> None:
        """Let a stream grow."""
        shown = part.shown or ""
        with self._changing(part), _ending(part):
            args = {"channel": self.place.channel, "ts": part.ts, "chunks": _chunks(more, tasks)}
            await self._call("chat.appendStream", args, patience)
            part.shown = shown + more
        _learn(part, tasks)

    async def stop(self, part: Part, wanted: Wanted | None, *, patience: float, ending: Ending | None = None) -> None:
        """End a stream: so that it shows what is wanted, which begins with what it shows; None: as it is.

        ``ending``: how the tool calls end that it shows as under way; None: they, and the agent's work, go on.
        """
        more = wanted.text.removeprefix(part.shown or "") if wanted else ""
        tasks = [_task(call, title, ending) for call, title in part.working.items()] if ending else []
        args = {
            "channel": self.place.channel,
            "ts": part.ts,
            "chunks": _chunks(more, tasks) or None,
            "blocks": list(wanted.below) or None if wanted else None,
            "metadata": self._metadata(part, wanted) if wanted else None,
            "session_status": None if ending or not self.standing.processing else "processing",
        }
        with self._changing(part), _ending(part):
            await self._call("chat.stopStream", args, patience)
            part.streaming = False
            if wanted:
                part.shown, part.mark = wanted.text, wanted.mark
        if ending:
            self.standing.processing = False  # chat.stopStream says so, unless told otherwise

    async def update(self, part: Part, wanted: Wanted, *, patience: float) -> None:
        """Let a message show something else. It may be done twice."""
        args = {
            "channel": self.place.channel,
            "ts": part.ts,
            **wanted.content(),
            "metadata": self._metadata(part, wanted),
        }
        with self._changing(part):
            await self._call("chat.update", args, patience)
            part.shown, part.mark = wanted.text, wanted.mark

    async def delete(self, part: Part, *, patience: float) -> None:
        """Take a message away; no error when it is gone already."""
        try:
            await self._call("chat.delete", {"channel": self.place.channel, "ts": part.ts}, patience)
        except Declined as exc:
            if exc.slack_error != GONE:
                raise
        self.standing.parts.remove(part)
        await self.note()

    async def note(self) -> None:
        await self._outbox.note(self.standing.notes)

    async def _say(self, wanted: Wanted, payload: Mapping[str, Any], patience: float) -> str:
        # Links unfold nowhere, as in a stream: a reply looks the same whichever way it came.
        content = wanted.content()
        args = {
            "channel": self.place.channel,
            "thread_ts": self.place.thread_ts or None,
            "text": content["text"],
            "blocks": content["blocks"] or None,
            "metadata": payload,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return str((await self._call("chat.postMessage", args, patience))["ts"])

    def _add(self, part: Part) -> None:
        part.begun = self._clock()
        self.standing.parts.append(part)
        self.standing.status = False  # Slack takes it away when something is said

    def _metadata(self, part: Part, wanted: Wanted) -> Mapping[str, Any]:
        return metadata(self._turn, part=self.standing.parts.index(part), mark=wanted.mark)

    async def _call(self, method: str, args: Mapping[str, Any], patience: float) -> dict[str, Any]:
        workspace = self.place.workspace
        return await self._calls.call(method, args, workspace=workspace, outbox=self._outbox, patience=patience)

    @contextmanager
    def _appearing(self) -> Iterator[None]:
        """From here until the answer is there, there may be a message that nobody knows of."""
        before, self.standing.doubtful = self.standing.doubtful, True
        try:
            yield
        except NOT_DONE:
            self.standing.doubtful = before
            raise
        self.standing.doubtful = before

    @contextmanager
    def _changing(self, part: Part) -> Iterator[None]:
        """From here until the answer is there, nobody knows what the message shows."""
        before = part.shown, part.mark
        part.shown, part.mark = None, ""
        try:
            yield
        except NOT_DONE:
            part.shown, part.mark = before
            raise
        if part.shown is None:  # the call added nothing
            part.shown = before[0]


@contextmanager
def _ending(part: Part) -> Iterator[None]:
    """Take note when Slack says that a stream is over."""
    try:
        yield
    except Declined as exc:
        if exc.slack_error in ENDINGS:
            part.streaming = False
        raise


def task(call: str, name: str, *, done: bool) -> Chunk:
    """A tool call as a chunk: by the name of the tool alone, as what goes into it may be anything."""
    return _task(call, name.replace("_", " ")[:TITLE_CHARACTERS] or "tool", "complete" if done else "in_progress")


def _task(call: str, title: str, status: str) -> Chunk:
    return {"type": "task_update", "id": call, "title": title, "status": status}


def _chunks(text: str, tasks: Sequence[Chunk]) -> list[Chunk]:
    return [*tasks, {"type": "markdown_text", "text": text}] if text else list(tasks)


def _learn(part: Part, tasks: Sequence[Chunk]) -> None:
    for chunk in tasks:
        part.working.pop(chunk["id"], None)
        if chunk["status"] == "in_progress":
            part.working[chunk["id"]] = chunk["title"]
