"""Starts the programs of the Slack scenes, each as its own process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.bench.processes import ROOT, BenchProcesses, BenchServer, free_port
from tests.bench.slack_stub import SENDERS, EventOrder, EventResult
from tests.conformance.npm import NpmPackage, NpmUnavailable
from tests.fakes.slack_events import SIGNING_SECRET, TOKEN

BOLT_JS = NpmPackage("@slack/bolt", "5.1.0")
WEB_THREADS = SENDERS + 14


@dataclass(frozen=True)
class StubServer(BenchServer):
    """The process of a platform stub, slack_stub.py or telegram_stub.py."""

    def run(self, order: EventOrder) -> EventResult:
        """Sends an order to the stub and returns its result. Raises RuntimeError when the stub has ended."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the platform stub has no pipe")
        self.process.stdin.write(json.dumps(asdict(order)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the platform stub ended")
        return EventResult(**json.loads(line))


class SlackProcesses(BenchProcesses):
    """Starts the programs of the Slack scenes too. They end with the block of the fake OpenAI."""

    def start_slack_stub(self) -> StubServer:
        process = self._start_module("slack", ["tests.bench.slack_stub"], {})
        return StubServer("slack", self._wait_for_line(process, "http", "slack"), process)

    def start_slack_gateway(
        self, fake: BenchServer, slack: BenchServer, module: Sequence[str] = ("gateway", "serve"), **more: str
    ) -> BenchServer:
        return self.start_gateway(
            fake,
            "responses",
            "slack-gateway",
            module,
            SLACK_API_URL=f"{slack.url}/api/",
            SLACK_BOT_TOKEN=TOKEN,
            SLACK_SIGNING_SECRET=SIGNING_SECRET,
            **more,
        )

    def start_bolt(self, fake: BenchServer, slack: BenchServer) -> BenchServer:
        """Starts slack_bolt.py under gunicorn, with a thread for each sender."""
        port, name = free_port(), "tutorial, Bolt"
        serving = ["--worker-class", "gthread", "--threads", str(WEB_THREADS), "--keep-alive", "75"]
        factory = f"make_app({fake.url!r}, {slack.url!r})"
        command = ["gunicorn", *serving, "--bind", f"127.0.0.1:{port}", f"tests.bench.slack_bolt:{factory}"]
        process = self._start_module(name, command, {})
        self._wait_for_line(process, "Booting worker", name)
        return BenchServer(name, f"http://127.0.0.1:{port}", process)

    def start_bolt_js(self, fake: BenchServer, slack: BenchServer) -> BenchServer:
        """Starts slack_bolt.js. Raises NpmUnavailable."""
        node, modules = shutil.which("node"), BOLT_JS.ensure_installed().parents[1]
        if node is None:
            raise NpmUnavailable("Node is not installed")
        name, script = "Bolt for Node", str(ROOT / "tests" / "bench" / "slack_bolt.js")
        command = [node, script, fake.url, slack.url, TOKEN, SIGNING_SECRET]
        process = self._start_command(name, command, {"NODE_PATH": str(modules)})
        url = self._wait_for_line(process, "Listening on", name).rpartition(" ")[2]
        return BenchServer(name, url, process)
