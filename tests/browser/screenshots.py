"""Takes screenshots of all pages: ``python -m tests.browser.screenshots FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from playwright.sync_api import Browser, Page, expect

from gateway import logs
from storage.migrations import upgrade
from tests.browser import admin_screenshots
from tests.browser.browsers import NoBrowser, PageGuard, launch_browser, open_page
from tests.browser.chat_actions import last_complete_reply, message_box, send_message
from tests.browser.replies import RICH, SCIENCE
from tests.browser.site import EmbeddingSite, GatewaySite, open_site, serve
from tests.browser.test_chat_assistants import FILE
from tests.fakes.openai_server import Fail, Say

WIDE, NARROW = {"width": 1100, "height": 720}, {"width": 390, "height": 760}
QUESTION = "How do I count the words of a book?"
SHOP = """<!doctype html><title>A shop</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body style="font: 1.1rem/1.6 Georgia, serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem">
<h1>Second-hand books</h1><p>Every book was read at least once, and liked at least twice. Ask us what to read next.</p>
<script src="{gateway}/embed.js" data-title="Ask the bookseller" data-color="#8a3324"></script>"""

ColorScheme = Literal["light", "dark"]


@dataclass(frozen=True)
class ChatScene:
    site: GatewaySite
    page: Page

    def empty(self) -> None:
        self.page.goto(self.site.url)
        expect(self.page.get_by_role("heading", level=2)).to_be_visible()

    def conversation(self) -> None:
        self.site.fake.script(RICH)
        self.empty()
        send_message(self.page, QUESTION)
        last_complete_reply(self.page)
        self.page.locator("#scroll").evaluate("box => { box.scrollTop = 0; }")

    def end(self) -> None:
        self.conversation()
        self.page.locator("#scroll").evaluate("box => { box.scrollTop = box.scrollHeight; }")

    def assistants(self) -> None:
        self.empty()
        send_message(self.page, "Where is my parcel?")
        last_complete_reply(self.page)
        self.page.get_by_role("combobox", name="Assistant").select_option("Help desk")
        send_message(self.page, "And my invoice?")
        last_complete_reply(self.page, 2)

    def science(self) -> None:
        self.site.fake.script(SCIENCE)
        self.empty()
        send_message(self.page, "How do I solve a quadratic equation?")
        last_complete_reply(self.page)
        expect(self.page.locator(".formula:not(.drawn)")).to_have_count(0)

    def list(self) -> None:
        self.empty()
        for count, message in enumerate(("Plan a weekend in Lisbon", "מה שלומך?", QUESTION)):
            if count:
                self.page.get_by_role("button", name="New conversation").click()
            send_message(self.page, message)
            last_complete_reply(self.page)
        self.page.get_by_role("button", name="Conversations", exact=True).click()

    def writing(self) -> None:
        self.site.fake.script(Say(RICH, chunks=10, hold_after=2))
        self.empty()
        send_message(self.page, QUESTION)
        expect(self.page.locator(".reply pre")).to_be_visible()

    def error(self) -> None:
        self.site.fake.script(Fail("invalid_prompt"))
        self.empty()
        send_message(self.page, QUESTION)
        expect(self.page.locator(".problem")).to_be_visible()
        message_box(self.page).fill("Then tell me something else.")

    def key(self) -> None:
        self.page.goto(self.site.url)
        self.page.route(
            "**/chat/threads/*", lambda route: route.fulfill(status=401, json={"error": {"code": "unauthorized"}})
        )
        self.page.evaluate("localStorage.setItem('chat.thread', 'thr_1')")
        self.page.reload()
        expect(self.page.get_by_role("dialog")).to_be_visible()

    def embed(self) -> None:
        shop = EmbeddingSite()
        shop.html = SHOP.format(gateway=self.site.url)
        self.site.fake.script("Try **Middlemarch**. It is long, and you will wish it were longer.")
        with serve(shop) as address:
            self.page.goto(address)
            self.page.get_by_role("button", name="Ask the bookseller").click()
            frame = self.page.frame_locator("iframe")
            frame.get_by_role("textbox").fill("What shall I read next?")
            frame.get_by_role("button", name="Send").click()
            expect(frame.locator(".reply > .tools")).to_be_visible()


SCENES: Mapping[str, Callable[[ChatScene], None]] = {
    "empty": ChatScene.empty,
    "conversation": ChatScene.conversation,
    "end": ChatScene.end,
    "list": ChatScene.list,
    "assistants": ChatScene.assistants,
    "science": ChatScene.science,
    "writing": ChatScene.writing,
    "error": ChatScene.error,
    "key": ChatScene.key,
    "embed": ChatScene.embed,
}


def take_screenshot(browser: Browser, folder: Path, name: str, scheme: ColorScheme, size: Mapping[str, int]) -> None:
    width = "wide" if size == WIDE else "narrow"
    with (
        TemporaryDirectory() as data,
        open_page(browser, PageGuard(), viewport=size, color_scheme=scheme, reduced_motion="reduce") as page,
    ):
        url = f"sqlite:///{data}/gateway.db"
        upgrade(url)
        several = Path(data, "several.toml")
        several.write_text(FILE if name == "assistants" else "")
        with open_site(url, WEB_CHAT_TITLE="Ada", GATEWAY_CONFIG=str(several)) as site:
            SCENES[name](ChatScene(site, page))
            page.screenshot(path=folder / f"chat-{name}-{scheme}-{width}.png", animations="disabled", caret="hide")
            site.fake.release()


def main(folder: Path, scene_names: list[str]) -> None:
    """Takes all screenshots, or those of the named scenes of the chat."""
    logs.configure("WARNING", "text", ())
    folder.mkdir(parents=True, exist_ok=True)
    with launch_browser() as browser:
        for name in scene_names or SCENES:
            schemes: tuple[ColorScheme, ColorScheme] = ("light", "dark")
            for scheme in schemes:
                for size in (WIDE, NARROW):
                    take_screenshot(browser, folder, name, scheme, size)
        if not scene_names:
            admin_screenshots.take_all(browser, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="of the chat; default: all, and the admin's pages")
    options = parser.parse_args()
    try:
        main(options.folder, options.scenes)
    except NoBrowser as exc:
        sys.exit(str(exc))
