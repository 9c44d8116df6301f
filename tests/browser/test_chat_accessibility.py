"""The web chat's accessibility: keyboard, screen reader, small and wide, light and dark, any script."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.browsers import chromium_only
from tests.browser.chat_actions import last_complete_reply, message_box, send_message, text_of
from tests.browser.replies import RICH
from tests.browser.site import GatewaySite
from tests.fakes.openai_server import Say

OVERFLOWING_ELEMENTS = """() => [...document.querySelectorAll('body, body *')]
    .filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth + 1)
    .filter((node) => getComputedStyle(node).overflowX === 'visible')
    .map((node) => `${node.tagName} ${node.className} ${node.scrollWidth} > ${node.clientWidth}`)"""
RECORD_ANNOUNCEMENTS = """() => {
    window.spoken = [];
    const place = document.getElementById('spoken');
    new MutationObserver(() => window.spoken.push(place.textContent)).observe(place, {childList: true});
}"""


@chromium_only("activate a window")
def test_the_keyboard_alone_is_enough(page: Page, site: GatewaySite) -> None:
    site.fake.script(RICH)
    expect(message_box(page)).to_be_focused()
    page.evaluate("document.body.tabIndex = -1; document.body.focus()")  # where keyboard navigation starts
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the message box")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(message_box(page)).to_be_focused()
    page.keyboard.type("One")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Two")
    page.keyboard.press("Enter")
    reply = last_complete_reply(page)
    expect(page.locator(".said .text")).to_have_text("One\nTwo", use_inner_text=True)
    expect(message_box(page)).to_be_focused()
    expect(message_box(page)).to_have_value("")
    for place in (
        page.get_by_role("button", name="Attach files"),
        reply.get_by_role("button", name="Bad response"),
        reply.get_by_role("button", name="Good response"),
        reply.get_by_role("button", name="Ask again"),
        reply.get_by_role("button", name="Copy the reply"),
        reply.get_by_role("link", name="the manual of Counter"),
        reply.get_by_role("group", name="Table"),
        reply.get_by_role("group", name="Code in python"),
        reply.get_by_role("button", name="Copy the code"),
    ):
        page.keyboard.press("Shift+Tab")
        expect(place).to_be_focused()


def test_enter_within_an_input_method_sends_nothing(page: Page) -> None:
    message_box(page).fill("に")
    message_box(page).dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(message_box(page)).to_have_value("に")
    expect(page.locator(".said")).to_have_count(0)


def test_a_reply_is_read_out_once_and_whole(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say("One **two** three four five six.", chunks=30))
    page.evaluate(RECORD_ANNOUNCEMENTS)
    send_message(page, "Count")
    last_complete_reply(page)
    assert page.evaluate("window.spoken") == ["The reply is being written.", "One two three four five six."]


def test_nothing_overflows_and_the_colour_scheme_is_followed(page: Page, site: GatewaySite) -> None:
    site.fake.script(RICH + "\n\n" + "x" * 500)
    send_message(page, "word " * 50 + "y" * 300)
    table = last_complete_reply(page).locator(".table")
    for width, scheme, ground in ((320, "light", "rgb(255, 255, 255)"), (1280, "dark", "rgb(20, 22, 26)")):
        page.set_viewport_size({"width": width, "height": 600})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert page.evaluate(OVERFLOWING_ELEMENTS) == []
        assert table.evaluate("box => box.scrollWidth > box.clientWidth") is (width == 320)
        expect(page.locator("body")).to_have_css("background-color", ground)


def test_text_runs_the_way_its_script_does(page: Page, site: GatewaySite) -> None:
    site.fake.script("שלום עולם\n\nHello world\n\n```\ncode\n```\n\n> שלום\n\n- שלום\n\n- Hi\n\n> Hello")
    send_message(page, "مرحبا")
    paragraphs = text_of(last_complete_reply(page)).locator("p")
    expect(paragraphs.nth(0)).to_have_css("direction", "rtl")
    expect(paragraphs.nth(1)).to_have_css("direction", "ltr")
    directions = "all => all.map((one) => getComputedStyle(one).direction)"
    assert page.locator(".text :is(blockquote, ul)").evaluate_all(directions) == ["rtl", "rtl", "ltr"]
    expect(page.locator(".said .text")).to_have_css("direction", "rtl")
    expect(message_box(page)).to_have_attribute("dir", "auto")


@chromium_only("ask for reduced motion")
def test_nothing_is_animated_with_reduced_motion(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say("Hello", hold_after=0))
    page.emulate_media(reduced_motion="reduce")
    send_message(page, "Hello")
    expect(page.locator(".dots i").first).to_have_css("animation-name", "none")
    site.fake.release()
    last_complete_reply(page)
