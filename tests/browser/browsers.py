"""Starts the browser of the tests, Chromium or Firefox, and records what no page may do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Playwright,
    Request,
    WebError,
    sync_playwright,
)

WHICH, WHERE = "TEST_BROWSER", "TEST_BROWSER_PATH"
"""Variables that name another browser, ``firefox``, and its program."""
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "firefox": ("firefox",),
}
NOT_FOUND = "{name} not found: install it with the system's packages, or with `python -m playwright install {name}`"
ALWAYS: Mapping[str, Mapping[str, Any]] = {
    "chromium": {"args": ["--disable-gpu"]},  # emulating one is slow
    "firefox": {"firefox_user_prefs": {"focusmanager.testmode": True}},  # each window counts as the active one
}
FIREFOX_OF_THE_SYSTEM = "moz-firefox"
"""Playwright drives its own Firefox by a protocol of its own, and any other, since 159, by WebDriver BiDi."""
LOOPBACK = {"127.0.0.1", "localhost"}
EXPECTED_ERRORS = ("Failed to load resource",)
"""Chromium's own console message for every response with an error status."""


class NoBrowser(Exception):
    """The browser is not installed on this machine."""


def browser_name() -> str:
    """Returns ``chromium`` or ``firefox``."""
    return os.environ.get(WHICH) or "chromium"


def launch_options(playwright: Playwright) -> Mapping[str, Any]:
    """Returns how to launch the browser: Playwright's own, or else the system's. Raises NoBrowser."""
    name = browser_name()
    own = Path(getattr(playwright, name).executable_path)
    if own.exists() and not os.environ.get(WHERE):
        return {"executable_path": own}
    found = os.environ.get(WHERE) or next(filter(None, map(shutil.which, PROGRAMS[name])), None)
    if found is None:
        raise NoBrowser(NOT_FOUND.format(name=name))
    return {"executable_path": found} | ({"channel": FIREFOX_OF_THE_SYSTEM} if name == "firefox" else {})


def chromium_only(what: str) -> pytest.MarkDecorator:
    """Skips a test elsewhere. ``what``: what Playwright cannot do there by WebDriver BiDi."""
    return pytest.mark.skipif(browser_name() != "chromium", reason=f"Playwright cannot {what} in Firefox")


@contextmanager
def launch_browser() -> Iterator[Browser]:
    """Yields a headless browser. Raises NoBrowser."""
    with sync_playwright() as playwright:
        options = launch_options(playwright)
        browser: Browser = getattr(playwright, browser_name()).launch(**ALWAYS[browser_name()], **options)
        yield browser
        browser.close()


@dataclass
class PageGuard:
    """Records what no page may do: open a dialog, raise a script error, send a request to another host."""

    violations: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", self._request)
        context.on("dialog", self._dialog)
        context.on("console", self._console)
        context.on("weberror", self._error)

    def _error(self, error: WebError) -> None:
        if "favicon.ico" not in str(error.error):  # which Firefox asks of other sites, whose policy is ours to test
            self.violations.append(f"script: {error.error}")

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in {"http", "https", "ws", "wss", "ftp"} and url.hostname not in LOOPBACK:
            self.violations.append(f"request: {request.url}")

    def _dialog(self, dialog: Dialog) -> None:
        self.violations.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED_ERRORS):
            self.violations.append(f"console: {message.text}")


@contextmanager
def open_page(browser: Browser, guard: PageGuard, **options: Any) -> Iterator[Page]:
    """Yields a page in a new browser context, without cookies or storage."""
    context = browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
    context.set_default_timeout(10_000)
    guard.watch(context)
    yield context.new_page()
    context.close()
