"""Callers of ``/chat``: a request without an answer is repeated with the same Idempotency-Key."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

from tests.faults.matrix.proxy import TcpProxy
from tests.faults.matrix.scoring import SentMessages
from tests.faults.matrix.senders import TIMEOUT_SECONDS, run_in_threads
from tests.faults.matrix.sync_point import SyncPoint

Json = dict[str, Any]
RETRY_SECONDS = 0.15
UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
REPLY_MARKER = b'"response":"'


class ApiSenders:
    """Callers of ``/chat``: some wait for each answer, some post asynchronously and fetch the answer at the end."""

    port = 0

    def __init__(self, gateway_proxy: TcpProxy, *, timeout: float) -> None:
        """``timeout``: seconds a caller waits for an answer before it repeats the request."""
        self._gateway_proxy = gateway_proxy
        self._timeout = timeout
        self._thread_ids: dict[int, str] = {}
        self._answers: dict[int, list[str]] = {}
        """The answers received, by conversation."""

    def environment(self, port: int) -> Mapping[str, str]:
        return {}

    def deliver_to(self, port: int) -> None:
        """Does nothing: the callers always use the same proxy."""

    def send_all(self, messages: SentMessages) -> None:
        run_in_threads([partial(self._send_conversation, number, texts) for number, texts in enumerate(messages)])

    def _send_conversation(self, number: int, texts: Sequence[str]) -> None:
        left: list[str] = []
        told = self._answers[number] = []
        for text in texts:
            body = {"message": text} | ({"thread_id": self._thread_ids[number]} if number in self._thread_ids else {})
            waits = number == 0 or text == texts[-1]
            answer = self.request("POST", "/chat", body, **({} if waits else {"Prefer": "respond-async"}))
            self._thread_ids.setdefault(number, answer["thread_id"])
            if waits:
                told += [*map(self._wait_for_turn, left), answer["response"]]
                left.clear()
            else:
                left.append(answer["turn_id"])

    def _wait_for_turn(self, turn: str) -> str:
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            shown = self.request("GET", f"/chat/turns/{turn}")
            if shown["state"] not in {"queued", "running"}:
                return str(shown["response"])
            time.sleep(RETRY_SECONDS)
        raise AssertionError(f"no answer to {turn}")

    def request(self, method: str, path: str, body: Json | None = None, **headers: str) -> Json:
        """Repeats a request until it is answered. Raises AssertionError when the answer is an error."""
        headers |= {"Content-Type": "application/json"}
        end, key = time.monotonic() + TIMEOUT_SECONDS, uuid4().hex
        said: object = None
        for attempt in count():
            if time.monotonic() > end:
                break
            try:
                marked = {**headers, **self._marks(key, attempt)}
                status, answer = self._request_once(method, path, body, marked)
            except (OSError, http.client.HTTPException) as exc:
                said = repr(exc)
            else:
                if status in {200, 202}:
                    return answer
                assert status in UNAVAILABLE_STATUSES, (status, answer)
                said = answer
            time.sleep(RETRY_SECONDS)
        raise AssertionError(f"no answer to {method} {path}: {said}")

    def _marks(self, key: str, attempt: int) -> Mapping[str, str]:
        """Returns headers by which the gateway knows attempts at one request."""
        return {"Idempotency-Key": key}

    def _request_once(self, method: str, path: str, body: Json | None, headers: Mapping[str, str]) -> tuple[int, Json]:
        with closing(
            http.client.HTTPConnection("127.0.0.1", self._gateway_proxy.port, timeout=self._timeout)
        ) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), dict(headers))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def hold_reply_call(self, sync: SyncPoint) -> None:
        self._gateway_proxy.hold_matching(REPLY_MARKER, sync)

    def wait_until_idle(self) -> None:
        """Does nothing: callers that have their answers are done."""

    def replies(self) -> Sequence[Sequence[str]]:
        """Returns the replies in the transcripts, then the received answers that are missing there."""
        return [self._replies_of(number) for number in sorted(self._answers)]

    def _replies_of(self, number: int) -> list[str]:
        shown = self.request("GET", f"/chat/threads/{self._thread_ids[number]}")
        replies = [line["text"] for line in shown["messages"] if line["role"] == "assistant"]
        return replies + [text for text in self._answers[number] if text not in replies]

    def stray_messages(self) -> int:
        return 0  # there are no other threads

    def close(self) -> None:
        """Does nothing: callers hold no resources."""
