"""Requests that the SDK repeats, keys of Azure's clients, old threads, and a gateway without keys."""

from __future__ import annotations

import httpx2
import pytest
from openai import ConflictError, NotFoundError, OpenAI

from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)


class Lossy(httpx2.HTTPTransport):
    """Loses the answer to the first POST to a path, which the server has committed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path: str | None = path

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if self._path and request.method == "POST" and request.url.path.endswith(self._path):
            self._path = None
            response.read()
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
    assert int(raw.headers["openai-poll-after-ms"]) >= 500
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
