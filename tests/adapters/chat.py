"""A web side with a core in memory behind it, and the requests that tests of /chat make."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

from pydantic import SecretStr
from werkzeug.test import TestResponse

from adapters.http import HttpAdapter, HttpSettings
from gateway.domain.run_events import RunCompleted, TextDelta
from gateway.ports.check import CheckResult
from gateway.ports.token_buckets import TokenBuckets
from gateway.web.api.turn_events import EVENTS
from gateway.web.asgi_app import create_app
from tests.adapters.app_client import AppClient
from tests.fakes.inbox import AsyncFakeInbox, FakeInbox, Script, ScriptGate, echo
from tests.fakes.token_buckets import FakeTokenBuckets
from tests.fakes.uploads import FakeUploads

KEYS = "key-one, key-two"


async def database_ok() -> Sequence[CheckResult]:
    return [CheckResult("database", ok=True)]


class Answer(TestResponse):
    """The client's own response, with more exact types."""

    @property
    def json(self) -> Any:
        return super().json

    def __enter__(self) -> Self:
        return self


def settings(*, keys: str | None = None, **others: Any) -> HttpSettings:
    return HttpSettings(gateway_api_keys=SecretStr(keys) if keys else None, **others)


class Chat:
    """``keys``: comma-separated API keys; the calls show the first of them unless told otherwise."""

    def __init__(
        self,
        script: Script = echo,
        *,
        keys: str | None = None,
        max_waiting: int = 100,
        caller_share: float = 1.0,
        buckets: TokenBuckets | None = None,
        **others: Any,
    ) -> None:
        known = settings(keys=keys, **others)
        self.uploads = FakeUploads()
        self.adapter = HttpAdapter(
            known,
            buckets or FakeTokenBuckets(),
            self.uploads,
            max_message_chars=1000,
            max_waiting=max_waiting,
            caller_share=caller_share,
            ping_seconds=0.05,
        )
        self.inbox = FakeInbox(self.adapter, script)
        self.app = create_app(
            [self.adapter], AsyncFakeInbox(self.inbox), database_ok, trusted_proxies=known.trusted_proxies
        )
        self.key = keys.split(",")[0].strip() if keys else None

    def hold(self, reply: str = "at last") -> ScriptGate:
        """Every turn from now on says "at ", and the rest of its reply once the gate is open."""
        gate = ScriptGate()
        self.inbox.script = lambda _: (TextDelta("at "), gate, TextDelta("last"), RunCompleted(reply))
        return gate

    def close(self) -> None:
        self.inbox.close()

    def client(self) -> AppClient:
        return AppClient(self.app, self.inbox.loop)

    def call(self, method: str, path: str, *, key: str | None = None, **headers: str) -> Answer:
        return cast("Answer", self.client().open(path, method=method, headers=self._headers(key, headers)))

    def post(self, body: Any, *, key: str | None = None, **headers: str) -> Answer:
        """``body``: bytes are sent as they are, everything else as JSON. Header names with _ for -."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        wanted = {"Content_Type": "application/json"} | headers
        return cast("Answer", self.client().post("/chat", data=raw, headers=self._headers(key, wanted)))

    def say(self, text: str, thread: str | None = None, *, key: str | None = None, **headers: str) -> dict[str, Any]:
        """The reply, which must be one."""
        body = {"message": text} | ({"thread_id": thread} if thread else {})
        response = self.post(body, key=key, **headers)
        assert response.status_code == 200, response.text
        reply: dict[str, Any] = response.json
        return reply

    def _headers(self, key: str | None, headers: dict[str, str]) -> dict[str, str]:
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        key = key or self.key
        return shown if key is None or "Authorization" in shown else {"Authorization": f"Bearer {key}"} | shown


def error(response: TestResponse) -> tuple[int, str]:
    """Status and code of an error, which must look like one."""
    body: Any = response.json
    assert set(body) == {"error"}, response.text
    problem = body["error"]
    assert problem["message"]
    assert set(problem) <= {"code", "message", "turn_id"}
    return response.status_code, problem["code"]


Event = tuple[str, dict[str, Any]]


def parse(stream: str) -> list[Event]:
    """The events of a stream, which must be as the API's documentation says; comment lines count for nothing."""
    found = []
    for block in stream.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            assert [line.partition(": ")[0] for line in lines] == ["event", "data"], block
            found.append((lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))))
    for name, data in found:
        EVENTS[name].model_validate(data)
        assert set(data) <= set(EVENTS[name].model_fields)
    return found


def in_thread(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def chunks(response: TestResponse) -> Iterator[str]:
    """What a streaming view sends, as it sends it."""
    for chunk in response.response:
        yield chunk.decode() if isinstance(chunk, bytes) else chunk
