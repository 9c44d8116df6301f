"""The chat page reads the Markdown of a reply as the other platforms do."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_actions import last_complete_reply, send_message, text_of
from tests.browser.site import GatewaySite
from tests.markdown_cases import LITERAL, STYLED


def paragraphs(page: Page, site: GatewaySite, texts: list[str]) -> list[str]:
    """Returns what each text becomes in one reply, as HTML."""
    site.fake.script("\n\n".join([*texts, "The end."]))
    send_message(page, "Show me")
    reply = text_of(last_complete_reply(page))
    expect(reply).to_contain_text("The end.")
    shown: list[str] = reply.locator("p").evaluate_all("all => all.map((one) => one.innerHTML)")
    return shown[:-1]


def test_what_is_not_meant_as_markup_stands_as_it_was_written(page: Page, site: GatewaySite) -> None:
    paragraphs(page, site, LITERAL)
    shown = text_of(last_complete_reply(page)).locator("p").all_text_contents()
    assert shown[:-1] == LITERAL
    assert page.locator(".text em, .text strong, .text s").count() == 0


def test_emphasis_works_in_languages_without_spaces(page: Page, site: GatewaySite) -> None:
    shown = paragraphs(page, site, [markdown for markdown, _ in STYLED])
    assert shown == [html for _, html in STYLED]


@pytest.mark.parametrize(
    ("markdown", "selector", "texts"),
    [
        ("$$\na\n- b * c\n+ d\n$$", "p", ["$$\na\n- b * c\n+ d\n$$"]),
        ("- x\n  \\[\n  1. y\n  \\]", "li p", ["\\[\n1. y\n\\]"]),
        ("| a |\n|---|\n| 1*2*3 | __init__ |", "td", ["1*2*3", "__init__"]),
        ("[report](<https://example.com/q3 report.pdf>)", 'a[href="https://example.com/q3%20report.pdf"]', ["report"]),
        (
            "See https://www.youtube.com/@here.",
            'a[href="https://www.youtube.com/@here"]',
            ["https://www.youtube.com/@here"],
        ),
    ],
)
def test_formulas_tables_and_links_lose_nothing(
    page: Page, site: GatewaySite, markdown: str, selector: str, texts: list[str]
) -> None:
    site.fake.script(markdown)
    send_message(page, "Show me")
    assert text_of(last_complete_reply(page)).locator(selector).all_text_contents() == texts


def test_items_keep_their_numbers(page: Page, site: GatewaySite) -> None:
    site.fake.script("3. c\n2. b\n1. a\n\ntext\n\n1. x\n1. y")
    send_message(page, "Show me")
    items = text_of(last_complete_reply(page)).locator("li")
    values = "all => all.map((one) => one.getAttribute('value') ?? one.parentElement.getAttribute('start'))"
    assert items.evaluate_all(values)[:3] == ["3", "2", "1"]
