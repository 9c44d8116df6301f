"""Callers of ``/chat`` who have their answers posted to them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tests.fakes.receiver import OK, FakeReceiver, HttpAnswer, ReceivedRequest
from tests.faults.matrix.api_senders import ApiSenders
from tests.faults.matrix.proxy import TcpProxy
from tests.faults.matrix.senders import TIMEOUT_SECONDS
from tests.faults.matrix.sync_point import SyncPoint

CALLBACKS: Mapping[str, str] = {
    "CALLBACK_SIGNING_KEYS": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "CALLBACK_PRIVATE_NETWORKS": "127.0.0.0/8",
}
"""Settings with which answers can be posted to this machine."""


class CallbackSenders(ApiSenders):
    """What is posted again under the same ``webhook-id`` is the same answer: receivers know it by that."""

    def __init__(self, gateway_proxy: TcpProxy, *, timeout: float) -> None:
        super().__init__(gateway_proxy, timeout=timeout)
        self._receiver = FakeReceiver(self._accept, path="/hook").__enter__()
        self._sync: SyncPoint | None = None
        self._expected = 0

    def environment(self, port: int) -> Mapping[str, str]:
        return CALLBACKS

    def _accept(self, request: ReceivedRequest) -> HttpAnswer:
        if self._sync is not None:
            self._sync.reach()
        return OK

    def _send_conversation(self, number: int, texts: Sequence[str]) -> None:
        self._expected += len(texts)
        self._answers[number] = []
        for text in texts:
            body = {"message": text, "callback_url": self._receiver.url}
            thread = {"thread_id": self._thread_ids[number]} if number in self._thread_ids else {}
            accepted = self.request("POST", "/chat", body | thread)
            self._thread_ids.setdefault(number, accepted["thread_id"])

    def hold_reply_call(self, sync: SyncPoint) -> None:
        self._sync = sync

    def wait_until_idle(self) -> None:
        """Waits until all answers were posted."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while len(self._posted()) < self._expected:
            assert time.monotonic() < end, "not all callbacks came"
            time.sleep(0.05)

    def _posted(self) -> Mapping[str, ReceivedRequest]:
        """Returns what was posted, by its id, in the order in which it came first."""
        found: dict[str, ReceivedRequest] = {}
        for each in list(self._receiver.received):
            found.setdefault(each.headers["webhook-id"], each)
        return found

    def _replies_of(self, number: int) -> list[str]:
        posted = [each.json["data"] for each in self._posted().values()]
        return [each["response"] for each in posted if each["thread_id"] == self._thread_ids[number]]

    def close(self) -> None:
        self._receiver.__exit__()
