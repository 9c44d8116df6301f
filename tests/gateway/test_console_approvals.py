"""Tools that people have to approve, at the console, with a whole gateway behind it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from adapters.console.adapter import ConsoleAdapter
from adapters.console.chat_command import talk
from gateway.app import open_gateway
from gateway.configuration import CurrentConfiguration
from gateway.settings import Settings
from gateway.wiring.loading import load_configuration
from gateway.worker.worker import run_once
from storage.store import SqlStore
from tests.fakes.openai_server import CallTool, FakeOpenAI, Say

FILE = """
[assistants.default]
tools = ["calculate"]

[tools.calculate]
approve = true
approvers = ["{approver}"]
"""
CALL = CallTool("calculate", {"expression": "2 + 40"})
Talked = Callable[..., str]


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def talked(fake: FakeOpenAI, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talked:
    """Returns what there is to see after Ann typed some lines."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_MODEL": "gpt-test",
        "OPENAI_BASE_URL": fake.base_url,
        "ASSISTANT_BACKEND": "chat",
        "GATEWAY_CONFIG": "gateway.toml",
    }.items():
        monkeypatch.setenv(name, value)

    def talked(*lines: str, approver: str = "asker") -> str:
        (tmp_path / "gateway.toml").write_text(FILE.format(approver=approver), "utf-8")
        settings, typed, paper = Settings.load(), iter(lines), io.StringIO()
        adapter = ConsoleAdapter(Console(file=paper, width=100, _environ={}), streaming=True)
        current = CurrentConfiguration(load_configuration(settings))
        gateway = open_gateway(settings, [adapter], SqlStore(sqlite_url), current=current)

        def read() -> str:
            try:
                return next(typed)
            except StopIteration:
                raise EOFError from None

        try:
            talk(run_once, gateway.inbox, adapter, thread=None, user="ann", backend="the fake", read_line=read)
        finally:
            gateway.close(0.5)
        return paper.getvalue()

    return talked


def told(fake: FakeOpenAI) -> str:
    """Returns what the model was told last."""
    return str(fake.posts("/chat/completions")[-1].body["messages"])


@pytest.mark.parametrize("answer", ["y", " YES "])
def test_a_yes_at_the_prompt_approves(fake: FakeOpenAI, talked: Talked, answer: str) -> None:
    fake.script(CALL, Say("It is 42."))
    shown = talked("What is 2 + 40?", answer)
    assert "May the assistant call calculate with this?" in shown
    assert '"expression": "2 + 40"' in shown
    assert shown.rstrip().endswith("It is 42.")
    assert "'content': '42'" in told(fake)


@pytest.mark.parametrize("answers", [("n",), ("",), ()])
def test_anything_else_denies(fake: FakeOpenAI, talked: Talked, answers: tuple[str, ...]) -> None:
    fake.script(CALL, Say("As you like."))
    shown = talked("What is 2 + 40?", *answers)
    assert shown.rstrip().endswith("As you like.")
    assert "denied" in told(fake)
    assert "'content': '42'" not in told(fake)


def test_who_may_not_decide_is_told_so_and_the_turn_waits(
    fake: FakeOpenAI, talked: Talked, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPROVAL_MINUTES", "0.01")
    fake.script(CALL, Say("Nobody has decided."))
    shown = talked("What is 2 + 40?", "y", approver="operators")
    assert "You may not decide this." in shown
    assert shown.rstrip().endswith("Nobody has decided.")
    assert "'content': '42'" not in told(fake)
