"""Fixtures: one browser for each module, and for each test its own gateway and a page without stored data."""

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
    """Playwright's event loop runs while this fixture lives, so a module that uses it cannot test coroutines."""
    expect.set_options(timeout=10_000)
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(launched())
        except NoBrowser as exc:
            pytest.skip(str(exc))
        yield browser


@pytest.fixture(scope="module")
def watch() -> Guard:
    """Records violations on the pages of this module."""
    return Guard()


@pytest.fixture(scope="module")
def tab(browser: Browser, watch: Guard) -> Iterator[Page]:
    """A page that all tests share. Each gateway has its own port, so it has no stored data for that origin."""
    with opened(browser, watch) as page:
        yield page


@pytest.fixture
def guard(watch: Guard) -> Iterator[Guard]:
    """Fails the test if its page had violations. A test that provokes them clears the list."""
    watch.wrongs.clear()
    yield watch
    assert watch.wrongs == []


@pytest.fixture
def visit(browser: Browser, guard: Guard) -> Iterator[Open]:
    """Opens a new page, with options of a browser context."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(opened(browser, guard, **options))


@pytest.fixture
def start(sqlite_url: str) -> Iterator[Start]:
    """Starts a gateway with these environment variables."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_site(sqlite_url, **options))


@pytest.fixture
def site(start: Start) -> Site:
    return start()


@pytest.fixture
def empty(tab: Page, guard: Guard) -> Iterator[Page]:
    """A blank page."""
    yield tab
    tab.unroute_all()
    tab.emulate_media(color_scheme="light", reduced_motion="no-preference")
    tab.set_viewport_size({"width": 1000, "height": 700})
    tab.goto("about:blank")


@pytest.fixture
def page(site: Site, empty: Page) -> Page:
    """The chat page, loaded."""
    empty.goto(site.url)
    return empty
