"""Runs one cell: users, a platform, a backend, a database, one or two gateways; injects the fault and scores the
result.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

from tests.fakes.openai_server import CallTool, FakeOpenAI, HttpFault, Say
from tests.faults.gateway_process import GatewayProcess
from tests.faults.matrix import injectors
from tests.faults.matrix.api_senders import ApiSenders
from tests.faults.matrix.callback_senders import CallbackSenders
from tests.faults.matrix.databases import DatabaseTemplates, MatrixDatabase, MountNotAllowed, open_database
from tests.faults.matrix.handover_senders import HandoverSenders
from tests.faults.matrix.plan import (
    BACKEND_FAULTS,
    CLOCK_FAULTS,
    KILLS,
    NEEDS_SERVER,
    PARKING_STEPS,
    PLATFORM_FAULTS,
    DatabaseKind,
    FaultStep,
    MatrixCell,
    MatrixFault,
    PlatformVariant,
)
from tests.faults.matrix.process_hooks import MatrixHooks, SharedControls
from tests.faults.matrix.proxy import ProxyGroup, TcpProxy, open_proxies
from tests.faults.matrix.push_senders import PushSenders
from tests.faults.matrix.response_senders import ResponseSenders
from tests.faults.matrix.run_senders import FUNCTION, RunSenders
from tests.faults.matrix.scoring import (
    EMPTY_SCORE,
    CellScore,
    reply_to,
    said_in,
    score_assistant_threads,
    score_replies,
)
from tests.faults.matrix.senders import RESPONSE_TIMEOUT, DiscordSenders, Senders, SlackSenders, TelegramSenders
from tests.faults.matrix.sync_point import SyncPoint, listen_for_reports

MESSAGES_PER_SENDER = {"A": 2, "B": 3, "C": 2}
"""Number of messages each user sends."""
LONG_CHARS = 1500
"""Extra characters of a message, so that the database needs more disk space."""
STEP_TIMEOUT = 60.0
FINISH_TIMEOUT = 30.0
LATE_MESSAGE_SECONDS = 0.4
"""Seconds to wait for messages that should not come."""
SILENT_FAULTS = (MatrixFault.BACKEND_SILENT, MatrixFault.PLATFORM_SILENT)
SHORT_TIMEOUT = 1.0
LOCK_SECONDS = 0.4
SLOW_CHUNK_DELAY = 0.15
THINK_SECONDS = 0.3
"""Before a reply's first word, where the backend fails: it matters whether a run is seen while it lasts, and no model
takes less.
"""
"""Seconds between two words of a reply, so that a resumed process finds the other one still at work."""
PREVIEW_STEPS = (FaultStep.RUN_STORED, FaultStep.STREAMING)
"""Steps at which previews matter."""


@dataclass(frozen=True)
class CellOutcome:
    cell: MatrixCell
    score: CellScore = EMPTY_SCORE
    error: str = ""
    """Why the cell did not run to its end; always a defect."""
    skipped: str = ""
    seconds: float = 0.0
    log: str = ""
    """Logs of the gateways if the cell failed."""

    @property
    def passed(self) -> bool:
        return self.score.passed and not self.error


@dataclass
class CellScenario:
    cell: MatrixCell
    folder: Path
    database: MatrixDatabase
    controls: SharedControls
    openai: FakeOpenAI
    senders: Senders
    sync: SyncPoint
    gateway_proxy: TcpProxy
    database_proxy: TcpProxy | None
    backend_proxy: TcpProxy | None
    platform_proxy: TcpProxy | None
    processes: list[GatewayProcess] = field(default_factory=list)
    replies: Sequence[Sequence[str]] = ()
    """The replies users see in the end, by conversation."""

    @property
    def is_shared(self) -> bool:
        """Whether several gateways can share the database."""
        return self.cell.database is DatabaseKind.POSTGRESQL

    @property
    def _waits_for_budget(self) -> bool:
        """Whether turns are parked for a budget, not for the outputs of their callers."""
        return self.cell.step in PARKING_STEPS and self.cell.platform is not PlatformVariant.RUNS

    @property
    def first(self) -> GatewayProcess:
        return self.processes[0]

    def start_process(self) -> GatewayProcess:
        """Starts a gateway. The first one gets the fault; later ones take over."""
        home = self.folder / f"gateway{len(self.processes) + 1}"
        home.mkdir()
        seconds = LOCK_SECONDS if self.cell.fault is MatrixFault.RESTART else 10.0
        program = GatewayProcess(home, self._environment(), lock_timeout=seconds, hooks=self._hooks())
        self.processes.append(program)
        assert program.url, f"the gateway did not start: {(home / 'log').read_text()[-1000:]}"
        return program

    def start_replacement(self) -> None:
        """Starts another gateway and routes new connections to it."""
        self.route_to(self.start_process())

    def route_to(self, program: GatewayProcess) -> None:
        self.gateway_proxy.target = int(program.url.rpartition(":")[2])

    def release(self) -> None:
        self.sync.release()
        self.openai.release()

    def _hooks(self) -> MatrixHooks:
        return MatrixHooks(
            step=_store_step(self.cell.step) if not self.processes else "",
            sync_socket=self.folder / "post",
            controls_path=self.folder / "levers",
            clock_controlled=self.cell.fault in CLOCK_FAULTS,
            disk_controlled=self.cell.fault is MatrixFault.DISK_FULL,
            network_timeout=SHORT_TIMEOUT if self.cell.fault in SILENT_FAULTS else None,
        )

    def _environment(self) -> dict[str, str]:
        backend = self.backend_proxy.port if self.backend_proxy else self.openai.port
        environment = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATABASE_URL": self._database_url(),
            "ASSISTANT_BACKEND": "responses",
            "ASSISTANT_POLL_SECONDS": "0.05",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{backend}/v1",
            **self.senders.environment(self.platform_proxy.port if self.platform_proxy else self.senders.port),
        }
        if self.cell.step is FaultStep.AFTER_CLAIM:
            environment["MAX_RUNS"] = "1"  # so that not every turn is claimed when it is enqueued
        if self._waits_for_budget:  # the first turn might use up all of it
            environment |= {"BUDGET_PLATFORM_DAY": "100", "PRICES": "gpt-test=1/1"}
        if self.cell.step not in PREVIEW_STEPS:
            environment |= {"SLACK_PREVIEW": "off", "TELEGRAM_STREAMING": "off", "DISCORD_STREAMING": "off"}
        return environment

    def _database_url(self) -> str:
        """Returns the database URL; only the first gateway goes through the proxy."""
        if self.database_proxy is None or self.processes:
            return self.database.url
        return self.database.url_through(self.database_proxy.port)

    # ------------------------------------------------------------ running

    def run(self) -> CellScore:
        said = conversations(LONG_CHARS if self.cell.fault is MatrixFault.DISK_FULL else 0)
        self.start_replacement()
        self.senders.deliver_to(self.gateway_proxy.port)
        self._arm(len(said))
        speaking = _SenderThread(self.senders, said)
        assert self.sync.wait(STEP_TIMEOUT), "the step was not reached"
        if self.cell.step is FaultStep.STREAMING:
            time.sleep(0.15)  # lets a preview appear
        injectors.inject(self)
        speaking.join()
        self.senders.wait_until_idle()
        quiet = self._wait_until_finished()
        time.sleep(LATE_MESSAGE_SECONDS)
        texts = said_in(self.openai.conversations.values())
        self.replies = self.senders.replies()
        tally = score_assistant_threads(said, texts) + score_replies(said, self.replies, self.senders.stray_messages())
        assert quiet or not tally.passed, "a turn is unfinished, though all replies are there"
        return tally

    def _arm(self, conversations: int) -> None:
        match self.cell.step:
            case FaultStep.RUN_REQUESTED:
                self.openai.faults.add(HttpFault(path="/responses", gate=self.sync.released))
                threading.Thread(target=self._watch_backend, daemon=True).start()
            case FaultStep.STREAMING:
                self.openai.script(*[Say(hold_after=2)] * conversations)
            case FaultStep.PARKED | FaultStep.WOKEN if self._waits_for_budget:
                self.openai.think = SLOW_CHUNK_DELAY
            case FaultStep.DELIVERING:
                self.senders.hold_reply_call(self.sync)

    def _watch_backend(self) -> None:
        self.openai.wait_for("POST", "/responses", timeout=STEP_TIMEOUT)
        self.sync.reach()

    def _wait_until_finished(self) -> bool:
        end = time.monotonic() + FINISH_TIMEOUT
        while self.database.unfinished_turns() != 0:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


class _SenderThread:
    """Sends the messages in a thread of its own."""

    def __init__(self, crowd: Senders, said: list[list[str]]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(crowd, said), daemon=True)
        self._thread.start()

    def _run(self, crowd: Senders, said: list[list[str]]) -> None:
        try:
            crowd.send_all(said)
        except BaseException as exc:  # noqa: BLE001  # reraised in `join`
            self._error = exc

    def join(self) -> None:
        """Waits until all messages are accepted. Raises AssertionError."""
        self._thread.join()
        if self._error is not None:
            raise self._error


def conversations(length: int = 0) -> list[list[str]]:
    """Returns the messages to send, all different; with so many incompressible characters appended."""
    return [
        [f"message {number} of {who} {token_hex(length // 2)}".strip() for number in range(1, many + 1)]
        for who, many in MESSAGES_PER_SENDER.items()
    ]


def _store_step(step: FaultStep) -> str:
    match step:
        case FaultStep.RUN_REQUESTED | FaultStep.DELIVERING:
            return ""
        case FaultStep.STREAMING:
            return FaultStep.RUN_STORED.value
    return step.value


def _sync_point(cell: MatrixCell) -> SyncPoint:
    if cell.platform is PlatformVariant.HANDOVER:
        return SyncPoint(armed=False)
    if cell.step is FaultStep.STREAMING:
        return SyncPoint(nth_arrival=3, blocks=False)  # when all three replies are being streamed
    if cell.step is FaultStep.POSTED_MESSAGES_STORED and cell.platform.family == "telegram":
        return SyncPoint(nth_arrival=4)  # Telegram's adapter saves each message before it is sent as well
    return SyncPoint()


@contextmanager
def _senders(cell: MatrixCell, door: TcpProxy, moment: SyncPoint) -> Iterator[Senders]:
    crowd: Senders
    patience = RESPONSE_TIMEOUT if cell.fault is MatrixFault.INBOUND_SILENT else 10.0
    match cell.platform:
        case PlatformVariant.CHAT:
            crowd = ApiSenders(door, timeout=patience)
        case PlatformVariant.RESPONSES:
            crowd = ResponseSenders(door, timeout=patience)
        case PlatformVariant.RUNS:
            crowd = RunSenders(door, timeout=patience, counts_retries=cell.fault is MatrixFault.KILL)
        case PlatformVariant.CALLBACK:
            crowd = CallbackSenders(door, timeout=patience)
        case PlatformVariant.PUSH | PlatformVariant.SCHEDULE:
            crowd = PushSenders(door, scheduled=cell.platform is PlatformVariant.SCHEDULE)
        case PlatformVariant.SLACK:
            crowd = SlackSenders()
        case PlatformVariant.HANDOVER:
            crowd = HandoverSenders(moment)
        case PlatformVariant.DISCORD:
            crowd = DiscordSenders()
        case _:
            crowd = TelegramSenders(polling=cell.platform is PlatformVariant.POLLING)
    try:
        yield crowd
    finally:
        crowd.close()


@contextmanager
def open_cell(cell: MatrixCell, templates: DatabaseTemplates) -> Iterator[CellScenario]:
    """Yields the setup of one cell. Raises MountNotAllowed."""
    with ExitStack() as leaving:
        folder = Path(tempfile.mkdtemp(prefix="gateway-cell-"))
        leaving.callback(shutil.rmtree, folder, ignore_errors=True)
        levers = SharedControls(folder / "levers")
        home = leaving.enter_context(open_database(cell, templates, levers))
        links: ProxyGroup = leaving.enter_context(open_proxies())
        openai = leaving.enter_context(FakeOpenAI())
        openai.reply = lambda texts: reply_to(texts[-1])
        openai.calls_first = CallTool(FUNCTION)  # of those who run functions
        openai.think = THINK_SECONDS if cell.fault in BACKEND_FAULTS else 0.0
        openai.chunk_delay = SLOW_CHUNK_DELAY if cell.has_second_process and cell.fault not in KILLS else 0.0
        door = links.add_proxy()
        moment = _sync_point(cell)
        crowd = leaving.enter_context(_senders(cell, door, moment))
        leaving.enter_context(listen_for_reports(folder / "post", moment))
        scene = CellScenario(
            cell, folder, home, levers, openai, crowd, moment, door,
            database_proxy=links.add_proxy(home.target) if cell.fault in NEEDS_SERVER else None,
            backend_proxy=links.add_proxy(openai.port) if cell.fault in BACKEND_FAULTS else None,
            platform_proxy=links.add_proxy(crowd.port) if cell.fault in PLATFORM_FAULTS else None,
        )  # fmt: skip
        try:
            yield scene
        finally:
            scene.release()
            for program in scene.processes:
                program.kill()


def run_cell(cell: MatrixCell, templates: DatabaseTemplates) -> CellOutcome:
    """Runs one cell. Never raises: errors are part of the result."""
    begun = time.monotonic()
    try:
        with open_cell(cell, templates) as scene:
            outcome = _run_scenario(scene)
    except MountNotAllowed:
        outcome = CellOutcome(cell, skipped="this user may not mount a small disk")
    except Exception as exc:  # noqa: BLE001  # an error must not end the other cells
        outcome = CellOutcome(cell, error=f"{type(exc).__name__}: {exc}")
    return replace(outcome, seconds=time.monotonic() - begun)


def _run_scenario(scene: CellScenario) -> CellOutcome:
    try:
        outcome = CellOutcome(scene.cell, scene.run())
    except Exception as exc:  # noqa: BLE001  # as above; the logs still exist here
        outcome = CellOutcome(scene.cell, error=f"{type(exc).__name__}: {exc}")
    return outcome if outcome.passed else replace(outcome, log=_log(scene))


def _log(scene: CellScenario) -> str:
    logs = sorted(scene.folder.glob("gateway*/log"))
    asked = f"the assistant was asked: {[scene.openai.user_texts(name) for name in scene.openai.conversations]}"
    return "\n".join(
        [asked, f"replies: {scene.replies}", *(f"--- {log.parent.name}\n{log.read_text()}" for log in logs)]
    )
