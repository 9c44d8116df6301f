"""The web chat where several assistants can be asked: who answers, who answers next, and what another site sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_actions import last_complete_reply, message_box, send_message, text_of
from tests.browser.conftest import StartGateway
from tests.browser.site import EmbeddingSite, GatewaySite, serve

FILE = """
[assistants.default]
name = "Ada"

[assistants.support]
name = "Help desk"
backend = "offline"
"""
SHOP = """<!doctype html><title>A shop</title><h1>A shop</h1>
<script src="{gateway}/embed.js" data-title="Ask us" data-assistant="support"></script>"""


@pytest.fixture
def several(start: StartGateway, tmp_path: Path) -> GatewaySite:
    file = tmp_path / "several.toml"
    file.write_text(FILE)
    return start(GATEWAY_CONFIG=str(file), CORS_ORIGINS="*")


def test_the_choice_belongs_to_the_conversation_and_what_was_said_goes_along(several: GatewaySite, empty: Page) -> None:
    page = empty
    page.goto(several.url)
    choice, by = page.get_by_role("combobox", name="Assistant"), page.locator(".reply .by")
    expect(choice).to_have_value("default")
    send_message(page, "One")
    expect(text_of(last_complete_reply(page))).to_have_text("You said: One")
    expect(by).to_have_text(["Ada"])

    choice.select_option("Help desk")
    expect(page.locator("#notice")).to_have_text("From now on, Help desk answers here. It knows what was said before.")
    expect(message_box(page)).to_be_focused()
    page.reload()
    expect(choice).to_have_value("support")  # although no message has told the gateway
    send_message(page, "Two")
    expect(text_of(last_complete_reply(page, 2))).to_contain_text("message 2 of our conversation")
    expect(by).to_have_text(["Ada", "Help desk"])

    page.get_by_role("button", name="New conversation").click()
    expect(choice).to_have_value("default")
    page.reload()
    send_message(page, "Three")
    last_complete_reply(page)
    page.get_by_role("button", name="Conversations", exact=True).click()
    expect(page.locator("#conversation-list .by")).to_have_text(["Ada", "Help desk"])
    page.locator("#conversation-list .open").last.click()
    expect(choice).to_have_value("support")
    expect(by).to_have_text(["Ada", "Help desk"])


def test_another_site_sets_the_assistant_of_its_visitors(several: GatewaySite, empty: Page) -> None:
    shop = EmbeddingSite()
    shop.html = SHOP.format(gateway=several.url)
    with serve(shop) as address:
        empty.goto(address)
        empty.get_by_role("button", name="Ask us").click()
        frame = empty.frame_locator("iframe")
        frame.get_by_role("textbox", name="Message").fill("Hello")
        frame.get_by_role("button", name="Send").click()
        expect(frame.locator(".reply .text")).to_contain_text("I am the offline assistant")
        expect(frame.locator("#assistant")).to_be_hidden()
        assert several.fake.posts("/responses") == []


def test_one_assistant_is_no_choice(page: Page) -> None:
    send_message(page, "Hello")
    expect(last_complete_reply(page).locator(".by")).to_be_hidden()
    expect(page.locator("#assistant")).to_be_hidden()
