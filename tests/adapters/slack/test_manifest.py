"""The manifest asks Slack for all that the adapter needs, in a form that Slack takes."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from adapters.slack.manifest import COMMANDS, EVENTS, SCOPES, build, command
from adapters.slack.settings import SlackSettings
from tests.settings import settings_of

NEEDED = {
    "agent_session_stopped": "assistant:write",
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "message.mpim": "mpim:history",
}
"""The scope without which Slack does not take the subscription, from the page of each event."""


def settings() -> SlackSettings:
    return settings_of(SlackSettings)


@pytest.fixture(autouse=True)
def clean(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in SlackSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def run(*args: str, **env: str) -> Result:
    return CliRunner().invoke(command(), ["manifest", *args], env=env)


def printed(*args: str, **env: str) -> dict[str, Any]:
    result = run(*args, **env)
    assert result.exit_code == 0, result.output
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def test_an_app_that_is_called_has_an_address_wherever_slack_wants_one() -> None:
    made = printed("--url", "https://bot.example.com")
    told = made["settings"]
    assert told["event_subscriptions"]["request_url"] == "https://bot.example.com/slack/events"
    assert told["interactivity"] == {"is_enabled": True, "request_url": "https://bot.example.com/slack/interactive"}
    assert told["socket_mode_enabled"] is False
    assert {each["url"] for each in made["features"]["slash_commands"]} == {"https://bot.example.com/slack/commands"}
    assert made["oauth_config"]["redirect_urls"] == ["https://bot.example.com/slack/oauth_redirect"]


def test_an_app_in_socket_mode_has_no_address_at_all() -> None:
    made = printed("--socket")
    assert made["settings"]["socket_mode_enabled"] is True
    assert made["settings"]["interactivity"] == {"is_enabled": True}
    assert "http" not in json.dumps(made)


def test_it_asks_for_what_every_event_needs() -> None:
    made = printed("--socket")
    assert made["settings"]["event_subscriptions"]["bot_events"] == list(EVENTS)
    assert made["oauth_config"]["scopes"] == {"bot": list(SCOPES)}
    assert {scope for event, scope in NEEDED.items() if event in EVENTS} <= set(SCOPES)
    assert set(NEEDED) <= set(EVENTS)


def test_the_app_is_an_agent_that_people_can_write_to() -> None:
    features = printed("--socket", SLACK_PROMPTS="Plan: Plan my week | Ünique")["features"]
    assert features["agent_view"]["suggested_prompts"] == [
        {"title": "Plan", "message": "Plan my week"},
        {"title": "Ünique", "message": "Ünique"},
    ]
    assert features["app_home"] == {
        "home_tab_enabled": False,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }
    assert features["bot_user"]["always_online"] is True
    assert "suggested_prompts" not in printed("--socket")["features"]["agent_view"]


def test_nothing_is_longer_than_slack_takes() -> None:
    """The limits of docs.slack.dev/reference/app-manifest."""
    made = printed("--socket", "--name", "x" * 35, "--prefix", "y" * 25)
    assert len(made["display_information"]["name"]) <= 35
    assert len(made["display_information"]["description"]) <= 140
    assert len(made["features"]["agent_view"]["agent_description"]) <= 300
    assert len(made["features"]["bot_user"]["display_name"]) <= 80
    assert all(len(each["command"]) <= 32 for each in made["features"]["slash_commands"])


@pytest.mark.parametrize(
    ("prefix", "commands"),
    [("", ["/reset", "/help"]), ("ada", ["/ada-reset", "/ada-help"]), ("/Ada-2", ["/ada-2-reset", "/ada-2-help"])],
)
def test_the_commands_may_begin_with_a_name(prefix: str, commands: list[str]) -> None:
    made = printed("--socket", "--prefix", prefix)
    assert [each["command"] for each in made["features"]["slash_commands"]] == commands
    assert len(commands) == len(COMMANDS)


def test_the_bot_has_the_name_it_is_given() -> None:
    made = printed("--socket", "--name", " Ada ")
    assert made["display_information"]["name"] == made["features"]["bot_user"]["display_name"] == "Ada"


@pytest.mark.parametrize(("options", "rotates"), [((), False), (("--rotate-tokens",), True)])
def test_tokens_are_renewed_if_that_is_asked_for(options: tuple[str, ...], *, rotates: bool) -> None:
    assert printed("--url", "https://a.org", *options)["settings"]["token_rotation_enabled"] is rotates


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://a.org", "https://a.org"),
        (" https://A.org/ ", "https://a.org"),
        ("a.org", "https://a.org"),
        ("https://a.org:8443/bots//", "https://a.org:8443/bots"),
        ("https://a.org/slack/events", "https://a.org"),
        ("https://a.org/bots/slack/events/", "https://a.org/bots"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_is_brought_into_form(given: str, used: str) -> None:
    made = printed("--url", given)
    assert made["settings"]["event_subscriptions"]["request_url"] == f"{used}/slack/events"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--socket", "--url", "https://a.org"),
        ("--socket", "--rotate-tokens"),
        ("--url", "http://a.org"),
        ("--url", ""),
        ("--url", "https://"),
        ("--url", "ftp://a.org"),
        ("--url", "https://a.org/?x=1"),
        ("--url", "https://a.org/#x"),
        ("--url", "https://me:secret@a.org"),
        ("--url", "https://a b.org"),
        ("--url", "https://[::1"),
        ("--url", "https://a.org:99999"),
        ("--socket", "--name", "x" * 36),
        ("--socket", "--name", " "),
        ("--socket", "--prefix", "y" * 26),
        ("--socket", "--prefix", "a_b"),
        ("--socket", "--prefix", "-a"),
    ],
)
def test_what_slack_would_refuse_is_refused_with_a_reason(options: tuple[str, ...]) -> None:
    result = run(*options)
    assert (result.exit_code, result.stdout) == (click.UsageError.exit_code, "")
    assert "Error: " in result.stderr


def test_it_is_the_same_each_time() -> None:
    assert build(settings(), url="https://a.org") == build(settings(), url="https://a.org")
    assert json.dumps(build(settings())) == json.dumps(build(settings()))
