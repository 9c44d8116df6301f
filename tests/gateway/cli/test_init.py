"""``init``: what it asks, what it refuses, and the file that it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dotenv import dotenv_values

from gateway import logs
from gateway.cli.init import write
from gateway.cli.main import main
from gateway.wiring.loading import SETTINGS
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.telegram_messages import TOKEN
from tests.fakes.telegram_server import FakeTelegram

OFFLINE, OTHER_SERVER = "4", "2"
NO_PLATFORMS = ["n", "n", "n"]
OPEN_WITHOUT_ADMIN = ["y", "n"]
Init = Callable[..., Result]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    """Returns a function that runs the command in an empty folder and types these lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # the log is shared with other tests in the process
    for name in {variable for each in SETTINGS for variable in each.variables()}:
        monkeypatch.delenv(name, raising=False)

    def invoke(*lines: str, **environment: str) -> Result:
        return CliRunner().invoke(main, ["init"], input="\n".join(lines) + "\n", env=environment)

    return invoke


@pytest.fixture
def openai() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def test_the_offline_assistant_needs_no_answers_and_access_is_closed_by_default(init: Init) -> None:
    result = init(OFFLINE, *NO_PLATFORMS, "", "")
    assert result.exit_code == 0, result.output
    written = dotenv_values(".env")
    assert written["ASSISTANT_BACKEND"] == "offline"
    assert len(written["GATEWAY_API_KEYS"] or "") >= 32
    assert len(written["ADMIN_PASSWORD"] or "") >= 16
    assert Path(".env").stat().st_mode & 0o077 == 0
    assert (written["GATEWAY_API_KEYS"] or "?") not in result.output
    assert CliRunner().invoke(main, ["check"]).exit_code == 0


def test_a_server_is_asked_for_its_models_and_for_an_answer(init: Init, openai: FakeOpenAI) -> None:
    result = init(OTHER_SERVER, openai.base_url, "sk-verysecret", "gpt-5-mini", *NO_PLATFORMS, *OPEN_WITHOUT_ADMIN)
    assert result.exit_code == 0, result.output
    assert "The server has: " in result.output
    assert "ok   test message: answered" in result.output
    assert dotenv_values(".env") == {
        "ASSISTANT_BACKEND": "chat",
        "OPENAI_BASE_URL": openai.base_url,
        "OPENAI_API_KEY": "sk-verysecret",
        "OPENAI_MODEL": "gpt-5-mini",
    }
    assert "sk-verysecret" not in result.output


def test_a_wrong_form_is_asked_again_and_a_refused_key_may_be_mended(init: Init, openai: FakeOpenAI) -> None:
    wrong = (OTHER_SERVER, f"{openai.base_url}/chat/completions", openai.base_url, "bad", "gpt-5-mini", "n")
    right = (OTHER_SERVER, openai.base_url, "sk-fine", "gpt-5-mini")
    result = init(*wrong, *right, *NO_PLATFORMS, *OPEN_WITHOUT_ADMIN)
    assert "ends with /chat/completions, which is the address of one request" in result.output
    assert "FAIL assistant" in result.output
    assert dotenv_values(".env")["OPENAI_API_KEY"] == "sk-fine"


def test_a_platform_is_checked_by_its_own_adapter(init: Init) -> None:
    with FakeTelegram() as telegram:
        given = (OFFLINE, "n", "y", "no-token", TOKEN, "n", *OPEN_WITHOUT_ADMIN)
        result = init(*given, TELEGRAM_API_URL=telegram.url)
    assert "TELEGRAM_BOT_TOKEN: " in result.output
    assert "ok   telegram" in result.output
    assert dotenv_values(".env")["TELEGRAM_BOT_TOKEN"] == TOKEN
    assert TOKEN not in result.output


def test_what_else_stands_in_the_file_stays_and_another_server_is_unset(init: Init) -> None:
    Path(".env").write_text("# mine\nLOG_LEVEL=DEBUG\nOPENAI_API_KEY=sk-old\nOPENAI_BASE_URL=http://127.0.0.1:1/v1\n")
    assert init(OFFLINE, *NO_PLATFORMS, *OPEN_WITHOUT_ADMIN).exit_code == 0
    text = Path(".env").read_text()
    assert text.startswith("# mine\nLOG_LEVEL=DEBUG\nOPENAI_API_KEY=\nOPENAI_BASE_URL=\n")


def test_a_value_that_the_file_cannot_hold_is_asked_again(init: Init, openai: FakeOpenAI) -> None:
    typed = (OTHER_SERVER, openai.base_url, "sk-${X}", "sk-fine", "gpt-5-mini")
    assert "OPENAI_API_KEY contains ${" in init(*typed, *NO_PLATFORMS, *OPEN_WITHOUT_ADMIN).output
    assert dotenv_values(".env")["OPENAI_API_KEY"] == "sk-fine"


def test_enter_keeps_what_is_set(init: Init, openai: FakeOpenAI) -> None:
    Path(".env").write_text(f"OPENAI_BASE_URL={openai.base_url}\nOPENAI_API_KEY=sk-kept\nOPENAI_MODEL=gpt-5-mini\n")
    assert init(OTHER_SERVER, "", "", "", *NO_PLATFORMS, *OPEN_WITHOUT_ADMIN).exit_code == 0
    assert dotenv_values(".env")["OPENAI_API_KEY"] == "sk-kept"


def test_a_variable_of_the_environment_that_hides_the_file_is_named(init: Init) -> None:
    result = init(OFFLINE, *NO_PLATFORMS, *OPEN_WITHOUT_ADMIN, ASSISTANT_BACKEND="offline")
    assert "ASSISTANT_BACKEND is set in the environment too" in result.output


def test_nothing_is_written_when_it_is_broken_off(init: Init) -> None:
    assert init(OFFLINE).exit_code == 1
    assert not Path(".env").exists()


@pytest.mark.parametrize("value", ["plain", "with space", "it's", "a#b", "$HOME", 'say "x"', "back\\slash\\"])
def test_every_value_is_read_as_it_was_written(tmp_path: Path, value: str) -> None:
    write(tmp_path / ".env", {"A": value, "B": "2"})
    assert dotenv_values(tmp_path / ".env", interpolate=True) == {"A": value, "B": "2"}
