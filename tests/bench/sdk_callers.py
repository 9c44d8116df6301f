"""Calls the OpenAI SDK directly, with the same requests as the gateway: no store, no queue, no web server.

It uses the asynchronous client on aiohttp, the SDK's fastest (and the one that the gateway uses).
"""

from __future__ import annotations

from time import perf_counter

import openai
from openai.types.chat import ChatCompletionMessageParam

from tests.bench.plan import Backend
from tests.fakes.openai_threads import ASSISTANT_ID

MODEL = "gpt-test"


class SdkCaller:
    """One caller, in one thread at a time. Streams every reply, as the gateway does; a subclass for each backend."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client
        self._thread: str | None = None

    def start_new_thread(self) -> None:
        """Makes the next message open a new thread."""
        self._thread = None

    async def send(self, text: str) -> float:
        """Sends a message, reads the whole reply, and returns when its first text arrived, by ``perf_counter``."""
        raise NotImplementedError


class SdkResponsesCaller(SdkCaller):
    async def send(self, text: str) -> float:
        if self._thread is None:
            self._thread = (await self._client.conversations.create()).id
        first = 0.0
        events = await self._client.responses.create(
            model=MODEL,
            conversation=self._thread,
            input=[{"role": "user", "content": text}],
            store=True,
            stream=True,
        )
        async for event in events:
            if not first and event.type == "response.output_text.delta":
                first = perf_counter()
        return first


class SdkThreadsCaller(SdkCaller):
    async def send(self, text: str) -> float:
        if self._thread is None:
            self._thread = (await self._client.beta.threads.create()).id
        first = 0.0
        events = await self._client.beta.threads.runs.create(
            self._thread,
            assistant_id=ASSISTANT_ID,
            additional_messages=[{"role": "user", "content": text}],
            stream=True,
        )
        async for event in events:
            if not first and event.event == "thread.message.delta":
                first = perf_counter()
        return first


class SdkChatCaller(SdkCaller):
    def __init__(self, client: openai.AsyncOpenAI) -> None:
        super().__init__(client)
        self._messages: list[ChatCompletionMessageParam] = []

    def start_new_thread(self) -> None:
        self._messages = []

    async def send(self, text: str) -> float:
        self._messages.append({"role": "user", "content": text})
        first, reply = 0.0, ""
        chunks = await self._client.chat.completions.create(
            model=MODEL, messages=self._messages, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in chunks:
            delta = (chunk.choices[0].delta.content if chunk.choices else None) or ""
            if delta and not first:
                first = perf_counter()
            reply += delta
        self._messages.append({"role": "assistant", "content": reply})
        return first


SDK_CALLERS: dict[Backend, type[SdkCaller]] = {
    "responses": SdkResponsesCaller,
    "threads": SdkThreadsCaller,
    "chat": SdkChatCaller,
}


def new_client(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="sk-test", base_url=base_url, max_retries=0, http_client=openai.DefaultAioHttpClient()
    )
