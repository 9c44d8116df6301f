"""What a run may say of how much it remembers, with each backend: heeded, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api
from tests.fakes.openai_server import Incomplete, Say
from tests.fakes.openai_threads import ASSISTANT_ID

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)

LAST: Any = {"type": "last_messages", "last_messages": 2}
AUTO: Any = {"type": "auto"}


def run(client: OpenAI, thread: str, text: str, **options: Any) -> Any:
    message: Any = {"role": "user", "content": text}
    return client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id="default", additional_messages=[message], **options
    )


def test_a_run_remembers_the_last_messages_and_the_next_one_all(client: OpenAI, site: ApiSite) -> None:
    thread = client.beta.threads.create().id
    run(client, thread, "one")
    run(client, thread, "two", truncation_strategy=AUTO)
    ended = run(client, thread, "three", truncation_strategy=LAST)
    assert ended.truncation_strategy.last_messages == 2
    _, *said = site.fake.requests[-1].body["messages"]
    assert [each["content"] for each in said] == ["You said: two", "three"]
    run(client, thread, "four")
    _, *said = site.fake.requests[-1].body["messages"]
    assert [each["content"] for each in said if each["role"] == "user"] == ["one", "two", "three", "four"]


def test_a_server_with_threads_gets_the_limits(sqlite_url: str) -> None:
    with open_api(sqlite_url, ASSISTANT_BACKEND="threads", ASST_ID=ASSISTANT_ID) as site:
        client = site.client()
        limits: Any = {"truncation_strategy": LAST, "max_prompt_tokens": 1000, "max_completion_tokens": 500}
        assert run(client, client.beta.threads.create().id, "hello", **limits).status == "completed"
        (sent,) = (each.body for each in site.fake.requests if each.path.endswith("/runs"))
        assert {name: sent[name] for name in limits} == limits


@pytest.mark.parametrize("said", [[Say("Half an")], []])
def test_a_run_that_has_read_too_much_says_so(sqlite_url: str, said: list[Say]) -> None:
    with open_api(sqlite_url, ASSISTANT_BACKEND="threads", ASST_ID=ASSISTANT_ID) as site:
        client = site.client()
        thread = client.beta.threads.create().id
        acts: Any = [*said, Incomplete("max_prompt_tokens")]
        site.fake.script(acts)
        ended = run(client, thread, "hello", max_prompt_tokens=1000)
        assert (ended.status, ended.incomplete_details.reason) == ("incomplete", "max_prompt_tokens")
        replies = client.beta.threads.messages.list(thread, run_id=ended.id)
        texts = [part.text.value for each in replies if each.role == "assistant" for part in each.content]  # type: ignore[union-attr]  # a text
        assert texts == [act.text for act in said]


@pytest.mark.parametrize(
    ("backend", "limit"),
    [
        ("chat", {"max_prompt_tokens": 1000}),
        ("responses", {"max_prompt_tokens": 1000}),
        ("responses", {"truncation_strategy": LAST}),
    ],
)
def test_a_limit_that_a_backend_cannot_keep_is_refused_by_name(sqlite_url: str, backend: str, limit: Any) -> None:
    with open_api(sqlite_url, ASSISTANT_BACKEND=backend) as site:
        client = site.client()
        thread = client.beta.threads.create().id
        with pytest.raises(BadRequestError) as refused:
            run(client, thread, "hello", **limit)
        assert [refused.value.param] == [*limit]
        assert run(client, thread, "hello", truncation_strategy=AUTO).status == "completed"
