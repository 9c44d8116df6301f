"""Whatever the assistant's server did is paid: for every backend and every end of a turn, the hard limit holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig, connect
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.responses.backend import ResponsesBackend
from gateway.assistants.threads.backend import BETA_HEADERS, ThreadsBackend
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import Conflict
from gateway.domain.models import MessageKind, Turn, TurnId, TurnState
from gateway.policy.admission import BUDGET_EXHAUSTED
from gateway.policy.request_estimate import UNSEEN_REPLY_TOKENS
from gateway.policy.rules import MILLION
from gateway.policy.token_estimate import text_tokens
from gateway.ports.assistant import Assistant
from gateway.settings import Settings
from gateway.tools import ToolBox, tool
from storage.store import SqlStore
from tests.fakes.openai_script import ScriptStep
from tests.fakes.openai_server import CallTool, Fail, FakeOpenAI, Hang, Incomplete, Say
from tests.fakes.raw_server import KEY
from tests.fakes.shared_values import MemorySharedValues
from tests.gateway.worker_process import WorkerProcess
from tests.settings import settings_of
from tests.waiting import until

BACKENDS = ("responses", "threads", "chat")
QUESTION = "Please tell me everything that you know about pigeons, and do not leave out their history. " * 4
HARD = 200
"""In tokens, as each costs a millionth. One turn uses about a hundred."""
MESSAGES = 5
CONFIG = AssistantConfig("gpt-4o", poll_seconds=0.01)


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def open_assistant(fake: FakeOpenAI, backend: str) -> Assistant:
    settings = settings_of(Settings, openai_api_key=SecretStr(KEY), openai_base_url=fake.base_url)
    client, toolbox = connect(settings), ToolBox([add], time_limit=5.0)
    if backend == "threads":
        api = AssistantApiClient(client, BETA_HEADERS)
        return ThreadsBackend(api, CONFIG, toolbox, ServerAssistant(api, CONFIG, toolbox, MemorySharedValues(), None))
    api = AssistantApiClient(client)
    if backend == "responses":
        return ResponsesBackend(api, CONFIG, toolbox)
    return ChatBackend(api, CONFIG, toolbox, retry_seconds=0.001)


@dataclass
class Scene:
    """One person who writes to two processes on one database, within a budget for about two turns a day."""

    fake: FakeOpenAI
    processes: tuple[WorkerProcess, WorkerProcess]
    store: SqlStore

    def say(self, number: int) -> TurnId:
        return self.processes[number % 2].say(QUESTION, channel=f"{number}")

    def turn(self, turn: TurnId) -> Turn:
        found = self.store.get_turn(turn)
        assert found is not None
        return found

    def wait_until_run_or_resolved(self, turn: TurnId) -> None:
        until(lambda: self.turn(turn).run_id is not None or self.turn(turn).state.is_resolved)

    def wait_until_paid(self, turns: list[TurnId]) -> None:
        until(lambda: all(self.turn(each).state.is_resolved for each in turns))
        until(lambda: self.reserved() == 0)

    def budget(self) -> tuple[int, int]:
        with self.store._database.read() as connection:
            spent = connection.exec_driver_sql("SELECT coalesce(sum(cost), 0) FROM spending").scalar_one()
            held = connection.exec_driver_sql("SELECT coalesce(sum(amount), 0) FROM holds").scalar_one()
        return spent, held

    def reserved(self) -> int:
        return self.budget()[1]


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def open_scene(fake: FakeOpenAI, sqlite_url: str) -> Iterator[Callable[..., Scene]]:
    with ExitStack() as resources:

        def open_one(backend: str, *, timeout: float = 20.0) -> Scene:
            stores = [SqlStore(sqlite_url, lease_seconds=5.0) for _ in range(2)]
            rules = {"budget_user_day": f"{HARD / MILLION:.6f}"}
            processes = [
                WorkerProcess(
                    store, open_assistant(fake, backend), owner=f"{n}", lease_seconds=5.0, timeout=timeout, rules=rules
                )
                for n, store in enumerate(stores)
            ]
            for store, process in zip(stores, processes, strict=True):
                resources.callback(store.close)
                resources.callback(stop, process)
            return Scene(fake, (processes[0], processes[1]), stores[0])

        yield open_one


def stop(process: WorkerProcess) -> None:
    if process.up:
        process.worker.finish(0.0)
        process.worker.run_coroutine(process.assistant.close())
        process.stop(0.0)


def assert_limit_holds(scene: Scene, turns: list[TurnId]) -> None:
    """One turn at the most goes beyond the limit, and each that ran has cost something."""
    ended = [scene.turn(each) for each in turns]
    refused = [turn for turn in ended if turn.failure and turn.failure.code == BUDGET_EXHAUSTED]
    costs = [turn.cost for turn in ended if turn not in refused]
    assert all(costs)
    assert refused
    assert scene.budget() == (sum(costs), 0)
    assert HARD <= sum(costs) < HARD + max(costs)


ENDINGS: dict[str, list[ScriptStep]] = {
    "answered": [[Say("Pigeons are birds.")]],
    "cut off": [[Say("Pigeons are"), Incomplete()]],
    "filtered": [[Say("Pigeons are"), Incomplete("content_filter")]],
    "failed": [[Say("Pigeons are"), Fail("invalid_prompt")]],
    "too many rounds": [[CallTool("add", {"a": 1, "b": 2})]] * 30,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_turn_that_ends_by_itself_is_paid(open_scene: Callable[..., Scene], backend: str, ending: str) -> None:
    scene = open_scene(backend)
    scene.fake.script(*ENDINGS[ending] * MESSAGES)
    turns = [scene.say(number) for number in range(MESSAGES)]
    scene.wait_until_paid(turns)
    assert_limit_holds(scene, turns)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_turn_that_takes_too_long_is_paid(open_scene: Callable[..., Scene], backend: str) -> None:
    scene = open_scene(backend, timeout=0.5)
    scene.fake.script(*[Say("Pigeons are birds.", hold_after=1)] * MESSAGES)
    turns = [scene.say(number) for number in range(MESSAGES)]
    scene.wait_until_paid(turns)
    assert_limit_holds(scene, turns)


@pytest.mark.parametrize("ending", ["stopped", "cancelled"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_turn_that_is_stopped_is_paid(open_scene: Callable[..., Scene], backend: str, ending: str) -> None:
    scene = open_scene(backend)
    scene.fake.script(*[Say("Pigeons are birds that people have kept.", hold_after=2)] * MESSAGES)
    turns = []
    for number in range(MESSAGES):
        turns.append(scene.say(number))
        scene.wait_until_run_or_resolved(turns[-1])
        process = scene.processes[number % 2]
        if ending == "stopped":
            process.say("stop", channel=f"{number}", kind=MessageKind.STOP)
        else:
            with suppress(Conflict):  # it was refused
                process.inbox.cancel_turn(turns[-1])
    scene.wait_until_paid(turns)
    assert_limit_holds(scene, turns)
    if backend == "chat":  # the server keeps no completions to look up
        cancelled = [turn for turn in map(scene.turn, turns) if turn.state is TurnState.CANCELLED]
        assert all(turn.cost_is_estimate for turn in cancelled)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_turn_whose_conversation_is_deleted_is_paid(open_scene: Callable[..., Scene], backend: str) -> None:
    scene = open_scene(backend)
    scene.fake.script(*[Hang()] * MESSAGES)
    spent = []
    for number in range(MESSAGES):
        turn = scene.say(number)
        scene.wait_until_run_or_resolved(turn)
        process = scene.processes[number % 2]
        if scene.turn(turn).state.is_resolved:
            break
        conversation = scene.store.find_conversation(scene.turn(turn).message.key)
        assert conversation is not None
        process.inbox.delete_conversation(conversation)
        until(lambda: scene.reserved() == 0)
        spent.append(scene.budget()[0])
    assert len(spent) < MESSAGES
    assert spent[-1] < HARD + spent[0]


def test_a_turn_of_a_dead_process_is_charged_by_maintenance(open_scene: Callable[..., Scene]) -> None:
    """It was cancelled after its process had died, so nobody else knows what it used."""
    scene = open_scene("chat")
    scene.fake.script([Say("Pigeons are birds.", hold_after=1)])
    turn = scene.say(0)
    scene.wait_until_run_or_resolved(turn)
    dead, alive = scene.processes
    alive.worker.drain()
    stop(dead)  # it does not settle what it releases, as if it had died
    scene.store.cancel_turn(turn)
    assert scene.reserved() == HARD
    for _ in range(2):  # one sees it, the other charges it
        alive.worker.run_coroutine(alive.abandoned_turns.settle())
    paid = scene.turn(turn)
    assert paid.cost_is_estimate
    assert scene.budget() == (paid.cost, 0)
    assert paid.cost == pytest.approx(text_tokens(QUESTION) + UNSEEN_REPLY_TOKENS, rel=0.1)
