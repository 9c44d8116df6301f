"""Every page, light and dark, wide and narrow: axe finds nothing serious, and it is small enough to load on a phone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import flask
import pytest
from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Frame, Page, expect

from gateway.domain.models import TurnState
from gateway.ports.reporting import TurnFilter
from tests.browser.admin_screenshots import fill
from tests.browser.browsers import browser_name
from tests.browser.chat_actions import last_complete_reply, message_box, send_message
from tests.browser.conftest import StartGateway
from tests.browser.replies import RICH, SCIENCE
from tests.browser.site import EmbeddingSite, serve, serve_admin
from tests.browser.test_chat_assistants import FILE
from tests.fakes.openai_server import Fail, Say
from tests.gateway.admin.harness import PASSWORD, AdminHarness, disabled_client, open_harness

MAX_BYTES = 300_000
"""Compressed, with all that the page loads."""
LOADED_BYTES = """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .filter((entry) => entry.initiatorType !== "fetch")
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""
VIEWS: Sequence[tuple[Literal["light", "dark"], int]] = (("dark", 390), ("light", 1280))
CONTRAST = "color-contrast"
"""The rule that takes axe four times as long as all others, when it looks at each element that there is."""
DIFFERS = ("scrollable-region-focusable", "target-size", "meta-viewport")
"""The other rules of axe that look at colours and sizes: what the rest finds does not depend on the view."""
RUN_AXE = "async (options) => (await axe.run(document, options)).violations"
RUN_AXE_ON_EACH_LOOK = """async (options) => {
    const properties = ["color", "background", "opacity", "font", "position", "text-shadow", "filter", "visibility"];
    const looks = new Map([[null, ""]]), first = new Map(), last = new Map();
    for (const element of document.querySelectorAll("*")) {
        const style = getComputedStyle(element);
        const own = properties.map((name) => style.getPropertyValue(name)).join();
        const look = `${looks.get(element.parentElement)} ${own}`;
        looks.set(element, look);
        const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!says && !element.matches("input, select, textarea")) continue;
        if (!first.has(look)) first.set(look, element);
        last.set(look, element);
    }
    return (await axe.run([...new Set([...first.values(), ...last.values()])], options)).violations;
}"""
"""Of elements with text that look alike, as do all that they are in, axe looks at the contrast of the first and the
last: one of them may be out of sight, where it can tell nothing."""
SHOP = """<!doctype html><html lang="en"><title>A shop</title><main><h1>A shop</h1></main>
<script src="{gateway}/embed.js" data-title="Ask us" data-color="#8a3324"></script>"""


def serious_findings(page: Page) -> list[str]:
    """Returns what axe finds in the page and its frames, and which elements it means."""
    found = []
    options: dict[str, Any] = {"rules": {CONTRAST: {"enabled": False}}}
    for scheme, width in VIEWS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 800})
        for frame in page.frames:
            found += [f"{scheme} {width}: {each}" for each in _findings(frame, options)]
        options = {"runOnly": {"type": "rule", "values": DIFFERS}}
    return found


def _findings(frame: Frame, options: Mapping[str, Any]) -> Iterator[str]:
    if frame.evaluate("typeof axe === 'undefined'"):
        frame.evaluate(AXE_SCRIPT)
    everywhere = {"resultTypes": ["violations"], "preload": False, **options}
    only_contrast = {**everywhere, "runOnly": {"type": "rule", "values": [CONTRAST]}}
    for each in (*frame.evaluate(RUN_AXE, everywhere), *frame.evaluate(RUN_AXE_ON_EACH_LOOK, only_contrast)):
        if each["impact"] in {"serious", "critical"}:
            places = ", ".join(str(node["target"]) for node in each["nodes"])
            yield f"{each['id']} ({each['help']}): {places}"


def loaded_bytes(page: Page) -> int:
    return sum(int(frame.evaluate(LOADED_BYTES)) for frame in page.frames)


def test_the_chat_page(start: StartGateway, empty: Page, tmp_path: Path, subtests: pytest.Subtests) -> None:
    (tmp_path / "several.toml").write_text(FILE)
    site = start(GATEWAY_CONFIG=str(tmp_path / "several.toml"), CORS_ORIGINS="*")
    site.fake.script(Fail("invalid_prompt"), RICH, SCIENCE, Say("One two three.", chunks=2, hold_after=1))
    page = empty

    def check(name: str) -> None:
        with subtests.test(name):
            assert serious_findings(page) == []
            assert 10_000 < loaded_bytes(page) < MAX_BYTES

    page.goto(site.url)
    expect(page.get_by_role("heading", level=2)).to_be_visible()
    check("empty")
    send_message(page, "Refused")
    expect(page.locator(".problem")).to_be_visible()
    send_message(page, "Code")
    last_complete_reply(page)
    send_message(page, "Formulas")
    last_complete_reply(page, 2)
    expect(page.locator(".formula:not(.drawn)")).to_have_count(0)
    send_message(page, "Count")
    expect(page.locator(".reply .text").last).to_have_text("One two")
    message_box(page).fill("And then?")
    message_box(page).press("Enter")
    expect(page.locator("#notice")).to_be_visible()
    check("in conversation")
    site.fake.release()
    last_complete_reply(page, 3)
    page.get_by_role("button", name="Conversations", exact=True).click()
    page.locator("#conversation-list .rename").first.click()
    check("list of conversations")
    page.goto(f"{site.url}/docs")
    page.locator("summary").first.click()
    check("docs")
    if browser_name() == "firefox":  # where Playwright cannot set the colours of a page with frames
        return
    shop = EmbeddingSite()
    shop.html = SHOP.format(gateway=site.url)
    with serve(shop) as address:
        page.goto(address)
        page.get_by_role("button", name="Ask us").click()
        send_in_frame = page.frame_locator("iframe").get_by_role("textbox", name="Message")
        expect(send_in_frame).to_be_focused()
        check("embedded")


def test_the_page_that_asks_for_a_key(start: StartGateway, empty: Page) -> None:
    empty.goto(start(GATEWAY_API_KEYS="key-one").url)
    expect(empty.get_by_role("dialog")).to_be_visible()
    assert serious_findings(empty) == []


@pytest.mark.timeout(180)  # some twenty pages, each looked at twice
def test_the_operators_pages(sqlite_url: str, empty: Page, subtests: pytest.Subtests) -> None:
    page = empty
    with open_harness(sqlite_url) as scene:
        fill(scene)
        app = scene.app()
        with serve_admin(scene.context) as site, serve(disabled_client().application) as shut:

            def check(address: str) -> None:
                with subtests.test(address.removeprefix(site)):
                    page.goto(address)
                    assert serious_findings(page) == []
                    assert 1000 < loaded_bytes(page) < MAX_BYTES

            check(f"{shut}/admin")
            check(f"{site}/admin/sign-in")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            for path in (*_paths(app, scene), "/admin/turns/none"):
                check(f"{site}{path}")


def _paths(app: flask.Flask, scene: AdminHarness) -> list[str]:
    """Returns a path for every page that there is; of those with an id, that of a turn that failed."""
    (failed,) = scene.context.store.find_turns(TurnFilter(state=TurnState.FAILED), limit=1)
    ids: dict[str, Any] = {"turn_id": failed.id, "number": failed.conversation_id}
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("admin.")]
    downloads = {"admin.export_feedback", "admin.export_audit"}
    pages = (rule for rule in rules if "GET" in (rule.methods or ()) and rule.endpoint not in downloads)
    shown = [rule for rule in pages if rule.arguments <= ids.keys()]
    query: dict[str, dict[str, Any]] = {"admin.person": {"platform": "slack", "user": "U02BEN"}}
    with app.test_request_context():
        return [
            flask.url_for(rule.endpoint, **{name: ids[name] for name in rule.arguments}, **query.get(rule.endpoint, {}))
            for rule in shown
        ]
