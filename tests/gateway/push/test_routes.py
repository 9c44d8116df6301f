"""POST /messages: what is pushed at once, and what is scheduled."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from gateway.domain.errors import DeliveryError
from gateway.domain.exchange import Exchange
from gateway.domain.models import TurnId, TurnState
from tests.adapters.app_client import AppClient
from tests.fakes.assistant import FakeAssistant
from tests.gateway.push.conftest import KEY, OTHER_KEY
from tests.gateway.worker_process import WorkerProcess

PLACE = {"platform": "fake", "channel": "c"}


def push(client: AppClient, key: str = KEY, idempotency: str | None = None, **body: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {key}"}
    if idempotency is not None:
        headers["Idempotency-Key"] = idempotency
    return client.post("/messages", json={**PLACE, **body}, headers=headers)


def ask(client: AppClient, path: str, key: str = KEY, method: str = "GET") -> TestResponse:
    return client.open(path, method=method, headers={"Authorization": f"Bearer {key}"})


def code_of(response: TestResponse) -> tuple[int, str]:
    return response.status_code, response.get_json()["error"]["code"]


def test_a_text_is_posted_as_it_is_and_can_be_followed(
    client: AppClient, process: WorkerProcess, assistant: FakeAssistant
) -> None:
    response = push(client, text="The **build** has failed.")
    assert response.status_code == 202
    assert response.get_json()["state"] == "answered"
    (turn,) = process.platform.wait_for(1)
    assert (turn.id, turn.reply) == (response.get_json()["turn_id"], "The **build** has failed.")
    assert dict(turn.message.address) == {"channel": "c"}
    assert response.headers["Location"] == f"/messages/{turn.id}"
    process.stop()
    assert assistant.calls == []
    assert process.stored(turn.id).state is TurnState.DELIVERED


def test_a_prompt_is_answered_by_the_assistant(client: AppClient, process: WorkerProcess) -> None:
    turn_id = push(client, prompt="Sum the day up").get_json()["turn_id"]
    (turn,) = process.platform.wait_for(1)
    assert (turn.id, turn.reply) == (turn_id, "You said: Sum the day up")
    shown = ask(client, f"/messages/{turn_id}").get_json()
    assert (shown["prompt"], shown["text"], shown["error"]) == ("Sum the day up", "You said: Sum the day up", None)


def test_what_is_pushed_keeps_its_place_and_is_remembered(
    client: AppClient, process: WorkerProcess, assistant: FakeAssistant
) -> None:
    process.say("one")
    push(client, text="The build has failed.")
    process.say("two")
    process.platform.wait_for(3)
    (thread,) = assistant.threads.values()
    assert thread.texts == ["one", "assistant: The build has failed.", "two"]


def test_what_was_pushed_before_anybody_wrote_is_known_to_the_first_thread(
    client: AppClient, process: WorkerProcess, assistant: FakeAssistant
) -> None:
    push(client, text="Good morning.")
    push(client, text="It is Monday.")
    process.platform.wait_for(2)
    process.say("one")
    process.platform.wait_for(3)
    (thread,) = assistant.threads.values()
    assert thread.history == [Exchange("", "Good morning.\n\nIt is Monday.")]


def test_a_thread_that_does_not_take_a_text_is_replaced_by_one_that_knows_it(
    client: AppClient, process: WorkerProcess, assistant: FakeAssistant
) -> None:
    process.say("one")
    process.platform.wait_for(1)
    assistant.threads.clear()
    push(client, text="The build has failed.")
    process.platform.wait_for(2)
    process.say("two")
    process.platform.wait_for(3)
    (thread,) = assistant.threads.values()
    assert thread.history == [Exchange("one", "You said: one\n\nThe build has failed.", "ann")]


def test_a_text_that_was_not_delivered_is_not_remembered(
    client: AppClient, process: WorkerProcess, assistant: FakeAssistant
) -> None:
    process.platform.refusals = [DeliveryError("no such channel")]
    turn_id = push(client, text="Lost.").get_json()["turn_id"]
    process.say("one")
    process.platform.wait_for(1)
    (thread,) = assistant.threads.values()
    assert thread.history == []
    shown = ask(client, f"/messages/{turn_id}").get_json()
    assert shown["state"] == "failed"
    assert shown["error"]["message"] == "The reply could not be delivered."


@pytest.mark.parametrize("body", [{"text": "Hello"}, {"prompt": "Hello"}])
def test_a_repeated_push_is_one_turn(client: AppClient, process: WorkerProcess, body: dict[str, str]) -> None:
    first, again = (push(client, idempotency="once", **body) for _ in range(2))
    assert first.get_json()["turn_id"] == again.get_json()["turn_id"]
    assert again.status_code == 202
    other = push(client, OTHER_KEY, "once", **body)
    assert other.get_json()["turn_id"] != first.get_json()["turn_id"]
    process.platform.wait_for(2)
    for changed in ({"text": "Bye"}, {**body, "channel": "d"}):
        assert code_of(push(client, idempotency="once", **changed)) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "`text` or `prompt`"),
        ({"text": "a", "prompt": "b"}, "`text` or `prompt`"),
        ({"text": " \n"}, "`text` must not be empty"),
        ({"text": "a" * 201}, "`text` must have at most 200"),
        ({"prompt": "a" * 101}, "`prompt` must have at most 100"),
        ({"text": "a", "platform": "http"}, "'http'. Those set up here that take it: fake"),
        ({"text": "a", "channel": "nowhere"}, "`channel` must be somewhere"),
        ({"text": "a", "assistant": "clerk"}, "no assistant 'clerk'"),
        ({"text": "a", "at": "2026-12-24T18:00:00Z", "every": "0 9 * * *"}, "not both"),
        ({"text": "a", "at": "noon"}, "with its zone"),
        ({"text": "a", "at": "2001-01-01T00:00:00Z"}, "`at` has passed"),
        ({"text": "a", "every": "sometimes"}, "five fields"),
        ({"text": "a", "every": "0 9 * * *", "channel": "nowhere"}, "`channel` must be somewhere"),
        ({"text": "a", "colour": "red"}, "no field `colour`"),
    ],
)
def test_what_cannot_be_pushed_is_refused_by_name(client: AppClient, body: dict[str, str], names: str) -> None:
    response = push(client, **body)
    assert response.status_code == 400
    assert names in response.get_json()["error"]["message"]


def test_only_keys_for_pushing_push_and_see_what_is_theirs(client: AppClient) -> None:
    turn_id = push(client, text="Hello").get_json()["turn_id"]
    schedule_id = push(client, text="Hello", every="0 9 * * *").get_json()["schedule_id"]
    assert code_of(push(client, "sk-other", text="Hello")) == (401, "unauthorized")
    assert code_of(client.post("/messages", json={**PLACE, "text": "Hello"})) == (401, "unauthorized")
    assert code_of(ask(client, f"/messages/{turn_id}", OTHER_KEY)) == (404, "turn_not_found")
    for method in ("GET", "DELETE"):
        response = ask(client, f"/messages/schedules/{schedule_id}", OTHER_KEY, method)
        assert code_of(response) == (404, "schedule_not_found")
    assert ask(client, "/messages/schedules", OTHER_KEY).get_json() == {"schedules": []}
    assert ask(client, f"/messages/schedules/{schedule_id}").get_json()["next_at"] is not None


def test_a_turn_of_a_person_is_nothing_that_a_key_sees(client: AppClient, process: WorkerProcess) -> None:
    assert code_of(ask(client, f"/messages/{process.say('private')}")) == (404, "turn_not_found")
    assert code_of(ask(client, "/messages/..%00")) == (404, "turn_not_found")


def test_a_schedule_is_listed_until_it_is_cancelled(client: AppClient) -> None:
    made = push(client, idempotency="daily", prompt="Sum up", every="0 9 * * *", time_zone="Asia/Tokyo")
    again = push(client, idempotency="daily", prompt="Sum up", every="0 9 * * *", time_zone="Asia/Tokyo")
    assert made.get_json() == again.get_json()
    changed = push(client, idempotency="daily", prompt="Sum up", every="0 8 * * *", time_zone="Asia/Tokyo")
    assert code_of(changed) == (409, "idempotency_conflict")
    (listed,) = ask(client, "/messages/schedules").get_json()["schedules"]
    assert (listed["every"], listed["time_zone"], listed["prompt"]) == ("0 9 * * *", "Asia/Tokyo", "Sum up")
    assert listed["next_at"].endswith("T00:00:00Z")
    path = made.headers["Location"]
    assert [ask(client, path, method="DELETE").status_code for _ in range(2)] == [204, 204]
    assert ask(client, path).get_json()["next_at"] is None


def test_a_key_has_a_limited_number_of_schedules(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.push.routes.MAX_SCHEDULES", 1)
    push(client, idempotency="first", text="Hello", at="2126-01-01T00:00:00Z")
    assert code_of(push(client, text="Hello", every="0 9 * * *")) == (400, "too_many_schedules")
    again = push(client, idempotency="first", text="Hello", at="2126-01-01T00:00:00Z")
    assert again.status_code == 202


def test_a_pushed_text_that_fails_can_be_retried(client: AppClient, process: WorkerProcess) -> None:
    process.platform.refusals = [DeliveryError("no such channel")]
    turn_id = TurnId(push(client, text="Ready.").get_json()["turn_id"])
    process.say("one")
    process.platform.wait_for(1)
    process.store.retry_turn(turn_id, TurnId("turn_again"))
    again = process.platform.wait_for(2)[1]
    assert (again.reply, again.is_pushed_text) == ("Ready.", True)
