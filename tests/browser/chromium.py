"""A browser, and what must not happen in it whatever a test does."""

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

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium: install it by the system's packages, or by `python -m playwright install chromium`"
LOOPBACK = {"127.0.0.1", "localhost"}
EXPECTED_ERRORS = ("Failed to load resource",)
"""What Chromium itself writes for every answer that is not a good one."""


class NoBrowser(Exception):
    """There is no Chromium on this machine."""


def find(playwright: Playwright) -> str | None:
    """Where a Chromium is: Playwright's own, or the system's."""
    own = Path(playwright.chromium.executable_path)
    return str(own) if own.exists() else next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A Chromium without a window. Raises NoBrowser."""
    with sync_playwright() as playwright:
        path = find(playwright)
        if path is None:
            raise NoBrowser(MISSING)
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@dataclass
class Guard:
    """What a page did that no page may do: an open dialog, an error in a script, a request to somebody else."""

    wrongs: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", self._request)
        context.on("dialog", self._dialog)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.wrongs.append(f"script: {error.error}"))

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in {"http", "https", "ws", "wss", "ftp"} and url.hostname not in LOOPBACK:
            self.wrongs.append(f"request: {request.url}")

    def _dialog(self, dialog: Dialog) -> None:
        self.wrongs.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED_ERRORS):
            self.wrongs.append(f"console: {message.text}")


@contextmanager
def opened(browser: Browser, guard: Guard, **options: Any) -> Iterator[Page]:
    """A page of a visitor who was never here before."""
    context = browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
    context.set_default_timeout(10_000)
    guard.watch(context)
    yield context.new_page()
    context.close()
