"""Pages of lists: cursors, order and limit, together and at each list."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.paging import Page, paged
from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)

ITEMS = [{"id": name} for name in "abcdef"]


@pytest.mark.parametrize(
    ("limit", "newest_first", "after", "before", "shown", "has_more"),
    [
        (2, False, "", "", "ab", True),
        (2, True, "", "", "fe", True),
        (2, False, "b", "", "cd", True),
        (4, False, "b", "", "cdef", False),
        (2, True, "b", "", "a", False),
        (2, False, "", "e", "cd", True),
        (2, True, "", "e", "f", False),
        (2, False, "a", "e", "bc", True),
        (3, False, "a", "e", "bcd", False),
        (2, True, "f", "b", "ed", True),
        (2, False, "e", "b", "", False),
    ],
)
def test_a_page_begins_behind_one_item_and_ends_before_another(
    limit: int,
    newest_first: bool,  # noqa: FBT001  # a parameter of the test
    after: str,
    before: str,
    shown: str,
    has_more: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    body = paged(ITEMS, Page(limit, newest_first, after, before))
    assert ("".join(each["id"] for each in body["data"]), body["has_more"]) == (shown, has_more)
    assert (body["first_id"], body["last_id"]) == ((shown[0], shown[-1]) if shown else ("", ""))


@pytest.mark.parametrize("cursor", ["after", "before"])
def test_a_cursor_that_is_none_of_the_items_is_named(cursor: str) -> None:
    given = {"after": "", "before": "", cursor: "z"}
    with pytest.raises(InvalidRequest) as caught:
        paged(ITEMS, Page(limit=2, newest_first=False, **given))
    assert caught.value.param == cursor


def lists(client: OpenAI) -> dict[str, Any]:
    """Returns each list of the API, with three items at least."""
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hi"}])
    conversation = client.conversations.create(items=[{"type": "message", "role": "user", "content": "hi"}] * 3)
    for number in range(3):
        client.beta.assistants.create(model="gpt-5")
        client.files.create(file=(f"{number}.txt", b"text"), purpose="user_data")
        client.vector_stores.create()
        more: Any = [{"role": "user", "content": "more"}]
        run = client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id="default", additional_messages=more
        )
    assert run.status == "completed"
    return {
        "assistants": client.beta.assistants.list,
        "messages": lambda **page: client.beta.threads.messages.list(thread.id, **page),
        "runs": lambda **page: client.beta.threads.runs.list(thread.id, **page),
        "files": client.files.list,
        "stores": client.vector_stores.list,
        "items": lambda **page: client.conversations.items.list(conversation.id, **page),
    }


def test_each_list_has_the_same_pages(sqlite_url: str) -> None:
    with open_api(sqlite_url, ASSISTANT_BACKEND="responses") as site:
        client = site.client()
        for kind, ask in lists(client).items():
            names = [each.id for each in ask(order="asc").data]
            assert len(names) >= 3, kind
            assert [each.id for each in ask().data] == names[::-1], kind
            assert [each.id for each in ask(order="asc", after=names[0]).data] == names[1:], kind
            assert [each.id for each in ask(after=names[1]).data] == [names[0]], kind
            assert [each.id for each in ask(limit=1, order="asc", after=names[0])] == names[1:], kind
            page = {"order": "asc", "before": names[2]}
            assert [each.id for each in ask(extra_query=page).data] == names[:2], kind
            assert [each.id for each in ask(limit=1, extra_query=page).data] == [names[1]], kind
            for wrong in ({"limit": 0}, {"order": "up"}, {"after": "none"}):
                with pytest.raises(BadRequestError) as refused:
                    ask(extra_query=wrong)
                assert refused.value.param == next(iter(wrong)), kind
        an_ended_store_leaves_no_gap(site, client)


def an_ended_store_leaves_no_gap(site: ApiSite, client: OpenAI) -> None:
    first, ended, last = [each.id for each in client.vector_stores.list(order="asc").data]
    with OpenAI(base_url=site.fake.base_url, api_key="sk-test") as server:
        server.vector_stores.delete(ended)
    page = client.vector_stores.list(limit=2, order="asc")
    assert ([each.id for each in page.data], page.has_more) == ([first, last], False)
    assert [each.id for each in client.vector_stores.list(limit=1, order="desc")] == [last, first]
