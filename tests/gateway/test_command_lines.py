"""Commands that the operator is told to type work where the program was started."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.domain.command_lines import gateway_command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, where no program is found by its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    return tmp_path


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("place", "called"), [(".venv/bin/python", ".venv/bin/python"), ("python3", "./python3"), ("a b/py", "'a b/py'")]
)
def test_a_python_of_this_folder_is_called_from_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str, called: str
) -> None:
    monkeypatch.setattr(sys, "executable", program(folder / place))
    assert gateway_command("check") == f"{called} -m gateway check"


def test_a_program_elsewhere_is_called_by_where_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = program(tmp_path_factory.mktemp("other") / "python")
    monkeypatch.setattr(sys, "executable", other)
    assert gateway_command("check") == f"{other} -m gateway check"


def test_what_its_name_finds_is_called_by_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program(folder / "bin/python"))
    monkeypatch.setenv("PATH", f"{folder}/bin")
    assert gateway_command("check") == "python -m gateway check"
    program(folder / "first/python")
    monkeypatch.setenv("PATH", f"{folder}/first:{folder}/bin")
    assert gateway_command("check") == "bin/python -m gateway check"


def test_an_installed_gateway_is_called_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [program(folder / "env/bin/chat-gateway"), "serve"])
    assert gateway_command("check") == "env/bin/chat-gateway check"
    monkeypatch.setenv("PATH", f"{folder}/env/bin")
    assert gateway_command("check") == "chat-gateway check"


def test_a_command_works_as_it_is_printed() -> None:
    printed = shlex.split(gateway_command("check --help"))
    told = subprocess.run(printed, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True)
    assert "Check everything that is configured." in told.stdout
