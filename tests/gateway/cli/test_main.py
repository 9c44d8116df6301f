"""The command line: its output and exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.http import HttpSettings
from adapters.slack.settings import SlackSettings
from adapters.telegram.settings import TelegramSettings
from gateway import logs
from gateway.cli.main import main
from gateway.cli.start_facts import example_request
from gateway.cli.version import PYPROJECT, UNKNOWN, version
from gateway.domain.command_lines import gateway_command, python
from gateway.settings import EnvironmentSettings, Settings
from gateway.wiring.loading import load
from tests.fakes.openai_server import FakeOpenAI, HttpFault

SETTINGS_CLASSES: tuple[type[EnvironmentSettings], ...] = (Settings, HttpSettings, SlackSettings, TelegramSettings)
VARIABLES = {name.upper() for each in SETTINGS_CLASSES for name in each.model_fields} | {"ASST_ID"}
ROOT = Path(__file__).parents[3]
PLAIN = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
"""The environment of a program without settings."""
OIDC = {
    "ADMIN_OIDC_ISSUER": "https://id.example.com",
    "ADMIN_OIDC_CLIENT_ID": "gateway",
    "ADMIN_URL": "https://bot.example.com/admin",
    "ADMIN_OPERATORS": "*",
}
RunCli = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunCli:
    """Returns a function that runs a command with no settings but a database and those given."""
    monkeypatch.chdir(tmp_path)
    # The log is shared with other tests in the process, so only its masks are configured.
    monkeypatch.setattr(logs, "configure", lambda _level, _format, *masked: logs._masker.configure(*masked))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def invoke(command: str, **settings: str) -> Result:
        given = {"DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db", **settings}
        return CliRunner().invoke(main, command.split(), env=given)

    return invoke


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def server(fake: FakeOpenAI, **more: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": fake.base_url, "OPENAI_API_KEY": "sk-verysecret", "OPENAI_MODEL": "gpt-5-mini", **more}


def test_check_of_nothing_set_is_well_and_says_what_is_on(run: RunCli, tmp_path: Path) -> None:
    result = run("check")
    assert result.exit_code == 0
    database, assistant, *tools, budgets, chat, openai, platforms, open_to, operator, data, following = (
        result.output.splitlines()
    )
    assert database == "ok   database: will be migrated on start"
    assert "offline" in assistant
    assert tools == ["ok   tool current_time: built in", "ok   tool calculate: built in"]
    assert budgets.startswith("ok   budgets: prices of ")
    assert "GATEWAY_API_KEYS is not set" in chat
    assert openai.startswith("ok   OpenAI's API at /v1: open to everybody")
    assert platforms == "ok   platforms: http, openai"
    assert open_to.startswith("ok   open to: everybody who reaches the port")
    assert operator == "ok   operator: off, as ADMIN_PASSWORD is not set"
    assert data == f"ok   data: {tmp_path}/gateway.db"
    assert following == f"ok   next: {gateway_command('init')} asks for an assistant and for platforms"


def test_who_has_chosen_the_offline_assistant_is_not_asked_to_choose_again(run: RunCli) -> None:
    last = run("check", ASSISTANT_BACKEND="offline").output.splitlines()[-1]
    assert (
        last == "ok   next: for an assistant with a model, set OPENAI_API_KEY and leave ASSISTANT_BACKEND=offline out"
    )


@pytest.mark.parametrize("keys", ["", "key-one"])
def test_the_request_to_try_has_a_key_where_one_is_needed(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", keys)
    assert ("Authorization: Bearer" in example_request(load, "http://localhost:8080")) is bool(keys)


@pytest.mark.parametrize("backend", ["responses", "chat", "threads"])
def test_check_asks_the_backend(run: RunCli, fake: FakeOpenAI, backend: str) -> None:
    result = run("check", **server(fake, ASSISTANT_BACKEND=backend, ASST_ID=fake.assistant_id))
    assert result.exit_code == 0, result.output
    assert f"ok   assistant: {backend} at 127.0.0.1" in result.output


def test_check_names_every_model_that_budgets_cannot_count(run: RunCli, fake: FakeOpenAI, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text('[assistants.second]\nmodel = "crow-1"\n')
    chosen = {"ASSISTANT_BACKEND": "chat", "OPENAI_TRANSCRIPTION_MODEL": "owl-1", "BUDGET_USER_DAY": "1"}
    result = run("check", **server(fake, **chosen))
    assert "FAIL budgets: no price for owl-1, crow-1, so" in result.output
    assert result.exit_code == 1


def test_a_command_runs_without_standard_streams(tmp_path: Path) -> None:
    program = f"exec {sys.executable} -m gateway migrate <&- >&- 2>&-"
    environment = {**PLAIN, "DATABASE_URL": "sqlite:///gateway.db"}
    assert subprocess.run(["sh", "-c", program], cwd=tmp_path, env=environment, check=False).returncode == 0
    assert (tmp_path / "gateway.db").stat().st_size > 0


def test_check_tells_what_the_server_refuses(run: RunCli, fake: FakeOpenAI) -> None:
    refusal = {"error": {"message": "gemma does not support tools"}}
    fake.faults.add(HttpFault(path="/chat/completions", status=400, body=refusal))
    result = run("check", **server(fake, ASSISTANT_BACKEND="chat"))
    assert result.exit_code == 0, result.output
    assert "WITHOUT tools: the server refuses them for this model" in result.output


def test_check_fails_if_a_message_is_not_answered(run: RunCli, fake: FakeOpenAI) -> None:
    fake.faults.add(HttpFault(path="/chat/completions", status=500, times=9))
    result = run("check", **server(fake, ASSISTANT_BACKEND="chat"))
    assert result.exit_code == 1
    assert "FAIL test message: 500" in result.output


def test_check_reads_the_file_and_asks_each_assistant(run: RunCli, fake: FakeOpenAI, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[assistants.second]\nmodel = "gpt-4o"\n[mcp.orders]\nurl = "http://127.0.0.1:1"\n[settings]\nport = 1\n'
    )
    result = run("check", **server(fake, PORT="2"))
    assert result.exit_code == 1, "the MCP server does not answer"
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("FAIL")] == ["FAIL mcp orders"]
    assert any(line.startswith("ok   second: assistant: chat at 127.0.0.1") and "gpt-4o" in line for line in lines)
    assert "ok   mcp orders: no assistant uses it; name it in the tools of one, as mcp:orders" in lines
    assert any("line 6: settings.port: PORT in the environment says otherwise, and wins." in line for line in lines)
    file.write_text('[assistants.second]\nmodle = "gpt-5"\n')
    result = run("check", **server(fake))
    assert result.exit_code == 1
    assert "FAIL settings: gateway.toml, line 2: assistants.second.modle: is not known here." in result.output
    assert "FAIL assistant: not checked, because of its settings above" in result.output


def test_check_of_a_key_that_is_refused_fails_without_showing_it(run: RunCli, fake: FakeOpenAI) -> None:
    result = run("check", **server(fake, OPENAI_API_KEY="bad"))
    assert result.exit_code == 1
    assert "FAIL assistant" in result.output


def test_check_of_the_removed_assistants_api_names_what_to_set(run: RunCli, fake: FakeOpenAI) -> None:
    fake.features.discard("threads")
    result = run("check", **server(fake, ASST_ID="asst_1"))
    assert result.exit_code == 1
    assert "removed it on 2026-08-26" in result.output
    assert "ASSISTANT_BACKEND=responses" in result.output


def test_check_says_where_tools_come_from_and_what_is_wrong_with_them(run: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text('def order_status(number: str) -> str:\n    """Tell the status."""\n    return number\n')
    assert f"ok   tool order_status: {file}" in run("check", TOOLS_PATH=str(tmp_path)).output
    file.write_text("import no_such_library")
    result = run("check", TOOLS_PATH=str(tmp_path))
    assert result.exit_code == 1
    assert f"FAIL tools: TOOLS_PATH: {file} cannot be imported" in result.output


@pytest.mark.parametrize("backend", ["responses", "chat", "threads"])
def test_check_says_where_the_api_is_if_the_version_is_left_out(run: RunCli, fake: FakeOpenAI, backend: str) -> None:
    address = {"OPENAI_BASE_URL": fake.base_url.removesuffix("/v1"), "ASSISTANT_BACKEND": backend}
    result = run("check", **server(fake, ASST_ID=fake.assistant_id, **address))
    assert result.exit_code == 1
    assert "The API is not at OPENAI_BASE_URL, but below it: write /v1 at its end" in result.output


def test_check_names_every_variable_that_is_missing(run: RunCli) -> None:
    result = run("check", AZURE_OPENAI_API_KEY="secret-of-azure")
    assert result.exit_code == 1
    for name in ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_VERSION", "OPENAI_MODEL"):
        assert name in result.output
    assert "secret-of-azure" not in result.output


def test_check_tells_everything_that_is_wrong_and_checks_the_rest(run: RunCli) -> None:
    result = run("check", PORT="many", SLACK_BOT_TOKEN="xoxb-1", ADMIN_PASSWORD="x", SLACK_TOKEN="1", ALLOWED="htpt:a")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    named = (
        "PORT:",
        "ADMIN_PASSWORD:",
        "ALLOWED:",
        "SLACK_TOKEN",
        "Slack is half set up. Missing: SLACK_SIGNING_SECRET",
    )
    for name in named:
        assert len([line for line in lines if line.startswith(f"FAIL settings: {name}")]) == 1, name
    assert "ok   database: will be migrated on start" in lines
    assert any(line.startswith("ok   assistant: the offline assistant") for line in lines)
    assert any(line.startswith("ok   POST /chat:") for line in lines)


def test_check_does_not_check_an_assistant_whose_settings_are_wrong(run: RunCli) -> None:
    result = run("check", OPENAI_API_KEY="sk-…")
    assert "FAIL settings: OPENAI_API_KEY: contains …" in result.output
    assert "FAIL assistant: not checked, because of its settings above" in result.output


def test_check_goes_on_without_a_database(run: RunCli) -> None:
    result = run("check", DATABASE_URL="sqlite:////nowhere/x.db")
    assert "FAIL database: DATABASE_URL: the folder /nowhere does not exist" in result.output
    assert "ok   POST /chat:" in result.output


@pytest.mark.parametrize("command", ["chat", "migrate"])
def test_a_setting_that_is_wrong_is_named_in_one_line(run: RunCli, command: str) -> None:
    result = run(command, PORT="many")
    assert result.exit_code == 1
    assert result.output.startswith("Error: PORT: ")
    assert "many" not in result.output


@pytest.mark.parametrize("command", ["serve", "web", "worker"])
def test_a_backend_that_is_half_set_does_not_start(run: RunCli, sqlite_url: str, command: str) -> None:
    result = run(command, ASSISTANT_BACKEND="responses", PORT="0", DATABASE_URL=sqlite_url)
    assert result.exit_code == 1
    assert result.output.strip() == "Error: The backend responses needs OPENAI_API_KEY to be set."


@pytest.mark.parametrize("url", ["mysql://u:hunter22@h/d", "sqlite:////nowhere/at/all.db", "nonsense"])
@pytest.mark.parametrize("command", ["check", "migrate", "chat"])
def test_a_database_that_cannot_be_is_an_error_without_its_password(run: RunCli, command: str, url: str) -> None:
    result = run(command, DATABASE_URL=url)
    assert result.exit_code == 1
    assert "DATABASE_URL" in result.output
    assert "hunter22" not in result.output


@pytest.mark.parametrize(
    ("package", "extra", "settings"),
    [
        ("slack_sdk", "slack", {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "s"}),
        ("telegram", "telegram", {"TELEGRAM_BOT_TOKEN": "123456:ABC-DEF"}),
        ("psycopg", "postgres", {"DATABASE_URL": "postgresql://127.0.0.1/gateway"}),
        ("authlib", "oidc", OIDC),
    ],
)
def test_the_extra_that_is_not_installed_is_named(
    run: RunCli, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, settings: dict[str, str]
) -> None:
    users = f"adapters.{extra}.", f"gateway.admin.access.{extra}."
    for name in [name for name in sys.modules if f"{name}.".startswith((f"{package}.", *users))]:
        parent, _, attribute = name.rpartition(".")
        if parent in sys.modules and hasattr(sys.modules[parent], attribute):
            monkeypatch.delattr(sys.modules[parent], attribute)  # is put back as well: it is what others look up
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as if it was not there
    result = run("serve", **{"PORT": "0", "DATABASE_URL": sqlite_url} | settings)
    assert result.exit_code == 1
    assert f"needs the package {package}, which is not installed" in result.output
    assert f"Install the extra {extra}: {python()} -m pip install -r requirements.txt, or" in result.output


@pytest.mark.parametrize(
    "command",
    [
        *("turns", "turn x", "retry x", "blocked", "schedules", "callbacks", "handover", "reload"),
        *("send --platform slack --channel C1 hello", "forget --platform slack --user U1"),
    ],
)
def test_what_looks_into_a_database_creates_none(run: RunCli, tmp_path: Path, command: str) -> None:
    result = run(command)
    assert result.exit_code == 1
    assert f"DATABASE_URL: there is no database at {tmp_path}/gateway.db. Run this in the folder" in result.output
    assert not (tmp_path / "gateway.db").exists()


def test_output_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "gateway", "config", "--schema"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=PLAIN, check=False
        )
    assert (done.returncode, done.stderr) == (1, "Error: The output cannot be written: No space left on device.\n")


def test_a_server_whose_output_is_lost_serves_all_the_same(sqlite_url: str, tmp_path: Path) -> None:
    settings = {**PLAIN, "PORT": "0", "DATABASE_URL": sqlite_url}
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=settings,
        ) as process,
    ):
        assert process.stderr is not None
        assert any("the lines of the start cannot be printed" in line for line in process.stderr)
        assert process.poll() is None
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0


def test_migrate_brings_the_database_up_to_date_and_may_be_repeated(run: RunCli) -> None:
    for _ in range(2):
        result = run("migrate")
        assert (result.exit_code, result.output) == (0, "The database is up to date.\n")
    assert "ok   database: up to date" in run("check").output


def test_secrets_come_from_files_too(run: RunCli, fake: FakeOpenAI, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("bad\n")
    settings = server(fake, OPENAI_API_KEY_FILE=str(tmp_path / "key"))
    del settings["OPENAI_API_KEY"]
    assert run("check", **settings).exit_code == 1
    (tmp_path / "key").write_text("sk-fine\n")
    assert run("check", **settings).exit_code == 0


def test_a_file_that_is_not_there_is_named(run: RunCli) -> None:
    result = run("check", OPENAI_API_KEY_FILE="nowhere.txt")
    assert result.exit_code == 1
    assert "OPENAI_API_KEY_FILE names nowhere.txt" in result.output


def test_the_console_talks_through_a_pipe(run: RunCli, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["chat"], input="Hello\nexit\n", env={"DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db"}
    )
    assert result.exit_code == 0, result.output
    assert "You said: “Hello”" in result.output


def test_the_version_is_that_of_the_code_else_of_the_package(run: RunCli, tmp_path: Path) -> None:
    own = tomllib.loads(PYPROJECT.read_text())["project"]["version"]
    assert run("--version").output == f"chat-gateway {own}\n"
    for wrong in ("", "no toml", "[project]", '[project]\nname = "shop"\nversion = "9"'):
        (tmp_path / "pyproject.toml").write_text(wrong)
        assert version(tmp_path / "pyproject.toml") in {UNKNOWN, own}
