"""Screenshots of all operator's pages, light and dark, wide and narrow.

``python -m tests.browser.admin_screenshots DIR`` writes them to a folder.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import cast

from playwright.sync_api import Browser, Page

from gateway.domain.models import TurnState
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.check import CheckResult
from gateway.ports.reporting import TurnFilter
from storage.migrations import upgrade
from storage.store import SqlStore
from tests.browser.admin_history import AdminHistory
from tests.browser.admin_people import operate
from tests.browser.browsers import PageGuard, launch_browser, open_page
from tests.browser.site import serve, serve_admin
from tests.gateway.admin.harness import PASSWORD, AdminHarness, disabled_client, open_harness

PLATFORMS = ("http", "slack", "telegram")
CHECK_RESULTS = {
    "http": (CheckResult("POST /chat", ok=True, detail="2 API keys"),),
    "slack": (
        CheckResult("Slack", ok=True, detail="@assistant in Example Inc."),
        CheckResult("Slack's scopes", ok=False, detail="missing: files:write, reactions:write"),
    ),
    "telegram": (CheckResult("Telegram", ok=True, detail="@example_bot, by long polling"),),
    "responses": (CheckResult("responses", ok=True, detail="gpt-5.4-mini at api.openai.com"),),
    "database": (CheckResult("database", ok=True),),
}
RULES = Rules.from_settings(
    AdmissionSettings(
        budget_user_day="0.05/0.10",
        budget_channel_month="1/2",
        budget_platform_day="1, slack=0.4/0.5",
        user_turns_per_hour=60,
    )
)
SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 390, "height": 844}}


def take_all(browser: Browser, folder: Path) -> None:
    """Writes one PNG for each page, colour scheme and size."""
    with tempfile.TemporaryDirectory() as data:
        url = f"sqlite:///{data}/gateway.db"
        upgrade(url)
        with open_harness(url) as scene:
            fill(scene)
            with serve_admin(scene.context) as site, serve(disabled_client().application) as shut:
                for scheme in ("light", "dark"):
                    for size in SIZES:
                        _take_pages(browser, folder, scene, (site, shut), scheme, size)


def fill(harness: AdminHarness) -> None:
    about = "OpenAI's Responses, gpt-5.4-mini at api.openai.com"
    harness.context = replace(harness.context, platforms=PLATFORMS, backend="responses", about=about, rules=RULES)
    harness.check_results.update(CHECK_RESULTS)
    store = cast("SqlStore", harness.store)
    AdminHistory(store, harness.context.store.now()).write()
    operate(store, RULES)


def _take_pages(
    browser: Browser, folder: Path, harness: AdminHarness, sites: tuple[str, str], scheme: str, size: str
) -> None:
    site, shut = sites
    with open_page(browser, PageGuard(), viewport=SIZES[size], color_scheme=scheme) as page:

        def keep(name: str) -> None:
            page.screenshot(path=folder / f"admin-{name}-{scheme}-{size}.png", full_page=True)

        page.goto(f"{shut}/admin")
        keep("off")
        page.goto(f"{site}/admin")
        keep("sign-in")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        for name, path in _page_paths(harness).items():
            page.goto(f"{site}{path}")
            _wait_for_plots(page)
            keep(name)


def _wait_for_plots(page: Page) -> None:
    if page.locator("#plots").count():
        page.locator("#plot-cost canvas").wait_for()


def _page_paths(harness: AdminHarness) -> dict[str, str]:
    (failed,) = harness.context.store.find_turns(TurnFilter(state=TurnState.FAILED), limit=1)
    (well,) = harness.context.store.find_turns(TurnFilter(platform="slack", state=TurnState.DELIVERED), limit=1)
    return {
        "overview": "/admin",
        "overview-30d": "/admin?span=30d",
        "overview-slack-1h": "/admin?span=1h&platform=slack",
        "conversations": "/admin/conversations",
        "conversations-found": "/admin/conversations?text=parcel&platform=slack",
        "conversation": f"/admin/conversations/{failed.conversation_id}",
        "turn": f"/admin/turns/{well.id}",
        "turn-failed": f"/admin/turns/{failed.id}",
        "failed": "/admin/failed",
        "people": "/admin/people",
        "person": "/admin/person?platform=slack&user=U02BEN",
        "person-blocked": "/admin/person?platform=telegram&user=71234567",
        "budgets": "/admin/budgets",
        "feedback": "/admin/feedback",
        "schedules": "/admin/schedules",
        "callbacks": "/admin/callbacks",
        "assistants": "/admin/assistants",
        "audit": "/admin/audit",
        "platforms": "/admin/platforms",
        "none": "/admin/turns/none",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.admin_screenshots", description=__doc__)
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder
    target.mkdir(parents=True, exist_ok=True)
    with launch_browser() as chromium:
        take_all(chromium, target)
