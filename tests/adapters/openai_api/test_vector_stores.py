"""Files for tools and vector stores by OpenAI's SDK, passed on to the assistant's server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, InternalServerError, NotFoundError, OpenAI

from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api
from tests.fakes.openai_server import HttpFault, Say

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)


@pytest.fixture(scope="module")
def responses(sqlite_module_url: str) -> Iterator[ApiSite]:
    with open_api(sqlite_module_url, ASSISTANT_BACKEND="responses") as opened:
        yield opened


@pytest.fixture
def user(responses: ApiSite) -> OpenAI:
    return responses.client()


def upload(client: OpenAI, text: bytes = b"The code is 42.") -> str:
    return client.files.create(file=("notes.txt", text, "text/plain"), purpose="assistants").id


def newest_tools(site: ApiSite) -> Any:
    return site.fake.posts("/responses")[-1].body["tools"]


def test_a_file_for_tools_is_brought_to_the_server_and_is_its_keys(responses: ApiSite, user: OpenAI) -> None:
    name = upload(user)
    assert responses.fake.uploads[name].content == b"The code is 42."
    shown = user.files.retrieve(name)
    assert (shown.filename, shown.bytes, shown.purpose, shown.expires_at) == ("notes.txt", 15, "assistants", None)
    with pytest.raises(BadRequestError, match="Not allowed to download"):
        user.files.content(name)
    with pytest.raises(NotFoundError):
        responses.client("key-two").files.delete(name)
    assert user.files.delete(name).deleted
    assert name not in responses.fake.uploads


def test_a_vector_store_is_made_filled_searched_and_deleted(responses: ApiSite, user: OpenAI) -> None:
    first, second = upload(user), upload(user, b"The sky is blue.")
    store = user.vector_stores.create(name="Notes", file_ids=[first], metadata={"a": "b"})
    assert (store.name, store.file_counts.total) == ("Notes", 1)
    assert user.vector_stores.update(store.id, name="More").name == "More"
    assert user.vector_stores.files.create_and_poll(second, vector_store_id=store.id).status == "completed"
    batch = user.vector_stores.file_batches.create_and_poll(store.id, file_ids=[first, second])
    assert len(list(user.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id))) == 2
    assert [each.id for each in user.vector_stores.files.list(store.id, order="asc", limit=1)] == [first, second]
    (found,) = user.vector_stores.search(store.id, query="sky")
    assert found.file_id == second
    (part,) = user.vector_stores.files.content(second, vector_store_id=store.id)
    assert part.text == "The sky is blue."
    assert user.vector_stores.files.delete(second, vector_store_id=store.id).deleted
    assert [each.id for each in user.vector_stores.list()][:1] == [store.id]
    assert user.vector_stores.delete(store.id).deleted
    with pytest.raises(NotFoundError):
        user.vector_stores.retrieve(store.id)


def test_a_key_sees_and_uses_nothing_of_another(responses: ApiSite, user: OpenAI) -> None:
    name = upload(user)
    store = user.vector_stores.create(file_ids=[name]).id
    other = responses.client("key-two")
    assert list(other.vector_stores.list()) == []
    asks: Any = (
        lambda: other.vector_stores.retrieve(store),
        lambda: other.vector_stores.search(store, query="code"),
        lambda: other.vector_stores.delete(store),
        lambda: other.vector_stores.files.list(store),
    )
    for ask in asks:
        with pytest.raises(NotFoundError):
            ask()
    uses: Any = (
        lambda: other.vector_stores.create(file_ids=[name]),
        lambda: other.beta.threads.create(tool_resources={"file_search": {"vector_store_ids": [store]}}),
        lambda: other.beta.assistants.create(model="gpt-4o", tool_resources={"code_interpreter": {"file_ids": [name]}}),
    )
    for use in uses:
        with pytest.raises(BadRequestError, match=f"'(?:{name}|{store})'"):
            use()


def test_what_the_server_refuses_is_said_in_its_words(user: OpenAI) -> None:
    store = user.vector_stores.create()
    with pytest.raises(BadRequestError, match="Missing required parameter: 'query'"):
        user.vector_stores.search(store.id, query=None)  # type: ignore[arg-type]  # it is wrong


def test_a_server_that_is_away_is_said_so_in_openais_form(responses: ApiSite, user: OpenAI) -> None:
    responses.fake.faults.add(HttpFault(path="/vector_stores", status=503))
    with pytest.raises(InternalServerError) as away:
        user.vector_stores.create(name="Notes")
    assert (away.value.status_code, away.value.type) == (502, "server_error")


def test_files_that_a_message_attaches_are_there_for_the_tools_of_its_thread(responses: ApiSite, user: OpenAI) -> None:
    name, more = upload(user), upload(user, b"More.")
    both: Any = [{"type": "code_interpreter"}, {"type": "file_search"}]
    thread = user.beta.threads.create(
        messages=[{"role": "user", "content": "The code?", "attachments": [{"file_id": name, "tools": both}]}]
    )
    resources = user.beta.threads.retrieve(thread.id).tool_resources
    assert resources is not None
    assert resources.code_interpreter is not None
    assert resources.file_search is not None
    assert resources.code_interpreter.file_ids == [name]
    (store,) = resources.file_search.vector_store_ids or []
    message = user.beta.threads.messages.create(
        thread.id, role="user", content="And this?", attachments=[{"file_id": more, "tools": both[1:]}]
    )
    assert [each.file_id for each in message.attachments or []] == [more]
    assert {each.id for each in user.vector_stores.files.list(store)} == {name, more}
    responses.fake.script(Say("42"))
    run = user.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="default", tools=both)
    assert run.status == "completed", run.last_error
    code, search = newest_tools(responses)
    assert code["container"]["file_ids"] == [name]
    assert search["vector_store_ids"] == [store]


def test_where_the_backend_has_none_they_are_refused_by_name(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="ASSISTANT_BACKEND=responses") as refused:
        upload(client)
    assert refused.value.param == "purpose"
    with pytest.raises(BadRequestError, match="ASSISTANT_BACKEND=responses"):
        client.vector_stores.create(name="Notes")
