"""Files at /chat: forms, data URLs, what becomes of them, and the files of replies."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from gateway.coordination.file_spool import FileSpool
from gateway.domain.errors import MalformedRequest, Overloaded
from gateway.domain.files import File
from gateway.domain.models import Turn
from gateway.domain.run_events import RunCompleted
from gateway.ports.uploads import PIECE_BYTES
from gateway.web.api.multipart import FORM, PartHead, file_name, read_parts
from tests.adapters.chat import Chat, error

PNG = b"\x89PNG\r\n\x1a\n\0\0--edge\r\n"
FORM_TYPE = "multipart/form-data; boundary=edge"
FIELD = b'--edge\r\nContent-Disposition: form-data; name="message"\r\n\r\nHello\r\n'


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat(chat_max_file_bytes=3 * PIECE_BYTES)
    yield chat
    chat.close()


def form(*files: tuple[str, bytes], **fields: str) -> dict[str, Any]:
    parts = [("files", FileStorage(BytesIO(content), name)) for name, content in files]
    boundary, body = encode_multipart(MultiDict([*parts, *fields.items()]))
    return {"data": body, "content_type": f"{FORM}; boundary={boundary}"}


def inline(content: bytes, name: str = "a.png", media_type: str = "image/png") -> dict[str, str]:
    return {"name": name, "data": f"data:{media_type};base64,{b64encode(content).decode()}"}


def turn_of(chat: Chat, response: Any) -> Turn:
    assert response.status_code == 200, response.text
    return chat.inbox.get_turn(response.json["turn_id"])


def test_a_form_brings_fields_and_files(chat: Chat) -> None:
    big = bytes(range(256)) * 2048
    turn = turn_of(
        chat, chat.client().post("/chat", **form(("a b.png", PNG), ("big", big), message="Look", user="ann"))
    )
    first, second = turn.message.files
    assert (turn.message.text, turn.message.author) == ("Look", "ann")
    assert (first.name, first.media_type, first.size) == ("a b.png", "image/png", len(PNG))
    assert (second.name, second.size) == ("big", len(big))
    assert chat.uploads.contents == [PNG, big]
    assert [len(piece) for piece in chat.uploads.pieces[second.reference]] == [PIECE_BYTES, PIECE_BYTES]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("filename*=UTF-8''na%C3%AFve%20plan.txt", "naïve plan.txt"),
        ("filename=\"=?utf-8?B?bmHDr3ZlLnR4dA==?=\"; filename*=utf-8''na%C3%AFve.txt", "naïve.txt"),
        ("filename*=iso-8859-1'en'%A3.txt", "£.txt"),
        ("filename*=plain.txt", "plain.txt"),
        ("filename*=utf-8''", "file"),
        ("filename=a.txt; filename*=utf-8''", "a.txt"),
        ("filename*=utf-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
    ],
)
def test_a_file_may_have_its_name_with_an_encoding(chat: Chat, written: str, name: str) -> None:
    head = f"--edge\r\nContent-Disposition: form-data; name=files; {written}\r\n\r\n"
    response = chat.client().post("/chat", data=f"{head}text\r\n--edge--\r\n".encode(), content_type=FORM_TYPE)
    (file,) = turn_of(chat, response).message.files
    assert (file.name, file.size) == (name, 4)


def test_a_form_needs_no_text_if_it_has_a_file(chat: Chat) -> None:
    assert turn_of(chat, chat.client().post("/chat", **form(("a.png", PNG)))).message.text == ""
    assert error(chat.client().post("/chat", **form(message=" "))) == (400, "empty_message")


def test_data_urls_bring_small_files(chat: Chat) -> None:
    turn = turn_of(chat, chat.post({"message": "Look", "files": [inline(PNG), inline(b"", "b.txt", "text/plain")]}))
    assert [(file.name, file.media_type, file.size) for file in turn.message.files] == [
        ("a.png", "image/png", len(PNG)),
        ("b.txt", "text/plain", 0),
    ]
    assert chat.uploads.contents == [PNG, b""]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (form(("a", bytes(3 * PIECE_BYTES + 1)), message="x"), (413, "upload_too_large")),
        (form(*[(f"{number}", b"x") for number in range(11)], message="x"), (400, "too_many_files")),
        (form(("a", b"x"), message="x", nonsense="y"), (400, "invalid_field")),
        (form(("a", b"x"), message="x" * 1001), (400, "message_too_long")),
        (form(("a", b"x"), message="x\0"), (400, "invalid_field")),
        (form(("a", b"x"), message="x" * 1_000_000), (413, "payload_too_large")),
        ({"data": FIELD + FIELD + b"--edge--\r\n", "content_type": FORM_TYPE}, (400, "invalid_form")),
        ({"data": b"--edge\r\nnonsense", "content_type": FORM_TYPE}, (400, "invalid_form")),
        ({"data": b"--edge\r\n\r\nbroken off", "content_type": FORM_TYPE}, (400, "invalid_form")),
        ({"data": b"", "content_type": "multipart/form-data"}, (400, "invalid_form")),
        ({"json": {"message": "x", "files": [{"name": "a", "data": "data:;base64,A"}]}}, (400, "invalid_field")),
        ({"json": {"message": "x", "files": [{"name": "a", "data": "https://x/y"}]}}, (400, "invalid_field")),
    ],
)
def test_what_is_wrong_is_named_and_leaves_nothing_behind(
    chat: Chat, sent: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert error(chat.client().post("/chat", **sent)) == expected
    assert chat.uploads.pieces == {}


def test_few_large_bodies_are_in_memory_at_once(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.Semaphore, "locked", lambda _: True)
    large, small = inline(bytes(2**20)), inline(PNG)
    assert error(chat.post({"message": "x", "files": [large]})) == (503, "overloaded")
    assert chat.post({"message": "x", "files": [small]}).status_code == 200


def test_a_message_that_is_not_accepted_leaves_no_file_behind(chat: Chat) -> None:
    chat.inbox.fault = Overloaded("full")
    assert chat.client().post("/chat", **form(("a.png", PNG), message="Look")).status_code == 503
    assert chat.uploads.pieces == {}


def test_the_same_idempotency_key_keeps_the_files_of_the_first_request(chat: Chat) -> None:
    key = {"Idempotency-Key": "k"}
    turns = [chat.client().post("/chat", headers=key, **form(("a.png", PNG), message="Look")) for _ in range(2)]
    assert turns[0].json == turns[1].json
    assert chat.uploads.contents == [PNG]
    assert error(chat.client().post("/chat", headers=key, **form(("a.png", PNG + b"x"), message="Look"))) == (
        409,
        "idempotency_conflict",
    )
    assert chat.uploads.contents == [PNG]


async def test_the_assistant_gets_the_content(chat: Chat) -> None:
    turn = turn_of(chat, chat.client().post("/chat", **form(("a.png", PNG), ("b.bin", bytes(PIECE_BYTES)))))
    chat.uploads.delete(turn.message.files[1].reference)
    spool = FileSpool().open_turn()
    first, second = await chat.adapter.fetch_attachments(turn, spool)
    assert b"".join([piece async for piece in first.content.pieces()]) == PNG
    assert "no longer kept" in second.problem
    spool.close()


def test_files_of_a_reply_are_downloads(chat: Chat) -> None:
    made = File("Bericht ü 1.html", "content", "text/html", 7)
    chat.inbox.script = lambda _: (RunCompleted("Here.", files=(made,)),)
    reply = chat.say("Make it")
    (file,) = reply["files"]
    assert file == {
        "file_id": f"{reply['turn_id']}.0",
        "name": made.name,
        "media_type": "text/html",
        "size": 7,
    }
    response = chat.client().get(f"/chat/files/{file['file_id']}")
    assert (response.status_code, response.data) == (200, b"content")
    assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Bericht%20%C3%BC%201.html"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    turn = reply["turn_id"]
    for wrong in (f"{turn}.1", f"{turn}.-1", f"{turn}.{'9' * 5000}", f"{turn}.\u0660", turn, "turn_x.0"):
        nothing = chat.client().get(f"/chat/files/{wrong}")
        assert error(nothing) == (404, "turn_not_found")
        assert "There is no such file." in nothing.text
    shown: Any = chat.client().get(f"/chat/threads/{reply['thread_id']}").json
    assert [message["files"] for message in shown["messages"]] == [[], [file]]


@pytest.mark.parametrize("said", ["", "text", "text/html\r\nSet-Cookie: a=b", "text/h\u00e4", "text/a; b\n", "a" * 300])
def test_what_is_no_media_type_is_sent_as_bytes(chat: Chat, said: str) -> None:
    chat.inbox.script = lambda _: (RunCompleted("Here.", files=(File("a", "content", said, 7),)),)
    (file,) = chat.say("Make it")["files"]
    response = chat.client().get(f"/chat/files/{file['file_id']}")
    assert (response.status_code, response.data) == (200, b"content")
    assert response.headers["Content-Type"] == "application/octet-stream"


def test_a_transcript_names_what_was_attached(chat: Chat) -> None:
    reply: Any = chat.client().post("/chat", **form(("a.png", PNG))).json
    shown: Any = chat.client().get(f"/chat/threads/{reply['thread_id']}").json
    assert shown["messages"][0]["attached"] == ["a.png"]


@pytest.mark.parametrize(
    ("written", "name"),
    [("C:\\a\\b.txt", "b.txt"), ("../../etc/x", "x"), ("a\nb", "ab"), ("", "file"), ("/", "file"), ("ü.png", "ü.png")],
)
def test_a_file_name_has_no_folders_and_no_control_characters(written: str, name: str) -> None:
    assert file_name(written) == name


@given(st.binary(max_size=300), st.integers(min_value=1, max_value=40))
async def test_a_form_means_the_same_however_it_is_cut(content: bytes, size: int) -> None:
    head = b'--edge\r\nContent-Disposition: form-data; name="f"; filename="a"\r\nContent-Type: x/y\r\n\r\n'
    body = head + content.replace(b"--edge", b"") + b"\r\n--edge--\r\n"

    async def pieces() -> Any:
        for place in range(0, len(body), size):
            yield body[place : place + size]

    parts = [part async for part in read_parts(pieces(), FORM_TYPE)]
    assert parts[0] == PartHead("f", "a", "x/y")
    assert b"".join(part for part in parts if isinstance(part, bytes)) == content.replace(b"--edge", b"")


async def test_a_form_has_a_limit_of_parts() -> None:
    async def pieces() -> Any:
        yield b"".join(b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' for _ in range(40))

    with pytest.raises(MalformedRequest, match="more than 32 parts"):
        [part async for part in read_parts(pieces(), FORM_TYPE)]
