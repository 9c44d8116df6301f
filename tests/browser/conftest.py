"""A browser for each module, and for each test a gateway of its own and a visitor who was never here before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Guard, NoBrowser, launched, opened
from tests.browser.site import Site, open_site

Open = Callable[..., Page]
Start = Callable[..., Site]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Playwright's loop runs as long as this does, so no coroutine can be tested in the same module."""
    expect.set_options(timeout=10_000)
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(launched())
        except NoBrowser as exc:
            pytest.skip(str(exc))
        yield browser


@pytest.fixture(scope="module")
def watch() -> Guard:
    """Sees what the pages of this module do."""
    return Guard()


@pytest.fixture(scope="module")
def tab(browser: Browser, watch: Guard) -> Iterator[Page]:
    """The page that is used again and again. As each gateway has a port of its own, it is new to each of them."""
    with opened(browser, watch) as page:
        yield page


@pytest.fixture
def guard(watch: Guard) -> Iterator[Guard]:
    """Fails the test whose page did what no page may do. A test that means it forgets it."""
    watch.wrongs.clear()
    yield watch
    assert watch.wrongs == []


@pytest.fixture
def visit(browser: Browser, guard: Guard) -> Iterator[Open]:
    """Opens a page of its own, with options of a browser's context."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(opened(browser, guard, **options))


@pytest.fixture
def start(sqlite_url: str) -> Iterator[Start]:
    """Starts a gateway; set up by environment variables."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_site(sqlite_url, **options))


@pytest.fixture
def site(start: Start) -> Site:
    return start()


@pytest.fixture
def empty(tab: Page, guard: Guard) -> Iterator[Page]:
    """A page that shows nothing yet."""
    yield tab
    tab.unroute_all()
    tab.emulate_media(color_scheme="light", reduced_motion="no-preference")
    tab.set_viewport_size({"width": 1000, "height": 700})
    tab.goto("about:blank")


@pytest.fixture
def page(site: Site, empty: Page) -> Page:
    """The chat, ready to be written in."""
    empty.goto(site.url)
    return empty
