"""``python -m tests.bench [--quick] [--only NAME]``: runs the benchmarks and prints one table.

The exit status is 0 even when targets are missed.
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
from tests.bench.chat_scenes import ChatScenes
from tests.bench.discord_scenes import DiscordScenes
from tests.bench.discord_stub import AT_ONCE
from tests.bench.measurements import Measurement
from tests.bench.plan import CALLERS, FULL, QUICK, SETTLE_PAUSE_SECONDS, TURNS_PER_THREAD, BenchPlan
from tests.bench.processes import TUTORIAL_THREADS
from tests.bench.scale_processes import ScaleProcesses
from tests.bench.scale_tables import TURNS_PER_CONVERSATION
from tests.bench.slack_scenes import SlackScenes
from tests.bench.slack_stub import SENDERS
from tests.bench.table import table_of
from tests.bench.telegram_scenes import TelegramScenes

FSYNC_COUNT = 50
SHOWN_ERRORS = 5
TABLE_WIDTH = 150


class MeasuresScenes(Protocol):
    """A class of benchmark scenes."""

    errors: list[str]

    def measurements(self) -> Iterator[Measurement]: ...


SCENES: dict[str, Callable[[ScaleProcesses, BenchPlan, Callable[[str], None]], MeasuresScenes]] = {
    "chat": ChatScenes,
    "slack": SlackScenes,
    "telegram": TelegramScenes,
    "discord": DiscordScenes,
    "scale": scale.ScaleScenes,
}


def main() -> None:
    names, plan = _options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # all started programs inherit it
    begun = time.monotonic()
    tell = Console(stderr=True, highlight=False).print

    def progress(what: str) -> None:
        tell(f"[dim]{time.monotonic() - begun:4.0f} s  {what}")

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = ScaleProcesses(Path(name))
        scenes = [SCENES[each](folder, plan, progress) for each in names]
        try:
            figures = [figure for scene in scenes for figure in scene.measurements()]
        finally:
            folder.stop()
        footer = [
            *(line for each in names for line in METHOD_NOTES[each](plan)),
            *_machine_notes(Path(name)),
            *_error_notes([error for scene in scenes for error in scene.errors]),
        ]
    footer.append(f"It took {time.monotonic() - begun:.0f} s.")
    out = Console()
    out.width = max(out.width, TABLE_WIDTH)  # also in a file
    out.print(table_of(figures, footer))


def _options() -> tuple[Sequence[str], BenchPlan]:
    """Returns the names of the scenes to run, and their sizes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a minute or two, with more noise")
    parser.add_argument("--only", choices=SCENES, action="append", help="run only these scenes (may be repeated)")
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("CPU and memory are read from /proc: this runs on Linux only")
    return options.only or list(SCENES), QUICK if options.quick else FULL


def _chat_notes(plan: BenchPlan) -> Iterator[str]:
    yield (
        f"A single caller: {plan.single_turns} turns for each median and p99 ({plan.first_tokens} for first tokens), "
        f"alternating between the SDK and the gateway with {SETTLE_PAUSE_SECONDS * 1000:g} ms of pause after each; "
        f"threads of {TURNS_PER_THREAD} turns; the SDK is AsyncOpenAI on aiohttp, streaming the same requests. The "
        "difference at p99 is the difference of the two p99."
    )
    yield (
        f"{CALLERS} callers: each sends its next message when answered, in its own thread; {plan.rounds} x "
        f"{plan.load_seconds:g} s for each server, alternating; the median is shown. At a fixed rate: "
        f"{plan.rate_seconds:g} s, in idle threads. CPU is that of the server alone; callers, server and fake share "
        "this machine."
    )
    yield (
        "Plain Flask does what a tutorial does (messages.create, runs.create, runs.retrieve each second until done, "
        f"messages.list; one SDK client) under gunicorn with {TUTORIAL_THREADS} threads, and stores nothing. It polls "
        "the run at once, when the fake has finished it; a program that sleeps first, as many do, waits one second."
    )


def _slack_notes(_: BenchPlan) -> Iterator[str]:
    yield (
        f"Slack: signed events over HTTP by {SENDERS} senders, each sending its next event when the last one is "
        "acknowledged. Each message is in its own channel, and a workspace has few of them: the gateway obeys Slack's "
        "rate limits, the others do not. Bolt calls the assistant in its listeners, five at a time, keeps threads in a "
        "dict and replies by say()."
    )


def _telegram_notes(_: BenchPlan) -> Iterator[str]:
    yield (
        f"Telegram: a webhook with {SENDERS} senders, each message in its own chat. python-telegram-bot's "
        "Application acknowledges an update when it is in its queue in memory, and processes 256 at once. A bot may "
        "make 30 calls a second, which the gateway obeys; without limits: both ignore that limit."
    )


def _discord_notes(_: BenchPlan) -> Iterator[str]:
    yield (
        f"Discord: {AT_ONCE} messages at once over the gateway connection of the tests' fake, each in its own channel. "
        "discord.py's Client calls the assistant in on_message, keeps threads in a dict and stores nothing. A bot may "
        "make 50 calls a second, which the gateway obeys; without limits: both ignore that limit."
    )


def _scale_notes(plan: BenchPlan) -> Iterator[str]:
    yield (
        "Several processes: only the core and its store, over a PostgreSQL on this machine with durable commits "
        "(fsync); platform and assistant are stubs in the same process. The time is from the first turn received to "
        "the last turn delivered, by the database's clock. With an assistant that only waits, "
        f"{scale.CAPACITY} concurrent runs for each process are the limit, not CPU; with {scale.HIGH_CAPACITY} it is "
        "the CPU, which all processes and the database share. Where one process receives all messages, the other is "
        "like a `worker` beside a `web`."
    )
    yield (
        f"A full table: {TURNS_PER_CONVERSATION} turns in each conversation; messages arrive one after another in "
        f"random conversations, and are claimed, answered and finished; medians of {plan.table_messages}, alternating "
        f"with a table of {scale.FEW_TURNS} turns. A process is killed as soon as it has started all its runs, so that "
        "its leases last longest."
    )


METHOD_NOTES = {
    "chat": _chat_notes,
    "slack": _slack_notes,
    "telegram": _telegram_notes,
    "discord": _discord_notes,
    "scale": _scale_notes,
}
"""Returns, for each of SCENES, the notes on its method that are printed under the table."""


def _machine_notes(folder: Path) -> Iterator[str]:
    system = f"{platform.system()} {platform.release()}, {os.cpu_count()} x {_processor()}"
    yield f"{system}; Python {platform.python_version()}; SQLite, one fsync takes {_fsync_ms(folder):.2f} ms."


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _fsync_ms(folder: Path) -> float:
    """Measures how long the disk takes to write and sync a page; each turn waits for that several times."""
    with (folder / "page").open("wb", buffering=0) as page:
        begun = time.perf_counter()
        for _ in range(FSYNC_COUNT):
            page.write(b"\0" * 4096)
            os.fsync(page.fileno())
    return (time.perf_counter() - begun) * 1000 / FSYNC_COUNT


def _error_notes(errors: Sequence[str]) -> Iterator[str]:
    if errors:
        yield f"[red]{len(errors)} turns under load failed:[/]"
        yield from (f"  {count} x {error}" for error, count in Counter(errors).most_common(SHOWN_ERRORS))


if __name__ == "__main__":
    main()
