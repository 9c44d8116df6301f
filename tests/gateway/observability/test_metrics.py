"""Metrics: counts, times and queue depths, in one process and in several that are collected together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly_parsed
from prometheus_client.parser import text_string_to_metric_families as parsed

from gateway.domain.errors import AssistantError, AssistantRateLimited, SettingsError, StoreUnavailable
from gateway.domain.models import TurnState
from gateway.observability import collectors
from gateway.observability.metrics import Metrics
from gateway.ports.store import QueueDepth
from tests.gateway.turn_factory import FAILED, TURN, all_of

ROOT = Path(__file__).parents[3]


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


# ---------------------------------------------------------------- counting and timing


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("gateway_turns_accepted_total", {}, 3),
        ("gateway_messages_deduplicated_total", {}, 1),
        ("gateway_messages_refused_total", {"code": "rate_limited"}, 1),
        ("gateway_turns_started_total", {}, 3),
        ("gateway_assistant_asked_again_total", {"assistant": "default", "code": "unavailable"}, 1),
        ("gateway_turns_passed_on_total", {"assistant": "support", "code": "unavailable"}, 1),
        ("gateway_turns_answered_total", {"assistant": "default"}, 1),
        ("gateway_turns_failed_total", {"assistant": "default", "code": "timed_out"}, 1),
        ("gateway_turns_cancelled_total", {"assistant": "default"}, 1),
        ("gateway_turns_delivered_total", {}, 1),
        ("gateway_turns_undeliverable_total", {}, 1),
        ("gateway_leases_lost_total", {}, 1),
        ("gateway_handovers_total", {"by": "staff"}, 1),
        ("gateway_handovers_total", {"by": "assistant"}, 0),
        ("gateway_handovers_ended_total", {}, 1),
        ("gateway_turns_held_total", {}, 1),
        ("gateway_tokens_total", {"assistant": "default", "direction": "in"}, 360),
        ("gateway_tokens_total", {"assistant": "default", "direction": "out"}, 90),
        ("gateway_cost_total", {"assistant": "default"}, 0.0075),
        ("gateway_turn_answer_seconds_sum", {}, 4.0),
        ("gateway_turn_answer_seconds_count", {}, 1),
        ("gateway_turn_step_seconds_sum", {"step": "waiting"}, 1.5),
        ("gateway_turn_step_seconds_count", {"step": "waiting"}, 3),
        ("gateway_turn_step_seconds_sum", {"step": "answering"}, 7.0),
        ("gateway_turn_step_seconds_count", {"step": "answering"}, 2),
        ("gateway_turn_step_seconds_bucket", {"step": "delivering", "le": "0.1"}, 0),
        ("gateway_turn_step_seconds_bucket", {"step": "delivering", "le": "0.25"}, 1),
    ],
)
def test_what_is_told_is_counted_by_platform(name: str, labels: dict[str, str], expected: float) -> None:
    metrics = all_of(Metrics())
    assert value(metrics, name, platform="slack", **labels) == pytest.approx(expected)


def test_what_concerns_the_whole_process_has_no_label() -> None:
    metrics = all_of(Metrics())
    assert value(metrics, "gateway_sweep_seconds_bucket", le="0.005") == 1
    assert value(metrics, "gateway_conversations_in_hand") == 5
    metrics.set_conversations_in_progress(2)
    assert value(metrics, "gateway_conversations_in_hand") == 2


def test_a_turn_without_an_outcome_is_not_counted_as_decided() -> None:
    metrics = Metrics(["slack"])
    before = generate_latest(metrics.registry)
    metrics.turn_resolved(replace(TURN, state=TurnState.RUNNING))
    assert _ours(generate_latest(metrics.registry)) == _ours(before)


def test_a_turn_that_was_never_begun_has_waited_for_nothing() -> None:
    metrics = Metrics()
    metrics.turn_resolved(replace(FAILED, started_at=None))
    assert value(metrics, "gateway_turns_failed_total", platform="slack", assistant="default", code="timed_out") == 1
    assert value(metrics, "gateway_turn_step_seconds_count", platform="slack", step="waiting") == 0


def test_a_clock_that_was_set_back_does_not_make_a_sum_shrink() -> None:
    metrics = Metrics()
    metrics.turn_resolved(replace(TURN, received_at=1000.0, started_at=900.0, answered_at=800.0))
    for step in ("waiting", "answering"):
        assert value(metrics, "gateway_turn_step_seconds_count", platform="slack", step=step) == 1
        assert value(metrics, "gateway_turn_step_seconds_sum", platform="slack", step=step) == 0


def test_platforms_that_are_named_at_the_start_count_from_zero() -> None:
    metrics = Metrics(["telegram"])
    assert value(metrics, "gateway_turns_accepted_total", platform="telegram") == 0
    assert value(metrics, "gateway_tokens_total", platform="telegram", assistant="default", direction="out") == 0
    for code in (AssistantError.code, AssistantRateLimited.code, "misconfigured"):
        assert value(metrics, "gateway_turns_failed_total", platform="telegram", assistant="default", code=code) == 0
    assert value(metrics, "gateway_turns_accepted_total", platform="slack") is None


# ---------------------------------------------------------------- how it is told


def test_nothing_that_a_person_said_or_is_reaches_the_metrics() -> None:
    text = generate_latest(all_of(Metrics(queue_depths=lambda: [QueueDepth("slack", 1, 1.0)])).registry).decode()
    assert 'platform="slack"' in text
    assert "secret" not in text
    assert "turn_1" not in text


def test_labels_are_of_a_closed_set() -> None:
    metrics = all_of(Metrics(queue_depths=lambda: [QueueDepth("slack", 1, 1.0)]))
    labels = {
        label for family in metrics.registry.collect() if _is_ours(family.name) for s in family.samples
        for label in s.labels
    }  # fmt: skip
    assert labels == {"platform", "assistant", "code", "step", "direction", "le", "by"}


def test_names_units_and_types_are_as_open_metrics_demands() -> None:
    metrics = all_of(Metrics(queue_depths=lambda: [QueueDepth("slack", 1, 1.0)]))
    text = openmetrics(metrics.registry).decode()  # type: ignore[no-untyped-call]  # the library has no types there
    families = [f for f in strictly_parsed(text) if _is_ours(f.name)]  # type: ignore[no-untyped-call]  # likewise
    assert len(families) == 26
    for family in families:
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert family.type != "histogram" or family.name.endswith("_seconds")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the library reads process metrics there")
def test_the_process_itself_is_told_of_too() -> None:
    assert (value(Metrics(), "process_resident_memory_bytes") or 0) > 0


def test_two_of_them_in_one_process_have_nothing_in_common() -> None:
    one, other = Metrics(["slack"]), Metrics(["slack"])
    one.accepted(TURN)
    assert value(other, "gateway_turns_accepted_total", platform="slack") == 0


def _is_ours(name: str) -> bool:
    return name.startswith("gateway_")


def _ours(exposed: bytes) -> list[bytes]:
    return [line for line in exposed.splitlines() if line.startswith(b"gateway_")]


# ---------------------------------------------------------------- the queue


class QueueDepthsStub:
    def __init__(self, *depths: QueueDepth) -> None:
        self.depths: Sequence[QueueDepth] = depths
        self.asked = 0
        self.is_down = False

    def __call__(self) -> Sequence[QueueDepth]:
        self.asked += 1
        if self.is_down:
            raise StoreUnavailable
        return self.depths


@pytest.fixture
def at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disables the cache of queue depths."""
    monkeypatch.setattr(collectors, "DEPTH_CACHE_SECONDS", 0.0)


def test_the_queue_is_asked_for_when_somebody_collects() -> None:
    database = QueueDepthsStub(QueueDepth("slack", 3, 12.5), QueueDepth("http", 1, -0.1))
    metrics = Metrics(["telegram"], database)
    assert database.asked == 0
    assert value(metrics, "gateway_queue_turns", platform="slack") == 3
    assert value(metrics, "gateway_queue_age_seconds", platform="slack") == 12.5
    assert value(metrics, "gateway_queue_age_seconds", platform="http") == 0
    assert value(metrics, "gateway_database_up") == 1


def test_parked_turns_are_counted_by_what_they_wait_for() -> None:
    metrics = Metrics([], QueueDepthsStub(QueueDepth("slack", 3, 12.5, {"budget": 2, "assistant": 1})))
    assert value(metrics, "gateway_queue_parked_turns", platform="slack", reason="budget") == 2
    assert value(metrics, "gateway_queue_parked_turns", platform="slack", reason="assistant") == 1


def test_a_platform_with_nothing_in_the_queue_is_told_as_such() -> None:
    metrics = Metrics(["telegram"], QueueDepthsStub(QueueDepth("slack", 3, 12.5)))
    metrics.deduplicated("http")
    for platform in ("telegram", "http"):
        assert value(metrics, "gateway_queue_turns", platform=platform) == 0
        assert value(metrics, "gateway_queue_age_seconds", platform=platform) == 0


@pytest.mark.usefixtures("at_each_look")
def test_everything_else_is_told_while_the_database_is_away() -> None:
    database = QueueDepthsStub(QueueDepth("slack", 3, 12.5))
    metrics = Metrics(["slack"], database)
    metrics.accepted(TURN)
    database.is_down = True
    assert value(metrics, "gateway_database_up") == 0
    assert value(metrics, "gateway_queue_turns", platform="slack") is None
    assert value(metrics, "gateway_turns_accepted_total", platform="slack") == 1
    database.is_down = False
    assert value(metrics, "gateway_database_up") == 1
    assert value(metrics, "gateway_queue_turns", platform="slack") == 3


def test_many_who_collect_do_not_hammer_the_database() -> None:
    database = QueueDepthsStub()
    metrics = Metrics(queue_depths=database)
    for _ in range(5):
        generate_latest(metrics.registry)
    assert database.asked == 1


@pytest.mark.usefixtures("at_each_look")
def test_who_collects_while_the_database_hangs_takes_what_is_known() -> None:
    asked, go_on, hanging = Event(), Event(), False

    def depths() -> Sequence[QueueDepth]:
        if hanging:
            asked.set()
            assert go_on.wait(20)
        return [QueueDepth("slack", 3, 12.5)]

    metrics = Metrics(queue_depths=depths)
    assert value(metrics, "gateway_queue_turns", platform="slack") == 3
    hanging = True
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(value, metrics, "gateway_queue_turns", platform="slack")
        assert asked.wait(20)
        assert value(metrics, "gateway_queue_turns", platform="slack") == 3
        assert not slow.done()
        go_on.set()
        assert slow.result(20) == 3


def test_without_a_database_there_is_no_word_of_one() -> None:
    assert value(Metrics(), "gateway_database_up") is None


# ---------------------------------------------------------------- several processes

SEVERAL_PROCESSES_PROGRAM = """
import os, signal, sys
from pathlib import Path
from prometheus_client import generate_latest
from gateway.observability.metrics import Metrics
from gateway.ports.store import QueueDepth
from tests.gateway.turn_factory import TURN, all_of

folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])

def child(metrics, hand):
    pid = os.fork()  # like a server that loads the application before it forks
    if pid:
        return pid
    all_of(metrics).set_conversations_in_progress(hand)
    os.write(1, b"counted\\n")  # in one write
    signal.alarm(60)  # in case the test does not end it
    signal.pause()

def told():
    print(generate_latest(metrics.registry).decode() + "end", flush=True)

metrics = Metrics(["http"], lambda: [QueueDepth("slack", 4, 9.0)], folder=folder)
metrics.accepted(TURN)
children = [child(metrics, hand) for hand in (10, 100)]
input()
told()
os.kill(children[0], signal.SIGKILL)
os.waitpid(children[0], 0)
(folder / "counter_1234567.db").touch()  # like that of a process that is starting
told()
os.kill(children[1], signal.SIGTERM)
"""
SINGLE_PROCESS_PROGRAM = """
import os
from pathlib import Path
from gateway.observability.metrics import Metrics
from tests.gateway.turn_factory import all_of

all_of(Metrics(folder=Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])))
"""
Samples = dict[tuple[str, str], float]


def program(code: str, folder: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PROMETHEUS_MULTIPROC_DIR": folder},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_samples(lines: Callable[[], str]) -> Samples:
    text = "".join(iter(lines, "end\n"))
    return {(s.name, s.labels.get("platform", "")): s.value for family in parsed(text) for s in family.samples}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Samples]:
    """Metrics of three running processes and an ended one, collected together; and again after one more was killed."""
    folder = str(tmp_path_factory.mktemp("metrics") / "made")
    with program(SINGLE_PROCESS_PROGRAM, folder) as alone:
        assert alone.wait(30) == 0
    with program(SEVERAL_PROCESSES_PROGRAM, folder) as counting:
        assert counting.stdin
        assert counting.stdout
        assert [counting.stdout.readline() for _ in range(2)] == ["counted\n"] * 2
        counting.stdin.write("\n")
        counting.stdin.flush()
        told = read_samples(counting.stdout.readline), read_samples(counting.stdout.readline)
        assert counting.wait(30) == 0
    return told


def test_counts_of_several_processes_are_added_up(told: tuple[Samples, Samples]) -> None:
    before, after = told
    for each in before, after:
        assert each["gateway_turns_accepted_total", "slack"] == 10
        assert each["gateway_leases_lost_total", "slack"] == 3
        assert each["gateway_turn_answer_seconds_count", "slack"] == 3
        assert each["gateway_turn_answer_seconds_sum", "slack"] == 12
        assert each["gateway_sweep_seconds_count", ""] == 3
        assert each["gateway_turns_accepted_total", "http"] == 0


def test_what_a_dead_process_had_in_hand_is_in_nobody_s_hands(told: tuple[Samples, Samples]) -> None:
    before, after = told
    assert before["gateway_conversations_in_hand", ""] == 110
    assert after["gateway_conversations_in_hand", ""] == 100


def test_the_queue_is_asked_for_once_however_many_processes_there_are(told: tuple[Samples, Samples]) -> None:
    assert told[0]["gateway_queue_turns", "slack"] == 4
    assert told[0]["gateway_database_up", ""] == 1


def test_a_folder_that_only_a_file_of_settings_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PROMETHEUS_MULTIPROC_DIR"):
        Metrics(folder=tmp_path)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with program(SINGLE_PROCESS_PROGRAM, str(tmp_path / "file" / "folder")) as alone:
        _, errors = alone.communicate(timeout=30)
    assert alone.returncode == 1
    assert "SettingsError: PROMETHEUS_MULTIPROC_DIR: " in errors


def test_an_empty_name_of_a_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    code = SINGLE_PROCESS_PROGRAM.replace('folder=Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])', "")
    with program(f"import os; os.chdir({str(tmp_path)!r})\n{code}", "") as alone:
        _, errors = alone.communicate(timeout=30)
    assert "SettingsError: PROMETHEUS_MULTIPROC_DIR: " in errors
    assert list(tmp_path.iterdir()) == []
