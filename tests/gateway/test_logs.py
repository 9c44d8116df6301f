"""Logging: one line per entry, of ours and of libraries, as text and JSON, without secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import logs
from gateway.wiring import loading

Format = Literal["text", "json"]
ReadStderr = Callable[[], str]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> ReadStderr:
    return lambda: capsys.readouterr().err


def test_text_is_one_line_of_words_and_values(written: ReadStderr) -> None:
    logs.configure("info", "text", [])
    logs.get_logger("gateway.worker.worker").info(
        "turn answered", turn="trn_1", seconds=0.5, text='two\nlines="x"', empty="", n=None
    )
    line = written()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z info    gateway\.worker\.worker: turn answered turn=trn_1 seconds=0\.5 "
        r'text="two\\nlines=\\"x\\"" empty="" n=None\n',
        line,
    )


def test_json_is_one_object_a_line(written: ReadStderr) -> None:
    logs.configure("info", "json", [])
    logs.get_logger("gateway.worker.worker").warning(
        "odd\nthing", turn="trn_1", nested={"a": [1, {"b": "c"}]}, thing=Format
    )
    line = written()
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "level": "warning",
        "logger": "gateway.worker.worker",
        "event": "odd\nthing",
        "turn": "trn_1",
        "nested": {"a": [1, {"b": "c"}]},
        "thing": repr(Format),
    }


def test_what_is_below_the_level_is_not_written(written: ReadStderr) -> None:
    logs.configure("WARNING", "text", [])
    log = logs.get_logger("gateway.worker.worker")
    log.debug("no")
    log.info("no")
    log.error("yes")
    assert written().count("\n") == 1


def test_a_logger_that_spoke_before_the_configuration_heeds_it(
    written: ReadStderr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "KEEPS_LOGGERS", True)
    structlog.reset_defaults()
    log = logs.get_logger("gateway.worker.worker")
    log.info("early")
    log.error("early")
    logs.configure("WARNING", "json", [])
    written()
    log.info("no")
    log.error("yes")
    log.error("again")
    assert [json.loads(line)["event"] for line in written().splitlines()] == ["yes", "again"]


def test_an_exception_is_readable_in_text(written: ReadStderr) -> None:
    logs.configure("info", "text", [])
    try:
        int("bad\x1b[2J")
    except ValueError:
        logs.get_logger("gateway.worker.worker").exception("run failed", turn="trn_1")
    first, *trace = written().splitlines()
    assert first.endswith("error   gateway.worker.worker: run failed turn=trn_1")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: invalid literal for int() with base 10: 'bad\\x1b[2J'"


def test_an_exception_is_one_line_in_json(written: ReadStderr) -> None:
    logs.configure("info", "json", [])
    logs.get_logger("gateway.worker.worker").error("run failed", exc_info=ValueError("bad"))
    (line,) = written().splitlines()
    assert json.loads(line)["exception"] == "ValueError: bad"


def test_libraries_speak_through_the_same_lines_from_warning_on(written: ReadStderr) -> None:
    logs.configure("DEBUG", "json", ["hunter2hunter2"])
    for name in (*logs.WARNING_LOGGERS, "somebody.else"):
        logging.getLogger(name).info("chatter")
    assert written() == ""
    logging.getLogger("asyncio").error("lost %s", "hunter2hunter2", exc_info=OSError("hunter2hunter2"))
    logging.getLogger("httpx").log(35, "odd level")
    lost, odd = map(json.loads, written().splitlines())
    assert (lost["logger"], lost["level"], lost["event"]) == ("asyncio", "error", "lost ***")
    assert lost["exception"] == "OSError: ***"
    assert (odd["level"], odd["event"]) == ("warning", "odd level")


def test_a_library_that_misuses_its_log_is_heard_all_the_same(written: ReadStderr) -> None:
    logs.configure("info", "text", [])
    record = logging.makeLogRecord({"name": "openai", "levelno": logging.WARNING, "msg": "%d of %d", "args": ("one",)})
    logs._StandardLoggingHandler().emit(record)
    assert "openai: %d of %d" in written()


def test_configuring_again_writes_every_line_once(written: ReadStderr) -> None:
    logs.configure("info", "text", [])
    logs.configure("info", "text", [])
    logging.getLogger("openai").warning("once")
    assert written().count("\n") == 1


def test_the_turn_of_a_task_is_in_every_entry_of_it(written: ReadStderr) -> None:
    def work_on_turn() -> None:
        logs.bind_turn("trn_1")
        logs.get_logger("gateway.tools").info("tool called")

    logs.configure("info", "json", [])
    copy_context().run(work_on_turn)
    logs.get_logger("gateway.tools").info("after")
    inside, after = map(json.loads, written().splitlines())
    assert inside["turn"] == "trn_1"
    assert "turn" not in after


def test_a_terminal_gets_colours_and_a_pipe_gets_none(written: ReadStderr, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("info", "text", [])
    logs.get_logger("a").error("plain")
    assert "\x1b" not in written()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    logs.configure("info", "text", [])
    logs.get_logger("a").error("red")
    assert written().startswith("\x1b[31m")


class FailingRepr:
    def __repr__(self) -> str:
        raise RuntimeError


def _self_containing_list() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize("fmt", ["text", "json"])
@pytest.mark.parametrize(
    "value", [FailingRepr(), _self_containing_list(), {(1, 2): 3}, "\ud800\x00\x85\u2028\x7f", b"\xff", float("nan")]
)
def test_nothing_that_is_logged_can_fail_or_break_the_line(fmt: Format, value: object, written: ReadStderr) -> None:
    logs.configure("info", fmt, [])
    logs.get_logger("gateway").info("odd", value=value)
    line = written()
    assert len(line.splitlines()) == 1
    assert line[:-1].isprintable() or fmt == "json"


def test_a_closed_stderr_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def isatty(self) -> bool:
            return False

        def write(self, _: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    logs.configure("info", "text", [])
    logs.get_logger("gateway").info("into the void")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk-proj-" + "aB3_-" * 8 + " end", "key *** end"),
        ("Authorization: Bearer abc.DEF-123/456=", "Authorization: Bearer ***"),
        ("BEARER abcdefgh1", "BEARER ***"),
        ("postgresql+psycopg://gate:p@ss:w/ord@db:5432/x", "postgresql+psycopg://gate:***@db:5432/x"),
        (
            "a task-force of risk-takers at https://example.org:8080/a",
            "a task-force of risk-takers at https://example.org:8080/a",
        ),
        ("2026-11-21T10:36:38.170173Z", "2026-11-21T10:36:38.170173Z"),
    ],
)
def test_what_looks_like_a_secret_is_masked_though_nobody_named_it(text: str, shown: str) -> None:
    assert logs.mask(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("xoxb-123456789012-abcdef", "***"),
        ("xapp-1-A111-222-abc", "***"),
        (
            "https://api.telegram.org/bot123456789:" + "A-b_" * 9 + "/getMe",
            "https://api.telegram.org/bot123456789:***/getMe",
        ),
        ("2026-11-21T10:36:38.170173Z", "2026-11-21T10:36:38.170173Z"),
    ],
)
def test_tokens_of_platforms_are_masked_by_the_patterns_of_their_adapters(
    text: str, shown: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert logs.mask(text) == text
    monkeypatch.chdir(tmp_path)
    loading.load_settings()
    assert logs.mask(text) == shown


def test_short_secrets_are_ignored() -> None:
    logs.configure("info", "text", ["", "abc", "abcde"])
    assert logs.mask("abcdefg") == "abcdefg"


def test_every_line_of_a_long_secret_is_masked() -> None:
    logs.configure("info", "text", ["-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----\n"])
    assert "MIIEvQ" not in logs.mask("  | -----BEGIN KEY-----\n  | MIIEvQIBADAN\n  | BgkqhkiG9w0B")


class Wrapper:
    def __init__(self, held: object) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"<Holder {self.held!r}>"


secrets = st.text(min_size=6, max_size=40).filter(lambda s: "*" not in s and not s.isspace())


def _nested(secret: str) -> st.SearchStrategy[Any]:
    leaves = st.sampled_from(
        [secret, f"a {secret} b", Wrapper(secret), ValueError(secret), secret.encode(errors="replace")]
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["key", secret]), inner, max_size=2)
            | inner.map(Wrapper)
            | inner.map(lambda held: (held,))
        ),
        max_leaves=5,
    )


@pytest.mark.parametrize("fmt", ["text", "json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), secret=secrets)
def test_a_secret_never_appears(
    fmt: Format, data: st.DataObject, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", fmt, ["unrelated-secret", secret])
    value = data.draw(_nested(secret))
    logs.get_logger("q").info(secret, zz=value)
    logs.get_logger("q").error("zz", exc_info=ValueError(value))
    logging.getLogger("zz").error("zz %s", value, extra={"zz": value})
    out = capsys.readouterr().err
    assert "***" in out
    for once in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], repr(secret.encode(errors="replace"))[2:-1]):
        assert once not in out
        assert json.dumps(once)[1:-1] not in out
