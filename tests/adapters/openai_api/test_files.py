"""Files by OpenAI's SDK: uploaded, listed, read and deleted, and the pictures of messages that name them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types import FileObject

from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite
from tests.contracts.assistant_files import PNG

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)


def upload(client: OpenAI, name: str = "cat.png", content: bytes = PNG, purpose: Any = "vision") -> FileObject:
    return client.files.create(file=(name, content, "image/png"), purpose=purpose)


def picture_of(site: ApiSite, message: int = -1) -> bytes:
    """Returns the picture in a message of the newest request to the model."""
    parts = site.fake.requests[-1].body["messages"][message]["content"]
    (url,) = (part["image_url"]["url"] for part in parts if part["type"] == "image_url")
    return base64.b64decode(url.partition(",")[2])


def test_a_file_is_uploaded_listed_read_and_deleted_by_its_key(client: OpenAI, site: ApiSite) -> None:
    content = PNG * 10_000  # several pieces
    file = upload(client, content=content)
    assert (file.filename, file.bytes, file.purpose, file.status) == ("cat.png", len(content), "vision", "processed")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    document = upload(client, "notes.txt", b"", "user_data")
    assert [each.id for each in client.files.list()][:2] == [document.id, file.id]
    assert [each.id for each in client.files.list(order="asc", limit=1, after=file.id)][:1] == [document.id]
    assert [each.id for each in client.files.list(purpose="user_data")] == [document.id]
    other = site.client("key-two")
    assert list(other.files.list()) == []
    for ask in (other.files.retrieve, other.files.content, other.files.delete):
        with pytest.raises(NotFoundError):
            ask(file.id)
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError, match="No such File"):
        client.files.content(file.id)


@pytest.mark.parametrize(
    ("purpose", "param"), [("batch", "purpose"), ("fine-tune", "purpose"), ("none", "purpose"), ("", "purpose")]
)
def test_what_the_gateway_does_not_keep_is_refused_by_name(client: OpenAI, purpose: str, param: str) -> None:
    before = len(list(client.files.list()))
    with pytest.raises(BadRequestError) as refused:
        upload(client, purpose=purpose)
    assert refused.value.param == param
    assert len(list(client.files.list())) == before


def test_a_picture_of_a_message_reaches_the_model(client: OpenAI, site: ApiSite) -> None:
    file = upload(client)
    thread = client.beta.threads.create()
    picture = {"type": "image_file", "image_file": {"file_id": file.id}}
    content: Any = [{"type": "text", "text": "Who is this?"}, picture]
    message = client.beta.threads.messages.create(thread.id, role="user", content=content)
    assert [part.type for part in message.content] == ["text", "image_file"]
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="default")
    assert run.status == "completed", run.last_error
    assert picture_of(site) == PNG
    alone: Any = [{"role": "user", "content": content[1:]}]
    run = client.beta.threads.create_and_run_poll(assistant_id="default", thread={"messages": alone})
    assert run.status == "completed", run.last_error
    assert picture_of(site) == PNG
    listed = client.beta.threads.messages.list(run.thread_id, order="asc").data[0]
    assert [part.type for part in listed.content] == ["image_file"]


def test_a_picture_of_a_completion_is_named_by_its_id(client: OpenAI, site: ApiSite) -> None:
    file = upload(client)
    said: Any = [{"type": "input_text", "text": "Who?"}, {"type": "input_image", "file_id": file.id, "detail": "auto"}]
    asked: Any = [{"role": "user", "content": said}]
    for _ in range(2):  # an answer that is not kept does not take the file with it
        client.responses.create(model="default", input=asked, store=False)
        assert picture_of(site) == PNG


@pytest.mark.parametrize("of_another", [True, False])
def test_a_file_of_nobody_or_of_another_key_is_refused_by_the_name_of_its_field(
    client: OpenAI,
    site: ApiSite,
    of_another: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    name = upload(site.client("key-two")).id if of_another else "file-none"
    thread = client.beta.threads.create()
    content: Any = [{"type": "image_file", "image_file": {"file_id": name}}]
    with pytest.raises(BadRequestError) as refused:
        client.beta.threads.messages.create(thread.id, role="user", content=content)
    assert refused.value.param == "content[0].image_file.file_id"
    content = [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}]
    with pytest.raises(BadRequestError, match="not fetched from an address"):
        client.beta.threads.messages.create(thread.id, role="user", content=content)


def test_documents_are_attached_and_those_of_tools_are_refused(client: OpenAI, site: ApiSite) -> None:
    file = client.files.create(file=("notes.txt", b"The code is 42.", "text/plain"), purpose="user_data")
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "The code?", "attachments": [{"file_id": file.id}]}]
    )
    client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="default")
    assert "The code is 42." in str(site.fake.requests[-1].body["messages"][-1])
    with pytest.raises(BadRequestError, match="no file of yours with the purpose 'assistants'"):
        client.beta.threads.messages.create(
            thread.id,
            role="user",
            content="The code?",
            attachments=[{"file_id": file.id, "tools": [{"type": "file_search"}]}],
        )
