"""The web chat in a browser: the list of conversations, asking again, and feedback."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.browsers import chromium_only
from tests.browser.chat_actions import last_complete_reply, message_box, replies, send_message, text_of
from tests.browser.site import GatewaySite


def converse(page: Page, *first_messages: str) -> None:
    """Has a conversation for each message."""
    for at, message in enumerate(first_messages):
        if at:
            page.get_by_role("button", name="New conversation").click()
            expect(replies(page)).to_have_count(0)
        send_message(page, message)
        last_complete_reply(page)


def open_list(page: Page) -> Locator:
    page.get_by_role("button", name="Conversations", exact=True).click()
    return page.get_by_role("dialog", name="Conversations")


def titles(dialog: Locator) -> Locator:
    return dialog.locator("#conversation-list .title")


def opener(dialog: Locator) -> Locator:
    """The button of the first conversation of the list."""
    return dialog.locator("#conversation-list .open").first


def test_conversations_are_listed_found_and_opened(page: Page) -> None:
    converse(page, "How tall is the Eiffel tower?", "Write a poem\nabout rain")
    dialog = open_list(page)
    expect(titles(dialog)).to_have_text(["Write a poem about rain", "How tall is the Eiffel tower?"])
    expect(opener(dialog)).to_have_attribute("aria-current", "true")
    dialog.get_by_label("Search the titles").fill("EIFFEL")
    expect(titles(dialog)).to_have_count(1)
    titles(dialog).first.click()
    expect(dialog).to_be_hidden()
    expect(text_of(replies(page).last)).to_have_text("You said: How tall is the Eiffel tower?")
    page.reload()
    expect(text_of(replies(page).last)).to_have_text("You said: How tall is the Eiffel tower?")
    expect(titles(open_list(page))).to_have_count(2)


def test_a_conversation_is_renamed_by_the_keyboard(page: Page) -> None:
    converse(page, "Hello")
    dialog = open_list(page)
    dialog.get_by_role("button", name="rename Hello").press("Enter")
    expect(dialog.get_by_label("Title", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(titles(dialog)).to_have_text(["Hello"])
    expect(opener(dialog)).to_be_focused()
    dialog.get_by_role("button", name="rename Hello").press("Enter")
    page.keyboard.type("<b>Greeting</b>")
    page.keyboard.press("Enter")
    expect(titles(dialog)).to_have_text(["<b>Greeting</b>"])
    expect(opener(dialog)).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    send_message(page, "Again")
    last_complete_reply(page, 2)
    expect(titles(open_list(page))).to_have_text(["<b>Greeting</b>"])


def test_a_conversation_is_deleted_after_a_question(page: Page, site: GatewaySite) -> None:
    converse(page, "One", "Two")
    dialog = open_list(page)
    dialog.get_by_role("button", name="delete Two").click()
    expect(dialog.get_by_role("group")).to_contain_text("Delete “Two” for good?")
    dialog.get_by_role("button", name="Keep").click()
    expect(titles(dialog)).to_have_count(2)
    dialog.get_by_role("button", name="delete Two").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog.get_by_role("status")).to_have_text("The conversation was deleted.")
    expect(titles(dialog)).to_have_text(["One"])
    dialog.get_by_role("button", name="Close").click()
    expect(replies(page)).to_have_count(0)
    site.fake.wait_until(lambda: any(request.method == "DELETE" for request in site.fake.requests))


def test_a_conversation_that_cannot_be_deleted_stays_in_the_list(page: Page) -> None:
    converse(page, "One")
    page.route("**/chat/threads/*", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    dialog = open_list(page)
    dialog.get_by_role("button", name="delete One").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("The conversation was not deleted.")
    expect(titles(dialog)).to_have_text(["One"])


def test_a_message_is_edited_and_the_last_one_asked_again(page: Page, site: GatewaySite) -> None:
    converse(page, "Hello")
    page.get_by_role("button", name="Ask again", exact=True).click()
    last_complete_reply(page, 2)
    expect(page.locator(".said .text")).to_have_text(["Hello", "Hello"])
    expect(page.get_by_role("button", name="Ask again", exact=True)).to_have_count(1)
    page.get_by_role("button", name="Edit and ask again").first.click()
    expect(message_box(page)).to_be_focused()
    expect(message_box(page)).to_have_value("Hello")
    message_box(page).press("End")
    page.keyboard.type(" there")
    page.keyboard.press("Enter")
    expect(text_of(last_complete_reply(page, 3))).to_have_text("You said: Hello there")
    assert len(site.fake.posts("/responses")) == 3


@chromium_only("read the body of a request")
def test_a_reply_is_rated(page: Page) -> None:
    converse(page, "Hello")
    good, bad = (page.get_by_role("button", name=f"{name} response") for name in ("Good", "Bad"))
    for button, value, other in ((good, "good", bad), (bad, "bad", good)):
        with page.expect_request(re.compile(r"/chat/turns/[^/]+/feedback$")) as sent:
            button.click()
        assert sent.value.post_data_json == {"value": value}
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(other).to_have_attribute("aria-pressed", "false")
