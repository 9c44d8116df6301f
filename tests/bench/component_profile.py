"""``python -m tests.bench.component_profile [MESSAGES]``: where the CPU time of a Slack message goes, by component."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from operator import itemgetter
from pathlib import Path

from tests.bench.slack_processes import SlackProcesses
from tests.bench.slack_stub import EventOrder

MESSAGES = 600
WARM_UP = 100
SETTLE_SECONDS = 1.5
"""Until the sampler has written what came last."""


def measure(folder: Path, messages: int) -> tuple[dict[str, float], float]:
    """Returns CPU milliseconds a message, by component and of the whole process."""
    processes, file = SlackProcesses(folder), folder / "samples.json"
    with processes.start_fake_openai() as fake:
        slack = processes.start_slack_stub()
        server = processes.start_slack_gateway(fake, slack, module=("tests.bench.sampled_gateway", str(file)))
        results = []
        for count in (WARM_UP, messages):
            slack.run(EventOrder(f"{server.url}/slack/events", count, 0.0, wait_for_replies=True))
            time.sleep(SETTLE_SECONDS)
            results.append((json.loads(file.read_text()), server.usage().cpu_seconds))
    (before, spent_before), (after, spent) = results
    scale = 1000 / messages
    costs = {name: (seconds - before.get(name, 0.0)) * scale for name, seconds in after.items()}
    return costs, (spent - spent_before) * scale


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.component_profile", description=__doc__)
    parser.add_argument("messages", type=int, nargs="?", default=MESSAGES, help=f"how many; default: {MESSAGES}")
    messages = parser.parse_args().messages
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        components, whole = measure(Path(name), messages)
    total = sum(components.values())
    print("| component | CPU ms a message | share |\n|---|---|---|")
    for component, cost in sorted(components.items(), key=itemgetter(1), reverse=True):
        print(f"| {component} | {cost:.2f} | {cost / total:.0%} |")
    print(f"| all threads | {total:.2f} | |\n| the whole process, the sampling included | {whole:.2f} | |")


if __name__ == "__main__":
    main()
