"""Screenshots of all operator's pages, light and dark, wide and narrow.

``python -m tests.browser.admin_screenshots DIR`` writes them to a folder.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page

from gateway.domain.models import TurnState
from gateway.ports.check import Check
from gateway.ports.reporting import Search
from storage.migrations import upgrade
from tests.browser.admin_history import History
from tests.browser.chromium import Guard, launched, opened
from tests.browser.site import serving
from tests.gateway.admin.harness import PASSWORD, Scene, off, open_scene

PLATFORMS = ("http", "slack", "telegram")
CHECKED = {
    "http": (Check("POST /chat", ok=True, detail="2 API keys"),),
    "slack": (
        Check("Slack", ok=True, detail="@assistant in Example Inc."),
        Check("Slack's scopes", ok=False, detail="missing: files:write, reactions:write"),
    ),
    "telegram": (Check("Telegram", ok=True, detail="@example_bot, by long polling"),),
    "responses": (Check("responses", ok=True, detail="gpt-5.4-mini at api.openai.com"),),
    "database": (Check("database", ok=True),),
}
SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 390, "height": 844}}


def take_all(browser: Browser, folder: Path) -> None:
    """Writes one PNG for each page, colour scheme and size."""
    with tempfile.TemporaryDirectory() as data:
        url = f"sqlite:///{data}/gateway.db"
        upgrade(url)
        with open_scene(url) as scene:
            _furnish(scene)
            with serving(scene.app()) as site, serving(off().application) as shut:
                for scheme in ("light", "dark"):
                    for size in SIZES:
                        _take(browser, folder, scene, (site, shut), scheme, size)


def _furnish(scene: Scene) -> None:
    about = "OpenAI's Responses, gpt-5.4-mini at api.openai.com"
    scene.desk = replace(scene.desk, platforms=PLATFORMS, backend="responses", about=about)
    scene.checked.update(CHECKED)
    History(scene.store, scene.desk.catalogue.now()).write()  # type: ignore[arg-type]  # it is an SqlStore


def _take(browser: Browser, folder: Path, scene: Scene, sites: tuple[str, str], scheme: str, size: str) -> None:
    site, shut = sites
    with opened(browser, Guard(), viewport=SIZES[size], color_scheme=scheme) as page:

        def keep(name: str) -> None:
            page.screenshot(path=folder / f"admin-{name}-{scheme}-{size}.png", full_page=True)

        page.goto(f"{shut}/admin")
        keep("off")
        page.goto(f"{site}/admin")
        keep("sign-in")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        for name, path in _pages(scene).items():
            page.goto(f"{site}{path}")
            _settle(page)
            keep(name)


def _settle(page: Page) -> None:
    if page.locator("#plots").count():
        page.locator("#plot-cost canvas").wait_for()


def _pages(scene: Scene) -> dict[str, str]:
    (failed,) = scene.desk.catalogue.find(Search(state=TurnState.FAILED), limit=1)
    (well,) = scene.desk.catalogue.find(Search(platform="slack", state=TurnState.DELIVERED), limit=1)
    return {
        "overview": "/admin",
        "overview-30d": "/admin?span=30d",
        "overview-slack-1h": "/admin?span=1h&platform=slack",
        "conversations": "/admin/conversations",
        "conversations-found": "/admin/conversations?text=parcel&platform=slack",
        "conversation": f"/admin/conversations/{failed.conversation}",
        "turn": f"/admin/turns/{well.id}",
        "turn-failed": f"/admin/turns/{failed.id}",
        "failed": "/admin/failed",
        "platforms": "/admin/platforms",
        "none": "/admin/turns/none",
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with launched() as chromium:
        take_all(chromium, target)
