"""The web chat in a browser: messages, replies, and everything that can go wrong between them."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.browsers import chromium_only
from tests.browser.chat_actions import last_complete_reply, message_box, replies, send_message, text_of
from tests.browser.conftest import OpenPage, StartGateway
from tests.browser.replies import RICH
from tests.browser.site import MAX_MESSAGE_CHARS, GatewaySite
from tests.fakes.openai_server import CallTool, Fail, Say
from tests.waiting import until

BEGUN = re.compile("^Once upon a")
"""What is shown of a story that stops in a word, the end of which may be held back."""


def test_a_message_is_answered_and_the_next_one_goes_on_in_its_thread(page: Page, site: GatewaySite) -> None:
    expect(page.get_by_role("heading", name="How can I help you?")).to_be_visible()
    send_message(page, "Hello")
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")
    send_message(page, "again")
    expect(text_of(last_complete_reply(page, 2))).to_have_text("You said: again")
    (conversation,) = site.fake.conversations
    assert site.fake.user_texts(conversation) == ["Hello", "again"]


def test_a_reply_is_seen_while_it_is_written(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say("One two three.", chunks=2, hold_after=1))
    send_message(page, "Count")
    reply = replies(page).last
    expect(text_of(reply)).to_have_text("One two")
    expect(reply.locator(".dots")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_hidden()
    site.fake.release()
    expect(text_of(last_complete_reply(page))).to_have_text("One two three.")
    expect(reply.locator(".dots")).to_be_hidden()


def test_enter_during_a_reply_says_that_the_message_waits(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say("One two three.", chunks=2, hold_after=1))
    send_message(page, "Count")
    expect(text_of(replies(page).last)).to_have_text("One two")
    message_box(page).fill("And then?")
    message_box(page).press("Enter")
    expect(page.locator("#notice")).to_contain_text("still being written")
    expect(message_box(page)).to_have_value("And then?")
    site.fake.release()
    last_complete_reply(page)
    expect(page.locator("#notice")).to_be_hidden()
    message_box(page).press("Enter")
    last_complete_reply(page, 2)


def test_a_tool_call_is_shown(page: Page, site: GatewaySite) -> None:
    site.fake.script(CallTool("current_time", {}), Say("It is noon.", hold_after=0))
    send_message(page, "What time is it?")
    expect(replies(page).last.locator(".tool")).to_have_text("Using current time …")
    site.fake.release()
    expect(text_of(last_complete_reply(page))).to_have_text("It is noon.")


def test_a_suggestion_is_a_message(start: StartGateway, empty: Page) -> None:
    site = start(WEB_CHAT_TITLE="Ada", WEB_CHAT_GREETING="Ask Ada", WEB_CHAT_SUGGESTIONS="Who are you? | <b>Why?</b>")
    empty.goto(site.url)
    expect(empty).to_have_title("Ada")
    expect(empty.get_by_role("heading", name="Ask Ada")).to_be_visible()
    empty.get_by_role("button", name="<b>Why?</b>").click()
    expect(text_of(last_complete_reply(empty))).to_have_text("You said: <b>Why?</b>")
    expect(empty.locator(".said .text")).to_have_text("<b>Why?</b>")


# ---------------------------------------------------------------- a thread and its page


def test_a_reload_keeps_the_thread(page: Page, site: GatewaySite) -> None:
    send_message(page, "My name is Ann.")
    last_complete_reply(page)
    page.reload()
    expect(page.locator(".said .text")).to_have_text("My name is Ann.")
    expect(text_of(last_complete_reply(page))).to_have_text("You said: My name is Ann.")
    send_message(page, "And now?")
    last_complete_reply(page, 2)
    assert len(site.fake.conversations) == 1


def test_a_reply_that_is_still_written_is_picked_up_again_after_a_reload(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say("Here it is.", chunks=2, hold_after=1))
    send_message(page, "Take your time")
    expect(text_of(replies(page).last)).to_have_text("Here i")
    page.reload()
    expect(text_of(replies(page).last)).to_have_text("Here i")
    expect(replies(page).last.locator(".dots")).to_be_visible()
    site.fake.release()
    expect(text_of(last_complete_reply(page))).to_have_text("Here it is.")
    assert len(site.fake.posts("/responses")) == 1


@chromium_only("read the body of a request")
def test_a_message_whose_page_is_left_before_it_is_known_to_have_arrived_is_asked_once(
    page: Page, site: GatewaySite
) -> None:
    page.route("**/chat", _drop_response)
    send_message(page, "Did you hear me?")
    expect(page.locator(".problem")).to_contain_text("may not have arrived")
    page.unroute("**/chat")
    page.reload()
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Did you hear me?")
    assert len(site.fake.posts("/responses")) == 1


def test_a_new_conversation_knows_nothing_of_the_last_one_and_there_is_a_way_back(
    page: Page, site: GatewaySite
) -> None:
    send_message(page, "One")
    last_complete_reply(page)
    page.get_by_role("button", name="New conversation").click()
    expect(replies(page)).to_have_count(0)
    send_message(page, "Two")
    last_complete_reply(page)
    assert len(site.fake.conversations) == 2
    page.get_by_role("button", name="New conversation").click()
    page.get_by_role("button", name="Back to the last conversation").click()
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Two")


def test_a_thread_that_no_longer_exists_is_replaced_by_a_new_one(page: Page, site: GatewaySite) -> None:
    page.evaluate("localStorage.setItem('chat.thread', 'thr_gone')")
    page.reload()
    expect(page.locator("#notice")).to_contain_text("no longer there")
    send_message(page, "Hello")
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")


def test_a_thread_that_cannot_be_fetched_can_be_fetched_again(page: Page) -> None:
    send_message(page, "Hello")
    last_complete_reply(page)
    page.route("**/chat/threads/*", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    page.reload()
    expect(page.locator(".problem")).to_contain_text("could not be fetched")
    page.unroute("**/chat/threads/*")
    page.get_by_role("button", name="Try again").click()
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")


def test_a_page_that_may_store_nothing_works_until_it_is_left(site: GatewaySite, visit: OpenPage) -> None:
    page = visit()
    page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        "  Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError'); } });"
    )
    page.goto(site.url)
    send_message(page, "One")
    last_complete_reply(page)
    send_message(page, "Two")
    last_complete_reply(page, 2)
    assert len(site.fake.conversations) == 1


# ---------------------------------------------------------------- stopping and errors


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_a_reply_can_be_stopped(page: Page, site: GatewaySite, way: str) -> None:
    site.fake.script(Say("Once upon a time there was", chunks=2, hold_after=1))
    send_message(page, "Tell me a story")
    reply = replies(page).last
    expect(text_of(reply)).to_have_text(BEGUN)
    if way == "button":
        page.get_by_role("button", name="Stop the reply").click()
    else:
        page.keyboard.press("Escape")
    expect(reply.locator(".remark")).to_have_text("Stopped.")
    expect(text_of(reply)).to_have_text(BEGUN)
    site.fake.wait_until(lambda: [one["status"] for one in site.fake.responses.values()] == ["cancelled"])
    page.reload()
    expect(reply.locator(".remark")).to_have_text("Stopped.")
    expect(text_of(reply)).to_have_text(BEGUN)
    send_message(page, "Something else")
    expect(text_of(last_complete_reply(page, 2))).to_have_text("You said: Something else")


def test_a_message_that_failed_is_asked_anew(page: Page, site: GatewaySite) -> None:
    site.fake.script(Fail("invalid_prompt"))
    send_message(page, "Hello")
    expect(page.locator(".problem p")).to_have_text(re.compile("^A content filter stopped the answer"))
    page.get_by_role("button", name="Try again").click()
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")
    expect(page.locator(".problem:not([hidden])")).to_have_count(0)
    page.reload()
    last_complete_reply(page)
    expect(page.locator(".said")).to_have_count(1)


def _drop_request(route: Route) -> None:
    """The request does not reach the gateway."""
    route.abort()


def _drop_response(route: Route) -> None:
    """The request reaches the gateway, and its response is lost."""
    route.fetch(headers={**route.request.headers, "accept": "application/json", "prefer": "respond-async"})
    route.abort()


@chromium_only("read the body of a request")
def test_a_message_that_may_have_arrived_is_asked_once_however_often_it_is_tried(page: Page, site: GatewaySite) -> None:
    again = page.get_by_role("button", name="Try again")
    page.route("**/chat", _drop_request, times=1)
    send_message(page, "Hello")
    for _ in range(2):
        expect(page.locator(".problem p")).to_contain_text("may not have arrived; trying again never sends it twice")
        page.route("**/chat", _drop_response, times=1)
        with page.expect_event("requestfailed"):
            again.click()
    again.click()
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")
    assert len(site.fake.posts("/responses")) == 1


@chromium_only("read the body of a request")
def test_a_stream_that_breaks_is_no_error_but_waited_for(page: Page, site: GatewaySite) -> None:
    page.route("**/chat", _cut_stream)
    send_message(page, "Hello")
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")
    assert len(site.fake.posts("/responses")) == 1


@chromium_only("read the body of a request")
def test_a_broken_stream_is_said_and_goes_on_where_it_was(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say("One two three.", chunks=2, hold_after=1))
    page.route("**/chat", _cut_stream_at_once)
    page.route("**/chat/turns/*", lambda route: route.abort())
    send_message(page, "Count")
    expect(page.locator("#notice")).to_contain_text("The connection was lost. Your message has arrived")
    page.unroute("**/chat/turns/*")
    expect(text_of(replies(page).last)).to_have_text("One two")
    expect(page.locator("#notice")).to_be_hidden()
    site.fake.release()
    expect(text_of(last_complete_reply(page))).to_have_text("One two three.")
    assert len(site.fake.posts("/responses")) == 1


def _cut_stream_at_once(route: Route) -> None:
    """The gateway takes the message, and its stream ends after its first event, while the turn runs."""
    headers = {**route.request.headers, "accept": "application/json", "prefer": "respond-async"}
    turn = route.fetch(headers=headers).json()
    body = f"event: turn\ndata: {json.dumps(turn)}\n\n"
    route.fulfill(status=200, content_type="text/event-stream", body=body)


def _cut_stream(route: Route) -> None:
    """The stream ends after its first event."""
    whole = route.fetch()
    route.fulfill(response=whole, body=whole.text().partition("\n\n")[0] + "\n\n")


def test_a_wait_that_is_too_long_for_one_request_goes_on(start: StartGateway, empty: Page) -> None:
    site = start(CHAT_WAIT_SECONDS="0.3")
    site.fake.script(Say("At last.", hold_after=0))
    empty.goto(site.url)
    with empty.expect_response("**/chat/turns/*"):
        send_message(empty, "Hello")
    site.fake.release()
    expect(text_of(last_complete_reply(empty))).to_have_text("At last.")


def test_a_gateway_that_is_too_busy_says_when_to_come_back(page: Page, site: GatewaySite) -> None:
    problem = {"error": {"code": "overloaded", "message": "Too many callers are waiting for an answer."}}
    page.route("**/chat", lambda route: route.fulfill(status=503, json=problem, headers={"Retry-After": "2"}))
    send_message(page, "Hello")
    expect(page.locator(".problem p")).to_have_text("Too many callers are waiting for an answer.")
    expect(page.get_by_role("button", name=re.compile("Try again in [12] s"))).to_be_disabled()
    page.unroute("**/chat")
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")


def test_a_message_that_is_refused_comes_back_to_be_changed(page: Page) -> None:
    send_message(page, "\u200b")  # invisible, so it counts as empty
    expect(page.locator(".problem p")).to_contain_text("must not be empty")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    page.get_by_role("button", name="Edit the message").click()
    expect(message_box(page)).to_have_value("\u200b")
    expect(page.locator(".said")).to_have_count(0)


def test_a_message_that_is_too_long_is_not_sent(page: Page) -> None:
    message_box(page).fill("x" * (MAX_MESSAGE_CHARS + 1))
    expect(page.locator("#count")).to_have_text("1 characters too many")
    message_box(page).press("Enter")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    expect(page.locator(".said")).to_have_count(0)
    message_box(page).fill("\U0001f600" * MAX_MESSAGE_CHARS)  # one character each, although two UTF-16 units
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_being_offline_is_said_and_what_waits_is_sent_afterwards(page: Page) -> None:
    page.context.set_offline(offline=True)
    notice = page.locator("#notice")
    expect(notice).to_contain_text("You are offline.")
    send_message(page, "Hello")
    expect(page.locator(".problem p")).to_contain_text("You are offline.")
    expect(notice).to_be_visible()
    page.context.set_offline(offline=False)
    expect(notice).to_be_hidden()
    page.get_by_role("button", name="Try again").click()
    expect(text_of(last_complete_reply(page))).to_have_text("You said: Hello")


# ---------------------------------------------------------------- a complete reply


def test_markdown_becomes_what_it_means_and_can_be_copied(site: GatewaySite, visit: OpenPage) -> None:
    site.fake.script(Say(RICH, chunks=40))
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.goto(site.url)
    send_message(page, "Count words")
    reply = last_complete_reply(page)
    expect(reply.locator("table tbody tr")).to_have_count(3)
    expect(reply.locator("td.right").first).to_have_text("209,117")
    expect(reply.locator("li")).to_have_count(5)
    link = reply.get_by_role("link", name="the manual of Counter")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(link).to_have_attribute("target", "_blank")
    reply.get_by_role("button", name="Copy the code").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("from collections import Counter\n")
    reply.get_by_role("button", name="Copy the reply").click()
    expect(reply.get_by_role("button", name="Copied the reply")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == RICH


def test_the_end_stays_in_sight_unless_the_reader_scrolled_up(page: Page, site: GatewaySite) -> None:
    site.fake.script(Say("\n\n".join(f"Line {number}" for number in range(80)), chunks=4, hold_after=2))
    send_message(page, "Go on")
    expect(text_of(replies(page).last)).to_contain_text("Line 39")
    scroll, to_end = page.locator("#scroll"), page.get_by_role("button", name="To the end of the conversation")
    at_end = "box => box.scrollTop > 0 && box.scrollHeight - box.scrollTop - box.clientHeight < 5"
    top = "box => box.scrollTop"
    until(lambda: scroll.evaluate(at_end))
    expect(to_end).to_be_hidden()
    end = scroll.evaluate(top)
    scroll.hover()
    page.mouse.wheel(0, -300)
    until(lambda: scroll.evaluate(top) == end - 300)  # the browser scrolls in steps
    expect(to_end).to_be_visible()
    site.fake.release()
    last_complete_reply(page)
    assert scroll.evaluate(top) == end - 300
    to_end.click()
    expect(to_end).to_be_hidden()
    until(lambda: scroll.evaluate(at_end))
