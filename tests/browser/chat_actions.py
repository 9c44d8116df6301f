"""Actions of a user of the web chat."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


def message_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def send_message(page: Page, text: str) -> None:
    expect(page.get_by_role("dialog")).to_be_hidden()  # before, the text would go into its field
    message_box(page).fill(text)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()  # it is disabled while the page starts
    message_box(page).press("Enter")


def replies(page: Page) -> Locator:
    return page.locator(".reply")


def reply_to(page: Page, text: str) -> Locator:
    """Returns the reply below a message of the user that has this text."""
    return page.get_by_role("listitem").filter(has_text=text).locator("xpath=following-sibling::li[1]")


def last_complete_reply(page: Page, count: int = 1) -> Locator:
    """Waits until ``count`` replies are complete and returns the newest one."""
    expect(page.locator(".reply > .tools:not([hidden])")).to_have_count(count)
    return replies(page).last


def text_of(reply: Locator) -> Locator:
    return reply.locator("> .text")
