"""Routes for runs of the Assistants API: create, follow, submit tool outputs, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.fakes.openai_messages import (
    ApiError,
    ApiRequest,
    ApiResponse,
    EventLog,
    Json,
    StreamedResponse,
    bad_request,
    encode,
    list_page,
)
from tests.fakes.openai_run_simulator import FakeRun, RunSimulator
from tests.fakes.openai_state import FakeOpenAIState, timestamp
from tests.fakes.openai_threads import ACTIVE_STATUSES, FakeThreadRoutes, StoredThread, check_tools

ERROR_EVENT = {"message": "The server had an error.", "type": "server_error", "param": None, "code": "server_error"}


class FakeRunRoutes:
    def __init__(self, state: FakeOpenAIState, thread_routes: FakeThreadRoutes) -> None:
        self._state = state
        self._thread_routes = thread_routes
        self._simulator = RunSimulator(state)
        self._runs: dict[str, FakeRun] = {}

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

    def all_as_json(self) -> Mapping[str, Json]:
        return {name: run.to_json() for name, run in list(self._runs.items())}

    async def create_thread_and_run(self, request: ApiRequest) -> ApiResponse | StreamedResponse:
        request.require("assistant_id")
        self._check(request)
        thread = self._thread_routes.add_thread(request.body.get("thread") or {})
        feed = EventLog() if request.streamed else None
        if feed:
            feed.put("thread.created", thread.to_json())
        return self._create_run(request, thread, feed)

    async def create(self, request: ApiRequest) -> ApiResponse | StreamedResponse:
        thread = self._thread_routes.threads[request.ids[0]]
        request.require("assistant_id")
        self._check(request)
        messages = self._thread_routes.read_messages(
            thread.id, request.body.get("additional_messages"), "additional_messages"
        )
        if thread.active_run:
            raise bad_request(f"Thread {thread.id} already has an active run {thread.active_run}.")
        thread.messages += messages
        return self._create_run(request, thread, EventLog() if request.streamed else None)

    def _check(self, request: ApiRequest) -> None:
        assistant = self._thread_routes.assistants[request.body["assistant_id"]]
        self._state.check_model(request.body.get("model") or assistant["model"])
        request.metadata()
        check_tools(request.body.get("tools"))

    def _create_run(
        self, request: ApiRequest, thread: StoredThread, event_log: EventLog | None
    ) -> ApiResponse | StreamedResponse:
        assistant = self._thread_routes.assistants[request.body["assistant_id"]]
        run = FakeRun(
            self._state.new_id("run"),
            thread,
            assistant,
            request.body,
            request.metadata(),
            timestamp(),
            event_log=event_log,
        )
        thread.active_run = run.id
        self._runs[run.id] = run
        if self._state.max_kept and len(self._runs) > self._state.max_kept:
            del self._runs[next(iter(self._runs))]
        run.emit("thread.run.created")
        return self._start_run(run)

    def _start_run(self, run: FakeRun) -> ApiResponse | StreamedResponse:
        run.emit("thread.run.queued")
        answer = self._answer(run)
        self._simulator.start(run)
        return answer

    def _answer(self, run: FakeRun) -> ApiResponse | StreamedResponse:
        headers = {}
        if self._state.poll_after_ms is not None:
            headers["openai-poll-after-ms"] = str(self._state.poll_after_ms)
        if run.event_log is not None:
            return StreamedResponse(run.event_log, error_event=_error_event, headers=headers)
        return ApiResponse(run.to_json(), headers=headers)

    def expire(self, run_id: str) -> None:
        """Expires a run if it waits for tool outputs; only such runs can expire."""
        if self._runs[run_id].status == "requires_action":
            self._simulator.expire(self._runs[run_id])

    async def list(self, request: ApiRequest) -> ApiResponse:
        thread = self._thread_routes.threads[request.ids[0]]
        return list_page(request.recorded, [run.to_json() for run in self._runs.values() if run.thread is thread])

    async def retrieve(self, request: ApiRequest) -> ApiResponse:
        run = self._get_run(request)
        headers = {}
        if self._state.poll_after_ms is not None:
            headers["openai-poll-after-ms"] = str(self._state.poll_after_ms)
        return ApiResponse(run.to_json(), headers=headers)

    async def update(self, request: ApiRequest) -> ApiResponse:
        run = self._get_run(request)
        run.metadata = request.metadata()
        return ApiResponse(run.to_json())

    async def cancel(self, request: ApiRequest) -> ApiResponse:
        run = self._get_run(request)
        if run.status not in ACTIVE_STATUSES or run.status == "cancelling":
            raise bad_request(f"Cannot cancel run with status '{run.status}'.")
        run.set_status("cancelling")
        if run.task is not None and not run.task.done():
            run.task.cancel()
        else:
            asyncio.get_running_loop().call_soon(self._simulator.cancelled, run)
        return ApiResponse(run.to_json())

    async def submit(self, request: ApiRequest) -> ApiResponse | StreamedResponse:
        run = self._get_run(request)
        request.require("tool_outputs")
        if run.status != "requires_action":
            raise bad_request(f'Runs in status "{run.status}" do not accept tool outputs.')
        outputs = {str(one.get("tool_call_id")): one.get("output") for one in request.body["tool_outputs"]}
        wanted = [tool_call["id"] for tool_call in run.pending_calls]
        if sorted(outputs) != sorted(wanted):
            raise bad_request(f"Expected tool outputs for call_ids {wanted}, got {list(outputs)}", param="tool_outputs")
        run.event_log = EventLog() if request.streamed else None
        run.add_outputs(outputs)
        return self._start_run(run)

    async def list_steps(self, request: ApiRequest) -> ApiResponse:
        return list_page(request.recorded, self._get_run(request).steps)

    async def retrieve_step(self, request: ApiRequest) -> ApiResponse:
        for step in self._get_run(request).steps:
            if step["id"] == request.ids[2]:
                return ApiResponse(step)
        raise ApiError(404, f"No run step found with id '{request.ids[2]}'.")

    def _get_run(self, request: ApiRequest) -> FakeRun:
        thread = self._thread_routes.threads[request.ids[0]]
        run = self._runs.get(request.ids[1])
        if run is None or run.thread is not thread or run.id in self._state.lost_ids:
            raise ApiError(404, f"No run found with id '{request.ids[1]}'.")
        return run


def _error_event() -> bytes:
    return f"event: error\ndata: {encode({'error': ERROR_EVENT})}\n\n".encode()
