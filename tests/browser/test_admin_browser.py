"""The operator's pages in a real browser: signing in, plots, retrying, searching, and no script injection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from gateway.admin.pages import overview, turn_log_stream
from gateway.domain.models import Usage
from gateway.ports.turn_log import TurnLogLine
from tests.browser.browsers import PageGuard, chromium_only
from tests.browser.conftest import OpenPage
from tests.browser.site import serve_admin
from tests.gateway.admin.harness import PASSWORD, AdminHarness, open_harness

INJECTION = """<script>alert(1)</script><img src=x onerror=alert(2)>"' onfocus="alert(3)" autofocus='"""
COUNT_DRAWN_PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let drawn = 0;
    for (let alpha = 3; alpha < data.length; alpha += 4) drawn += data[alpha] > 0;
    return drawn;
}"""


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


@pytest.fixture
def url(scene: AdminHarness) -> Iterator[str]:
    with serve_admin(scene.context) as url:
        yield url


@pytest.fixture
def page(url: str, visit: OpenPage) -> Page:
    """The overview page of a signed-in operator."""
    page = visit()
    sign_in(page, f"{url}/admin")
    return page


def sign_in(page: Page, address: str, password: str = PASSWORD) -> None:
    page.goto(address)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_the_right_password_opens_the_requested_page_and_a_wrong_one_does_not(url: str, visit: OpenPage) -> None:
    page = visit()
    sign_in(page, f"{url}/admin/failed", "wrong password")
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    expect(page.get_by_label("Password")).to_be_focused()
    sign_in(page, f"{url}/admin/failed")
    expect(page).to_have_url(f"{url}/admin/failed")
    expect(page.get_by_role("heading", level=1)).to_have_text("Failed turns")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{url}/admin/failed")
    expect(page.get_by_label("Password")).to_be_visible()


def test_plots_are_drawn_and_updated(
    scene: AdminHarness, url: str, visit: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "TTL_FRACTION", 0.0)  # the page's clock is fast-forwarded, the server's is not
    monkeypatch.setattr(overview, "QUEUE_TTL_SECONDS", 0.0)
    scene.finish_turn("hello", usage=Usage(500, 100), cost=2_000_000)
    scene.fail_turn("no")
    scene.enqueue("still there")
    page = visit()
    page.clock.install()
    sign_in(page, f"{url}/admin?span=1h")
    for name in ("rate", "time", "failures", "queue", "tokens", "cost"):
        canvas = page.locator(f"#plot-{name} canvas")
        expect(canvas).to_be_visible()
        assert canvas.evaluate(COUNT_DRAWN_PIXELS) > 500, name
    tiles = page.locator("#tiles")
    expect(tiles).to_contain_text("Turns 3")
    scene.work_off_queue()
    scene.fail_turn("again no", "unavailable")
    page.clock.fast_forward(6_000)
    expect(tiles).to_contain_text("Turns 4")
    expect(tiles).to_contain_text("nothing waiting")
    expect(page.locator("#plot-failures .u-legend")).to_contain_text("unavailable")
    page.get_by_text("As a table").first.click()
    expect(page.locator("#rows-rate tr").first).to_be_visible()


def test_a_hidden_page_does_not_refresh(url: str, page: Page) -> None:
    page.goto(f"{url}/admin?span=1h")
    asked: list[str] = []
    page.clock.install()
    page.reload()
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.away ?? false})")
    page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    page.on("request", lambda request: asked.append(request.url) if "/admin?" in request.url else None)
    page.clock.fast_forward(60_000)
    assert asked == []
    with page.expect_response("**/admin?span=1h"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


def test_a_page_says_when_the_gateway_does_not_answer(url: str, page: Page, guard: PageGuard) -> None:
    page.clock.install()
    page.goto(f"{url}/admin?span=1h")
    page.route("**/admin?span=1h", lambda route: route.abort())
    page.clock.fast_forward(5_000)
    expect(page.locator("body[data-stale]")).to_be_attached()
    page.unroute("**/admin?span=1h")
    page.clock.fast_forward(10_000)
    expect(page.locator("body[data-stale]")).not_to_be_attached()


def test_a_failed_turn_is_retried_and_seen_to_be_answered(scene: AdminHarness, url: str, page: Page) -> None:
    scene.fail_turn("where is my parcel", "unavailable", "upstream is away")
    page.get_by_role("link", name="Failed", exact=True).click()
    page.get_by_role("row", name="where is my parcel").get_by_role("link").click()
    expect(page.locator("body")).to_contain_text("upstream is away")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("h1")).to_contain_text("queued")
    scene.work_off_queue()
    expect(page.locator("h1")).to_contain_text("delivered")
    expect(page.locator("body")).to_contain_text("You said: where is my parcel")
    expect(page.locator("body[data-refresh]")).not_to_be_attached()


def test_the_live_log_of_a_turn_is_shown_as_text_and_ends(
    scene: AdminHarness, url: str, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_log_stream, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(turn_log_stream, "QUIET_SECONDS", 0.2)
    turn = scene.enqueue("hello")
    lines = [
        TurnLogLine(turn.id, 1.5, "host:1", "info", "gateway.worker", event, {"error": INJECTION})
        for event in ("turn started", INJECTION)
    ]
    scene.context.turn_logs.add(lines[:1])
    page.goto(f"{url}/admin/turns/{turn.id}")
    log = page.get_by_role("region", name="Log")
    expect(log.get_by_role("row")).to_have_count(2)
    expect(log).to_contain_text("00:00:01.500infoturn started")
    scene.context.turn_logs.add(lines[1:])
    expect(log.get_by_role("row").last).to_contain_text(INJECTION)
    expect(page.get_by_role("status")).to_have_text("Live.")
    scene.work_off_queue()
    expect(page.get_by_role("status")).to_have_text("The turn has ended.")
    expect(page.get_by_role("region", name="Spans")).to_contain_text("delivery")


def test_everything_but_the_plots_works_without_scripts(scene: AdminHarness, url: str, visit: OpenPage) -> None:
    for number in range(3):
        scene.fail_turn(f"number {number}", channel=f"C{number}")
    scene.finish_turn("not this one", channel="C9")
    page = visit(java_script_enabled=False)
    sign_in(page, f"{url}/admin")
    expect(page.locator("#tiles")).to_contain_text("Turns 4")
    page.get_by_role("link", name="Conversations").click()
    page.get_by_label("Text").fill("NUMBER 1")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a").click()
    expect(page.locator(".transcript")).to_contain_text("number 1")
    page.get_by_role("link", name="Failed", exact=True).click()
    page.get_by_role("button", name="Retry all listed (3)").click()
    page.get_by_role("button", name="Retry 3").click()
    expect(page.get_by_role("status")).to_have_text("3 retried.")
    assert sum(depth.unfinished for depth in scene.store.queue_depths()) == 3


def test_scripts_in_messages_never_run(scene: AdminHarness, url: str, page: Page) -> None:
    turn = scene.finish_turn(INJECTION, channel=INJECTION, reply=INJECTION)
    failed = scene.fail_turn(INJECTION, INJECTION, INJECTION, channel=INJECTION)
    for path in (
        f"turns/{turn.id}",
        f"turns/{failed.id}",
        f"conversations/{turn.conversation_id}",
        "failed",
        "conversations",
    ):
        page.goto(f"{url}/admin/{path}")
        expect(page.locator("main").get_by_text("<script>alert(1)</script><img src=x").first).to_be_visible()
        assert page.locator("main img, main script").count() == 0
    page.goto(f"{url}/admin?span=1h")
    expect(page.locator("#plot-failures .u-legend")).to_contain_text("<script>alert(1)</script>")


@chromium_only("activate a window")
def test_nothing_is_cut_off_on_a_phone_and_the_keyboard_is_enough(
    scene: AdminHarness, url: str, visit: OpenPage
) -> None:
    turn = scene.fail_turn("a" * 300, "unavailable", "b" * 300)
    page = visit(viewport={"width": 360, "height": 700})
    sign_in(page, f"{url}/admin")
    for path in (
        "",
        "/conversations",
        f"/conversations/{turn.conversation_id}",
        f"/turns/{turn.id}",
        "/failed",
        "/assistants",
        "/platforms",
    ):
        page.goto(f"{url}/admin{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for name in ("Overview", "Conversations", "Handed over", "Failed"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name=name, exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/admin/failed")
