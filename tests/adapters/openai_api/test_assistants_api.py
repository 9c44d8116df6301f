"""The Assistants API by OpenAI's SDK: assistants, threads, messages, runs that are polled."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI
from openai.types.beta.threads.run import IncompleteDetails

from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api
from tests.fakes.openai_server import Fail, Incomplete, Say

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)


def last_request(site: ApiSite) -> Any:
    """The body of the newest request to the model."""
    return site.fake.requests[-1].body


def texts(client: OpenAI, thread: str, order: str = "asc") -> list[tuple[str, str]]:
    listed = client.beta.threads.messages.list(thread, order=order)  # type: ignore[arg-type]
    return [(each.role, each.content[0].text.value) for each in listed if each.content[0].type == "text"]


def test_a_thread_is_talked_in(client: OpenAI) -> None:
    thread = client.beta.threads.create()
    assert thread.id.startswith("thread_")
    client.beta.threads.messages.create(thread.id, role="user", content="hello")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="default")
    assert (run.status, run.assistant_id, run.thread_id) == ("completed", "default", thread.id)
    assert run.usage is not None
    assert run.usage.total_tokens > 0
    client.beta.threads.messages.create(thread.id, role="user", content="and")
    client.beta.threads.messages.create(thread.id, role="user", content="again")
    client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="asst_old")
    said = texts(client, thread.id)
    assert [role for role, _ in said] == ["user", "assistant", "user", "user", "assistant"]
    assert [text for role, text in said if role == "user"] == ["hello", "and", "again"]
    assert texts(client, thread.id, "desc") == said[::-1]


def test_an_assistant_is_made_changed_listed_and_deleted(client: OpenAI, site: ApiSite) -> None:
    made = client.beta.assistants.create(
        model="gpt-4o", name="Math", instructions="Be exact.", metadata={"a": "b"}, temperature=0.5
    )
    assert (made.name, made.instructions, made.metadata) == ("Math", "Be exact.", {"a": "b"})
    assert client.beta.assistants.retrieve(made.id) == made
    changed = client.beta.assistants.update(made.id, name="Maths", instructions=None)
    assert (changed.name, changed.instructions, changed.model) == ("Maths", None, "gpt-4o")
    assert [each.id for each in client.beta.assistants.list()][:1] == [made.id]
    assert "default" in {each.id for each in client.beta.assistants.list()}
    with pytest.raises(NotFoundError):
        site.client("key-two").beta.assistants.retrieve(made.id)
    assert client.beta.assistants.delete(made.id).deleted
    with pytest.raises(NotFoundError, match="ASSISTANT_ID"):
        client.beta.assistants.retrieve(made.id)


def test_an_assistant_of_the_caller_answers_with_its_model_and_instructions(client: OpenAI, site: ApiSite) -> None:
    made = client.beta.assistants.create(model="gpt-4o", instructions="Be exact.")
    run = client.beta.threads.create_and_run_poll(
        assistant_id=made.id, thread={"messages": [{"role": "user", "content": "one"}]}
    )
    assert (run.status, run.instructions) == ("completed", "Be exact.")
    asked = last_request(site)
    assert asked["model"] == "gpt-4o"
    assert asked["messages"][0] == {"role": "system", "content": "Be exact."}
    again = client.beta.threads.runs.create_and_poll(
        thread_id=run.thread_id,
        assistant_id="default",
        model="gpt-5",
        instructions="Be short.",
        additional_instructions="In French.",
        additional_messages=[{"role": "user", "content": "two"}],
        temperature=0.1,
        metadata={"n": "1"},
    )
    assert (again.metadata, again.temperature) == ({"n": "1"}, 0.1)
    asked = last_request(site)
    assert (asked["model"], asked["temperature"]) == ("gpt-5", 0.1)
    assert asked["messages"][0]["content"] == "Be short.\n\nIn French."
    assert asked["messages"][-1]["content"] == "two"
    assert [text for role, text in texts(client, run.thread_id) if role == "user"] == ["one", "two"]


def test_lists_have_pages(client: OpenAI) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": str(n)} for n in range(5)])
    names = [each.id for each in client.beta.threads.messages.list(thread.id, order="asc")]
    page = client.beta.threads.messages.list(thread.id, order="asc", limit=2)
    assert ([each.id for each in page.data], page.has_next_page()) == (names[:2], True)
    assert [each.id for each in page.get_next_page().data] == names[2:4]
    before = client.beta.threads.messages.list(thread.id, order="asc", limit=2, before=names[4])
    assert [each.id for each in before.data] == names[2:4]
    assert [each.id for each in client.beta.threads.messages.list(thread.id, limit=1)] == names[::-1]
    with pytest.raises(BadRequestError, match="limit"):
        client.beta.threads.messages.list(thread.id, limit=101)
    with pytest.raises(BadRequestError, match="msg_none"):
        client.beta.threads.messages.list(thread.id, after="msg_none")


def test_the_newest_page_of_a_long_thread_is_read_without_the_rest(client: OpenAI) -> None:
    thread = client.beta.threads.create()
    for number in range(2):
        client.beta.threads.messages.create(thread.id, role="user", content=f"m{number}")
        client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="default")
        client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id="default", additional_messages=[{"role": "user", "content": "with it"}]
        )
    newest = client.beta.threads.messages.list(thread.id, limit=3)
    assert [each.role for each in newest.data] == ["assistant", "user", "assistant"]
    assert newest.has_more
    whole = [*newest]
    assert [each.role for each in whole] == ["assistant", "user"] * 4
    for limit in range(1, 9):
        page = client.beta.threads.messages.list(thread.id, limit=limit)
        assert (page.data, page.has_more) == (whole[:limit], limit < 8)
    assert len(list(client.beta.threads.runs.list(thread.id, limit=1))) == 4


def test_messages_of_the_assistant_are_a_part_of_the_past(client: OpenAI, site: ApiSite) -> None:
    run = client.beta.threads.create_and_run_poll(
        assistant_id="default",
        thread={
            "messages": [
                {"role": "user", "content": "my name is Ann"},
                {"role": "assistant", "content": "Hello Ann"},
                {"role": "user", "content": [{"type": "text", "text": "my name?"}]},
            ]
        },
    )
    past = [(each["role"], each["content"]) for each in last_request(site)["messages"][1:]]
    assert past == [("user", "my name is Ann"), ("assistant", "Hello Ann"), ("user", "my name?")]
    client.beta.threads.messages.create(run.thread_id, role="assistant", content="by the way")
    client.beta.threads.messages.create(run.thread_id, role="user", content="what?")
    client.beta.threads.runs.create_and_poll(thread_id=run.thread_id, assistant_id="default")
    past = [(each["role"], each["content"]) for each in last_request(site)["messages"][1:]]
    assert past[-2:] == [("assistant", "by the way"), ("user", "what?")]
    assert len(texts(client, run.thread_id)) == 7


def test_messages_are_read_changed_and_deleted_whoever_wrote_them(client: OpenAI) -> None:
    run = client.beta.threads.create_and_run_poll(
        assistant_id="default", thread={"messages": [{"role": "user", "content": "one"}]}
    )
    client.beta.threads.messages.create(run.thread_id, role="user", content="two", metadata={"k": "v"})
    listed = list(client.beta.threads.messages.list(run.thread_id, order="asc"))
    for each in listed:
        assert client.beta.threads.messages.retrieve(each.id, thread_id=run.thread_id) == each
        changed = client.beta.threads.messages.update(each.id, thread_id=run.thread_id, metadata={"seen": each.role})
        assert changed.metadata == {"seen": each.role}
    reread = list(client.beta.threads.messages.list(run.thread_id, order="asc"))
    assert [each.metadata for each in reread] == [{"seen": each.role} for each in listed]
    of_run = list(client.beta.threads.messages.list(run.thread_id, run_id=run.id))
    assert [each.id for each in of_run] == [reread[1].id]
    for each in listed:
        assert client.beta.threads.messages.delete(each.id, thread_id=run.thread_id).deleted
    assert list(client.beta.threads.messages.list(run.thread_id)) == []


def test_a_thread_is_changed_and_deleted_with_all_that_is_in_it(client: OpenAI, site: ApiSite) -> None:
    made = client.beta.threads.create(metadata={"a": "b"})
    assert client.beta.threads.retrieve(made.id) == made
    assert client.beta.threads.update(made.id, metadata={"c": "d"}).metadata == {"c": "d"}
    run = client.beta.threads.runs.create_and_poll(
        thread_id=made.id, assistant_id="default", additional_messages=[{"role": "user", "content": "hi"}]
    )
    other = site.client("key-two")
    for refused in (
        lambda: other.beta.threads.retrieve(made.id),
        lambda: other.beta.threads.runs.retrieve(run.id, thread_id=made.id),
        lambda: other.beta.threads.messages.create(made.id, role="user", content="mine"),
        lambda: other.beta.threads.runs.create(thread_id=made.id, assistant_id="default"),
        lambda: client.beta.threads.runs.retrieve(run.id, thread_id="thread_other"),
    ):
        with pytest.raises(NotFoundError):
            refused()
    assert client.beta.threads.delete(made.id).deleted
    with pytest.raises(NotFoundError, match="No thread found"):
        client.beta.threads.messages.list(made.id)


def test_the_metadata_of_a_run_is_changed_and_its_steps_are_listed(client: OpenAI) -> None:
    run = client.beta.threads.create_and_run_poll(
        assistant_id="default", thread={"messages": [{"role": "user", "content": "one"}]}
    )
    changed = client.beta.threads.runs.update(run.id, thread_id=run.thread_id, metadata={"k": "v"})
    assert changed.metadata == {"k": "v"}
    assert client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id).metadata == {"k": "v"}
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    assert (step.type, step.status) == ("message_creation", "completed")
    assert client.beta.threads.runs.steps.retrieve(step.id, thread_id=run.thread_id, run_id=run.id) == step
    (reply, _) = client.beta.threads.messages.list(run.thread_id)
    assert step.step_details.type == "message_creation"
    assert step.step_details.message_creation.message_id == reply.id


def test_a_run_that_failed_says_why_and_the_next_one_asks_the_same(client: OpenAI, site: ApiSite) -> None:
    site.fake.script(Fail("invalid_prompt", "no"))
    run = client.beta.threads.create_and_run_poll(
        assistant_id="default", thread={"messages": [{"role": "user", "content": "risky"}]}
    )
    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.message
    again = client.beta.threads.runs.create_and_poll(thread_id=run.thread_id, assistant_id="default")
    assert again.status == "completed"
    assert last_request(site)["messages"][-1]["content"] == "risky"
    with pytest.raises(BadRequestError, match="no message"):
        client.beta.threads.runs.create(thread_id=run.thread_id, assistant_id="default")


def test_a_reply_that_is_cut_off_is_incomplete(client: OpenAI, site: ApiSite) -> None:
    site.fake.script([Say("half an"), Incomplete()])
    run = client.beta.threads.create_and_run_poll(
        assistant_id="default", thread={"messages": [{"role": "user", "content": "long"}]}
    )
    assert (run.status, run.incomplete_details) == ("incomplete", IncompleteDetails(reason="max_completion_tokens"))
    (reply, _) = client.beta.threads.messages.list(run.thread_id)
    assert reply.status == "incomplete"


def test_a_limit_that_is_met_before_any_text_leaves_a_run_without_a_reply(client: OpenAI, site: ApiSite) -> None:
    site.fake.script(Incomplete())
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "long"}])
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id="default", max_completion_tokens=256
    )
    assert (run.status, run.incomplete_details) == ("incomplete", IncompleteDetails(reason="max_completion_tokens"))
    assert (run.last_error, run.max_completion_tokens) == (None, 256)
    assert [each.role for each in client.beta.threads.messages.list(thread.id)] == ["user"]


def test_one_run_is_active_in_a_thread(client: OpenAI, site: ApiSite) -> None:
    site.fake.script(Say("slow", hold_after=0))
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "wait"}])
    run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default")
    assert run.status in ("queued", "in_progress")
    with pytest.raises(BadRequestError, match=f"already has an active run {run.id}"):
        client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default")
    with pytest.raises(BadRequestError, match=f"Can't add messages to {thread.id} while a run {run.id} is active"):
        client.beta.threads.messages.create(thread.id, role="user", content="more")
    cancelled = client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    assert cancelled.status in ("cancelling", "cancelled")
    assert client.beta.threads.runs.poll(run.id, thread_id=thread.id).status == "cancelled"
    with pytest.raises(BadRequestError, match="Cannot cancel run with status 'cancelled'"):
        client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    site.fake.release()
    assert client.beta.threads.messages.create(thread.id, role="user", content="more").role == "user"


def test_keys_and_mistakes_are_answered_as_openai_does(client: OpenAI, site: ApiSite) -> None:
    with pytest.raises(AuthenticationError) as refused:
        site.client("wrong").beta.threads.create()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(NotFoundError, match="default"):
        client.beta.threads.create_and_run(
            assistant_id="asst_none", thread={"messages": [{"role": "user", "content": "one"}]}
        )
    with pytest.raises(BadRequestError) as wrong:
        client.beta.threads.create(metadata={"k": 1})  # type: ignore[dict-item]
    assert wrong.value.param == "metadata.k"
    assert wrong.value.type == "invalid_request_error"
    with pytest.raises(BadRequestError, match="code_interpreter"):
        client.beta.assistants.create(model="gpt-4o", tools=[{"type": "code_interpreter"}])
    with pytest.raises(BadRequestError, match="configuration"):
        client.beta.assistants.delete("default")
    with pytest.raises(NotFoundError):
        client.get("/nothing", cast_to=object)


def test_no_thread_is_left_when_the_gateway_has_stopped(sqlite_url: str) -> None:
    others = set(threading.enumerate())
    with open_api(sqlite_url) as site:
        made = site.client().beta.threads.create()
        assert site.client().beta.threads.retrieve(made.id).id == made.id
        reading = [each for each in set(threading.enumerate()) - others if each.name.startswith("v1_")]
        assert reading
    assert not any(each.is_alive() for each in reading)
