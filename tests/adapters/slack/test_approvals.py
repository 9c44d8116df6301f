"""Clicks on the buttons of a question: what they say, and what whoever clicks is told."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from adapters.slack.formatter import APPROVAL_ACTION
from gateway.domain.approvals import Decider, Verdict, VerdictResult
from tests.adapters.slack.test_webhook import WebhookSite
from tests.fakes.slack_events import TEAM, USER, block_action
from tests.fakes.slack_server import FakeSlack


@pytest.fixture
def site() -> WebhookSite:
    return WebhookSite()


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as server:
        yield server


def click(site: WebhookSite, value: str, action: str = f"{APPROVAL_ACTION}_yes", **more: str) -> int:
    payload = json.dumps(block_action(action, value, kind="button", **more))
    return site.fill({"payload": payload}, "/slack/interactive").status_code


@pytest.mark.parametrize(("value", "approves"), [("yes:appr_1.abc", True), ("no:appr_1.abc", False)])
def test_a_click_is_a_verdict_of_whoever_clicks(site: WebhookSite, value: str, *, approves: bool) -> None:
    assert click(site, value) == 200
    (update,) = site.inbox.taken
    assert update.events == (Verdict("appr_1", "abc", approves, Decider("slack", USER, name=USER.lower())),)


@pytest.mark.parametrize("value", ["yes", "yes:appr_1", "maybe:appr_1.abc", ""])
def test_any_other_click_is_none(site: WebhookSite, value: str) -> None:
    assert click(site, value) == 200
    assert click(site, "yes:appr_1.abc", action="of_another_app") == 200
    assert [update.events for update in site.inbox.taken] == [(), ()]


@pytest.mark.parametrize("result", VerdictResult)
def test_who_may_not_decide_is_told_so_and_nobody_else(
    site: WebhookSite, slack: FakeSlack, result: VerdictResult
) -> None:
    url = slack._response_urls.create("actions", slack._state.ensure_channel("D0DM", TEAM), USER)
    site.inbox.verdict_result = result
    assert click(site, "yes:appr_1.abc", response_url=url) == 200
    told = [each["text"] for each in slack.ephemeral_messages]
    assert len(told) == (0 if result is VerdictResult.DECIDED else 1)


def test_slack_that_takes_no_answer_is_no_harm(site: WebhookSite) -> None:
    site.inbox.verdict_result = VerdictResult.NOT_ALLOWED
    assert click(site, "yes:appr_1.abc", response_url="http://127.0.0.1:9/gone") == 200
