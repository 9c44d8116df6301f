"""No text for people bypasses the catalogues."""

from __future__ import annotations

from functools import cache, partial
from importlib import import_module
from pathlib import Path

import pytest

from tests.languages.bypasses import HtmlBypasses, PythonBypasses, script_bypasses
from tests.languages.catalogues import ROOT

PAGES = ROOT / "gateway" / "pages" / "chat"
NOT_FOR_PEOPLE = {
    "adapters/slack/dry_run.py",
    "adapters/slack/manifest.py",  # an app at Slack has its texts in one language
    "adapters/telegram/dry_run.py",
    "gateway/assistants/requests/speakers.py",
    "gateway/__main__.py",
    "gateway/cli",  # for operators, as are the next
    "gateway/admin",
}
MODULES = [
    path
    for folder in ("adapters", "gateway")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not any(path.relative_to(ROOT).as_posix().startswith(exempt) for exempt in NOT_FOR_PEOPLE)
]


def python_bypasses(path: Path) -> list[str]:
    name = path.relative_to(ROOT)
    module = cache(partial(import_module, ".".join(name.with_suffix("").parts)))
    reads_fields = name.parts[0] == "adapters" and len(name.parts) > 2 and name.parts[1] != "http"
    found = PythonBypasses(
        path.read_text(), lambda constant: getattr(module(), constant, None), reads_fields=reads_fields
    )
    return [f"{name}:{each}" for each in found.found]


def test_no_text_in_python_bypasses_the_catalogues() -> None:
    assert [bypass for path in MODULES for bypass in python_bypasses(path)] == []


def test_no_text_of_the_page_bypasses_the_catalogues() -> None:
    assert HtmlBypasses((PAGES / "page.html").read_text()).found == []


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.js")), ids=lambda path: path.stem)
def test_no_text_of_the_scripts_bypasses_the_catalogues(path: Path) -> None:
    assert script_bypasses(path.read_text()) == []


CONSTANTS = {"SORRY": "Sorry, no.", "TABLE": {"a": "Sorry, no."}}


@pytest.mark.parametrize(
    "source",
    [
        'Failure("code", "It failed.")',
        'Failure("code", f"{name} failed.")',
        'AssistantRefused("why", user_message="It failed." if a else b)',
        'Failure("code", SORRY)',
        'Failure("code", TABLE[kind].format(name=name))',
        'writer.post(OutgoingMessage("It failed", plain=True))',
        'def f(a):\n    text = "It failed."\n    return plain_messages(text)',
        'async def f(a):\n    if a:\n        self.screen.line(f"Talking to {a}.")',
        'class Refused(Error):\n    default_user_message = "It failed."',
        'class Refused(Error):\n    default_user_message: ClassVar[str] = "It failed."',
        'say("It failed.", language)',
        'x = {"type": "mrkdwn", "text": f"_{SORRY}_"}',
    ],
)
def test_a_bypass_in_python_is_found(source: str) -> None:
    assert PythonBypasses(source, CONSTANTS.get, reads_fields=True).found


def test_what_is_said_in_a_language_is_no_bypass() -> None:
    source = (
        'def f(a):\n    text = sentence("It failed.")\n    return plain_messages(say(text, a)), Failure("code", text)'
    )
    assert PythonBypasses(source).found == []


@pytest.mark.parametrize(
    "source", ["<p>Hello you</p>", '<p title="Hello">{{ sentence("You") }}</p>', "<p>{% if a %}Hello{% endif %}"]
)
def test_a_bypass_in_a_template_is_found(source: str) -> None:
    assert HtmlBypasses(source).found


@pytest.mark.parametrize(
    "source", ['notice("Hello.")', "x = a ? 'Hello you' : b", "notice(`You are ${away} now`)", 'speak("see you")']
)
def test_a_bypass_in_a_script_is_found(source: str) -> None:
    assert script_bypasses(source)
