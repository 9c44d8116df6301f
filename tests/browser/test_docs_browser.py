"""The API documentation in a real browser: a route is tried by keyboard, files and streams, small and dark."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import StartGateway
from tests.browser.test_chat_accessibility import OVERFLOWING_ELEMENTS
from tests.browser.test_chat_files import NOTES
from tests.fakes.openai_server import Say


def opened(page: Page, title: str) -> Locator:
    """Opens the form of a route by keyboard; returns it."""
    page.get_by_text(f"Try it: {title}").focus()
    page.keyboard.press("Enter")
    return page.get_by_role("form", name=f"Try {title}")


def test_routes_are_tried_with_a_key_and_streams_are_shown_as_they_arrive(start: StartGateway, empty: Page) -> None:
    page, site = empty, start(GATEWAY_API_KEYS="key-one")
    site.fake.script(Say("One two three four", hold_after=2), "Read.")
    page.goto(f"{site.url}/docs")
    form = opened(page, "Say something")
    form.get_by_label("message").fill("Count")
    form.get_by_label("stream").select_option("true")
    page.keyboard.press("Tab")
    form.get_by_role("button", name="Send").press("Enter")
    expect(form.get_by_role("status")).to_have_text("401 Unauthorized")
    expect(form.get_by_role("group", name="Answer")).to_contain_text('"code": "unauthorized"')

    page.get_by_label("API key", exact=True).fill("key-one")
    form.get_by_label("message").press("Control+End")
    form.get_by_role("button", name="Send").press("Enter")
    expect(form.get_by_role("status")).to_have_text("200 OK")
    answer = form.get_by_role("group", name="Answer")
    expect(answer).to_contain_text("event: delta")
    expect(answer).not_to_contain_text("event: done")
    expect(form.get_by_role("button", name="Stop")).to_be_visible()
    site.fake.release()
    expect(answer).to_contain_text("event: done")
    expect(form.locator(".headers")).to_contain_text("text/event-stream")

    page.reload()  # keeps the key
    form = opened(page, "Say something")
    form.get_by_label("message").fill("Read this")
    form.get_by_label("files").set_input_files(NOTES)
    form.get_by_role("button", name="Send").press("Enter")
    expect(form.get_by_role("group", name="Answer")).to_contain_text('"response": "Read."')
    assert "The plan: soup." in str(site.fake.posts("/responses")[-1])

    for width, scheme, ground in ((390, "light", "rgb(255, 255, 255)"), (1280, "dark", "rgb(20, 22, 26)")):
        page.set_viewport_size({"width": width, "height": 700})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert page.evaluate(OVERFLOWING_ELEMENTS) == []
        expect(page.locator("body")).to_have_css("background-color", ground)
