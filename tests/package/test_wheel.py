"""The wheel: installed into an environment of its own, and run from a folder without the source beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.fakes.openai_server import CallTool, FakeOpenAI, Say
from tests.fakes.raw_server import KEY
from tests.greeting import read_greeting

ROOT = Path(__file__).parents[2]
EXAMPLE_TOOL = Path(__file__).with_name("example_tool")
LONGEST_WAIT = 30.0


def test_the_wheel_has_pages_migrations_and_the_command(tmp_path: Path) -> None:
    wheel = ZipFile(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    with wheel:
        names = set(wheel.namelist())
        (commands,) = (wheel.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert "chat-gateway = gateway.cli.main:main" in commands
    for folder, kind in (("gateway/pages", "*.*"), ("storage/migrations", "*.py"), ("adapters", "*.py")):
        there = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob(kind) if "__pycache__" not in path.parts}
        assert there <= names
    assert not [name for name in names if name.startswith("tests/")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the command of an environment that has the wheel, and the libraries of this one, but not the source."""
    folder = tmp_path_factory.mktemp("package")
    return install(ROOT, folder, sysconfig.get_path("purelib")) / "chat-gateway"


def install(source: Path, folder: Path, *libraries: str) -> Path:
    """Builds a wheel and installs it into an environment in ``folder``, with more ``site-packages`` beside its own.

    Returns the folder of the environment's commands.
    """
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env")
    commands = folder / "env" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True, capture_output=True)
    (site_packages_of(commands) / "libraries.pth").write_text("\n".join(libraries))
    return commands


def site_packages_of(commands: Path) -> Path:
    (site_packages,) = (commands.parent / "lib").glob("python*/site-packages")
    return site_packages


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": "0", **more}


@contextmanager
def serving(command: Sequence[Path | str], folder: Path, **settings: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the URL of a gateway that runs in this folder, and what it printed at its start."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "serve"], cwd=folder, env=environment(**settings), stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        printed = read_greeting(process.stdout)
        assert printed[0], (folder / "log").read_text()
        yield printed[0].split(" with ")[0].removeprefix("Listening on "), printed
    finally:
        process.terminate()
        assert process.wait(LONGEST_WAIT) == 0
        process.stdout.close()


def fetch(url: str, body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=LONGEST_WAIT) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as refusal:  # whoever is not signed in gets the form with status 401
        with refusal:
            return str(refusal.read().decode())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_serves_a_turn_and_its_pages_and_says_where_the_data_is(installed: Path, tmp_path: Path) -> None:
    with serving([installed], tmp_path, ADMIN_PASSWORD="correct horse battery") as (url, printed):
        assert f"  data       {tmp_path}/gateway.db\n" in printed
        assert f"  operator   {url}/admin\n" in printed
        assert f"  next       {installed} init asks for an assistant and for platforms\n" in printed
        assert "Hello" in json.loads(fetch(f"{url}/chat", {"message": "Hello"}))["response"]
        assert "<title>Chat</title>" in fetch(url)
        assert "Password" in fetch(f"{url}/admin")
        assert "openapi" in fetch(f"{url}/openapi.json")
    assert (tmp_path / "gateway.db").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_an_extra_lacks_is_named_by_its_packages(installed: Path) -> None:
    lacking = """
from gateway.domain.extras import imports_of_extra
with imports_of_extra("telegram", "A_SETTING"):
    raise ModuleNotFoundError(name="telegram")
"""
    python = installed.with_name("python")
    ended = subprocess.run([python, "-c", lacking], env=environment(), capture_output=True, text=True, check=False)
    assert f"Install the extra telegram: {python} -m pip install 'python-telegram-bot<" in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_brings_its_migrations(installed: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [installed, "migrate"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "The database is up to date.\n"), ended.stderr
    assert (tmp_path / "gateway.db").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_brings_the_example_of_its_file_which_it_reads(installed: Path, tmp_path: Path) -> None:
    def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environ = environment(**settings)
        return subprocess.run(
            [installed, *command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )

    (tmp_path / "gateway.toml").write_text(run("config", "--example").stdout)
    refused = run("config")
    assert "gateway.toml, line 15: assistants.support.api_key: the variable OPENAI_API_KEY is not set" in refused.stderr
    names = ("OPENAI_API_KEY", "ORDERS_TOKEN", "SHOP_KEY")
    shown = run("config", **dict.fromkeys(names, "of-the-example"), SALES_TELEGRAM_TOKEN="123456:abcdef")
    assert "[assistants.support]" in shown.stdout, shown.stderr
    assert "of-the-example" not in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tool_of_an_installed_package_is_used(installed: Path, tmp_path: Path) -> None:
    gateways = str(site_packages_of(installed.parent))
    commands = install(EXAMPLE_TOOL, tmp_path, gateways, sysconfig.get_path("purelib"))
    command = (commands / "python", "-m", "gateway")
    with FakeOpenAI() as fake:
        fake.script(CallTool("order_status", {"order_number": "A-1234"}), Say("It is on its way."))
        settings = {"OPENAI_BASE_URL": fake.base_url, "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "gpt-4o"}
        with serving(command, tmp_path, **settings) as (url, _):
            answer = json.loads(fetch(f"{url}/chat", {"message": "Where is A-1234?"}))
        assert answer["response"] == "It is on its way."
        assert "sent on Monday" in str(fake.posts("/chat/completions")[-1].body)
