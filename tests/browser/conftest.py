"""Fixtures: one browser and one page for this folder, and for each test its own gateway, of which the page has no data.

The gateways listen on one port, one after another: so the browser takes scripts and styles from its cache, which is
three times as fast.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.browsers import NoBrowser, PageGuard, browser_name, launch_browser, open_page
from tests.browser.site import GatewaySite, listen, open_site

OpenPage = Callable[..., Page]
StartGateway = Callable[..., GatewaySite]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Playwright's event loop runs while this fixture lives, so no test of this folder can be a coroutine."""
    expect.set_options(timeout=10_000)
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(launch_browser())
        except NoBrowser as exc:
            pytest.skip(str(exc))
        yield browser


@pytest.fixture(scope="package")
def watch() -> PageGuard:
    """Records violations on the pages of this folder's tests."""
    return PageGuard()


@pytest.fixture(scope="package")
def tab(browser: Browser, watch: PageGuard) -> Iterator[Page]:
    """A page that all tests share."""
    with open_page(browser, watch) as page:
        yield page


@pytest.fixture
def guard(watch: PageGuard) -> Iterator[PageGuard]:
    """Fails the test if its page had violations. A test that provokes them clears the list."""
    watch.violations.clear()
    yield watch
    assert watch.violations == []


@pytest.fixture
def visit(browser: Browser, guard: PageGuard) -> Iterator[OpenPage]:
    """Opens a new page, with options of a browser context."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_page(browser, guard, **options))


@pytest.fixture(scope="package")
def port() -> Iterator[socket.socket]:
    """The port of the gateways, which nobody else can take as long as this is open."""
    with listen() as listener:
        yield listener


@pytest.fixture
def start(sqlite_url: str, port: socket.socket) -> Iterator[StartGateway]:
    """Starts a gateway with these environment variables. A second one beside it has a port of its own."""
    listeners = iter([port.dup()])
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_site(sqlite_url, next(listeners, None), **options))
    for unused in listeners:
        unused.close()


@pytest.fixture
def site(start: StartGateway) -> GatewaySite:
    return start()


@pytest.fixture
def empty(request: pytest.FixtureRequest, guard: PageGuard, visit: OpenPage, port: socket.socket) -> Iterator[Page]:
    """A blank page, without cookies and stored data."""
    if browser_name() == "firefox":  # Playwright cannot reset the page of a Firefox that has seen frames
        yield visit()
        return
    tab: Page = request.getfixturevalue("tab")
    yield tab
    tab.unroute_all()
    _forget(tab, f"http://127.0.0.1:{port.getsockname()[1]}/")
    tab.emulate_media(color_scheme="light", reduced_motion="no-preference")
    tab.set_viewport_size({"width": 1000, "height": 700})


def _forget(tab: Page, origin: str) -> None:
    """Deletes what the page has stored for an origin."""
    if not tab.url.startswith(origin):
        tab.route(origin, lambda route: route.fulfill(body=""))
        tab.goto(origin)
        tab.unroute(origin)
    tab.evaluate("localStorage.clear(); sessionStorage.clear()")
    tab.context.clear_cookies()


@pytest.fixture
def page(site: GatewaySite, empty: Page) -> Page:
    """The chat page, loaded."""
    empty.goto(site.url)
    return empty
