"""Fixture: a local Slack and a gateway connected to it, over HTTP events and over Socket Mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.conformance.local_slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, LocalSlack, Mode
from tests.conformance.npm import NpmUnavailable
from tests.conformance.serve_process import GatewayServeProcess, free_port
from tests.fakes.openai_server import FakeOpenAI


@dataclass(frozen=True)
class LocalSlackSetup:
    slack: LocalSlack
    openai: FakeOpenAI
    program: GatewayServeProcess


@pytest.fixture(scope="module", params=["events", "socket"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSlackSetup]:
    mode: Mode = request.param
    folder, port = tmp_path_factory.mktemp(mode), free_port()
    try:
        slack = LocalSlack(folder, mode, f"http://127.0.0.1:{port}/slack/events")
    except NpmUnavailable as reason:
        pytest.skip(f"local-slack is not available: {reason}")
    settings = {
        "SLACK_API_URL": f"{slack.url}/api/",
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_NAMES": "false",
        "SLACK_STREAM_SECONDS": "0.1",
    }
    settings |= {"SLACK_APP_TOKEN": APP_TOKEN} if mode == "socket" else {"SLACK_SIGNING_SECRET": SIGNING_SECRET}
    with closing(slack), FakeOpenAI() as openai:
        program = GatewayServeProcess(folder, openai, port, **settings)
        with closing(program):
            if mode == "socket":
                slack.wait_for(lambda: any("socket connected" in entry["summary"] for entry in slack.log()))
            yield LocalSlackSetup(slack, openai, program)
        assert program.exit_status == 0, program.log_text()
