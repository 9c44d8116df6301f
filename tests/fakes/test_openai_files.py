"""Files of the fake, and message parts with files, used by the real SDK."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response, ResponseOutputMessage, ResponseOutputText
from openai.types.responses.response_output_item import ImageGenerationCall
from openai.types.responses.response_output_text import AnnotationContainerFileCitation

from tests.fakes.openai_files import model_inputs
from tests.fakes.openai_server import ASSISTANT_ID, FakeOpenAI, MakeFile, MakeImage, Say

MODEL = "gpt-5-mini"
PNG = b"\x89PNG\r\n\x1a\n"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PDF_URL = f"data:application/pdf;base64,{base64.b64encode(b'%PDF').decode()}"
ZIP_URL = PDF_URL.replace("pdf", "zip")

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated", "ignore:deprecated")


def user(*parts: Any) -> Any:
    return [{"role": "user", "content": list(parts)}]


IMAGE: Any = {"type": "input_image", "image_url": PNG_URL, "detail": "auto"}
FILE: Any = {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL}
CHAT_IMAGE: Any = {"type": "image_url", "image_url": {"url": PNG_URL}}
CHAT_FILE: Any = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}


async def test_a_file_can_be_uploaded_looked_up_read_and_deleted(client: AsyncOpenAI) -> None:
    file = await client.files.create(file=("Grüße.png", PNG, "image/png"), purpose="vision")
    assert (file.filename, file.bytes, file.purpose) == ("Grüße.png", len(PNG), "vision")
    assert await client.files.retrieve(file.id) == file
    assert [one async for one in client.files.list()] == [file]
    assert (await client.files.content(file.id)).content == PNG
    await client.files.delete(file.id)
    with pytest.raises(NotFoundError):
        await client.files.content(file.id)


async def test_a_file_needs_a_known_purpose(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match="fun"):
        await client.files.create(file=("a.txt", b"a"), purpose="fun")  # type: ignore[arg-type]  # that is the point


async def test_the_model_gets_the_content_of_the_parts(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    parts = user({"type": "input_text", "text": "Look"}, IMAGE, FILE)
    await client.responses.create(model=MODEL, conversation=conversation.id, input=parts)
    items = [item async for item in client.conversations.items.list(conversation.id)]
    assert len(items) == 2
    assert fake.newest_inputs(conversation.id) == [
        ("text", "", "Look"),
        ("image", "image/png", PNG),
        ("file", "a.pdf", b"%PDF"),
    ]
    completion = await client.chat.completions.create(
        model=MODEL, messages=user({"type": "text", "text": "Look"}, CHAT_IMAGE, CHAT_FILE)
    )
    assert completion.choices[0].message.content == "You said: Look"
    (post,) = fake.posts("/chat/completions")
    assert model_inputs(post.body["messages"][0]["content"]) == fake.newest_inputs(conversation.id)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (IMAGE | {"image_url": "data:image/png;base64,?"}, "invalid_value"),
        (IMAGE | {"image_url": PNG_URL.replace("png", "tiff")}, "invalid_image_format"),
        (IMAGE | {"image_url": {"url": PNG_URL}}, "invalid_type"),
        (IMAGE | {"file_id": "file_1"}, None),
        (FILE | {"name": "a.pdf"}, "unknown_parameter"),
        (FILE | {"filename": ""}, "missing_required_parameter"),
        (FILE | {"file_data": "JVBERg=="}, "invalid_value"),
        ({"type": "file", "file": {}}, "invalid_value"),
        ({"type": "input_text", "text": 1}, "invalid_type"),
    ],
)
async def test_a_part_that_is_wrong_is_refused(client: AsyncOpenAI, part: Any, code: str | None) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(model=MODEL, input=user(part))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {"type": "image_url", "image_url": PNG_URL},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "file", "file": {"filename": "a.zip", "file_data": ZIP_URL}},
        {"type": "file", "file": {"file_data": PDF_URL}},
        {"type": "file"},
    ],
)
async def test_chat_accepts_only_images_and_pdf(client: AsyncOpenAI, part: Any) -> None:
    with pytest.raises(BadRequestError):
        await client.chat.completions.create(model=MODEL, messages=user(part))


async def test_a_server_may_reject_all_files(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.accepts_files = False
    for part in (IMAGE, FILE):
        with pytest.raises(BadRequestError, match="content type"):
            await client.responses.create(model=MODEL, input=user(part))
    for part in (CHAT_IMAGE, CHAT_FILE):
        with pytest.raises(BadRequestError, match="content type"):
            await client.chat.completions.create(model=MODEL, messages=user(part))
    with pytest.raises(BadRequestError):
        await client.files.create(file=("a.txt", b"a"), purpose="vision")


def test_threads_reference_uploaded_files(fake: FakeOpenAI, sync_client: OpenAI) -> None:
    image = sync_client.files.create(file=("a.png", PNG, "image/png"), purpose="vision")
    sheet = sync_client.files.create(file=("a.xlsx", b"PK"), purpose="assistants")
    thread = sync_client.beta.threads.create()

    def say(file_id: str, tool: Any) -> None:
        sync_client.beta.threads.messages.create(
            thread.id,
            role="user",
            content=[{"type": "text", "text": "Look"}, {"type": "image_file", "image_file": {"file_id": image.id}}],
            attachments=[{"file_id": file_id, "tools": [{"type": tool}]}],
        )

    say(sheet.id, "code_interpreter")
    assert fake.newest_inputs(thread.id) == [
        ("text", "", "Look"),
        ("image", "image/png", PNG),
        ("file", "a.xlsx", b"PK"),
    ]
    for file_id, tool in ((sheet.id, "file_search"), (sheet.id, "web_search"), ("file_0", "code_interpreter")):
        with pytest.raises(BadRequestError):
            say(file_id, tool)


def made_in(response: Response) -> tuple[bytes, list[AnnotationContainerFileCitation]]:
    """Returns the image and the citations of the message."""
    image, message = response.output
    assert isinstance(image, ImageGenerationCall)
    assert isinstance(message, ResponseOutputMessage)
    assert isinstance(message.content[0], ResponseOutputText)
    notes = [one for one in message.content[0].annotations if isinstance(one, AnnotationContainerFileCitation)]
    return base64.b64decode(image.result or ""), notes


async def test_a_response_contains_the_files_it_made(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([MakeFile("a.csv", b"1,2"), MakeImage(PNG), Say("Here.")])
    async with client.responses.stream(model=MODEL, input="Make it") as events:
        kinds = [event.type async for event in events]
        response = await events.get_final_response()
    assert "response.image_generation_call.completed" in kinds
    assert "response.output_text.annotation.added" in kinds
    image, (note,) = made_in(response)
    assert image == PNG
    assert note.filename == "a.csv"
    content = await client.containers.files.content.retrieve(note.file_id, container_id=note.container_id)
    assert content.content == b"1,2"
    fake.forget_object(note.container_id)
    with pytest.raises(NotFoundError):
        await client.containers.files.content.retrieve(note.file_id, container_id=note.container_id)


def test_a_thread_contains_the_files_a_run_made(fake: FakeOpenAI, sync_client: OpenAI) -> None:
    fake.script([MakeFile("a.csv", b"1,2"), MakeImage(PNG), Say("Here.")])
    thread = sync_client.beta.threads.create()
    with sync_client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=ASSISTANT_ID) as events:
        (message,) = events.get_final_messages()
    image, text = message.content
    assert image.type == "image_file"
    assert sync_client.files.content(image.image_file.file_id).content == PNG
    assert text.type == "text"
    (note,) = text.text.annotations
    assert note.type == "file_path"
    assert note.text == "sandbox:/mnt/data/a.csv"
    assert sync_client.files.content(note.file_path.file_id).content == b"1,2"
