"""Callers of ``/v1/responses``, as those of ``/chat``: some wait, some have it made in the background."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.faults.matrix.api_senders import RETRY_SECONDS, ApiSenders, Json
from tests.faults.matrix.senders import TIMEOUT_SECONDS
from tests.faults.matrix.sync_point import SyncPoint

PATH = "/v1/responses"
REPLY_MARKER = b'"type":"output_text"'


class ResponseSenders(ApiSenders):
    """A conversation is a chain of responses; each follows the one before, which may not be finished yet."""

    def _send_conversation(self, number: int, texts: Sequence[str]) -> None:
        self._answers[number] = []
        chain: list[str] = []
        for text in texts:
            waits = number == 0 or text == texts[-1]
            previous = {"previous_response_id": chain[-1]} if chain else {}
            body = {"model": "default", "input": text, "background": not waits, **previous}
            made = self.request("POST", PATH, body)
            chain.append(made["id"])
            self._answers[number] += [_text(made)] if waits else []
        self._thread_ids[number] = " ".join(chain)

    def _replies_of(self, number: int) -> list[str]:
        replies = [self._wait_for_turn(each) for each in self._thread_ids[number].split()]
        return replies + [text for text in self._answers[number] if text not in replies]

    def _wait_for_turn(self, turn: str) -> str:
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            shown = self.request("GET", f"{PATH}/{turn}")
            if shown["status"] not in {"queued", "in_progress"}:
                return _text(shown)
            time.sleep(RETRY_SECONDS)
        raise AssertionError(f"no answer to {turn}")

    def hold_reply_call(self, sync: SyncPoint) -> None:
        self._gateway_proxy.hold_matching(REPLY_MARKER, sync)


def _text(response: Json) -> str:
    """Returns what the assistant said, or why it said nothing."""
    parts = [part["text"] for item in response["output"] for part in item.get("content", ())]
    return "".join(parts) or str(response["error"] or response["status"])
