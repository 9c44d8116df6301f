"""The pages of people, budgets, feedback and the audit trail: what they show, change, and export."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.domain.models import Turn, TurnState, Usage
from gateway.domain.platform_events import Feedback
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.audit_trail import ActionFilter, AuditedAction
from gateway.ports.budgets import Budget
from gateway.ports.people import ChannelId, PersonId, Sighting
from storage.store import SqlStore
from tests.gateway.admin.harness import AdminHarness, open_harness, submit_form, text_of
from tests.gateway.admin.test_pages import API_KEY, INJECTION, links, table_rows

ANN = PersonId("fake", "ann")


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


@pytest.fixture
def books(scene: AdminHarness) -> SqlStore:
    assert isinstance(scene.store, SqlStore)
    return scene.store


def rules(**settings: Any) -> Rules:
    return Rules.from_settings(AdmissionSettings(**settings))


def person_url(user: str = "ann", platform: str = "fake") -> str:
    return f"/admin/person?platform={platform}&user={user}"


def rows_of(page: Any) -> list[str]:
    """Returns the texts of the rows of the first table."""
    return [
        " ".join(html.unescape(re.sub(r"<[^>]*>", " ", row)).replace("\N{NARROW NO-BREAK SPACE}", " ").split())
        for row in table_rows(page.text)
    ]


# ---------------------------------------------------------------- people


def test_people_are_listed_with_what_they_use_and_may_use(scene: AdminHarness, books: SqlStore) -> None:
    scene.finish_turn("hello", usage=Usage(1000, 200), cost=1_500_000)
    scene.fail_turn("no")
    books.people.note([Sighting(ANN, "Ann A.", workspace="T1")], {})
    books.people.note([Sighting(PersonId("fake", "bob"))], {})
    books.blocks.add(PersonId("fake", "bob"), "operator")
    client = scene.signed_in_client(rules=rules(budget_user_day="2", user_turns_per_minute=5))
    page = client.get("/admin/people")
    bob, ann = rows_of(page)
    assert ann.startswith("Ann A. ann fake 2 1 1 200 $1.50 $2.00 20")
    assert bob.startswith("bob blocked fake 0 0 0 $0.00 $2.00 20")
    assert "Each person may have 5 in a minute." in text_of(page)
    assert [
        len(rows_of(client.get(f"/admin/people?{query}"))) for query in ("text=ANN", "platform=other", "text=x")
    ] == [*(1, 0, 0)]
    for order in ("cost", "turns"):
        (top,) = rows_of(client.get(f"/admin/people?order={order}"))
        assert top.startswith("Ann A. ann fake 2 1")


def test_all_people_can_be_paged_through(scene: AdminHarness, books: SqlStore) -> None:
    books.people.note([Sighting(PersonId("fake", f"u~{number} &/")) for number in range(60)], {})
    client, address, found = scene.signed_in_client(), "/admin/people?platform=fake", []
    while address:
        page = client.get(address)
        found += [link for row in table_rows(page.text) for link in links(row, "/admin/person")]
        nexts = links(page.text, r"\?platform=fake&amp;before=")
        address = f"/admin/people{nexts[0]}" if nexts else ""
    assert len(found) == len(set(found)) == 60
    assert "u~7 &amp;/" in client.get(next(link for link in found if "u~7+" in link or "u~7%20" in link)).text


def test_a_person_has_a_page_with_budgets_conversations_and_turns(scene: AdminHarness, books: SqlStore) -> None:
    turn = scene.finish_turn("where is my parcel", channel="C1", cost=500_000)
    books.people.note([Sighting(ANN, "Ann A.", "fake", "")], {ChannelId("fake", "C1"): "#shop"})
    now = scene.context.store.now()
    mine = rules(budget_user_day="0.5/2", budget_user_month="9", user_turns_per_hour=60)
    for each in mine.applicable_budgets(turn.message, now):
        books.ledger.admit(turn.id, [each.budget])
        books.ledger.charge(turn.id, 500_000)
    client = scene.signed_in_client(rules=mine)
    page = client.get(person_url())
    said = text_of(page).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "Ann A." in said
    assert "Limits 60 in an hour" in said
    assert "this month $0.50 – $9.00 $8.50" in said  # noqa: RUF001  # the dash in place of a limit
    assert "today $0.50 $0.50 $2.00 $1.50" in said
    assert "#shop where is my parcel" in said
    assert links(page.text, "/admin/turns/") == [f"/admin/turns/{turn.id}"]
    assert client.get("/admin/person?platform=fake").status_code == 400
    assert "None." in text_of(client.get(person_url("stranger")))


def test_a_person_is_blocked_and_unblocked_on_their_page(scene: AdminHarness, books: SqlStore) -> None:
    waiting = scene.enqueue("answer me")
    client = scene.signed_in_client()
    assert (
        submit_form(
            client, person_url(), person_url().replace("person?", "person/block?"), reason="spam <b>"
        ).status_code
        == 303
    )
    block = books.blocks.get(ANN)
    assert block is not None
    assert (block.actor, block.reason) == ("operator", "spam <b>")
    assert scene.context.inbox.get_turn(waiting.id).state is TurnState.CANCELLED
    books.blocks.count_refused({ANN: 3})
    page = client.get(person_url())
    assert "spam &lt;b&gt;" in page.text
    assert "3 messages refused since" in text_of(page)
    assert 'name="reason"' not in page.text
    assert submit_form(client, person_url(), person_url().replace("person?", "person/unblock?")).status_code == 303
    assert books.blocks.get(ANN) is None
    assert [(each.action, each.target, each.detail) for each in books.audit_trail.find(ActionFilter(), limit=2)] == [
        ("person.unblocked", "fake:ann", ""),
        ("person.blocked", "fake:ann", "spam <b>"),
    ]


def test_a_block_needs_the_token_of_the_form(scene: AdminHarness, books: SqlStore) -> None:
    client = scene.signed_in_client()
    assert client.post(person_url().replace("person?", "person/block?")).status_code == 403
    assert books.blocks.listed() == []


# ---------------------------------------------------------------- conversations by name


def test_conversations_have_names_and_first_words_and_are_found_by_them(scene: AdminHarness, books: SqlStore) -> None:
    scene.finish_turn("where is my parcel", channel="C1")
    scene.finish_turn("And the invoice?", channel="C1")
    scene.finish_turn("hello", channel="C0123456789")
    client = scene.signed_in_client()
    assert [row.split(" 20")[0] for row in rows_of(client.get("/admin/conversations"))] == [
        "fake …456789 hello",
        "fake C1 where is my parcel",
    ]
    books.people.note([Sighting(ANN, "Ann A.")], {ChannelId("fake", "C1"): "#shop"})
    assert [row.split(" 20")[0] for row in rows_of(client.get("/admin/conversations"))] == [
        "Ann A. hello",
        "#shop where is my parcel",
    ]
    for query, count in {"name=SHOP": 1, "name=ann+a": 2, "name=x": 0, "name=ann&text=invoice": 1}.items():
        assert len(rows_of(client.get(f"/admin/conversations?{query}"))) == count, query
    (number,) = links(client.get("/admin/conversations?name=shop").text, "/admin/conversations/")
    assert '<h1 dir="auto">#shop</h1>' in client.get(number).text


def test_a_conversation_is_found_by_a_name_that_any_number_of_others_have(scene: AdminHarness, books: SqlStore) -> None:
    scene.finish_turn("hello", channel="C1")
    books.people.note([Sighting(ANN, "Ann A.")], {})
    books.people.note([Sighting(PersonId("fake", f"U{number}"), "Ann B.") for number in range(300)], {})
    assert len(rows_of(scene.signed_in_client().get("/admin/conversations?name=ann"))) == 1


# ---------------------------------------------------------------- budgets


def test_every_budget_that_is_set_is_shown_with_what_it_refused(scene: AdminHarness, books: SqlStore) -> None:
    mine = rules(
        budget_user_day="0.5/2, other=7",
        budget_channel_month="4/",
        budget_platform_day="fake=10",
        budget_assistant_month="5, default=3",
        budget_caller_day="1",
    )
    turn = scene.finish_turn("hello", channel="C1", cost=1_000_000)
    for each in mine.applicable_budgets(turn.message, turn.received_at):
        books.ledger.admit(turn.id, [each.budget])
        books.ledger.charge(turn.id, 1_000_000)
    books.ledger.admit(turn.id, [Budget("day user fake  gone", "2001-01-01", hard_limit=1)])
    scene.fail_turn("no", "budget_exhausted", "day user fake  ann", channel="C2")
    books.people.note([Sighting(ANN, "Ann A.")], {ChannelId("fake", "C1"): "#shop"})
    page = scene.signed_in_client(rules=mine).get("/admin/budgets")
    said = text_of(page).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert re.search(
        r"Platforms, per day fake: refused from \$10\.00\. Resets on .* fake \$1\.00 10 % \$0\.00 \$9\.00 0", said
    )
    assert re.search(
        r"Assistants, per month .*default: refused from \$3\.00.* default \$1\.00 33\.3 % \$0\.00 \$2\.00 0", said
    )
    assert re.search(
        r"Channels, per month each: warned from \$4\.00\. .* #shop fake \$1\.00 . \$0\.00 no limit 0", said
    )
    assert re.search(r"People, per day .*Ann A\. fake \$1\.00 50 % \$0\.00 \$1\.00 1", said)
    assert "API keys and addresses, per day each: refused from $1.00" in said
    assert "gone" not in said


def test_without_budgets_the_page_says_how_to_set_one(scene: AdminHarness) -> None:
    assert "No budget is set. BUDGET_USER_DAY" in text_of(scene.signed_in_client().get("/admin/budgets"))


# ---------------------------------------------------------------- feedback


def rate(scene: AdminHarness, text: str, value: str, reply: str = "Hi") -> Turn:
    turn = scene.finish_turn(text, reply=reply)
    scene.store.record_feedback(Feedback(turn.id, "ann", value))
    return turn


def test_feedback_is_listed_counted_and_filtered(scene: AdminHarness, books: SqlStore) -> None:
    rate(scene, "where is my parcel", "good", "On its way")
    rate(scene, "what is this", "bad", "A teapot")
    books.people.note([Sighting(ANN, "Ann A.")], {})
    client = scene.signed_in_client(assistants=lambda: ("default", "support"))
    page = client.get("/admin/feedback")
    assert sorted(row.split(" 20")[0] for row in rows_of(page)) == [
        "bad what is this A teapot Ann A. fake default",
        "good where is my parcel On its way Ann A. fake default",
    ]
    assert "50 % good" in text_of(page).replace("\N{NARROW NO-BREAK SPACE}", " ")
    for query, count in {
        "value=bad": 1,
        "assistant=support": 0,
        "platform=fake&span=24h": 2,
        "platform=other": 0,
        "before=nonsense": 2,
        "before=1~a~b": 0,
        "before=nan~a~b": 2,
    }.items():
        assert len(rows_of(client.get(f"/admin/feedback?{query}"))) == count, query


def test_feedback_is_exported_without_formulas_and_recorded(scene: AdminHarness, books: SqlStore) -> None:
    rate(scene, '=HYPERLINK("http://evil","x")', "good", f'"quoted",\nlines {API_KEY}')
    rate(scene, "plain", "bad")
    client = scene.signed_in_client()
    sent = client.get("/admin/feedback.csv?value=good")
    assert sent.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert sent.headers["Content-Disposition"] == 'attachment; filename="feedback.csv"'
    (row,) = csv.DictReader(io.StringIO(sent.text, newline=""))
    assert row["question"] == '\'=HYPERLINK("http://evil","x")'
    assert row["answer"].startswith('"quoted",\nlines ')
    assert API_KEY not in sent.text
    assert (row["value"], row["author"], row["currency"]) == ("good", "ann", "USD")
    listed = [json.loads(line) for line in client.get("/admin/feedback.jsonl").text.splitlines()]
    assert {each["question"] for each in listed} == {'=HYPERLINK("http://evil","x")', "plain"}
    assert client.get("/admin/feedback.xls").status_code == 404
    found = books.audit_trail.find(ActionFilter(), limit=2)
    assert [(each.action, each.target) for each in found] == [
        ("feedback.exported", "jsonl"),
        ("feedback.exported", "csv"),
    ]


# ---------------------------------------------------------------- the audit trail


def test_the_audit_trail_is_listed_filtered_paged_and_exported(scene: AdminHarness, books: SqlStore) -> None:
    client = scene.signed_in_client()  # the oldest entry
    for number in range(55):
        books.audit_trail.record("command line: ann@host", AuditedAction.TURN_RETRIED, f"turn_{number:02}", "turn_x")
    books.audit_trail.record("operator", AuditedAction.PERSON_BLOCKED, "fake:a:b", "=cmd|' /C calc'!A0")
    first = client.get("/admin/audit")
    assert rows_of(first)[0].startswith("person.blocked 20")
    assert links(first.text, "/admin/person") == ["/admin/person?platform=fake&user=a:b"]
    (older,) = links(first.text, r"\?before=")
    assert len(rows_of(first)) + len(rows_of(client.get(f"/admin/audit{older}"))) == 57
    for query, count in {
        "actor=OPERATOR": 2,
        "action=turn.retried&target=turn_07": 1,
        "target=cmd": 1,
        "span=24h&actor=ann": 50,
        "before=1": 0,
        f"before={'9' * 30}": 50,
    }.items():
        assert len(rows_of(client.get(f"/admin/audit?{query}"))) == count, query
    rows = list(csv.DictReader(io.StringIO(client.get("/admin/audit.csv").text, newline="")))
    assert [row["action"] for row in rows[:2]] == ["audit_trail.exported", "person.blocked"]
    assert len(rows) == 58
    assert rows[1]["detail"] == "'=cmd|' /C calc'!A0"
    assert len(client.get("/admin/audit.jsonl?action=person.blocked").text.splitlines()) == 1
    assert rows_of(client.get("/admin/audit"))[0].startswith("audit_trail.exported")


# ---------------------------------------------------------------- what strangers write


def test_nothing_that_strangers_write_is_markup_or_a_secret(scene: AdminHarness, books: SqlStore) -> None:
    turn = scene.finish_turn(f"{INJECTION} {API_KEY}", channel="C1", reply=INJECTION)
    books.people.note([Sighting(ANN, f"{INJECTION} {API_KEY}")], {ChannelId("fake", "C1"): f"{INJECTION} {API_KEY}"})
    books.record_feedback(Feedback(turn.id, "ann", INJECTION))
    books.blocks.add(ANN, "operator", f"{INJECTION} {API_KEY}")
    books.audit_trail.record(INJECTION, INJECTION, f"{INJECTION} {API_KEY}", f"{INJECTION} {API_KEY}")
    mine = rules(budget_user_day="2", budget_channel_day="2")
    for each in mine.applicable_budgets(turn.message, turn.received_at):
        books.ledger.admit(turn.id, [each.budget])
    client = scene.signed_in_client(rules=mine)
    for path in ("conversations", "conversations/1", f"turns/{turn.id}", "people", "budgets", "feedback", "audit"):
        page = client.get(f"/admin/{path}")
        assert page.status_code == 200, path
        assert "<img src=x" not in page.text, path
        assert "alert(1)</script>" not in page.text, path
        assert API_KEY not in page.text, path
    assert API_KEY not in client.get(person_url()).text
    assert "<img src=x" not in client.get(person_url()).text
