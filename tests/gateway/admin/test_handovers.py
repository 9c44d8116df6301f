"""The operator's pages of handovers: to take a conversation over, to answer in it, and to give it back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from gateway.domain.models import MessageKind
from gateway.ports.audit_trail import ActionFilter
from tests.gateway.admin.harness import AdminHarness, open_harness, submit_form, text_of


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


def act(client: FlaskClient, address: str, what: str, **fields: str) -> int:
    """Submits a form of a conversation's page; returns the status."""
    (once, *_) = re.findall(r'name="once" value="(\w+)"', client.get(address).text)
    return submit_form(client, address, f"{address}/{what}", once=once, **fields).status_code


def test_an_operator_takes_over_answers_and_gives_back(scene: AdminHarness) -> None:
    first = scene.finish_turn("My order is lost.")
    client, address = scene.signed_in_client(), f"/admin/conversations/{first.conversation_id}"
    assert act(client, address, "take-over", reason=" very  angry ") == 303
    taken = scene.store.transcript(first.conversation_id)[-1]
    assert (taken.message.kind, taken.message.text, taken.message.author) == (
        MessageKind.HAND_OVER,
        "very angry",
        "ann",
    )
    assert taken.message.address == first.message.address
    scene.work_off_queue()
    assert act(client, address, "answer", text="It comes\r\ntomorrow.\r\n") == 303
    answered = scene.store.transcript(first.conversation_id)[-1]
    assert (answered.reply, answered.message.sender, answered.is_pushed_text) == (
        "It comes\ntomorrow.",
        "staff operator",
        True,
    )
    page = client.get(address)
    assert "It comes\ntomorrow." in page.text
    assert "by staff operator: very angry" in text_of(page)
    assert 'data-refresh="3"' in page.text
    assert "handed over" in text_of(client.get("/admin/conversations"))
    assert act(client, address, "give-back") == 303
    given = scene.store.transcript(first.conversation_id)[-1]
    assert given.message.kind is MessageKind.RESUME
    done = scene.context.store.audit_trail.find(ActionFilter(), limit=9)
    assert [(each.action, each.detail) for each in done][:3] == [
        ("conversation.given_back", given.id),
        ("conversation.answered", answered.id),
        ("conversation.taken_over", taken.id),
    ]


def test_a_form_that_is_sent_twice_is_one_answer(scene: AdminHarness) -> None:
    first = scene.finish_turn("Hello")
    client, address = scene.signed_in_client(), f"/admin/conversations/{first.conversation_id}"
    act(client, address, "take-over")
    for _ in "ab":
        submit_form(client, address, f"{address}/answer", once="a" * 24, text="Hi")
    assert [turn.reply for turn in scene.store.transcript(first.conversation_id)][1:] == ["", "Hi"]


@pytest.mark.parametrize(
    ("what", "fields", "status"),
    [
        ("answer", {"text": "Hi"}, 409),
        ("give-back", {}, 409),
        ("take-over", {"once": "x"}, 400),
    ],
)
def test_what_cannot_be_done_is_said(scene: AdminHarness, what: str, fields: dict[str, str], status: int) -> None:
    first = scene.finish_turn("Hello")
    client, address = scene.signed_in_client(), f"/admin/conversations/{first.conversation_id}"
    assert submit_form(client, address, f"{address}/{what}", **{"once": "b" * 24, **fields}).status_code == status
    assert submit_form(client, address, f"/admin/conversations/999/{what}", once="c" * 24).status_code == 404
    assert len(scene.store.transcript(first.conversation_id)) == 1


def test_an_answer_has_words_and_not_too_many(scene: AdminHarness) -> None:
    first = scene.finish_turn("Hello")
    client, address = scene.signed_in_client(max_answer_chars=5), f"/admin/conversations/{first.conversation_id}"
    act(client, address, "take-over")
    assert act(client, address, "answer", text=" \r\n") == 400
    assert act(client, address, "answer", text="123456") == 400


def test_the_open_handovers_are_listed(scene: AdminHarness) -> None:
    client = scene.signed_in_client()
    assert "The assistant answers everywhere." in client.get("/admin/handovers").text
    first = scene.finish_turn("Hello")
    act(client, f"/admin/conversations/{first.conversation_id}", "take-over", reason="<b>angry</b>")
    page = client.get("/admin/handovers")
    assert f'href="/admin/conversations/{first.conversation_id}"' in page.text
    assert "&lt;b&gt;angry&lt;/b&gt;" in page.text
    assert "staff operator" in page.text
