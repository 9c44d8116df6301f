"""Programs that speak the Assistants API: they poll their runs, and run a function for each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tests.faults.matrix.api_senders import RETRY_SECONDS, ApiSenders, Json
from tests.faults.matrix.proxy import TcpProxy
from tests.faults.matrix.senders import TIMEOUT_SECONDS
from tests.faults.matrix.sync_point import SyncPoint

FUNCTION = "look_up"
TOOLS = [{"type": "function", "function": {"name": FUNCTION, "parameters": {"type": "object", "properties": {}}}}]
REPLY_MARKER = b'"role":"assistant"'
ENDED = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})


class RunSenders(ApiSenders):
    """A conversation is a thread: a message, a run, the outputs of its function, until the run has ended."""

    def __init__(self, gateway_proxy: TcpProxy, *, timeout: float, counts_retries: bool) -> None:
        """``counts_retries``: whether they say that they repeat a request as OpenAI's SDK does, without a key."""
        super().__init__(gateway_proxy, timeout=timeout)
        self._counts_retries = counts_retries

    def _marks(self, key: str, attempt: int) -> Mapping[str, str]:
        return {"x-stainless-retry-count": str(attempt)} if self._counts_retries else super()._marks(key, attempt)

    def _send_conversation(self, number: int, texts: Sequence[str]) -> None:
        self._answers[number] = []
        thread = self._thread_ids[number] = self.request("POST", "/v1/threads", {})["id"]
        for text in texts:
            self.request("POST", f"/v1/threads/{thread}/messages", {"role": "user", "content": text})
            run = self.request("POST", f"/v1/threads/{thread}/runs", {"assistant_id": "default", "tools": TOOLS})
            ended = self._until_ended(f"/v1/threads/{thread}/runs/{run['id']}")
            assert ended["status"] == "completed", ended["last_error"] or ended["status"]
            self._answers[number].append(self._replies(thread)[-1])

    def _until_ended(self, path: str) -> Json:
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            run = self.request("GET", path)
            if run["status"] in ENDED:
                return run
            if run["status"] == "requires_action":
                calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
                outputs = [{"tool_call_id": call["id"], "output": "found"} for call in calls]
                self.request("POST", f"{path}/submit_tool_outputs", {"tool_outputs": outputs})
            time.sleep(RETRY_SECONDS)
        raise AssertionError(f"no end of {path}")

    def _replies(self, thread: str) -> list[str]:
        listed = self.request("GET", f"/v1/threads/{thread}/messages?order=asc")["data"]
        return [each["content"][0]["text"]["value"] for each in listed if each["role"] == "assistant"]

    def _replies_of(self, number: int) -> list[str]:
        replies = self._replies(self._thread_ids[number])
        return replies + [text for text in self._answers[number] if text not in replies]

    def hold_reply_call(self, sync: SyncPoint) -> None:
        self._gateway_proxy.hold_matching(REPLY_MARKER, sync)
