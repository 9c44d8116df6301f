"""Callers of ``/chat``: a request without an answer is repeated with the same Idempotency-Key."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

from tests.faults.matrix.proxy import Link
from tests.faults.matrix.scoring import Said
from tests.faults.matrix.senders import PATIENCE, at_once
from tests.faults.matrix.sync_point import Moment

Json = dict[str, Any]
PAUSE = 0.15
AWAY = frozenset({502, 503, 504})
REPLY = b'"response":"'


class CallersCrowd:
    """Callers of ``/chat``: some wait for each answer, some post asynchronously and fetch the answer at the end."""

    port = 0

    def __init__(self, door: Link, *, seconds: float) -> None:
        """``timeout``: seconds a caller waits for an answer before it repeats the request."""
        self._door = door
        self._seconds = seconds
        self._threads: dict[int, str] = {}
        self._told: dict[int, list[str]] = {}
        """The answers received, by conversation."""

    def environment(self, port: int) -> Mapping[str, str]:
        return {}

    def come_to(self, port: int) -> None:
        """Does nothing: the callers always use the same proxy."""

    def speak(self, said: Said) -> None:
        at_once([partial(self._speak, number, texts) for number, texts in enumerate(said)])

    def _speak(self, number: int, texts: Sequence[str]) -> None:
        left: list[str] = []
        told = self._told[number] = []
        for text in texts:
            body = {"message": text} | ({"thread_id": self._threads[number]} if number in self._threads else {})
            waits = number == 0 or text == texts[-1]
            answer = self._ask("POST", "/chat", body, **({} if waits else {"Prefer": "respond-async"}))
            self._threads.setdefault(number, answer["thread_id"])
            if waits:
                told += [*map(self._fetch, left), answer["response"]]
                left.clear()
            else:
                left.append(answer["turn_id"])

    def _fetch(self, turn: str) -> str:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            shown = self._ask("GET", f"/chat/turns/{turn}")
            if shown["state"] not in {"queued", "running"}:
                return str(shown["response"])
            time.sleep(PAUSE)
        raise AssertionError(f"no answer to {turn}")

    def _ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> Json:
        """Repeats a request until it is answered. Raises AssertionError when the answer is an error."""
        headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        end = time.monotonic() + PATIENCE
        said: object = None
        while time.monotonic() < end:
            try:
                status, answer = self._ask_once(method, path, body, headers)
            except (OSError, http.client.HTTPException) as exc:
                said = repr(exc)
            else:
                if status in {200, 202}:
                    return answer
                assert status in AWAY, (status, answer)
                said = answer
            time.sleep(PAUSE)
        raise AssertionError(f"no answer to {method} {path}: {said}")

    def _ask_once(self, method: str, path: str, body: Json | None, headers: Mapping[str, str]) -> tuple[int, Json]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._door.port, timeout=self._seconds)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), dict(headers))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def hold_answer(self, moment: Moment) -> None:
        self._door.hold(REPLY, moment)

    def settle(self) -> None:
        """Does nothing: callers that have their answers are done."""

    def places(self) -> Sequence[Sequence[str]]:
        """Returns the replies in the transcripts, then the received answers that are missing there."""
        return [self._place(number) for number in sorted(self._told)]

    def _place(self, number: int) -> list[str]:
        shown = self._ask("GET", f"/chat/threads/{self._threads[number]}")
        replies = [line["text"] for line in shown["messages"] if line["role"] == "assistant"]
        return replies + [text for text in self._told[number] if text not in replies]

    def elsewhere(self) -> int:
        return 0  # there are no other threads

    def close(self) -> None:
        """Does nothing: callers hold no resources."""
