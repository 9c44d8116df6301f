"""The scale scenes: PostgreSQL beside SQLite, several processes over one, a full table, a process that is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from storage.migrations import upgrade
from tests.bench.loading import wait_until
from tests.bench.measurements import Measurement, PerformanceTarget, at_least, at_least_times, at_most, median
from tests.bench.plan import BenchPlan
from tests.bench.postgres_server import DatabaseServer, open_connection
from tests.bench.scale_core import CoreOrder
from tests.bench.scale_processes import CoreProcess, ScaleProcesses
from tests.bench.scale_tables import TURNS_PER_CONVERSATION, FilledTable, fill_table, measure_in_turns
from tests.bench.slack_scenes import BurstResult, SlackScenes, at_most_times, cpu_ms, median_of

PROCESSES = (1, 2, 4)
FEW_TURNS = 100
SQLITE_TURNS = 100_000
WARM_UP = 20
FLOOD = 5000
CAPACITY, HIGH_CAPACITY = 60, 2000
RUN_SECONDS = 1.0
ORPHANS = 50
NEVER_ENDS_SECONDS = 3600.0
ONE_PROCESS = "one process"

SLACK_MESSAGES = 600
DATABASE_SECTION = f"Slack: {SLACK_MESSAGES} direct messages over PostgreSQL"
INSTANT_SECTION = "Turns a second over PostgreSQL, the assistant answers at once"
SHARED_SECTION = "Turns a second over PostgreSQL, all received by one process"
WAITING_SECTION = f"Turns a second over PostgreSQL, the assistant answers after {RUN_SECONDS:g} s"
TABLE_SECTION = "A full table, ms"
DEATH_SECTION = "A process is killed, s"

CPU_NAME = "CPU ms a turn, PostgreSQL included"

PROGRESS_QUERY = """
SELECT count(*), count(delivered_at), count(run_id), coalesce(min(received_at), 0), coalesce(max(delivered_at), 0)
FROM turns
"""


@dataclass(frozen=True, slots=True)
class TurnProgress:
    """Progress of all turns of a database, with times by the database's clock."""

    received: int
    delivered: int
    started: int
    first_at: float
    last_at: float

    @property
    def rate(self) -> float:
        """Turns per second, from the first one received to the last one delivered."""
        return self.delivered / (self.last_at - self.first_at)


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """What one load took."""

    rate: float
    """Turns a second."""
    cpu_ms: float
    """CPU milliseconds a turn, of all core processes and PostgreSQL."""


class ScaleScenes:
    """Runs the scale scenes in the sizes of the plan."""

    def __init__(self, processes: ScaleProcesses, plan: BenchPlan, report_progress: Callable[[str], None]) -> None:
        self._processes = processes
        self._plan = plan
        self._report_progress = report_progress
        self.errors: list[str] = []
        """Errors that senders got instead of a 200 or a reply."""

    def measurements(self) -> Iterator[Measurement]:
        with self._processes.database_server() as server, ThreadPoolExecutor() as pool:
            yield from self._databases(server)
            self._report_progress(f"starting {max(PROCESSES)} core processes")
            cores = self._processes.start_cores(max(PROCESSES))
            yield from self._instant(server, cores)
            yield from self._shared(server, cores)
            yield from self._waiting(server, cores, CAPACITY, self._plan.low_capacity_turns)
            yield from self._waiting(server, cores, HIGH_CAPACITY, self._plan.high_capacity_turns)
            # The kill scene waits for a lease to expire; the table is filled meanwhile.
            full = pool.submit(fill_table, server.new_database(), self._plan.table_turns)
            yield self._death(server, cores)
            yield from self._full_tables(server, full)
        self._processes.stop()

    # ------------------------------------------------------------ PostgreSQL beside SQLite

    def _databases(self, server: DatabaseServer) -> Iterator[Measurement]:
        """Measures a Slack burst over either database; the CPU time of PostgreSQL counts."""
        scenes = SlackScenes(self._processes, self._plan, self._report_progress)
        ours, theirs = [], []
        for _ in range(self._plan.rounds):
            start = partial(self._processes.start_slack_gateway, DATABASE_URL=server.new_database())
            ours.append(scenes.burst(SLACK_MESSAGES, start, server.cpu_seconds))
            theirs.append(scenes.burst(SLACK_MESSAGES, self._processes.start_slack_gateway))
        self.errors += scenes.errors
        figures: tuple[tuple[str, Callable[[BurstResult], float], PerformanceTarget | None], ...] = (
            ("CPU ms a message, PostgreSQL included", cpu_ms, at_most_times(1.6)),
            ("replies a second", lambda burst: burst.rate, None),
        )
        for name, figure, aim in figures:
            yield Measurement(DATABASE_SECTION, name, median_of(figure, ours), median_of(figure, theirs), "SQLite", aim)

    # ------------------------------------------------------------ several processes

    def _instant(self, server: DatabaseServer, cores: Sequence[CoreProcess]) -> Iterator[Measurement]:
        turns = self._plan.instant_turns
        loads = {
            processes: self._median_load(server, cores[:processes], turns, receivers=processes)
            for processes in PROCESSES
        }
        rates = {processes: load.rate for processes, load in loads.items()}
        costs = {processes: load.cpu_ms for processes, load in loads.items()}
        for processes, rate in rates.items():
            yield Measurement(INSTANT_SECTION, _process_count(processes), rate, *_compared_with_one(processes, rates))
        yield Measurement(INSTANT_SECTION, "the best", max(rates.values()), target=at_least(800))
        for processes, cost in costs.items():
            name = f"{CPU_NAME}, {_process_count(processes)}"
            yield Measurement(INSTANT_SECTION, name, cost, *_compared_with_one(processes, costs))

    def _shared(self, server: DatabaseServer, cores: Sequence[CoreProcess]) -> Iterator[Measurement]:
        """Measures two processes of which one receives all messages, as ``web`` and ``worker`` do."""
        turns = self._plan.instant_turns
        alone, both = (self._median_load(server, cores[:count], turns, receivers=1) for count in (1, 2))
        name = "a process that receives, one that only works"
        yield Measurement(SHARED_SECTION, name, both.rate, alone.rate, ONE_PROCESS, at_least_times(1.5))
        yield Measurement(SHARED_SECTION, CPU_NAME, both.cpu_ms, alone.cpu_ms, ONE_PROCESS)

    def _waiting(
        self, server: DatabaseServer, cores: Sequence[CoreProcess], capacity: int, turns: int
    ) -> Iterator[Measurement]:
        rates = {
            processes: self._load(server, cores[:processes], turns, capacity=capacity, run_seconds=RUN_SECONDS).rate
            for processes in PROCESSES
        }
        for processes, rate in rates.items():
            aim = at_least_times(3) if capacity == CAPACITY and processes == max(PROCESSES) else None
            name = f"{_process_count(processes)}, up to {capacity} runs in each"
            yield Measurement(WAITING_SECTION, name, rate, *_compared_with_one(processes, rates), target=aim)

    def _median_load(
        self, server: DatabaseServer, cores: Sequence[CoreProcess], turns: int, *, receivers: int
    ) -> ScaleResult:
        loads = [self._load(server, cores, turns, receivers=receivers) for _ in range(self._plan.rounds)]
        return ScaleResult(median([load.rate for load in loads]), median([load.cpu_ms for load in loads]))

    def _load(
        self,
        server: DatabaseServer,
        cores: Sequence[CoreProcess],
        turns: int,
        *,
        capacity: int = HIGH_CAPACITY,
        run_seconds: float = 0.0,
        receivers: int | None = None,
    ) -> ScaleResult:
        """Loads all core processes; ``receivers`` of them receive the same number of turns each."""
        receivers = receivers or len(cores)
        url, each = server.new_database(), turns // receivers
        conversations = each if run_seconds else each // TURNS_PER_CONVERSATION
        self._report_progress(f"{len(cores)} core processes, {each * receivers} turns, up to {capacity} runs in each")
        for number, core in enumerate(cores):
            received = each if number < receivers else 0
            core.open(CoreOrder(url, core.name, received, conversations, capacity, run_seconds))
        before = server.cpu_seconds() + sum(core.cpu_seconds() for core in cores)
        for core in cores:
            core.start_accepting()
        for core in cores:
            core.wait_until_accepted()
        progress = _wait_for_progress(url, lambda now: now.delivered == each * receivers, "turns were not delivered")
        spent = server.cpu_seconds() + sum(core.cpu_seconds() for core in cores) - before
        for core in cores:
            core.close()
        return ScaleResult(progress.rate, 1000 * spent / (each * receivers))

    # ------------------------------------------------------------ a process is killed

    def _death(self, server: DatabaseServer, cores: Sequence[CoreProcess]) -> Measurement:
        """Kills a process as soon as all its runs have started, when its leases are newest."""
        (doomed, heir), url = cores[:2], server.new_database()
        self._report_progress(f"killing a process with {ORPHANS} claimed turns")
        doomed.open(CoreOrder(url, doomed.name, ORPHANS, ORPHANS, HIGH_CAPACITY, NEVER_ENDS_SECONDS))
        heir.open(CoreOrder(url, heir.name, 0, 1, HIGH_CAPACITY, 0.0))
        doomed.start_accepting()
        _wait_for_progress(url, lambda now: now.started == ORPHANS, "runs did not start")
        doomed.kill()
        killed_at = time.time()
        progress = _wait_for_progress(url, lambda now: now.delivered == ORPHANS, "orphans were not delivered")
        heir.start_accepting()
        heir.wait_until_accepted()
        heir.close()
        seconds = progress.last_at - killed_at
        return Measurement(DEATH_SECTION, f"from kill -9 to the last of {ORPHANS} replies", seconds, target=at_most(15))

    # ------------------------------------------------------------ a full table

    def _full_tables(self, server: DatabaseServer, full: Future[FilledTable]) -> Iterator[Measurement]:
        few = fill_table(server.new_database(), FEW_TURNS)
        yield from self._compare_tables(few, full.result(), "PostgreSQL", self._plan.table_turns)
        if self._plan.with_sqlite:
            tables = [self._in_sqlite(turns) for turns in (FEW_TURNS, SQLITE_TURNS)]
            yield from self._compare_tables(tables[0], tables[1], "SQLite", SQLITE_TURNS)

    def _compare_tables(self, few: FilledTable, full: FilledTable, kind: str, turns: int) -> Iterator[Measurement]:
        self._report_progress(f"{kind}: {turns:,} turns compared with {FEW_TURNS}")
        with closing(few.store), closing(full.store):
            theirs, ours = measure_in_turns((few, full), self._plan.table_messages, WARM_UP)
            flood = min(FLOOD, full.conversations)
            full.add_flood(flood)
            beside = [full.time_one_claim_beside_a_flood() for _ in range(WARM_UP + self._plan.table_messages)][
                WARM_UP:
            ]
        title = f"claim beside {flood:,} waiting messages of another caller, {turns:,} turns in {kind}"
        yield Measurement(
            TABLE_SECTION, title, median(beside), median(theirs[1]), f"{FEW_TURNS} turns", at_most_times(2)
        )
        for name, samples, others in zip(("accept", "claim"), ours, theirs, strict=True):
            title = f"{name}, {turns:,} turns in {kind}"
            yield Measurement(
                TABLE_SECTION, title, median(samples), median(others), f"{FEW_TURNS} turns", at_most_times(1.2)
            )

    def _in_sqlite(self, turns: int) -> FilledTable:
        url = self._processes.sqlite_url(f"{turns}-turns")
        upgrade(url)
        return fill_table(url, turns)


def _wait_for_progress(url: str, condition: Callable[[TurnProgress], bool], message: str) -> TurnProgress:
    """Polls the database until the condition is true and returns that progress. Raises TimeoutError."""
    seen: list[TurnProgress] = []
    with open_connection(url) as connection:

        def look() -> bool:
            row = connection.execute(PROGRESS_QUERY).fetchone()
            seen.append(TurnProgress(*row) if row else TurnProgress(0, 0, 0, 0.0, 0.0))
            return condition(seen[-1])

        wait_until(look, message)
    return seen[-1]


def _process_count(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"


def _compared_with_one(processes: int, rates: dict[int, float]) -> tuple[float | None, str]:
    return (None, "") if processes == 1 else (rates[1], ONE_PROCESS)
