"""Starts Chromium for the browser tests, and records what no page may do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Playwright,
    Request,
    sync_playwright,
)

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_CHROMIUM = (
    "Chromium not found: install it with the system's packages, or with `python -m playwright install chromium`"
)
LOOPBACK = {"127.0.0.1", "localhost"}
EXPECTED_ERRORS = ("Failed to load resource",)
"""Chromium's own console message for every response with an error status."""


class NoBrowser(Exception):
    """Chromium is not installed on this machine."""


def find_chromium(playwright: Playwright) -> str | None:
    """Returns the path of Playwright's Chromium, or else the system's; None without either."""
    own = Path(playwright.chromium.executable_path)
    return str(own) if own.exists() else next(filter(None, map(shutil.which, EXECUTABLES)), None)


@contextmanager
def launch_browser() -> Iterator[Browser]:
    """Yields a headless Chromium. Raises NoBrowser."""
    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            raise NoBrowser(NO_CHROMIUM)
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-gpu"])  # emulating one is slow
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
        context.on("weberror", lambda error: self.violations.append(f"script: {error.error}"))

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
