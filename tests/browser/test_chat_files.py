"""Files in the web chat: chosen, pasted and dropped; and those that a reply brings."""

from __future__ import annotations

from base64 import b64decode

from playwright.sync_api import FilePayload, Page, expect

from tests.browser.browsers import chromium_only
from tests.browser.chat_actions import last_complete_reply, message_box, send_message, text_of
from tests.browser.conftest import StartGateway
from tests.browser.site import GatewaySite
from tests.fakes.openai_server import MakeFile, MakeImage, Say

NOTES: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The plan: soup."}
PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTDJ4AAAAABJRU5ErkJggg==")
HAND_IN = """([selector, kind, name]) => {
    const data = new DataTransfer();
    data.items.add(new File(["What was " + kind], name, {type: "text/plain"}));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true})
        : new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
    document.querySelector(selector).dispatchEvent(event);
}"""


def choose(page: Page, *files: FilePayload) -> None:
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Attach files").click()
    choosing.value.set_files(list(files))


@chromium_only("choose files")
def test_files_are_chosen_pasted_and_dropped_and_reach_the_assistant(page: Page, site: GatewaySite) -> None:
    choose(page, NOTES, {**NOTES, "name": "mistake.txt"})
    page.get_by_role("button", name="Remove mistake.txt").click()
    page.evaluate(HAND_IN, ["#message", "paste", "pasted.txt"])
    page.evaluate(HAND_IN, ["main", "drop", "dropped.txt"])
    expect(page.locator("#attachments .name")).to_have_text(["notes.txt", "pasted.txt", "dropped.txt"])
    send_message(page, "Read these")
    last_complete_reply(page)
    expect(page.locator("#attachments li")).to_have_count(0)
    expect(page.locator(".said .attached li")).to_have_text(["notes.txt", "pasted.txt", "dropped.txt"])
    (post,) = site.fake.posts("/responses")
    assert "The plan: soup." in str(post)
    page.reload()
    expect(page.locator(".said .attached li")).to_have_count(3)


@chromium_only("choose files")
def test_files_that_were_on_their_way_when_the_page_was_left_are_sent_again(page: Page, site: GatewaySite) -> None:
    page.route("**/chat", lambda route: route.abort())
    choose(page, NOTES)
    send_message(page, "Read this")
    expect(page.locator(".problem")).to_contain_text("may not have arrived")
    page.unroute("**/chat")
    page.reload()
    last_complete_reply(page)
    expect(page.locator(".said .attached li")).to_have_text(["notes.txt"])
    (post,) = site.fake.posts("/responses")
    assert "The plan: soup." in str(post)
    page.reload()
    last_complete_reply(page)
    assert len(site.fake.posts("/responses")) == 1


@chromium_only("choose files")
def test_a_file_needs_no_words_and_a_refused_one_can_be_taken_back(start: StartGateway, empty: Page) -> None:
    page = empty
    page.goto(start(CHAT_MAX_FILE_BYTES="100000").url)
    choose(page, {**NOTES, "name": "large.bin", "buffer": bytes(200_000)})
    message_box(page).press("Enter")
    expect(page.locator(".problem")).to_contain_text("The file large.bin is larger than 100,000 bytes.")
    page.get_by_role("button", name="Edit the message").click()
    page.get_by_role("button", name="Remove large.bin").click()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    choose(page, NOTES)
    page.get_by_role("button", name="Send").click()
    expect(text_of(last_complete_reply(page))).to_contain_text("You said:")


def test_files_of_a_reply_are_shown_and_saved_when_asked_for(page: Page, site: GatewaySite) -> None:
    site.fake.script([MakeImage(PIXEL), MakeFile("report.csv", b"a,b"), Say("Here it is.")])
    send_message(page, "Draw it")
    reply = last_complete_reply(page)
    expect(reply.locator("img")).to_have_count(0)
    reply.get_by_role("button", name="Show").click()
    expect(reply.locator(".files img")).to_be_visible()
    with page.expect_download() as saving:
        reply.get_by_role("button", name="Download report.csv").click()
    assert saving.value.path().read_bytes() == b"a,b"


# ---------------------------------------------------------------- several tabs


def test_two_tabs_of_one_conversation_see_each_other_and_another_stays_apart(page: Page, site: GatewaySite) -> None:
    send_message(page, "One")
    last_complete_reply(page)
    with page.context.new_page() as other:
        other.goto(site.url)
        last_complete_reply(other)
        send_message(page, "Two")
        expect(text_of(last_complete_reply(other, 2))).to_have_text("You said: Two")
        other.get_by_role("button", name="New conversation").click()
        send_message(other, "Elsewhere")
        last_complete_reply(other)
        send_message(page, "Three")
        expect(text_of(last_complete_reply(page, 3))).to_have_text("You said: Three")
    assert [site.fake.user_texts(thread) for thread in site.fake.conversations] == [
        ["One", "Two", "Three"],
        ["Elsewhere"],
    ]
