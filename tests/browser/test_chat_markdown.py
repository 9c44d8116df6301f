"""The chat page reads the Markdown of a reply as the other platforms do."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_actions import last_complete_reply, send_message, text_of
from tests.browser.site import GatewaySite
from tests.fakes.openai_server import Say
from tests.markdown_cases import LITERAL, STYLED

AS_WRITTEN = """all => all.map((one) => {
    const copy = one.cloneNode(true);
    copy.querySelectorAll('.formula.drawn').forEach((formula) => formula.replaceWith(formula.title));
    return copy.textContent;
})"""


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
    expect(page.locator(".formula.drawn")).to_have_count(5)
    shown = text_of(last_complete_reply(page)).locator("p").evaluate_all(AS_WRITTEN)
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
        ("| a | b |\n|---|---|\n| `x|y` | z |", "td", ["x|y", "z"]),
        ("| a | b |\n|---|---|\n| $|x|$ | z |", "td", ["$|x|$", "z"]),
        ("one<br>two", "p:has(br)", ["one\ntwo"]),
        ("| a |\n|---|\n| one<BR />two |", "td:has(br)", ["one\ntwo"]),
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
    shown = text_of(last_complete_reply(page)).locator(selector)
    expect(page.locator(".formula:not(.drawn)")).to_have_count(0)
    assert shown.evaluate_all(AS_WRITTEN) == texts


def test_items_keep_their_numbers(page: Page, site: GatewaySite) -> None:
    site.fake.script("3. c\n2. b\n1. a\n\ntext\n\n1. x\n1. y")
    send_message(page, "Show me")
    items = text_of(last_complete_reply(page)).locator("li")
    values = "all => all.map((one) => one.getAttribute('value') ?? one.parentElement.getAttribute('start'))"
    assert items.evaluate_all(values)[:3] == ["3", "2", "1"]


# ---------------------------------------------------------------- formulas


FORMULAS = r"""Inline \(\frac{1}{2}\) and $x^2$, but $20 (or 20$ in coins) and $broken{$ as written.

$$
\sum_{i=1}^n i = \frac{n(n+1)}{2}
$$

\[ \begin{pmatrix} a & b \\ c & d \end{pmatrix} \]"""


def test_formulas_are_typeset_and_their_library_is_loaded_with_the_first(page: Page, site: GatewaySite) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    send_message(page, "Hello")
    last_complete_reply(page)
    assert [address for address in addresses if "temml" in address] == []
    site.fake.script(Say(FORMULAS, chunks=40))
    send_message(page, "Show me")
    reply = text_of(last_complete_reply(page, 2))
    expect(reply.locator(".formula.drawn")).to_have_count(4)
    expect(reply.locator("p").first).to_contain_text("$20 (or 20$ in coins) and $broken{$ as written.")
    expect(reply.locator("mfrac").first).to_have_text("12")
    expect(reply.locator(".display math[display=block]")).to_have_count(2)
    expect(reply.locator("mtr")).to_have_count(2)
    assert len({address for address in addresses if address.endswith("temml.mjs")}) == 1


def test_a_formula_can_do_nothing_but_be_seen(page: Page, site: GatewaySite) -> None:
    hostile = [
        r"\href{javascript:alert(1)}{x}",
        r"\url{https://evil.example/}",
        r"\includegraphics{https://evil.example/x.png}",
        r"\class{top}{x}",
        r"\id{scroll}{x}",
        r"\style{position:fixed}{x}",
        r"\data{x=1}{x}",
        r"x \label{scroll} \tag{1}",
        r"\text{<img src=x onerror=alert(2)>}",
        r"\def\a{\a\a}\a",
        r"\rule{9999em}{9999em}",
    ]
    site.fake.script("\n\n".join([r"\[1\]", *(f"$${one}$$" for one in hostile), "The end."]))
    send_message(page, "Attack me")
    reply = text_of(last_complete_reply(page))
    expect(reply.locator("math").first).to_be_visible()
    expect(reply.locator("[href], [src], [id], .top, img, [style*=position]")).to_have_count(0)
    heights = reply.locator(".formula").evaluate_all("all => all.map((one) => one.offsetHeight)")
    assert max(heights) < 500


def test_formulas_stand_as_written_where_the_library_cannot_be_had(page: Page, site: GatewaySite) -> None:
    page.route("**/temml.mjs", lambda route: route.abort())
    site.fake.script(r"It is \(x^2\).")
    send_message(page, "Show me")
    expect(text_of(last_complete_reply(page))).to_have_text(r"It is \(x^2\).")


# ---------------------------------------------------------------- tasks and footnotes


def test_tasks_have_boxes(page: Page, site: GatewaySite) -> None:
    site.fake.script("- [ ] buy *milk*\n- [x] **write**\n- [z] text\n\n1. [X] sign\n\n`- [ ] code` and [x] text")
    send_message(page, "Show me")
    reply = text_of(last_complete_reply(page))
    boxes = reply.get_by_role("img")
    labels = [boxes.nth(at).get_attribute("aria-label") for at in range(boxes.count())]
    assert labels == ["To do:", "Done:", "Done:"]
    assert reply.locator("li").all_text_contents() == ["buy milk", "write", "[z] text", "sign"]
    expect(reply.locator("> p")).to_have_text("- [ ] code and [x] text")


def test_footnotes_are_not_raw(page: Page, site: GatewaySite) -> None:
    site.fake.script(
        "Said[^1] and done.[^a] But [^0-9]+ stays.\n\n[^1]: By *her*.\n[^a]: First\n\n    second\n\nEnd[^1]"
    )
    send_message(page, "Show me")
    reply = text_of(last_complete_reply(page))
    expect(reply.locator("> p")).to_have_text(["Said1 and done.a But [^0-9]+ stays.", "End1"])
    expect(reply.locator(".note")).to_have_count(2)
    expect(reply.locator(".note p")).to_have_text(["By her.", "First", "second"])
    expect(reply.locator("> p sup")).to_have_text(["1", "a", "1"])


# ---------------------------------------------------------------- code


def test_code_is_coloured_and_stays_as_it_is(page: Page, site: GatewaySite) -> None:
    code = "def greet(name):  # <b>hi</b>\n    return f'<img src=x onerror=alert(1)>{name}'\n"
    site.fake.script(Say(f"```python\n{code}```\n\n```nolanguage\nx = 1\n```\n\n```\ny = 2\n```", chunks=20))
    send_message(page, "Show me")
    blocks = text_of(last_complete_reply(page)).locator("pre")
    expect(blocks.first.locator(".hljs-keyword")).to_have_text(["def", "return"])
    expect(blocks.first.locator("b, img")).to_have_count(0)
    assert blocks.all_text_contents() == [code, "x = 1\n", "y = 2\n"]
    expect(blocks.locator("span").filter(has_text="y")).to_have_count(0)
