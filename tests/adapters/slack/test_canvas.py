"""A canvas becomes text, and the sign-in page is known as what it is."""

from __future__ import annotations

import time

import pytest

from adapters.slack import canvas
from tests.fakes.slack_files import LOGIN_PAGE


def test_a_canvas_is_read_in_lines() -> None:
    html = """<h1 id='temp:C:1'>Launch plan</h1><p class="line">The ship date is the <b>ninth</b> of
    May &amp; no later.</p><ul><li>one</li><li>two<ul><li>deep</li></ul></li></ul><style>p { color: red }</style>
    <table><tr><th>Who</th><th>What</th></tr><tr><td>Ann</td><td>tests</td></tr></table>a<br>b"""
    said = " ".join(canvas.text_of(html).split())
    assert said.startswith(
        "# Launch plan The ship date is the ninth of May & no later. - one - two - deep | Who | What |"
    )
    assert said.endswith("| Ann | tests | a b")
    assert "Launch plan\n\nThe ship date" in canvas.text_of(html)


@pytest.mark.parametrize(
    ("html", "read"),
    [
        ('<p>See <a href="https://x.org/a">the list</a>.</p>', "See the list (https://x.org/a)."),
        ('<p><a href="https://x.org">x.org</a> <a href="#b">here</a> <a>@U0ANN</a></p>', "x.org here @U0ANN"),
        ("<p>do</p><pre>if a:\n    b(1)\n\nc</pre>", "do\n\n```\nif a:\n    b(1)\n\nc\n```"),
        ("<pre>a:<br/>  b</pre>", "```\na:\n  b\n```"),
        ("<ol><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ol>", "1. a\n2. b\n    - c\n3. d"),
        ('<ul><li class="checked">a</li><li class="unchecked">b</li></ul>', "- [x] a\n- [ ] b"),
        ("<tr><td></td><td><p>a|b</p>c</td></tr>", "| | a\\|b c |\n| --- | --- |"),
        ('<p><del>old</del> <code>f</code> <img alt=":smile:"/></p>', "~~old~~ `f` :smile:"),
        ("<blockquote>a<br>b</blockquote><dl><dt>c</dt><dd>d</dd></dl>", "> a\n> b\n\nc\nd"),
        ("<td>never ends", "| never ends"),
    ],
)
def test_what_formatting_says_is_kept(html: str, read: str) -> None:
    assert canvas.text_of(html) == read


@pytest.mark.parametrize("html", ["", "plain", "<p", "<script>never ends", "</li></p>", "<h1>a" * 500])
def test_anything_can_be_read(html: str) -> None:
    assert "script" not in canvas.text_of(html)


@pytest.mark.parametrize(
    ("html", "refuses"),
    [
        (LOGIN_PAGE, True),
        ("<html><head><title>Login | Slack</title></head>", True),
        ("<html><head><title>Sign in to Acme</title></head>", True),
        ("<h1>How to sign in to Slack</h1>", False),
        ("<html><head><title>Launch plan</title></head><p>Sign in first.</p>", False),
    ],
)
def test_a_page_to_sign_in_is_known_by_its_title(html: str, *, refuses: bool) -> None:
    assert canvas.is_sign_in_page(html) is refuses


@pytest.mark.parametrize(
    "opened", ["<a ", '<a x="', "<a/", "<!--", "</", "<![CDATA[", "<", "<b>", "<li><ul>", "<script>"]
)
def test_what_is_opened_often_takes_no_longer_to_be_read_than_its_length(opened: str) -> None:
    started = time.process_time()
    canvas.text_of(opened * 20_000)
    assert time.process_time() - started < 4, "seconds; it took hours when each was looked for an end"


def test_a_sign_that_begins_no_tag_is_text() -> None:
    assert canvas.text_of("<p>1 < 2 and <3</p><p>a<b</p>") == "1 < 2 and <3\n\na<b"


@pytest.mark.parametrize("title", ["<title>" + " " * 20_000, "<title" * 3000])
def test_no_title_takes_longer_to_be_read_than_its_length(title: str) -> None:
    started = time.process_time()
    assert not canvas.is_sign_in_page(title)
    assert time.process_time() - started < 2, "seconds"
