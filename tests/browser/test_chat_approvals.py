"""The web chat asks whether a tool may be called, and shows what was decided."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_actions import last_complete_reply, replies, send_message, text_of
from tests.browser.conftest import StartGateway
from tests.browser.site import GatewaySite
from tests.fakes.openai_server import CallTool, Say

FILE = '[tools.calculate]\napprove = true\napprovers = ["asker"]\n'
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def site(start: StartGateway, tmp_path: Path) -> GatewaySite:
    path = tmp_path / "approvals.toml"
    path.write_text(FILE, "utf-8")
    return start(GATEWAY_CONFIG=str(path))


def test_a_call_is_approved_or_denied_also_after_the_page_was_left(page: Page, site: GatewaySite) -> None:
    site.fake.script(CallTool("calculate", {"expression": "6*7"}), Say("It is 42."))
    send_message(page, "6 times 7?")
    question = replies(page).last.locator(".question")
    expect(question.locator("code")).to_contain_text('"expression": "6*7"')
    expect(question.get_by_role("button", name="Approve")).to_be_visible()
    page.reload()
    question = replies(page).last.locator(".question")
    question.get_by_role("button", name="Approve").click()
    expect(text_of(last_complete_reply(page))).to_have_text("It is 42.")
    expect(question.locator(".decided")).to_have_text("Approved.")
    expect(question.get_by_role("button", name="Approve")).to_be_hidden()
    assert any("42" in str(seen.body) for seen in site.fake.posts("/responses")[1:])

    site.fake.script(CallTool("calculate", {"expression": HOSTILE}), Say("As you wish."))
    send_message(page, "Do it")
    question = replies(page).last.locator(".question")
    expect(question.locator("code")).to_contain_text("<img src=x onerror=alert(1)>\\u202e")
    question.get_by_role("button", name="Deny").click()
    expect(text_of(last_complete_reply(page, 2))).to_have_text("As you wish.")
    expect(question.locator(".decided")).to_have_text("Denied.")
