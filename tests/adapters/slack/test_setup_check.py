"""What the operator is told about the tokens: whether Slack takes them, and what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from adapters.slack.api_client import SlackClient
from adapters.slack.manifest import DISPENSABLE, SCOPES
from adapters.slack.settings import SlackSettings
from adapters.slack.setup_check import check
from adapters.slack.workspaces import InstalledWorkspaces, OneWorkspace, Workspaces
from gateway.ports.check import CheckResult
from storage.store import SqlStore
from tests.fakes.slack_events import APP_TOKEN, SIGNING_SECRET, TEAM, TOKEN
from tests.fakes.slack_server import FakeSlack
from tests.settings import settings_of


@pytest.fixture
async def calls(slack: FakeSlack) -> AsyncIterator[SlackClient]:
    made = SlackClient(slack.api_url, timeout=5.0)
    yield made
    await made.close()


def settings(**given: Any) -> SlackSettings:
    secret = SecretStr(SIGNING_SECRET)
    return settings_of(SlackSettings, slack_signing_secret=secret, **given)


async def told(
    calls: SlackClient, *, token: str = TOKEN, workspaces: Workspaces | None = None, **given: Any
) -> dict[str, CheckResult]:
    given.setdefault("slack_bot_token", SecretStr(token))
    checks = await check(settings(**given), calls, workspaces or OneWorkspace(token))
    assert not any(secret in line.detail for line in checks for secret in (token, APP_TOKEN, SIGNING_SECRET))
    return {line.name: line for line in checks}


async def test_all_is_well(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_workspace(TEAM, TOKEN, scopes=SCOPES)
    lines = await told(calls)
    assert all(line.ok and line.detail for line in lines.values())
    assert list(lines) == ["slack", "slack scopes", "slack events"]
    assert "POST /slack/events" in lines["slack events"].detail


async def test_a_missing_scope_is_named(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_workspace(TEAM, TOKEN, scopes=[scope for scope in SCOPES if not scope.startswith("files")])
    scopes = (await told(calls))["slack scopes"]
    assert not scopes.ok
    assert "files:read, files:write;" in scopes.detail
    assert "chat:write" not in scopes.detail


async def test_an_app_may_lack_a_scope_that_came_later(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_workspace(TEAM, TOKEN, scopes=[scope for scope in SCOPES if scope not in DISPENSABLE])
    scopes = (await told(calls))["slack scopes"]
    assert scopes.ok
    assert "without usergroups:read" in scopes.detail


async def test_scopes_that_slack_does_not_tell_are_not_called_missing(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_workspace(TEAM, TOKEN, scopes=())
    scopes = (await told(calls))["slack scopes"]
    assert (scopes.ok, "unknown" in scopes.detail) == (True, True)


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "account_inactive"])
async def test_a_token_that_slack_does_not_take_is_told(slack: FakeSlack, calls: SlackClient, code: str) -> None:
    slack.revoke_token(TOKEN, code)
    lines = await told(calls)
    assert (lines["slack"].ok, lines["slack events"].ok, "slack scopes" in lines) == (False, True, False)
    assert code in lines["slack"].detail


async def test_the_token_of_a_person_is_told_apart(slack: FakeSlack, calls: SlackClient) -> None:
    slack.add_workspace("T0USER", "xoxp-fake", bot_id="")
    line = (await told(calls, token="xoxp-fake"))["slack"]
    assert not line.ok
    assert "xoxb-" in line.detail


async def test_a_slack_that_is_not_there_is_told() -> None:
    calls = SlackClient("http://127.0.0.1:9/api/", timeout=5.0)
    lines = await told(calls, slack_app_token=SecretStr(APP_TOKEN))
    await calls.close()
    assert not any(line.ok for line in lines.values())


async def test_socket_mode_is_tried(slack: FakeSlack, calls: SlackClient) -> None:
    assert (await told(calls, slack_app_token=SecretStr(APP_TOKEN)))["slack events"].ok
    assert slack.calls("apps.connections.open")


async def test_an_app_token_that_slack_does_not_take_is_told(calls: SlackClient) -> None:
    line = (await told(calls, slack_app_token=SecretStr("xapp-wrong")))["slack events"]
    assert not line.ok
    assert "SLACK_APP_TOKEN" in line.detail
    assert "xapp-wrong" not in line.detail


async def test_an_app_that_workspaces_install_needs_no_token(calls: SlackClient) -> None:
    oauth: dict[str, Any] = {"slack_client_id": "1.2", "slack_client_secret": SecretStr("s"), "slack_bot_token": None}
    installed = InstalledWorkspaces(settings(**oauth), SqlStore("sqlite:///never.db"))
    lines = await told(calls, workspaces=installed, **oauth)
    assert all(line.ok for line in lines.values())
    assert "/slack/install" in lines["slack"].detail
    assert "SLACK_ENCRYPTION_KEYS" in lines["slack tokens"].detail
    oauth["slack_encryption_keys"] = SecretStr("k" * 32)
    assert (await told(calls, workspaces=installed, **oauth))["slack tokens"].detail == "encrypted in the database"
