"""Requests that the SDK repeats, keys of Azure's clients, old threads, and a gateway without keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai import ConflictError, NotFoundError, OpenAI

from adapters.openai_api.assistants.run_routes import HOLD_SECONDS
from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api
from tests.fakes.openai_server import CallTool, Say

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)


class Lossy(httpx2.HTTPTransport):
    """Loses the answer to the first POST to a path, which the server has committed."""

    def __init__(self, path: str) -> None:
        super().__init__(verify=False)
        self._path: str | None = path
        self.lost: dict[str, Any] | None = None
        """What the answer said."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if self._path and request.method == "POST" and request.url.path.endswith(self._path):
            self._path = None
            self.lost = json.loads(response.read())
            response.close()
            raise httpx2.ReadError("the connection was cut", request=request)
        return response


@pytest.mark.parametrize("path", ["/v1/threads", "/messages", "/runs"])
def test_a_request_whose_answer_was_lost_has_its_effect_once(site: ApiSite, path: str) -> None:
    client = site.client(max_retries=2, http_client=httpx2.Client(transport=Lossy(path)))
    thread = client.beta.threads.create(metadata={"for": path})
    client.beta.threads.messages.create(thread.id, role="user", content="hello")
    run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default")
    assert client.beta.threads.runs.poll(run.id, thread_id=thread.id).status == "completed"
    assert [each.id for each in client.beta.threads.runs.list(thread.id)] == [run.id]
    assert [each.role for each in client.beta.threads.messages.list(thread.id)] == ["assistant", "user"]


Make = Callable[[OpenAI], Any]


def a_store(client: OpenAI) -> str:
    return client.vector_stores.create(name="Notes").id


MADE: dict[str, tuple[str, Make]] = {
    "a file": ("/files", lambda client: client.files.create(file=("a.txt", b"same"), purpose="user_data")),
    "a file for tools": ("/files", lambda client: client.files.create(file=("a.txt", b"x"), purpose="assistants")),
    "an assistant": ("/assistants", lambda client: client.beta.assistants.create(model="gpt-5")),
    "a vector store": ("/vector_stores", lambda client: client.vector_stores.create(name="Notes")),
    "a batch": ("/file_batches", lambda client: client.vector_stores.file_batches.create(a_store(client), file_ids=[])),
    "a conversation": ("/conversations", lambda client: client.conversations.create(items=[SAID])),
    "items": (
        "/items",
        lambda client: client.conversations.items.create(client.conversations.create().id, items=[SAID, SAID]),
    ),
    "a completion": (
        "/completions",
        lambda client: client.chat.completions.create(model="default", messages=[{"role": "user", "content": "hi"}]),
    ),
}
"""How the objects are made that are no turns of threads, and the end of the path that makes each."""
SAID: Any = {"type": "message", "role": "user", "content": "Hello"}


@pytest.fixture(scope="module")
def responses(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Any) -> Iterator[ApiSite]:
    path = tmp_path_factory.mktemp("responses") / "gateway.db"
    path.write_bytes(empty_sqlite.read_bytes())
    with open_api(f"sqlite:///{path}", ASSISTANT_BACKEND="responses") as opened:
        yield opened


@pytest.mark.parametrize("kind", MADE)
def test_what_a_repeated_request_made_is_made_once(responses: ApiSite, kind: str) -> None:
    path, make = MADE[kind]
    transport = Lossy(path)
    made = make(responses.client(max_retries=2, http_client=httpx2.Client(transport=transport)))
    assert transport.lost is not None
    lost, kept = transport.lost, made.model_dump()
    assert (lost.get("id"), lost.get("first_id")) == (kept.get("id"), kept.get("first_id"))


def test_results_of_calls_in_a_conversation_are_taken_once(responses: ApiSite) -> None:
    conversation = responses.client().conversations.create().id
    asked: Any = {"conversation": conversation, "tools": [{"type": "function", "name": "weather", "parameters": {}}]}
    responses.fake.script(CallTool("weather", {}), Say("Sunny."))
    (call,) = responses.client().responses.create(input="Weather?", **asked).output
    transport = Lossy("/responses")
    client = responses.client(max_retries=2, http_client=httpx2.Client(transport=transport))
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    again = client.responses.create(input=[result], **asked)
    assert (again.output_text, transport.lost and transport.lost["id"]) == ("Sunny.", again.id)


def test_an_idempotency_key_with_another_body_is_refused_at_each_route(client: OpenAI) -> None:
    for number, make in enumerate((ask, converse, upload)):
        headers = {"Idempotency-Key": f"key {number}"}
        assert make(client, "one", headers).id == make(client, "one", headers).id
        with pytest.raises(ConflictError, match="another body"):
            make(client, "two", headers)


def ask(client: OpenAI, text: str, headers: Any) -> Any:
    return client.responses.create(model="default", input=text, extra_headers=headers)


def converse(client: OpenAI, text: str, headers: Any) -> Any:
    return client.conversations.create(metadata={"a": text}, extra_headers=headers)


def upload(client: OpenAI, text: str, headers: Any) -> Any:
    return client.files.create(file=("a.txt", text.encode()), purpose="user_data", extra_headers=headers)


def test_the_same_request_without_a_retry_count_is_another_one(client: OpenAI) -> None:
    thread = client.beta.threads.create()
    for _ in range(2):
        client.beta.threads.messages.create(thread.id, role="user", content="ping")
    assert len(list(client.beta.threads.messages.list(thread.id))) == 2


def test_an_idempotency_key_names_one_request(client: OpenAI) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    headers = {"Idempotency-Key": f"once {thread.id}"}
    first = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default", extra_headers=headers)
    again = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default", extra_headers=headers)
    assert again.id == first.id
    with pytest.raises(ConflictError) as refused:
        client.beta.threads.runs.create(
            thread_id=thread.id, assistant_id="default", model="other", extra_headers=headers
        )
    assert (refused.value.code, refused.value.response.headers["x-should-retry"]) == ("idempotency_conflict", "false")
    client.beta.threads.runs.poll(first.id, thread_id=thread.id)


def test_a_console_sample_of_azure_goes_on_with_a_thread_by_its_id(site: ApiSite) -> None:
    client = site.azure()
    thread = client.beta.threads.create()
    client.beta.threads.messages.create(thread_id=thread.id, role="user", content="hello")
    client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="asst_old")
    later = site.azure()
    resumed = later.beta.threads.retrieve(thread.id)
    printed = [
        f"{message.role}: {message.content[0].text.value}"
        for message in later.beta.threads.messages.list(thread_id=resumed.id, order="asc")
        if message.content[0].type == "text"
    ]
    assert printed[0] == "user: hello"
    assert printed[1].startswith("assistant: ")


def test_a_wrapper_that_polls_each_second_is_told_when_to_ask_again(client: OpenAI) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default")
    raw = client.beta.threads.runs.with_raw_response.retrieve(run.id, thread_id=thread.id)
    assert 100 <= int(raw.headers["openai-poll-after-ms"]) < 1000 * HOLD_SECONDS, "it learns the end late between polls"
    assert raw.parse().status == "completed", "the answer to a poll waits a moment for the end of the run"


def test_without_keys_everybody_sees_everything_and_unknown_threads_may_be_opened(sqlite_url: str) -> None:
    with open_api(sqlite_url, keys="", V1_UNKNOWN_THREADS="open", V1_MODELS="default") as site:
        client, other = site.client("any"), site.client("thing")
        run = client.beta.threads.runs.create_and_poll(
            thread_id="thread_abc123",
            assistant_id="default",
            model="gpt-4-turbo",
            additional_messages=[{"role": "user", "content": "where were we"}],
        )
        assert (run.status, run.thread_id) == ("completed", "thread_abc123")
        assert site.fake.requests[-1].body["model"] == "gpt-test"
        assert len(list(other.beta.threads.messages.list("thread_abc123"))) == 2
        with pytest.raises(NotFoundError):
            client.beta.threads.retrieve("no_thread")


def test_only_listed_models_may_be_chosen(sqlite_url: str) -> None:
    with open_api(sqlite_url, V1_MODELS="gpt-4o, gpt-5") as site:
        client = site.client()
        assert client.beta.assistants.create(model="gpt-5").model == "gpt-5"
        with pytest.raises(Exception, match="V1_MODELS allows: gpt-4o, gpt-5"):
            client.beta.assistants.create(model="o3")


def test_with_budgets_only_models_with_a_price_may_be_chosen(sqlite_url: str) -> None:
    with open_api(sqlite_url, BUDGET_CALLER_DAY="1/2", PRICES="owl=1/2") as site:
        client = site.client()
        for model in ("gpt-5", "owl-7b", "gpt-test"):  # the last one is the assistant's own
            assert client.beta.assistants.create(model=model).model == model
        with pytest.raises(Exception, match="no price is known for it"):
            client.beta.assistants.create(model="pigeon")
    with open_api(sqlite_url, BUDGET_CALLER_DAY="1/2", V1_MODELS="pigeon") as site:
        assert site.client().beta.assistants.create(model="pigeon").model == "pigeon"
