"""A person takes a thread of /chat over, through a whole gateway: callers are told so, and nobody waits for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gateway.cli.handover import HandoverContext
from gateway.domain.conversations import Conversation
from gateway.domain.models import DEFAULT_ASSISTANT, Turn
from gateway.handover import messages
from gateway.ports.enqueue import AssistantRoute
from gateway.worker.answering.commands import HANDED_OVER_REPLY
from storage.store import SqlStore
from tests.adapters.chat import parse
from tests.browser.site import GatewaySite, open_site
from tests.waiting import until

EVE = messages.staff("Eve")


@pytest.fixture
def site(sqlite_url: str) -> Iterator[GatewaySite]:
    with open_site(sqlite_url, HANDOVER_COMMAND="true") as site:
        yield site


@pytest.fixture
def desk(sqlite_url: str, site: GatewaySite) -> Iterator[HandoverContext]:
    store = SqlStore(sqlite_url)
    yield HandoverContext(store, store, store.handovers, store.audit_trail, 1000, 100)
    store.close()


def call(site: GatewaySite, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | headers
    try:
        with urlopen(Request(f"{site.url}{path}", data, sent, method=method), timeout=20) as response:
            text = response.read().decode()
            return response.status, json.loads(text) if text.startswith("{") else text
    except HTTPError as exc:
        return exc.code, json.load(exc)


def say(site: GatewaySite, text: str, thread: str, **more: Any) -> tuple[int, Any]:
    return call(site, "POST", "/chat", {"message": text, "thread_id": thread, **more})


def act(desk: HandoverContext, make: Callable[[Conversation, list[Turn]], Any]) -> Turn:
    (number,) = [each.conversation.id for each in desk.handovers.listed_open(10)] or [1]
    return desk.record(make(*desk.load(number)), AssistantRoute(DEFAULT_ASSISTANT))


def thread_of(site: GatewaySite, thread: str) -> Any:
    return call(site, "GET", f"/chat/threads/{thread}")[1]


def turn_of(site: GatewaySite, turn_id: str) -> Any:
    return call(site, "GET", f"/chat/turns/{turn_id}")[1]


def wait_for_turn(site: GatewaySite, turn_id: str) -> Any:
    until(lambda: turn_of(site, turn_id)["state"] in ("delivered", "failed"))
    return turn_of(site, turn_id)


def test_callers_are_told_that_a_person_answers_and_find_the_answers_in_the_thread(
    site: GatewaySite, desk: HandoverContext
) -> None:
    _, first = call(site, "POST", "/chat", {"message": "one"})
    thread = first["thread_id"]
    assert thread_of(site, thread)["handed_over"] is False
    status, taken = call(site, "POST", f"/chat/threads/{thread}/handover")
    assert status == 202
    assert wait_for_turn(site, taken["turn_id"])["response"] == HANDED_OVER_REPLY
    status, held = say(site, "two", thread)
    assert (status, held["handed_over"]) == (202, True)
    shown = call(site, "GET", f"/chat/turns/{held['turn_id']}")[1]
    assert (shown["handed_over"], shown["response"], shown["error"]) == (True, None, None)
    events = parse(say(site, "three", thread, stream=True)[1])
    assert [name for name, _ in events] == ["turn", "handed_over"]
    answered = act(desk, lambda found, turns: messages.answer(found, turns, EVE, "Eve here.", "a1", 1000))
    wait_for_turn(site, answered.id)
    say(site, "four", thread)
    status, given = call(site, "DELETE", f"/chat/threads/{thread}/handover")
    assert status == 202
    assert wait_for_turn(site, given["turn_id"])["response"] == "You said: four"
    shown = thread_of(site, thread)
    assert shown["handed_over"] is False
    assert [(each["role"], each["text"]) for each in shown["messages"][2:]] == [
        ("user", "/human"),
        ("assistant", HANDED_OVER_REPLY),
        ("user", "two"),
        ("user", "three"),
        ("assistant", "Eve here."),
        ("user", "four"),
        ("assistant", "You said: four"),
    ]
    assert [each["by_person"] for each in shown["messages"]].count(True) == 1
    (conversation,) = site.fake.conversations
    assert site.fake.user_texts(conversation) == ["one", "two\n\nthree", "four"]


def test_what_the_staff_notes_is_not_shown_to_callers(site: GatewaySite, desk: HandoverContext) -> None:
    _, first = call(site, "POST", "/chat", {"message": "one"})
    taken = act(desk, lambda found, turns: messages.take_over(found, turns, EVE, "a nuisance", "t1"))
    shown = wait_for_turn(site, taken.id)
    assert (shown["message"], shown["response"]) == ("", HANDED_OVER_REPLY)
    assert "nuisance" not in json.dumps(thread_of(site, first["thread_id"]))


def test_asking_for_a_person_counts_as_a_message(sqlite_url: str) -> None:
    with open_site(sqlite_url, HANDOVER_COMMAND="true", CHAT_REQUESTS_PER_MINUTE="2") as site:
        _, first = call(site, "POST", "/chat", {"message": "one"})
        path = f"/chat/threads/{first['thread_id']}/handover"
        assert call(site, "POST", path)[0] == 202
        assert [call(site, method, path)[1]["error"]["code"] for method in ("DELETE", "POST")] == ["rate_limited"] * 2


def test_one_may_ask_for_a_person_only_where_somebody_answers(sqlite_url: str) -> None:
    with open_site(sqlite_url) as site:
        _, first = call(site, "POST", "/chat", {"message": "one"})
        status, refused = call(site, "POST", f"/chat/threads/{first['thread_id']}/handover")
        assert (status, refused["error"]["code"]) == (409, "handover_off")
        assert call(site, "POST", "/chat/threads/nowhere/handover")[0] == 409
        assert call(site, "DELETE", "/chat/threads/nowhere/handover")[0] == 404
