"""A person answers in the web chat in place of the assistant."""

from __future__ import annotations

from contextlib import closing

from playwright.sync_api import Page, expect

from gateway.cli.handover import HandoverContext
from gateway.handover import messages
from gateway.ports.enqueue import AssistantRoute
from storage.store import SqlStore
from tests.adapters.http.test_http_handover import EVE
from tests.browser.chat_actions import last_complete_reply, reply_to, send_message


def test_what_a_person_answers_comes_into_the_page(page: Page, sqlite_url: str) -> None:
    with closing(SqlStore(sqlite_url)) as store:
        desk = HandoverContext(store, store, store.handovers, store.audit_trail, 1000, 100)
        send_message(page, "one")
        last_complete_reply(page)
        desk.record(messages.take_over(*desk.load(1), EVE, "", "t"), AssistantRoute())
        send_message(page, "two")
        expect(reply_to(page, "two")).to_contain_text("A person will answer this here.")
        send_message(page, "three")
        expect(reply_to(page, "three")).to_contain_text("A person will answer this here.")
        desk.record(messages.answer(*desk.load(1), EVE, "Eve is here.", "a", 1000), AssistantRoute())
        expect(page.get_by_text("Eve is here.")).to_be_visible()
        expect(page.get_by_text("No reply.")).to_have_count(0)
        desk.record(messages.give_back(*desk.load(1), EVE, "r"), AssistantRoute())
        expect(page.get_by_text("The assistant answers here again.")).to_be_visible()
        send_message(page, "four")
        expect(page.get_by_role("main").get_by_text("You said: four")).to_be_visible()
