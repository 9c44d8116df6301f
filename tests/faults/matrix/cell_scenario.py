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

from tests.fakes.openai_server import FakeOpenAI, Fault, Say
from tests.faults.gateway_process import Program
from tests.faults.matrix import injectors
from tests.faults.matrix.api_senders import CallersCrowd
from tests.faults.matrix.databases import CannotMount, Ground, Place, place
from tests.faults.matrix.plan import CLOCKS, DEATHS, NEEDS_SERVER, Cell, Database, Platform, Step
from tests.faults.matrix.plan import Fault as Blow
from tests.faults.matrix.process_hooks import Halt, Levers
from tests.faults.matrix.proxy import Link, Network, network
from tests.faults.matrix.scoring import NOTHING, Tally, asked, brought, reply_to
from tests.faults.matrix.senders import SILENCE, Crowd, SlackCrowd, TelegramCrowd
from tests.faults.matrix.sync_point import Moment, hearing

PEOPLE = {"A": 2, "B": 3, "C": 2}
"""Number of messages each user sends."""
LONG = 1500
"""Extra characters of a message, so that the database needs more disk space."""
REACH_SECONDS = 20.0
QUIET_SECONDS = 30.0
LINGER = 0.4
"""Seconds to wait for messages that should not come."""
SILENT = (Blow.BACKEND_SILENT, Blow.PLATFORM_SILENT)
SHORT_PATIENCE = 1.0
LOCK_SECONDS = 0.4
UNHURRIED = 0.15
"""Seconds between two words of a reply, so that a resumed process finds the other one still at work."""
WATCHED = (Step.RUN_STARTED, Step.STREAMING)
"""Steps at which previews matter."""


@dataclass(frozen=True)
class Outcome:
    cell: Cell
    tally: Tally = NOTHING
    trouble: str = ""
    """Why the cell did not run to its end; always a defect."""
    skipped: str = ""
    seconds: float = 0.0
    log: str = ""
    """Logs of the gateways if the cell failed."""

    @property
    def well(self) -> bool:
        return self.tally.well and not self.trouble


@dataclass
class Scene:
    cell: Cell
    folder: Path
    place: Place
    levers: Levers
    openai: FakeOpenAI
    crowd: Crowd
    moment: Moment
    door: Link
    to_database: Link | None
    to_backend: Link | None
    to_platform: Link | None
    programs: list[Program] = field(default_factory=list)
    stands: Sequence[Sequence[str]] = ()
    """The replies users see in the end, by conversation."""

    @property
    def shared(self) -> bool:
        """Whether several gateways can share the database."""
        return self.cell.database is Database.POSTGRESQL

    @property
    def first(self) -> Program:
        return self.programs[0]

    def start(self) -> Program:
        """Starts a gateway. The first one gets the fault; later ones take over."""
        home = self.folder / f"gateway{len(self.programs) + 1}"
        home.mkdir()
        seconds = LOCK_SECONDS if self.cell.fault is Blow.RESTART else 10.0
        program = Program(home, self._environment(), database_seconds=seconds, inside=self._inside())
        self.programs.append(program)
        assert program.url, f"the gateway did not start: {(home / 'log').read_text()[-1000:]}"
        return program

    def take_over(self) -> None:
        """Starts another gateway and routes new connections to it."""
        self.lead_to(self.start())

    def lead_to(self, program: Program) -> None:
        self.door.target = int(program.url.rpartition(":")[2])

    def let_go(self) -> None:
        self.moment.let_go()
        self.openai.release()

    def _inside(self) -> Halt:
        return Halt(
            step=_step_of_store(self.cell.step) if not self.programs else "",
            post=self.folder / "post",
            levers=self.folder / "levers",
            skewed=self.cell.fault in CLOCKS,
            filled=self.cell.fault is Blow.DISK_FULL,
            network_seconds=SHORT_PATIENCE if self.cell.fault in SILENT else None,
        )

    def _environment(self) -> dict[str, str]:
        backend = self.to_backend.port if self.to_backend else self.openai.port
        environment = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATABASE_URL": self._database_url(),
            "ASSISTANT_BACKEND": "responses",
            "ASSISTANT_POLL_SECONDS": "0.05",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{backend}/v1",
            **self.crowd.environment(self.to_platform.port if self.to_platform else self.crowd.port),
        }
        if self.cell.step is Step.AFTER_CLAIM:
            environment["MAX_RUNS"] = "1"  # so that not every turn is claimed when it is enqueued
        if self.cell.step not in WATCHED:
            environment |= {"SLACK_PREVIEW": "off", "TELEGRAM_STREAMING": "off"}
        return environment

    def _database_url(self) -> str:
        """Returns the database URL; only the first gateway goes through the proxy."""
        if self.to_database is None or self.programs:
            return self.place.url
        return self.place.url_by(self.to_database.port)

    # ------------------------------------------------------------ running

    def play(self) -> Tally:
        said = conversations(LONG if self.cell.fault is Blow.DISK_FULL else 0)
        self.take_over()
        self.crowd.come_to(self.door.port)
        self._arm(len(said))
        speaking = _Speaking(self.crowd, said)
        assert self.moment.wait(REACH_SECONDS), "the step was not reached"
        if self.cell.step is Step.STREAMING:
            time.sleep(0.15)  # lets a preview appear
        injectors.strike(self)
        speaking.finish()
        self.crowd.settle()
        quiet = self._quiet()
        time.sleep(LINGER)
        texts = [self.openai.user_texts(name) for name in self.openai.conversations]
        self.stands = self.crowd.places()
        tally = asked(said, texts) + brought(said, self.stands, self.crowd.elsewhere())
        assert quiet or not tally.well, "a turn is unfinished, though all replies are there"
        return tally

    def _arm(self, conversations: int) -> None:
        match self.cell.step:
            case Step.RUN_POSTED:
                self.openai.faults.add(Fault(path="/responses", gate=self.moment.passed))
                threading.Thread(target=self._watch_backend, daemon=True).start()
            case Step.STREAMING:
                self.openai.script(*[Say(hold_after=2)] * conversations)
            case Step.DELIVERING:
                self.crowd.hold_answer(self.moment)

    def _watch_backend(self) -> None:
        self.openai.wait_for("POST", "/responses", timeout=REACH_SECONDS)
        self.moment.reach()

    def _quiet(self) -> bool:
        end = time.monotonic() + QUIET_SECONDS
        while self.place.unfinished() != 0:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


class _Speaking:
    """Sends the messages in a thread of its own."""

    def __init__(self, crowd: Crowd, said: list[list[str]]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(crowd, said), daemon=True)
        self._thread.start()

    def _run(self, crowd: Crowd, said: list[list[str]]) -> None:
        try:
            crowd.speak(said)
        except BaseException as exc:  # noqa: BLE001  # reraised in `join`
            self._error = exc

    def finish(self) -> None:
        """Waits until all messages are accepted. Raises AssertionError."""
        self._thread.join()
        if self._error is not None:
            raise self._error


def conversations(length: int = 0) -> list[list[str]]:
    """Returns the messages to send, all different; with so many incompressible characters appended."""
    return [
        [f"message {number} of {who} {token_hex(length // 2)}".strip() for number in range(1, many + 1)]
        for who, many in PEOPLE.items()
    ]


def _step_of_store(step: Step) -> str:
    match step:
        case Step.RUN_POSTED | Step.DELIVERING:
            return ""
        case Step.STREAMING:
            return Step.RUN_STARTED.value
    return step.value


def _moment(cell: Cell) -> Moment:
    if cell.step is Step.STREAMING:
        return Moment(number=3, holds=False)  # when all three replies are being streamed
    if cell.step is Step.AFTER_BROUGHT and cell.platform.family == "telegram":
        return Moment(number=4)  # Telegram's adapter saves each message before it is sent as well
    return Moment()


@contextmanager
def _crowd(cell: Cell, door: Link) -> Iterator[Crowd]:
    crowd: Crowd
    match cell.platform:
        case Platform.CHAT:
            crowd = CallersCrowd(door, seconds=SILENCE if cell.fault is Blow.DOOR_SILENT else 10.0)
        case Platform.SLACK:
            crowd = SlackCrowd()
        case _:
            crowd = TelegramCrowd(polling=cell.platform is Platform.POLLING)
    try:
        yield crowd
    finally:
        crowd.close()


@contextmanager
def stage(cell: Cell, ground: Ground) -> Iterator[Scene]:
    """Yields the setup of one cell. Raises MountNotAllowed."""
    with ExitStack() as leaving:
        folder = Path(tempfile.mkdtemp(prefix="gateway-cell-"))
        leaving.callback(shutil.rmtree, folder, ignore_errors=True)
        levers = Levers(folder / "levers")
        home = leaving.enter_context(place(cell, ground, levers))
        links: Network = leaving.enter_context(network())
        openai = leaving.enter_context(FakeOpenAI())
        openai.reply = lambda texts: reply_to(texts[-1])
        openai.chunk_delay = UNHURRIED if cell.inherited and cell.fault not in DEATHS else 0.0
        door = links.link()
        crowd = leaving.enter_context(_crowd(cell, door))
        moment = _moment(cell)
        leaving.enter_context(hearing(folder / "post", moment))
        scene = Scene(
            cell, folder, home, levers, openai, crowd, moment, door,
            to_database=links.link(home.target) if cell.fault in NEEDS_SERVER else None,
            to_backend=links.link(openai.port) if cell.fault in {Blow.BACKEND_CUT, Blow.BACKEND_SILENT} else None,
            to_platform=links.link(crowd.port) if cell.fault in {Blow.PLATFORM_CUT, Blow.PLATFORM_SILENT} else None,
        )  # fmt: skip
        try:
            yield scene
        finally:
            scene.let_go()
            for program in scene.programs:
                program.kill()


def play(cell: Cell, ground: Ground) -> Outcome:
    """Runs one cell. Never raises: errors are part of the result."""
    begun = time.monotonic()
    try:
        with stage(cell, ground) as scene:
            outcome = _played(scene)
    except CannotMount:
        outcome = Outcome(cell, skipped="this user may not mount a small disk")
    except Exception as exc:  # noqa: BLE001  # an error must not end the other cells
        outcome = Outcome(cell, trouble=f"{type(exc).__name__}: {exc}")
    return replace(outcome, seconds=time.monotonic() - begun)


def _played(scene: Scene) -> Outcome:
    try:
        outcome = Outcome(scene.cell, scene.play())
    except Exception as exc:  # noqa: BLE001  # as above; the logs still exist here
        outcome = Outcome(scene.cell, trouble=f"{type(exc).__name__}: {exc}")
    return outcome if outcome.well else replace(outcome, log=_log(scene))


def _log(scene: Scene) -> str:
    logs = sorted(scene.folder.glob("gateway*/log"))
    asked = f"the assistant was asked: {[scene.openai.user_texts(name) for name in scene.openai.conversations]}"
    return "\n".join(
        [asked, f"replies: {scene.stands}", *(f"--- {log.parent.name}\n{log.read_text()}" for log in logs)]
    )
