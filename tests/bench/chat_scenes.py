"""The /chat scenes: starts servers against one fake OpenAI, measures them, and stops them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from adapters.openai_api.assistants.run_routes import HOLD_SECONDS
from tests.bench.caller import ChatCaller
from tests.bench.load import LoadOrder, LoadResult
from tests.bench.loading import ServerLoadResult, hold_in_flight, run_load, wait_until
from tests.bench.measurements import (
    Measurement,
    at_least_times,
    at_most,
    at_most_more,
    at_most_times,
    below,
    median,
    p99,
)
from tests.bench.plan import (
    ARRIVALS_PER_SECOND,
    BACKENDS,
    CALLERS,
    CHUNK_SECONDS,
    IN_FLIGHT,
    RUNS_OF_MANY,
    THINK_SECONDS,
    Backend,
    BenchPlan,
)
from tests.bench.processes import BenchProcesses, BenchServer
from tests.bench.single_caller import SdkAndServerTimes, SingleCaller
from tests.bench.usage import ProcessUsage

SDK_NAME = "the SDK alone"
FLASK_NAME = "plain Flask"
FLASK_SLEEPING_NAME = "plain Flask, sleeping before polling"
SINGLE_SECTION, MANY_SECTION, FIRST_TOKEN_SECTION, MEMORY_SECTION = (
    "A single caller, ms",
    f"{CALLERS} callers at once",
    "First token, ms",
    "Memory, MB (RSS)",
)
POLLING_SECTION = "Clients that poll their runs"
OWN_WORK = "CPU of its thread between two wake-ups"
STALL_SECTION = f"Event loop held up, ms, {CALLERS} callers at once"
SETTLE_SECONDS = 1.0
MANY_SECONDS = 240.0
"""How long the most waiting callers may take to connect, also on a busy machine."""


class ChatScenes:
    """Runs the /chat scenes in the sizes of the plan."""

    def __init__(self, processes: BenchProcesses, plan: BenchPlan, report_progress: Callable[[str], None]) -> None:
        self._processes = processes
        self._plan = plan
        self._report_progress = report_progress
        self.errors: list[str] = []
        """Errors that callers under load got instead of a reply."""

    def measurements(self) -> Iterator[Measurement]:
        idle: list[Measurement] = []
        with self._processes.start_fake_openai() as fake, ThreadPoolExecutor() as pool:
            self._report_progress("starting the servers")
            starting = [pool.submit(self._processes.start_gateway, fake, backend, backend) for backend in BACKENDS]
            plain = pool.submit(self._processes.start_tutorial, fake)
            patient = (
                pool.submit(self._processes.start_tutorial, fake, sleep_first=True)
                if self._plan.with_sleep_first
                else None
            )
            gateways = {backend: server.result() for backend, server in zip(BACKENDS, starting, strict=True)}
            for backend, server in gateways.items():
                idle.append(_idle(backend, server))
                yield from self._single_caller(fake, backend, server)
            yield from self._assistants_api(fake, gateways["responses"])
            yield from self._many(gateways, plain.result())
            if patient:
                yield self._compare_sleeping(gateways["threads"], patient.result())
            yield from self._at_fixed_rates(gateways["threads"], plain.result())
            yield from self._stalls(fake)
        yield from self._first_tokens()
        yield from self._polling()
        yield from idle
        yield from self._in_flight()

    # ------------------------------------------------------------ one caller

    def _single_caller(self, fake: BenchServer, backend: Backend, server: BenchServer) -> Iterator[Measurement]:
        self._report_progress(f"single caller: {backend}")
        lone = SingleCaller(fake, backend, server)
        yield from _compare_with_sdk(
            SINGLE_SECTION, f"{backend}, existing thread", lone.turns_in_open_threads(self._plan.single_turns)
        )
        yield from _compare_with_sdk(
            SINGLE_SECTION, f"{backend}, new thread", lone.turns_in_new_threads(self._plan.single_turns)
        )

    def _assistants_api(self, fake: BenchServer, server: BenchServer) -> Iterator[Measurement]:
        self._report_progress("single caller: /v1/threads")
        lone = SingleCaller(fake, "responses", server)
        theirs, ours = lone.turns_of_both_apis(self._plan.single_turns)
        name, target = "responses, a run of /v1/threads: median", at_most_times(1.2)
        yield Measurement(SINGLE_SECTION, name, median(ours), median(theirs), "/chat", target)
        chat, run = lone.cpu_of_both_apis(self._plan.single_turns)
        yield Measurement(SINGLE_SECTION, "responses, a run of /v1/threads: CPU ms", run, chat, "/chat")

    def _polling(self) -> Iterator[Measurement]:
        """Has many clients poll runs that do not end. A poll is held for half a second, to tell an end at once."""
        name = f"{self._plan.polling} clients polling /v1/threads"
        self._report_progress(name)
        with self._processes.start_fake_openai(think=THINK_SECONDS) as fake:
            most = {"MAX_RUNS": f"{self._plan.polling}", "CHAT_READS_PER_MINUTE": "0"}
            server = self._processes.start_gateway(fake, "responses", "polled", **most)
            order = LoadOrder(
                "poll", server.url, self._plan.polling, seconds=self._plan.rate_seconds, rate=ARRIVALS_PER_SECOND
            )
            polled = self._load(order, server)
        held = [ms - 1000 * HOLD_SECONDS for ms in polled.result.times]
        yield Measurement(POLLING_SECTION, f"{name}: ms beyond the hold, median", median(held))
        yield Measurement(POLLING_SECTION, f"{name}: ms beyond the hold, p99", p99(held), target=below(100))
        yield Measurement(POLLING_SECTION, f"{name}: polls a second", polled.rate)
        yield Measurement(POLLING_SECTION, f"{name}: CPU ms a poll", polled.cpu_ms)
        yield Measurement(POLLING_SECTION, f"{name}: MB", polled.rss_mb, target=below(200))

    def _first_tokens(self) -> Iterator[Measurement]:
        with self._processes.start_fake_openai(chunk_delay=CHUNK_SECONDS) as fake, ThreadPoolExecutor() as pool:
            self._report_progress("starting the servers")
            servers = pool.map(
                lambda backend: self._processes.start_gateway(fake, backend, f"paced-{backend}"), BACKENDS
            )
            for backend, server in zip(BACKENDS, servers, strict=True):
                self._report_progress(f"first tokens: {backend}")
                samples = SingleCaller(fake, backend, server).times_to_first_text(self._plan.first_tokens)
                yield from _compare_with_sdk(FIRST_TOKEN_SECTION, backend, samples, p99_too=False)

    # ------------------------------------------------------------ many callers

    def _many(self, gateways: dict[Backend, BenchServer], plain: BenchServer) -> Iterator[Measurement]:
        servers = [gateways["threads"], plain, gateways["responses"], gateways["chat"]]
        loads: dict[str, list[ServerLoadResult]] = {server.name: [] for server in servers}
        for _ in range(self._plan.rounds):
            for server in servers:
                loads[server.name].append(self._many_callers(server))
        for backend in BACKENDS:
            ours, theirs = (median([one.rate for one in loads[name]]) for name in (backend, plain.name))
            yield Measurement(MANY_SECTION, f"turns a second, {backend}", ours, theirs, FLASK_NAME, at_least_times(2))
        for backend in BACKENDS:
            ours, theirs = (median([one.cpu_ms for one in loads[name]]) for name in (backend, plain.name))
            yield Measurement(MANY_SECTION, f"CPU ms a turn, {backend}", ours, theirs, FLASK_NAME)
        for backend in BACKENDS:
            ours, theirs = (loads[name][-1].rss_mb for name in (backend, plain.name))
            yield Measurement(MANY_SECTION, f"MB afterwards, {backend}", ours, theirs, FLASK_NAME)

    def _compare_sleeping(self, gateway: BenchServer, patient: BenchServer) -> Measurement:
        """Measures once: with a sleep of a second there is no noise."""
        ours, theirs = self._many_callers(gateway).rate, self._many_callers(patient).rate
        return Measurement(MANY_SECTION, f"turns a second, {gateway.name}", ours, theirs, FLASK_SLEEPING_NAME)

    def _many_callers(self, server: BenchServer) -> ServerLoadResult:
        self._report_progress(f"{CALLERS} callers: {server.name}")
        return self._load(LoadOrder("closed", server.url, CALLERS, seconds=self._plan.load_seconds), server)

    def _at_fixed_rates(self, gateway: BenchServer, plain: BenchServer) -> Iterator[Measurement]:
        for rate in self._plan.rates:
            section = f"{rate:g} turns a second at a fixed rate, ms from the planned start"
            ours, theirs = (self._times_at_rate(server, rate) for server in (gateway, plain))
            yield Measurement(section, f"{gateway.name}: median", median(ours), median(theirs), FLASK_NAME)
            yield Measurement(section, f"{gateway.name}: p99", p99(ours), p99(theirs), FLASK_NAME)

    def _times_at_rate(self, server: BenchServer, rate: float) -> list[float]:
        self._report_progress(f"{rate:g} turns a second: {server.name}")
        order = LoadOrder("open", server.url, CALLERS, seconds=self._plan.rate_seconds, rate=rate)
        return self._load(order, server).result.times

    def _load(self, order: LoadOrder, server: BenchServer) -> ServerLoadResult:
        loaded = run_load(order, server)
        self._note_errors(server.name, loaded.result)
        if not loaded.result.times:
            raise RuntimeError(f"no turn succeeded: {self.errors[:1]}")
        return loaded

    def _note_errors(self, name: str, result: LoadResult) -> None:
        self.errors += [f"{name}: {error}" for error in result.errors]

    def _stalls(self, fake: BenchServer) -> Iterator[Measurement]:
        """Measures how long the event loop is held up while many callers are served."""
        server, file = self._processes.start_watched_gateway(fake, "responses")
        self._many_callers(server)
        time.sleep(SETTLE_SECONDS)
        stalls = json.loads(file.read_text())
        yield Measurement(STALL_SECTION, "p99.9", stalls["p999_ms"], target=below(50))
        yield Measurement(STALL_SECTION, "longest", stalls["longest_ms"], note=stalls["longest_cause"])
        yield Measurement(STALL_SECTION, "p99.9, its own work alone", stalls["own_p999_ms"], note=OWN_WORK)
        about = stalls["own_longest_cause"]
        yield Measurement(STALL_SECTION, "longest, its own work alone", stalls["own_longest_ms"], note=about)

    # ------------------------------------------------------------ turns in flight

    def _in_flight(self) -> Iterator[Measurement]:
        for backend in self._plan.held_by:
            yield from self._hold(backend, f"{backend}: {IN_FLIGHT} callers waiting")
        if self._plan.most_waiting:
            yield self._hold_many(self._plan.most_waiting)
        for backend in self._plan.held_without_callers:
            yield from self._hold(backend, f"{backend}: {IN_FLIGHT} turns, no caller waiting", prefer="respond-async")

    def _hold(self, backend: Backend, name: str, *, prefer: str = "") -> Iterator[Measurement]:
        self._report_progress(name)
        with self._processes.start_fake_openai(think=THINK_SECONDS) as fake:
            server = self._processes.start_gateway(fake, backend, f"held-{backend}-{prefer}")
            time.sleep(SETTLE_SECONDS)
            before = server.usage()
            order = LoadOrder("hold", server.url, IN_FLIGHT, rate=ARRIVALS_PER_SECOND, prefer=prefer)
            with hold_in_flight(order) as let_go:
                wait_until(lambda: fake.connections() >= IN_FLIGHT, f"{name}: not all turns were in flight at once")
                time.sleep(SETTLE_SECONDS)
                usage = server.usage()
                self._note_errors(server.name, let_go())
        yield _memory(name, usage, limit=150)
        each = (usage.rss_mb - before.rss_mb) * 1000 / IN_FLIGHT
        yield Measurement(MEMORY_SECTION, f"{name}: kB for each", each, target=at_most(40) if prefer else None)

    def _hold_many(self, callers: int) -> Measurement:
        """Keeps so many callers waiting, some for a run and the others for their turn."""
        name = f"responses: {callers:,} callers waiting, {RUNS_OF_MANY:,} of them for a run"
        self._report_progress(name)
        settings = {"MAX_RUNS": f"{RUNS_OF_MANY}", "MAX_WAITING_CALLERS": f"{callers}"}
        settings |= dict.fromkeys(("MAX_QUEUE", "MAX_QUEUE_PER_PLATFORM"), f"{2 * callers}")
        # As behind a proxy: so many callers of one address, who do not all send at once what they have to.
        settings |= {"TRUSTED_PROXIES": "1", "CHAT_WAIT_SECONDS": f"{THINK_SECONDS:g}", "MAX_CALLER_SHARE": "1"}
        with self._processes.start_fake_openai(think=THINK_SECONDS) as fake:
            server = self._processes.start_gateway(fake, "responses", "held-many", **settings)
            with hold_in_flight(LoadOrder("hold", server.url, callers, rate=ARRIVALS_PER_SECOND)) as let_go:
                wait_until(
                    lambda: min(fake.connections() / RUNS_OF_MANY, server.connections() / callers) >= 1,
                    f"{name}: not all callers were connected, or not all runs in flight, at once",
                    MANY_SECONDS,
                )
                time.sleep(SETTLE_SECONDS)
                usage = server.usage()
                self._note_errors(server.name, let_go())
        return _memory(name, usage, limit=600)


def _idle(backend: Backend, server: BenchServer) -> Measurement:
    """Measures memory after one turn; also fails early when a server does not work at all."""
    caller = ChatCaller(server.url)
    caller.send("Hello.")
    caller.close()
    time.sleep(SETTLE_SECONDS)
    return _memory(f"{backend}: idle after one turn", server.usage(), limit=100)


def _memory(name: str, usage: ProcessUsage, *, limit: float) -> Measurement:
    return Measurement(MEMORY_SECTION, name, usage.rss_mb, note=f"PSS {usage.pss_mb:.0f}", target=below(limit))


def _compare_with_sdk(
    section: str, name: str, samples: SdkAndServerTimes, *, p99_too: bool = True
) -> Iterator[Measurement]:
    theirs, ours = samples
    yield Measurement(section, f"{name}: median", median(ours), median(theirs), SDK_NAME, at_most_more(5))
    aim = at_most_more(20) if p99_too else None
    yield Measurement(section, f"{name}: p99", p99(ours), p99(theirs), SDK_NAME, aim)
