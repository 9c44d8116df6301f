"""A canvas becomes text, and the sign-in page is known as what it is."""

from __future__ import annotations

import pytest

from adapters.slack import canvas
from tests.fakes.slack_files import LOGIN_PAGE


def test_a_canvas_is_read_in_lines() -> None:
    html = """<h1 id='temp:C:1'>Launch plan</h1><p class="line">The ship date is the <b>ninth</b> of
    May &amp; no later.</p><ul><li>one</li><li>two<ul><li>deep</li></ul></li></ul><style>p { color: red }</style>
    <table><tr><th>Who</th><th>What</th></tr><tr><td>Ann</td><td>tests</td></tr></table>a<br>b"""
    said = " ".join(canvas.text_of(html).split())
    assert said.startswith("# Launch plan The ship date is the ninth of May & no later. - one - two - deep Who | What")
    assert said.endswith("Ann | tests a b")
    assert "Launch plan\n\nThe ship date" in canvas.text_of(html)


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
