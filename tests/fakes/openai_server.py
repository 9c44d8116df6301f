"""A fake OpenAI server: real HTTP on loopback, the documented rules of the API, and faults on demand.

``with FakeOpenAI() as fake:`` runs it in its own thread; ``python -m tests.fakes.openai_server`` as a program.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from aiohttp import web

from tests.fakes.accepting import stop_accepting
from tests.fakes.openai_chat import FakeChatRoutes
from tests.fakes.openai_conversations import FakeConversationRoutes, text_of
from tests.fakes.openai_faults import FaultKind, HttpFault, HttpFaults, RecordedRequest
from tests.fakes.openai_files import FakeFileRoutes, ModelInput, model_inputs
from tests.fakes.openai_handler import RequestHandler, Router
from tests.fakes.openai_messages import Json
from tests.fakes.openai_response_routes import FakeResponseRoutes
from tests.fakes.openai_run_routes import FakeRunRoutes
from tests.fakes.openai_script import (
    Act,
    CallTool,
    Expire,
    Fail,
    Hang,
    HostedTool,
    Incomplete,
    MakeFile,
    MakeImage,
    Say,
    ScriptStep,
    Think,
)
from tests.fakes.openai_state import NO_MODEL, FakeOpenAIState, ObjectView
from tests.fakes.openai_threads import ASSISTANT_ID, FakeThreadRoutes, StoredMessage
from tests.fakes.openai_vector_stores import FakeVectorStoreRoutes

__all__ = [
    "ASSISTANT_ID",
    "NO_MODEL",
    "Act",
    "CallTool",
    "Expire",
    "Fail",
    "FakeOpenAI",
    "FaultKind",
    "Hang",
    "HostedTool",
    "HttpFault",
    "HttpFaults",
    "Incomplete",
    "MakeFile",
    "MakeImage",
    "RecordedRequest",
    "Say",
    "Think",
]


class FakeOpenAI(FakeOpenAIState):
    """One server with its own state. Its options (see FakeOpenAIState) may be set from any thread while it runs."""

    def __init__(self, *, port: int = 0, record: bool = True, max_kept: int | None = None) -> None:
        super().__init__(record=record, max_kept=max_kept)
        self.port = port
        self.assistant_id = ASSISTANT_ID
        """An assistant that exists from the start, without tools."""
        self._thread_routes = FakeThreadRoutes(self)
        self._run_routes = FakeRunRoutes(self, self._thread_routes)
        self._conversation_routes = FakeConversationRoutes(self)
        self._response_routes = FakeResponseRoutes(self, self._conversation_routes)
        self._chat_routes = FakeChatRoutes(self)
        self._file_routes = FakeFileRoutes(self)
        self._vector_store_routes = FakeVectorStoreRoutes(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ addresses

    @property
    def base_url(self) -> str:
        return f"{self.azure_endpoint}/v1"

    @property
    def azure_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # ------------------------------------------------------------ the model's behaviour

    def script(self, *replies: Act | ScriptStep | str) -> None:
        """Adds steps for the next calls of the model: one act, a list of acts, or a text for each call.

        The model is called once per message, and once more when the outputs of its tool calls are submitted.
        """
        self.script_steps.add(replies)

    def release(self) -> None:
        """Releases the hanging acts of the script so far."""
        self.script_steps.release()

    def forget_object(self, object_id: str) -> None:
        """Responds 404 for this thread, conversation, response, run, file or assistant from now on."""
        self.lost_ids.add(object_id)

    def expire(self, run_id: str) -> None:
        """Expires a run of a thread now, as if it had waited too long for tool outputs."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._run_routes.expire, run_id)

    # ------------------------------------------------------------ received requests

    @property
    def requests(self) -> list[RecordedRequest]:
        return list(self.request_log.requests)

    def posts(self, path: str) -> list[RecordedRequest]:
        """Returns the POSTs whose whole path matches, in order."""
        return self.request_log.matching("POST", path)

    def wait_for(self, method: str, path: str, count: int = 1, timeout: float = 10.0) -> list[RecordedRequest]:
        """Blocks until ``count`` such requests were received since the start. Returns them. Raises TimeoutError."""
        self.request_log.wait_until(lambda: len(self.request_log.matching(method, path)) >= count, timeout)
        return self.request_log.matching(method, path)

    async def wait_for_async(self, method: str, path: str, count: int = 1) -> list[RecordedRequest]:
        """``wait_for`` for async tests."""
        return await asyncio.to_thread(self.wait_for, method, path, count)

    def wait_until(self, ready: Callable[[], bool], timeout: float = 10.0) -> None:
        """Blocks until ``ready``, called after each request and each change of a run. Raises TimeoutError."""
        self.request_log.wait_until(ready, timeout)

    async def wait_until_async(self, ready: Callable[[], bool], timeout: float = 10.0) -> None:  # noqa: ASYNC109  # mirrors wait_until
        """``wait_until`` for async tests."""
        await asyncio.to_thread(self.wait_until, ready, timeout)

    # ------------------------------------------------------------ stored objects

    @property
    def threads(self) -> Mapping[str, list[StoredMessage]]:
        """The messages of each thread, oldest first."""
        return ObjectView(self._thread_routes.threads, lambda thread: list(thread.messages))

    @property
    def runs(self) -> Mapping[str, Json]:
        """Every run as the API returns it now."""
        return self._run_routes.all_as_json()

    @property
    def conversations(self) -> Mapping[str, list[Json]]:
        """The items of each conversation, oldest first."""
        return ObjectView(self._conversation_routes.conversations, lambda conversation: list(conversation.items))

    @property
    def responses(self) -> Mapping[str, Json]:
        """Every response as the API would return it now, including those that cannot be retrieved."""
        return ObjectView(self._response_routes.responses, lambda response: response.to_json())

    def user_texts(self, object_id: str) -> list[str]:
        """Returns the user texts stored in a thread, a conversation or a chain of responses.

        Works for lost objects, but not for deleted ones. Raises KeyError.
        """
        if object_id in self.threads:
            return [message.text for message in self.threads[object_id] if message.role == "user"]
        if object_id in self.conversations:
            return [text_of(item) for item in self.conversations[object_id] if item.get("role") == "user"]
        items = self._response_routes.items_of_chain(object_id)
        if not items:
            raise KeyError(object_id)
        return [text_of(item) for item in items if item.get("role") == "user"]

    def newest_inputs(self, object_id: str) -> list[ModelInput]:
        """Returns the model's inputs from the newest user message of a thread or a conversation."""
        if object_id in self.threads:
            message = next(one for one in reversed(self.threads[object_id]) if one.role == "user")
            return model_inputs(message.content, message.attachments, self.uploads)
        item = next(one for one in reversed(self.conversations[object_id]) if one.get("role") == "user")
        return model_inputs(item["content"])

    # ------------------------------------------------------------ running

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server. After a stop: on the same port, with the same state."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve(ready.set)), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise TimeoutError("the fake server did not start")

    def stop(self) -> None:
        """Stops the server: closes every connection and cancels what is running."""
        if self._loop is not None and self._stop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
            self._loop = None

    async def serve(self, ready: Callable[[], Any]) -> None:
        """Runs the server until ``stop``; calls ``ready`` when it is listening."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = web.Server(self._request_handler().handle, access_log=None, handler_cancellation=True)
        listener = await self._loop.create_server(server, "127.0.0.1", self.port, backlog=4096)
        self.port = listener.sockets[0].getsockname()[1]
        ready()
        await self._stop.wait()
        await stop_accepting(listener)
        await server.shutdown(0.001)  # zero would wait for ever

    def request_stop(self) -> None:
        """Stops the server without waiting for it; from any thread."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    def _request_handler(self) -> RequestHandler:
        router = Router(self)
        router.add("", self._chat_routes.models())
        router.add("chat", self._chat_routes.routes())
        router.add("files", self._file_routes.routes())
        router.add("vector_stores", self._vector_store_routes.routes())
        router.add("containers", self._file_routes.container_routes())
        router.add("audio", self._file_routes.audio_routes())
        router.add("threads", self._thread_routes.routes())
        router.add("threads", self._run_routes.routes())
        router.add("conversations", self._conversation_routes.routes())
        router.add("responses", self._response_routes.routes())
        return RequestHandler(self, router)


def main() -> None:
    """Runs the server until stdin closes or SIGTERM arrives. The first line it prints is its base URL."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=5, help="deltas of a reply")
    parser.add_argument("--chunk-delay", "--delay", type=float, default=0.0, help="seconds between deltas")
    parser.add_argument("--think", type=float, default=0.0, help="seconds before a reply's first delta")
    parser.add_argument("--keep", type=int, default=20_000, help="how many threads, conversations, responses to keep")
    parser.add_argument("--poll-after-ms", type=int, default=None, help="what openai-poll-after-ms says")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the base URL")
    options = parser.parse_args()
    fake = FakeOpenAI(port=options.port, record=False, max_kept=options.keep)
    fake.chunks, fake.chunk_delay, fake.think = options.chunks, options.chunk_delay, options.think
    fake.poll_after_ms = options.poll_after_ms
    # long enough for the requested number of deltas
    fake.reply = lambda texts: f"You said: {texts[-1]}".ljust(options.chunks, ".")

    def ready() -> None:
        signal.signal(signal.SIGTERM, lambda *_: fake.request_stop())
        threading.Thread(target=_stop_at_end_of_stdin, args=(fake,), daemon=True).start()
        print(fake.base_url, flush=True)

    asyncio.run(fake.serve(ready))
    if not options.quiet:
        print("stopped", file=sys.stderr)


def _stop_at_end_of_stdin(fake: FakeOpenAI) -> None:
    # not sys.stdin, as a thread must not hold its lock when the interpreter exits
    while os.read(0, 4096):
        pass
    fake.request_stop()


if __name__ == "__main__":
    main()
