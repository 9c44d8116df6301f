"""Files in JSON: what is sent is what an ordinary encoder would send, and it is never in memory as a whole."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.request_body import DataUrl, encode_body
from gateway.assistants.transport import SdkHttpClient
from gateway.domain.files import Attachment, BytesContent, File
from gateway.http_client import HttpClient, StreamedBody
from gateway.tools import ToolBox
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.discarding_server import DiscardingServer
from tests.fakes.file_contents import LargeContent, little_memory

ANSWER = b'{"id": "c1", "choices": [{"message": {"content": "Seen."}, "finish_reason": "stop"}]}'


@dataclass(frozen=True)
class InPieces:
    """A content that comes in pieces of any size."""

    all: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.all))

    def head(self, count: int) -> bytes:
        return b"".join(self.all)[:count]

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self.all:
            yield piece


def api_client_of(server: DiscardingServer) -> AssistantApiClient:
    http = SdkHttpClient(HttpClient())
    return AssistantApiClient(openai.AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1", http_client=http))


async def sent(body: StreamedBody) -> bytes:
    class Writer:
        written = b""

        async def write(self, piece: bytes) -> None:
            self.written += piece

    writer = Writer()
    await body.write(writer)  # type: ignore[arg-type]  # has what is used
    assert len(writer.written) == body.size
    return writer.written


@given(st.lists(st.binary(max_size=9), max_size=6), st.text(max_size=20), st.text(max_size=20))
async def test_what_is_sent_is_what_an_ordinary_encoder_sends(pieces: list[bytes], media_type: str, text: str) -> None:
    url = DataUrl(media_type, InPieces(tuple(pieces)))
    body = encode_body({"text": text, "parts": [url, {"again": url}], "end": None})
    assert isinstance(body, StreamedBody)
    plain = f"data:{media_type};base64,{base64.b64encode(b''.join(pieces)).decode()}"
    for _ in range(2):  # a redirect or a repetition sends it again
        assert json.loads(await sent(body)) == {"text": text, "parts": [plain, {"again": plain}], "end": None}


def test_a_body_without_files_is_bytes_and_what_is_no_json_is_refused() -> None:
    assert encode_body({"a": "ü"}) == '{"a":"ü"}'.encode()
    with pytest.raises(TypeError):
        encode_body({"a": object()})


async def test_a_large_image_goes_to_the_server_without_being_in_memory() -> None:
    async with DiscardingServer(ANSWER) as server:
        assistant = ChatBackend(api_client_of(server), AssistantConfig("m"), ToolBox([]))
        image = Attachment(File("a.png", "1", "image/png"), LargeContent())
        session = AssistantSession(assistant, attachments_to_send=[image])
        with little_memory():
            assert await session.say("Look") == "Seen."
        await assistant.close()
    assert server.received > LargeContent().size * 4 // 3


async def test_an_upload_does_not_take_memory_either() -> None:
    async with DiscardingServer(b'{"id": "file-1"}') as server:
        api = api_client_of(server)
        with little_memory():
            await api.upload("/files", {"purpose": "vision"}, "a.png", "image/png", LargeContent())
        await api.close()
    assert server.received > LargeContent().size


async def test_a_small_file_in_memory_is_sent_like_any_other() -> None:
    body = encode_body({"url": DataUrl("image/png", BytesContent(b"png"))})
    assert isinstance(body, StreamedBody)
    assert await sent(body) == b'{"url":"data:image/png;base64,cG5n"}'
