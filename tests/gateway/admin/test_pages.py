"""The operator's pages: what they show, and what an operator can do on them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from gateway import logs
from gateway.domain.models import ConversationKey, MessageKind, TurnState, Usage
from gateway.domain.platform_events import Feedback
from gateway.ports.callbacks import Callback
from gateway.ports.check import CheckResult
from gateway.ports.reporting import UsageBucket
from gateway.ports.schedules import Push, Schedule
from tests.contracts.store_helpers import enqueue_one, message, new_turn
from tests.gateway.admin.harness import AdminHarness, csrf_token_of, open_harness, submit_form, text_of

INJECTION = """<script>alert(1)</script><img src=x onerror=alert(1)>"' onmouseover="x {{ 7*7 }} </textarea></script>"""
API_KEY = "sk-" + "a1B2" * 8


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


def links(text: str, prefix: str) -> list[str]:
    return [unescape(link) for link in re.findall(rf'href="({prefix}[^"]*)"', text)]


def table_rows(text: str) -> list[str]:
    return re.findall(r"<tr>.*?</tr>", text.partition("<tbody")[2], re.DOTALL)


# ---------------------------------------------------------------- overview


def plots_of(page: Any) -> dict[str, Any]:
    (data,) = re.findall(r"data-plots='([^']*)'", page.text)
    return {plot["name"]: plot for plot in json.loads(unescape(data))}


def test_the_overview_counts_what_happened(scene: AdminHarness) -> None:
    for number in range(3):
        scene.finish_turn(f"hello {number}", usage=Usage(1000, 200), cost=1_500_000)
    scene.fail_turn("no")
    client = scene.signed_in_client()
    for span in ("1h", "24h", "7d", "30d", "", "nonsense"):
        page = client.get(f"/admin?span={span}")
        assert page.status_code == 200
        said = text_of(page)
        assert re.search(r"Turns 4 .*Answered 75 % .*Failed 1 25 %", said)
        assert "refused 1" in said
        plots = plots_of(page)
        assert set(plots) == {"rate", "time", "failures", "queue", "tokens", "cost"}
        assert plots["failures"]["series"][0]["name"] == "refused"
        assert sum(plots["failures"]["series"][0]["values"]) == 1
        assert sum(plots["tokens"]["series"][0]["values"]) == 3600
        assert sum(plots["cost"]["series"][0]["values"]) == 4.5
        assert all(len(each["values"]) == len(plot["at"]) for plot in plots.values() for each in plot["series"])


def test_the_overview_shows_the_hour_in_which_all_happened_and_else_the_day(
    scene: AdminHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.finish_turn("hello")
    client = scene.signed_in_client()
    assert re.search('span=1h" aria-current="true"', client.get("/admin").text)
    long_ago = [UsageBucket("fake", scene.context.store.now() - 7300.0, received=1)]
    monkeypatch.setattr(scene.context.store, "usage_buckets", lambda *_, **__: long_ago)
    client = scene.signed_in_client()
    assert re.search('span=24h" aria-current="true"', client.get("/admin").text)


def test_the_overview_of_an_unused_gateway_is_empty(scene: AdminHarness) -> None:
    said = text_of(scene.signed_in_client().get("/admin"))
    assert "Turns 0" in said
    assert "Nothing failed in this time range." in said
    assert "nothing waiting" in said


def test_the_overview_shows_one_platform_alone(scene: AdminHarness) -> None:
    scene.finish_turn("hello")
    client = scene.signed_in_client(platforms=("fake", "other"))
    assert "Turns 1" in text_of(client.get("/admin?platform=fake"))
    assert "Turns 0" in text_of(client.get("/admin?platform=other"))
    assert [each["name"] for each in plots_of(client.get("/admin"))["queue"]["series"]] == ["fake", "other", "oldest"]


def test_counts_are_cached_for_a_moment(scene: AdminHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[float] = []
    usage_buckets = scene.context.store.usage_buckets

    def count(since: float, until: float, *, bucket_seconds: float) -> Sequence[UsageBucket]:
        counted.append(bucket_seconds)
        return usage_buckets(since, until, bucket_seconds=bucket_seconds)

    monkeypatch.setattr(scene.context.store, "usage_buckets", count)
    client = scene.signed_in_client()
    for _ in range(3):
        client.get("/admin?span=24h")
    assert counted == [900.0, 86_400.0]


# ---------------------------------------------------------------- conversations


def test_conversations_are_found_by_everything_that_is_known_of_them(scene: AdminHarness) -> None:
    scene.finish_turn("where is my parcel", channel="C1")
    scene.fail_turn("what is this", channel="C2")
    client = scene.signed_in_client()
    for query, found in {
        "": ["C2", "C1"],
        "text=PARCEL": ["C1"],
        "text=you+said": ["C1"],
        "channel=C2": ["C2"],
        "channel=C": [],
        "user=ann": ["C2", "C1"],
        "user=bob": [],
        "platform=fake": ["C2", "C1"],
        "platform=other": [],
        "state=failed": ["C2"],
        "state=nonsense&text=+parcel+": ["C1"],
    }.items():
        page = client.get(f"/admin/conversations?{query}")
        assert [channel for row in table_rows(page.text) for channel in re.findall(r">fake (C\d)<", row)] == found, (
            query
        )
    assert 'value="&lt;b&gt;&#34;"' in client.get("/admin/conversations?text=<b>%22").text


def test_searching_for_a_turn_id_opens_the_turn(scene: AdminHarness) -> None:
    turn = scene.finish_turn("hello")
    client = scene.signed_in_client()
    assert client.get(f"/admin/conversations?text={turn.id}").headers["Location"] == f"/admin/turns/{turn.id}"
    assert client.get("/admin/conversations?text=turn_none").status_code == 200


def test_all_conversations_can_be_paged_through(scene: AdminHarness) -> None:
    for number in range(60):
        scene.enqueue("hello", f"C{number}")
    client, address, found = scene.signed_in_client(), "/admin/conversations?platform=fake", []
    while address:
        page = client.get(address)
        found += [link for row in table_rows(page.text) for link in links(row, "/admin/conversations/")]
        nexts = links(page.text, r"\?platform=fake&amp;before=")
        address = f"/admin/conversations{nexts[0]}" if nexts else ""
    assert len(found) == len(set(found)) == 60


def test_an_invalid_cursor_shows_the_first_page(scene: AdminHarness) -> None:
    scene.finish_turn("hello", channel="C1")
    client = scene.signed_in_client()
    for before in ("x", "1~", "nan~1", "1~x", "1~99999999999999999999999999", "inf~1", "~", "1~²"):
        assert len(table_rows(client.get(f"/admin/conversations?before={before}").text)) == 1
        assert client.get(f"/admin/failed?before={before}").status_code == 200


def test_a_conversation_is_shown_as_a_transcript_with_its_thread(scene: AdminHarness) -> None:
    for number in range(60):
        turn = scene.enqueue(f"number {number}.")
    scene.work_off_queue()
    client = scene.signed_in_client()
    (address,) = set(links(client.get("/admin/conversations").text, "/admin/conversations/"))
    page = client.get(address)
    conversation = scene.context.store.get_conversation(turn.conversation_id)
    assert conversation is not None
    assert conversation.thread_id is not None
    assert conversation.thread_id in page.text
    assert "number 59." in page.text
    assert "number 9." not in page.text
    (older,) = links(page.text, r"[^\"]*\?before=")
    page = client.get(older)
    assert "You said: number 9." in page.text
    assert "number 10." not in page.text
    for number in (999, 2**31, 2**63, 10**30):
        assert client.get(f"/admin/conversations/{number}").status_code == 404
        assert client.get(f"{address}?before={number}").status_code == 200
    for unknown in ("none", "%00", "a%2Fb", "é" * 300):
        assert client.get(f"/admin/turns/{unknown}").status_code == 404


def test_a_reset_is_confirmed_queued_in_order_and_done_once(scene: AdminHarness) -> None:
    turn = scene.finish_turn("remember me")
    client, address = scene.signed_in_client(), f"/admin/conversations/{turn.conversation_id}"
    asked = submit_form(client, address, f"{address}/reset")
    assert asked.status_code == 200
    assert "forgets" in asked.text
    assert len(scene.store.transcript(turn.conversation_id)) == 1
    (once,) = re.findall(r'name="once" value="(\w+)"', asked.text)
    for _ in "ab":
        assert client.post(f"{address}/reset", data={"token": csrf_token_of(asked), "once": once}).status_code == 303
    scene.work_off_queue()
    first, reset = scene.store.transcript(turn.conversation_id)
    assert (reset.message.kind, reset.message.author, reset.message.address) == (
        MessageKind.RESET,
        "ann",
        first.message.address,
    )
    assert reset.state is TurnState.DELIVERED
    conversation = scene.context.store.get_conversation(turn.conversation_id)
    assert conversation is not None
    assert conversation.thread_id is None
    assert submit_form(client, address, "/admin/conversations/999/reset").status_code == 404


def test_a_conversation_whose_turns_are_all_erased_cannot_be_reset(scene: AdminHarness) -> None:
    turn = scene.finish_turn("remember me")
    scene.context.store.erase_older_than(-1.0)
    client, address = scene.signed_in_client(), f"/admin/conversations/{turn.conversation_id}"
    response = submit_form(client, address, f"{address}/reset", once="0" * 24)
    assert response.status_code == 409
    assert "erased" in response.text
    assert "remember me" not in client.get(f"/admin/turns/{turn.id}").text


# ---------------------------------------------------------------- turns


def test_a_turn_is_shown_with_everything_that_is_known_of_it(scene: AdminHarness) -> None:
    turn = scene.finish_turn("The message.", reply="The reply.", usage=Usage(1234, 56), model="model-x", cost=12_345)
    scene.store.record_feedback(Feedback(turn.id, "bob", "helpful"))
    said = text_of(scene.signed_in_client().get(f"/admin/turns/{turn.id}"))
    for expected in (
        turn.id,
        "The message.",
        "The reply.",
        "model-x",
        "1 234 in, 56 out",
        "helpful (bob)",
        "delivered",
    ):
        assert expected in said
    timeline = said.partition("Timeline")[2]
    assert re.search(r"received.*claimed by.*answered.*delivered", timeline)
    assert "+" in timeline
    assert ">Retry<" not in scene.signed_in_client().get(f"/admin/turns/{turn.id}").text
    assert scene.signed_in_client().get("/admin/turns/none").status_code == 404


@pytest.mark.parametrize("kind", MessageKind)
def test_a_turn_of_every_kind_says_what_it_asks_for(scene: AdminHarness, kind: MessageKind) -> None:
    turn = enqueue_one(scene.store, replace(message(), kind=kind), new_turn()).turn
    page = scene.signed_in_client().get(f"/admin/turns/{turn.id}").text
    assert re.search(r"<dt>Asks for</dt><dd>\w", page)


def test_a_failed_turn_is_retried_and_answered(scene: AdminHarness) -> None:
    failed = scene.fail_turn("please", "misconfigured", "the model is gone")
    client, address = scene.signed_in_client(), f"/admin/turns/{failed.id}"
    page = client.get(address)
    assert "the model is gone" in page.text
    assert ">Retry<" in page.text
    assert "data-refresh" not in page.text
    again = submit_form(client, address, f"{address}/retry").headers["Location"]
    assert 'data-refresh="1"' in client.get(again).text
    scene.work_off_queue()
    assert "You said: please" in client.get(again).text
    assert address in links(client.get(again).text, "/admin/turns/")
    assert again in links(client.get(address).text, "/admin/turns/")
    assert submit_form(client, address, f"{address}/retry").status_code == 409


def test_the_page_of_an_unfinished_turn_refreshes_itself(scene: AdminHarness) -> None:
    client, turn = scene.signed_in_client(), scene.enqueue("hello")
    page = client.get(f"/admin/turns/{turn.id}")
    assert 'data-refresh="1"' in page.text
    assert "none yet" in page.text
    assert submit_form(client, "/admin", f"/admin/turns/{turn.id}/retry").status_code == 409
    assert "In the queue 1" in text_of(client.get("/admin"))


def test_failed_turns_are_listed_and_retried_after_confirmation(scene: AdminHarness) -> None:
    failed = [scene.fail_turn(f"try {number}", channel=f"C{number % 2}") for number in range(4)]
    scene.finish_turn("well")
    client = scene.signed_in_client()
    page = client.get("/admin/failed")
    assert len(table_rows(page.text)) == 4
    listed = re.findall(r'name="turn" value="([^"]+)"', page.text)
    assert listed == [turn.id for turn in reversed(failed)]
    asked = submit_form(client, "/admin/failed", "/admin/failed/retry", turn=listed)
    assert "Retry 4 turns?" in text_of(asked)
    assert re.findall(r'name="turn" value="([^"]+)"', asked.text) == listed
    assert [depth.unfinished for depth in scene.store.queue_depths()] == []
    fields = {"token": csrf_token_of(asked), "confirmed": "yes", "turn": [*listed, "turn_none"]}
    done = client.get(client.post("/admin/failed/retry", data=fields).headers["Location"])
    assert "4 retried. 1 could not be retried" in text_of(done)
    scene.work_off_queue()
    said = [turn.message.text for turn in scene.store.transcript(failed[0].conversation_id)]
    assert said == ["try 0", "try 2", "try 0", "try 2"]
    page = client.get("/admin/failed")
    assert 'name="turn"' not in page.text
    assert text_of(page).count("retried") == 4


def test_failed_turns_are_found_by_what_is_known_of_them(scene: AdminHarness) -> None:
    scene.fail_turn("about parcels", channel="C1")
    scene.fail_turn("about boats", channel="C2")
    client = scene.signed_in_client()
    for query, number in {
        "text=boats": 1,
        "channel=C1": 1,
        "user=ann": 2,
        "platform=other": 0,
        "state=delivered": 2,
    }.items():
        assert len(table_rows(client.get(f"/admin/failed?{query}").text)) == number, query


# ---------------------------------------------------------------- platforms and backend


def test_platforms_and_backend_say_whether_they_answer_and_what_failed_last(scene: AdminHarness) -> None:
    scene.fail_turn("one", "unavailable", "no such host")
    scene.fail_turn("two", "undeliverable", "channel_is_archived")
    scene.check_results["fake"] = (CheckResult("Fake", ok=True, detail="@bot"),)
    scene.check_results["offline"] = (CheckResult("Backend", ok=False, detail="connection refused"),)
    scene.check_results["database"] = (CheckResult("Database", ok=True),)
    client = scene.signed_in_client(platforms=("fake", "quiet"))
    said = text_of(client.get("/admin/platforms"))
    fake, _, rest = said.partition("quiet platform")
    quiet, _, rest = rest.partition("offline backend")
    backend, _, database = rest.partition("database works")
    assert re.search(r"fake platform works .*@bot Last failed turn \S+ \S+ : undeliverable channel_is_archived", fake)
    assert "not checked No failed turns." in quiet
    assert "has a problem an assistant in memory" in backend
    assert re.search(r"connection refused Last failed turn \S+ \S+ : unavailable no such host", backend)
    assert "Database" in database
    client.get("/admin/platforms")
    assert scene.check_calls == [1]


# ---------------------------------------------------------------- what people wrote


def test_schedules_are_listed_and_cancelled(scene: AdminHarness) -> None:
    client = scene.signed_in_client()
    assert "Nothing is scheduled." in text_of(client.get("/admin/schedules"))
    push = Push(ConversationKey("fake", "T1", "C1"), prompt="Sum <b>up</b>")
    scene.context.schedules.add(Schedule("sch_1", "push key a", push, "0 9 * * *", "Asia/Tokyo", 4e9))
    page = client.get("/admin/schedules")
    for shown in ("0 9 * * *", "Asia/Tokyo", "T1 / C1", "prompt: Sum <b>up</b>", "2096-10-02"):
        assert shown in text_of(page)
    assert submit_form(client, "/admin/schedules", "/admin/schedules/sch_1/cancel").status_code == 303
    assert "/sch_1/cancel" not in client.get("/admin/schedules").text
    assert scene.audited()[-1] == ("operator", "schedule.cancelled", "sch_1")


def test_callbacks_are_listed_and_dead_letters_sent_again(scene: AdminHarness) -> None:
    client, callbacks = scene.signed_in_client(), scene.context.callbacks
    assert "Everything is delivered." in text_of(client.get("/admin/callbacks"))
    turn = scene.enqueue("hello").id
    for name in ("msg_1", "msg_2"):
        callbacks.add(Callback(name, name, "https://example.com/hook", "turn.answered", turn, "{}"), 9)
    (_, (first, _)) = callbacks.claim(9, 60.0)
    callbacks.mark_failed(first, "the receiver answered 410", None)
    page = client.get("/admin/callbacks")
    for shown in ("dead letter", "the receiver answered 410", "waits", "https://example.com/hook", turn):
        assert shown in text_of(page)
    assert links(page.text, "/admin/turns/") == [f"/admin/turns/{turn}"] * 2
    assert submit_form(client, "/admin/callbacks", "/admin/callbacks/msg_1/resend").status_code == 303
    assert "dead letter" not in text_of(client.get("/admin/callbacks"))
    assert scene.audited()[-1] == ("operator", "callback.resent", "msg_1")


def test_what_people_wrote_is_shown_as_plain_text(scene: AdminHarness) -> None:
    good = scene.finish_turn(INJECTION, channel=INJECTION)
    bad = scene.fail_turn(INJECTION, INJECTION, INJECTION, channel=INJECTION)
    scene.store.record_feedback(Feedback(good.id, INJECTION, INJECTION))
    scene.check_results["fake"] = (CheckResult(INJECTION, ok=False, detail=INJECTION),)
    client = scene.signed_in_client()
    addresses = (
        f"conversations/{good.conversation_id}",
        f"turns/{good.id}",
        f"turns/{bad.id}",
        "failed",
        "platforms",
        "conversations",
    )
    for address in addresses:
        page = client.get(f"/admin/{address}")
        assert page.status_code == 200
        assert "<script>" not in page.text, address
        assert "<img" not in page.text, address
        assert 'onmouseover="' not in page.text, address
        assert "alert(1)" in unescape(page.text), address
        assert "7*7" in page.text, address


def test_no_secret_is_ever_shown(scene: AdminHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs._masker, "_spellings", ())
    logs._masker.configure(["our-own-password"])
    secrets_text = f"our-own-password {API_KEY} Bearer abcdefghijklmnop https://u:hidden@host/"
    bad = scene.fail_turn(f"m {secrets_text}", detail=secrets_text)
    scene.check_results["fake"] = (CheckResult("fake", ok=False, detail=secrets_text),)
    client = scene.signed_in_client(about=secrets_text)
    for address in (f"conversations/{bad.conversation_id}", f"turns/{bad.id}", "failed", "platforms"):
        page = client.get(f"/admin/{address}").text
        for secret in ("our-own-password", API_KEY, "abcdefghijklmnop", "hidden@host"):
            assert secret not in page, (address, secret)
        assert "***" in page
