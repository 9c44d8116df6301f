"""``python -m tests.bench [--quick] [--only NAME]``: measures, and prints one table.

It judges nothing: the exit status is 0.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from tests.bench import scale
from tests.bench.figures import Figure
from tests.bench.plan import CALLERS, FULL, PAUSE_SECONDS, QUICK, TURNS_PER_THREAD, Plan
from tests.bench.scale_servers import ScaleFolder
from tests.bench.scale_tables import TURNS_EACH
from tests.bench.scenes import Scenes
from tests.bench.servers import TUTORIAL_THREADS
from tests.bench.slack import SlackScenes
from tests.bench.slack_site import SENDERS
from tests.bench.table import table_of
from tests.bench.telegram import TelegramScenes

SYNCS = 50
SHOWN_ERRORS = 5


class Measured(Protocol):
    """What a class of scenes brings out."""

    errors: list[str]

    def figures(self) -> Iterator[Figure]: ...


KINDS: dict[str, Callable[[ScaleFolder, Plan, Callable[[str], None]], Measured]] = {
    "chat": Scenes,
    "slack": SlackScenes,
    "telegram": TelegramScenes,
    "scale": scale.ScaleScenes,
}


def main() -> None:
    names, plan = _options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # which all the programs inherit
    begun = time.monotonic()
    tell = Console(stderr=True, highlight=False).print

    def progress(what: str) -> None:
        tell(f"[dim]{time.monotonic() - begun:4.0f} s  {what}")

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = ScaleFolder(Path(name))
        scenes = [KINDS[each](folder, plan, progress) for each in names]
        try:
            figures = [figure for scene in scenes for figure in scene.figures()]
        finally:
            folder.stop()
        footer = [
            *(line for each in names for line in METHODS[each](plan)),
            *_machine(Path(name)),
            *_errors([error for scene in scenes for error in scene.errors]),
        ]
    footer.append(f"It took {time.monotonic() - begun:.0f} s.")
    Console().print(table_of(figures, footer))


def _options() -> tuple[Sequence[str], Plan]:
    """Which of KINDS, and how much of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute or two, and with more noise")
    parser.add_argument("--only", choices=KINDS, action="append", help="these scenes and no others")
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("CPU and memory are read from /proc: this runs on Linux only")
    return options.only or list(KINDS), QUICK if options.quick else FULL


def _chat(plan: Plan) -> Iterator[str]:
    yield (
        f"A lone turn: {plan.lone_turns} for each median and p99 ({plan.first_tokens} for first tokens), the SDK's and "
        f"the gateway's in turns with {PAUSE_SECONDS * 1000:g} ms of rest after each; threads of {TURNS_PER_THREAD} "
        "turns; the SDK is AsyncOpenAI on aiohttp, streaming the same requests. What is added at p99 is the difference "
        "of the two p99."
    )
    yield (
        f"{CALLERS} callers: each speaks again when answered, in a thread of its own; {plan.rounds} x "
        f"{plan.load_seconds:g} s for each server in turns, the median counts. On a plan: {plan.rate_seconds:g} s, in "
        "threads that are free. CPU is the server's alone; callers, server and fake share this machine."
    )
    yield (
        "Plain Flask does what a tutorial does (messages.create, runs.create, runs.retrieve each second until done, "
        f"messages.list; one SDK client) under gunicorn with {TUTORIAL_THREADS} threads, and keeps nothing. It looks "
        "at the run at once, when the fake is done with it; one that sleeps first, as many do, waits a second for that."
    )


def _slack(_: Plan) -> Iterator[str]:
    yield (
        f"Slack: signed events over HTTP, {SENDERS} at once, each sent when one before is taken. A message is in "
        "a channel of its own and a workspace has few of them: the gateway keeps to Slack's limits, the others do not. "
        "Bolt calls the assistant in its listeners, five at a time, keeps threads in a dict and answers by say()."
    )


def _telegram(_: Plan) -> Iterator[str]:
    yield (
        f"Telegram: a webhook, {SENDERS} updates at once, each message in a chat of its own. python-telegram-bot's "
        "Application acknowledges an update when it is in its queue in memory, and works on 256 at once. One bot may "
        "make 30 calls a second, which the gateway keeps to; limits aside: as if there were none, for both."
    )


def _scale(plan: Plan) -> Iterator[str]:
    yield (
        "Several processes: the core alone, with its store, over a PostgreSQL on this machine that keeps what it "
        "commits; platform and assistant are in the same process and cost nothing. A turn counts from when the first "
        "one of all is received until the last one is delivered, by the database's clock. Where an assistant only "
        f"waits, {scale.ROOM} runs at once are what one process lacks, not CPU; with room for {scale.MUCH_ROOM} it is "
        "the CPU of this machine, which all processes and the database share."
    )
    yield (
        f"A full table: {TURNS_EACH} turns in each conversation; one message after another comes into any of "
        f"them, and is claimed, settled and finished; medians of {plan.table_messages}. It is beside a table of "
        f"{scale.FEW_TURNS} turns, in turns with it. A process dies as soon as it has begun all that it holds, when "
        "its leases have longest to go."
    )


METHODS = {"chat": _chat, "slack": _slack, "telegram": _telegram, "scale": _scale}
"""How each of KINDS measures."""


def _machine(folder: Path) -> Iterator[str]:
    system = f"{platform.system()} {platform.release()}, {os.cpu_count()} x {_processor()}"
    yield f"{system}; Python {platform.python_version()}; SQLite, where one fsync takes {_sync_ms(folder):.2f} ms."


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _sync_ms(folder: Path) -> float:
    """What the disk under the databases takes to write a page for good: each turn waits for it several times."""
    with (folder / "page").open("wb", buffering=0) as page:
        begun = time.perf_counter()
        for _ in range(SYNCS):
            page.write(b"\0" * 4096)
            os.fsync(page.fileno())
    return (time.perf_counter() - begun) * 1000 / SYNCS


def _errors(errors: Sequence[str]) -> Iterator[str]:
    if errors:
        yield f"[red]{len(errors)} turns under load went wrong:[/]"
        yield from (f"  {count} x {error}" for error, count in Counter(errors).most_common(SHOWN_ERRORS))


if __name__ == "__main__":
    main()
