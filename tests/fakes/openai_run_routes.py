"""Routes for runs of the Assistants API: create, follow, submit tool outputs, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.fakes.openai_messages import Answer, ApiError, Call, Feed, Json, Stream, bad, encode, page
from tests.fakes.openai_run_simulator import Run, Runner
from tests.fakes.openai_state import World, now
from tests.fakes.openai_threads import ACTIVE, Thread, ThreadRoom, check_tools

ERROR_EVENT = {"message": "The server had an error.", "type": "server_error", "param": None, "code": "server_error"}


class RunRoom:
    def __init__(self, world: World, room: ThreadRoom) -> None:
        self._world = world
        self._room = room
        self._runner = Runner(world)
        self._runs: dict[str, Run] = {}

    def routes(self) -> dict[str, Any]:
        return {
            "POST /threads/runs": self.create_thread_and_run,
            "POST /threads/{}/runs": self.create,
            "GET /threads/{}/runs": self.list,
            "GET /threads/{}/runs/{}": self.retrieve,
            "POST /threads/{}/runs/{}": self.update,
            "POST /threads/{}/runs/{}/cancel": self.cancel,
            "POST /threads/{}/runs/{}/submit_tool_outputs": self.submit,
            "GET /threads/{}/runs/{}/steps": self.list_steps,
            "GET /threads/{}/runs/{}/steps/{}": self.retrieve_step,
        }

    def view(self) -> Mapping[str, Json]:
        return {name: run.shown() for name, run in list(self._runs.items())}

    async def create_thread_and_run(self, call: Call) -> Answer | Stream:
        call.required("assistant_id")
        self._check(call)
        thread = self._room.open(call.body.get("thread") or {})
        feed = Feed() if call.streamed else None
        if feed:
            feed.put("thread.created", thread.shown())
        return self._begin(call, thread, feed)

    async def create(self, call: Call) -> Answer | Stream:
        thread = self._room.threads[call.ids[0]]
        call.required("assistant_id")
        self._check(call)
        messages = self._room.read_messages(thread.id, call.body.get("additional_messages"), "additional_messages")
        if thread.active_run:
            raise bad(f"Thread {thread.id} already has an active run {thread.active_run}.")
        thread.messages += messages
        return self._begin(call, thread, Feed() if call.streamed else None)

    def _check(self, call: Call) -> None:
        assistant = self._room.assistants[call.body["assistant_id"]]
        self._world.check_model(call.body.get("model") or assistant["model"])
        call.metadata()
        check_tools(call.body.get("tools"))

    def _begin(self, call: Call, thread: Thread, feed: Feed | None) -> Answer | Stream:
        assistant = self._room.assistants[call.body["assistant_id"]]
        run = Run(self._world.new_id("run"), thread, assistant, call.body, call.metadata(), now(), feed=feed)
        thread.active_run = run.id
        self._runs[run.id] = run
        if self._world.keep and len(self._runs) > self._world.keep:
            del self._runs[next(iter(self._runs))]
        run.emit("thread.run.created")
        return self._play(run)

    def _play(self, run: Run) -> Answer | Stream:
        run.emit("thread.run.queued")
        answer = self._answer(run)
        self._runner.start(run)
        return answer

    def _answer(self, run: Run) -> Answer | Stream:
        headers = {}
        if self._world.poll_after_ms is not None:
            headers["openai-poll-after-ms"] = str(self._world.poll_after_ms)
        if run.feed is not None:
            return Stream(run.feed, error=_error_event, headers=headers)
        return Answer(run.shown(), headers=headers)

    def expire(self, run_id: str) -> None:
        """Expires a run if it waits for tool outputs; only such runs can expire."""
        if self._runs[run_id].status == "requires_action":
            self._runner.expire(self._runs[run_id])

    async def list(self, call: Call) -> Answer:
        thread = self._room.threads[call.ids[0]]
        return page(call.seen, [run.shown() for run in self._runs.values() if run.thread is thread])

    async def retrieve(self, call: Call) -> Answer:
        run = self._run(call)
        headers = {}
        if self._world.poll_after_ms is not None:
            headers["openai-poll-after-ms"] = str(self._world.poll_after_ms)
        return Answer(run.shown(), headers=headers)

    async def update(self, call: Call) -> Answer:
        run = self._run(call)
        run.metadata = call.metadata()
        return Answer(run.shown())

    async def cancel(self, call: Call) -> Answer:
        run = self._run(call)
        if run.status not in ACTIVE or run.status == "cancelling":
            raise bad(f"Cannot cancel run with status '{run.status}'.")
        run.move("cancelling")
        if run.task is not None and not run.task.done():
            run.task.cancel()
        else:
            asyncio.get_running_loop().call_soon(self._runner.cancelled, run)
        return Answer(run.shown())

    async def submit(self, call: Call) -> Answer | Stream:
        run = self._run(call)
        call.required("tool_outputs")
        if run.status != "requires_action":
            raise bad(f'Runs in status "{run.status}" do not accept tool outputs.')
        outputs = {str(one.get("tool_call_id")): one.get("output") for one in call.body["tool_outputs"]}
        wanted = [tool_call["id"] for tool_call in run.pending]
        if sorted(outputs) != sorted(wanted):
            raise bad(f"Expected tool outputs for call_ids {wanted}, got {list(outputs)}", param="tool_outputs")
        run.feed = Feed() if call.streamed else None
        run.take_outputs(outputs)
        return self._play(run)

    async def list_steps(self, call: Call) -> Answer:
        return page(call.seen, self._run(call).steps)

    async def retrieve_step(self, call: Call) -> Answer:
        for step in self._run(call).steps:
            if step["id"] == call.ids[2]:
                return Answer(step)
        raise ApiError(404, f"No run step found with id '{call.ids[2]}'.")

    def _run(self, call: Call) -> Run:
        thread = self._room.threads[call.ids[0]]
        run = self._runs.get(call.ids[1])
        if run is None or run.thread is not thread or run.id in self._world.lost:
            raise ApiError(404, f"No run found with id '{call.ids[1]}'.")
        return run


def _error_event() -> bytes:
    return f"event: error\ndata: {encode({'error': ERROR_EVENT})}\n\n".encode()
