"""Starts the programs of the Slack scenes, each as its own process."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass

from tests.bench.processes import ROOT, Folder, Server, free_port
from tests.bench.slack_stub import SENDERS, Order, Result
from tests.conformance.npm import NotToBeHad, Package
from tests.fakes.slack_events import SIGNING_SECRET, TOKEN

BOLT_JS = Package("@slack/bolt", "5.1.0")
WEB_THREADS = SENDERS + 14


@dataclass(frozen=True)
class Site(Server):
    """The process of a platform stub, slack_stub.py or telegram_stub.py."""

    def carry_out(self, order: Order) -> Result:
        """Sends an order to the stub and returns its result. Raises RuntimeError when the stub has ended."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the platform stub has no pipe")
        self.process.stdin.write(json.dumps(asdict(order)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the platform stub ended")
        return Result(**json.loads(line))


class SlackFolder(Folder):
    """Starts the programs of the Slack scenes too. They end with the block of the fake OpenAI."""

    def slack(self) -> Site:
        process = self._start("slack", ["tests.bench.slack_stub"], {})
        return Site("slack", self._first_line(process, "http", "slack"), process)

    def slack_gateway(self, fake: Server, slack: Server) -> Server:
        return self.gateway(
            fake,
            "responses",
            "slack-gateway",
            SLACK_API_URL=f"{slack.url}/api/",
            SLACK_BOT_TOKEN=TOKEN,
            SLACK_SIGNING_SECRET=SIGNING_SECRET,
        )

    def bolt(self, fake: Server, slack: Server) -> Server:
        """Starts slack_bolt.py under gunicorn, with a thread for each sender."""
        port, name = free_port(), "tutorial, Bolt"
        serving = ["--worker-class", "gthread", "--threads", str(WEB_THREADS), "--keep-alive", "75"]
        factory = f"make_app({fake.url!r}, {slack.url!r})"
        command = ["gunicorn", *serving, "--bind", f"127.0.0.1:{port}", f"tests.bench.slack_bolt:{factory}"]
        process = self._start(name, command, {})
        self._first_line(process, "Booting worker", name)
        return Server(name, f"http://127.0.0.1:{port}", process)

    def bolt_js(self, fake: Server, slack: Server) -> Server:
        """Starts slack_bolt.js. Raises NpmUnavailable."""
        node, modules = shutil.which("node"), BOLT_JS.installed().parents[1]
        if node is None:
            raise NotToBeHad("Node is not installed")
        name, script = "Bolt for Node", str(ROOT / "tests" / "bench" / "slack_bolt.js")
        command = [node, script, fake.url, slack.url, TOKEN, SIGNING_SECRET]
        process = self._run(name, command, {"NODE_PATH": str(modules)})
        url = self._first_line(process, "Listening on", name).rpartition(" ")[2]
        return Server(name, url, process)
